"""Fixtures for pytest: ``pytest_plugins = ["longwire.testing.fixtures"]``.

Needs no plugin for coroutines: the servers run in threads of their own, so a test may
be a plain function or a coroutine, in whatever mode.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from .serving import serving

__all__ = ["websocket_server"]


@pytest.fixture
def websocket_server() -> Iterator[Callable[..., serving]]:
    """Start servers, which end with the test: ``websocket_server(handler).uri``.

    The keywords are those of :class:`longwire.testing.serving`.
    """
    with contextlib.ExitStack() as running:

        def start(
            handler: Callable[[Any], Awaitable[None]], **keywords: Any
        ) -> serving:
            return running.enter_context(serving(handler, **keywords))

        yield start
