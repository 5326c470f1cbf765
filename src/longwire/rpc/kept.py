"""Kept: what the clients of asyncio and trio have in common: streams that survive.

Nothing here waits but for the client's `_online` and for streams of a connection.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, TypeVar

from ..messages import CloseReport
from .calling import Calling, as_params
from .envelope import Params
from .errors import Disconnected
from .keeping import Keeper
from .link import Link
from .streams import Stream

__all__ = ["Kept"]

P = TypeVar("P", bound=Link)


class Kept(Keeper[P], Calling):
    """A client whose verbs are coroutines."""

    @abc.abstractmethod
    async def _online(self, timeout: float | None, method: str = "") -> Any:
        """Return the peer; wait for one where calls may."""

    async def _notify(self, method: str, params: Params) -> None:
        peer = await self._online(self.settings.limits.timeout, method)
        await peer._notify(method, params)

    def _stream(
        self, method: str, params: Params, window: int | None, returns: Any
    ) -> Stream[Any]:
        return ClientStream(self, (method, params, window, returns), None)

    def stream(
        self,
        method: str,
        /,
        *args: Any,
        window: int | None = None,
        returns: Any = Any,
        resubscribe: Callable[[CloseReport | None], object] | None = None,
        **kwargs: Any,
    ) -> Stream[Any]:
        """Return the items that the stream route ``method`` gives, as they come.

        With ``resubscribe``, a function, the stream survives the loss of its
        connection: it is asked for again, with the same arguments, by the next one.
        The function is called then with the close report of the lost one, for items
        may be missing, or come twice. The other keywords are as for Peer.stream.
        """
        if resubscribe is not None and not callable(resubscribe):
            raise TypeError("resubscribe must be a function: it is told of the gap")
        params = as_params(args, kwargs)
        return ClientStream(self, (method, params, window, returns), resubscribe)


class ClientStream(Stream[Any]):
    """A stream of a client, by one connection after the other if it asked for that."""

    def __init__(
        self,
        client: Kept[Any],
        request: tuple[str, Params, int | None, Any],
        resubscribe: Callable[[CloseReport | None], object] | None,
    ) -> None:
        self._client = client
        self._request = request
        self._resubscribe = resubscribe
        self._left = False
        self._inner: Stream[Any] | None = None
        peer = client._open_peer()
        if peer is not None:
            self._inner = peer._stream(*request)

    async def __anext__(self) -> Any:
        while not self._left:
            if self._inner is None:
                await self._open()
                continue
            try:
                return await self._inner.__anext__()
            except Disconnected as exc:
                if self._resubscribe is None or self._client.is_closed:
                    raise
                self._inner = None
                # However long it takes: the client knows when to give up.
                await self._client._online(None)
                await self._open()
                self._resubscribe(exc.report)
        raise StopAsyncIteration

    async def _open(self) -> None:
        timeout = self._client.settings.limits.timeout
        peer = await self._client._online(timeout, self._request[0])
        if not self._left:
            self._inner = peer._stream(*self._request)

    def leave(self) -> None:
        """Leave the stream, without waiting."""
        self._left = True
        if self._inner is not None:
            self._inner.leave()
