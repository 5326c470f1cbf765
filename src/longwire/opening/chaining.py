"""Chaining: two ``process_request`` in one, the second asked where the first lets pass.

Either may be None, a function or, but for threads, a coroutine function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..http.heads import Request, Response

__all__ = ["ProcessRequest", "chain", "chain_async"]

ProcessRequest = Callable[[Any, Request], Any]


def chain(first: ProcessRequest | None, then: ProcessRequest) -> ProcessRequest:
    """Return a ``process_request`` that asks ``first``, then ``then``."""
    if first is None:
        return then

    def process_request(connection: Any, request: Request) -> Response | None:
        response: Response | None = first(connection, request)
        return then(connection, request) if response is None else response

    return process_request


def chain_async(first: ProcessRequest | None, then: ProcessRequest) -> ProcessRequest:
    """Return one that asks ``first``, then ``then``, and awaits what they return."""
    if first is None:
        return then

    async def process_request(connection: Any, request: Request) -> Response | None:
        response: Any = first(connection, request)
        if inspect.isawaitable(response):
            response = await response
        if response is None:
            response = then(connection, request)
            if inspect.isawaitable(response):
                response = await response
        found: Response | None = response
        return found

    return process_request
