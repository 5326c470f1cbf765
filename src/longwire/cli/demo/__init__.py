"""The main demonstration: ``longwire demo``, its server and its page."""
