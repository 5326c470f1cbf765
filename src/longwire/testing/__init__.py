"""Tests of programs that use longwire: servers, pairs without sockets, a clock.

``serving(handler)`` is a server on a free port, for coroutines and for plain tests;
``pair()`` two connections in memory; ``connected(handler)`` a client of a handler, in
memory too; ``Clock`` the time of the event loop, which a test moves. None of them needs
pytest. ``pytest_plugins = ["longwire.testing.fixtures"]`` in a conftest.py brings the
first as a fixture.
"""

from __future__ import annotations

from .clock import Clock
from .pairs import connected, pair
from .serving import serving

__all__ = ["Clock", "connected", "pair", "serving"]
