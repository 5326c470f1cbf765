"""Fixtures for pytest: ``pytest_plugins = ["longwire.testing.fixtures"]``.

Needs no plugin for coroutines: the servers run in threads of their own, so a test may
be a plain function or a coroutine, in whatever mode.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from .serving import serving

__all__ = ["websocket_server"]


class _Starter:
    """Starts servers, each for as long as ``running`` lasts."""

    def __init__(self, running: contextlib.ExitStack) -> None:
        self._running = running

    def __call__(
        self, handler: Callable[[Any], Awaitable[None]], **keywords: Any
    ) -> serving:
        return self._running.enter_context(serving(handler, **keywords))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            text = f"'websocket_server' has no attribute {name!r}"
            if name in ("server", "uri", "port", "errors"):
                text += f"; it is a function: write websocket_server(handler).{name}"
            raise AttributeError(text)


@pytest.fixture
def websocket_server() -> Iterator[Callable[..., serving]]:
    """Start servers, which end with the test: ``websocket_server(handler).uri``.

    The keywords are those of :class:`longwire.testing.serving`.
    """
    with contextlib.ExitStack() as running:
        yield _Starter(running)
