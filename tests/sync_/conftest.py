"""Fixtures of the tests of longwire.sync."""

from __future__ import annotations

import contextlib

import pytest
from tests.sync_.serving import echo, running

import longwire.sync


@pytest.fixture
def serving():
    """Call it as ``serve``, without host and port; returns (server, its URI)."""
    with contextlib.ExitStack() as stack:

        def serve(handler=echo, **options):
            server = longwire.sync.serve(handler, "127.0.0.1", 0, **options)
            stack.enter_context(running(server))
            scheme = "wss" if options.get("ssl") else "ws"
            port = server.socket.getsockname()[1]
            return server, f"{scheme}://localhost:{port}/"

        yield serve
