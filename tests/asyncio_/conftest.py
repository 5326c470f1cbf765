"""Leaves out the tests of the reactor where connections do not use it."""

from __future__ import annotations

import asyncio

from longwire.asyncio import native

_loop = asyncio.new_event_loop()
collect_ignore_glob = [] if native.is_available(_loop) else ["test_reactor*"]
_loop.close()
