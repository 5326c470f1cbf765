"""Coroutines: what the servers of asyncio and trio have in common.

Nothing here names an event loop; what waits is a method of the front end's.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from .errors import NotAuthorised
from .hosting import Host, not_allowed
from .link import Link

__all__ = ["AsyncHost"]

P = TypeVar("P", bound=Link)


class AsyncHost(Host[P]):
    """A server whose handler and callbacks may be coroutine functions."""

    async def _admit(self, connection: Any, request: Any) -> Any:
        """Let a connection in, or return the answer that refuses it."""
        refusal = await self._refusal(connection, request)
        if refusal is None:
            self._let_in.add(connection)
            return None
        return connection.respond(403, refusal)

    async def _refusal(self, connection: Any, request: Any) -> str | None:
        """Return why a connection is not let in, for its client to read; or None."""
        if self._authorize is None:
            return None
        try:
            allowed = self._authorize(connection, request)
            if inspect.isawaitable(allowed):
                allowed = await allowed
        except NotAuthorised as exc:
            return not_allowed(exc)
        return None if allowed else not_allowed()

    async def _why_not(self, connection: Any) -> str | None:
        """Return why the handler closes an open connection at once; None to serve it.

        What ``serve`` of ours let in was looked at in its opening handshake.
        """
        if connection in self._let_in:
            return None
        refusal = self._check_origin(connection)
        if refusal is None and await self._refusal(connection, connection.request):
            return "not authorised"
        return refusal
