"""Settings of the tests of http."""

from hypothesis import settings

# How long an example takes says something about the machine, not about us.
settings.register_profile("longwire", deadline=None)
settings.load_profile("longwire")
