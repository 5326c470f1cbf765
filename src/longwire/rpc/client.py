"""Client: a peer that comes back: one name for a connection, then the next one.

Calls made while there is no connection wait for it; calls under way when it is lost
fail, for nobody knows whether they were carried out.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Literal, NoReturn, Self

from ..hints import explained, no_loop, use_async
from ..options import check_timeout
from . import keeping
from .calling import DEFAULT
from .envelope import Params
from .errors import CallTimeout, Disconnected
from .kept import Kept
from .link import LEAVING
from .peer import Peer
from .performing import current_call

__all__ = ["Client"]


class Client(Kept[Peer]):
    """A client that calls the server at ``uri``, and keeps its connection.

    ::

        async with rpc.Client("ws://localhost:8765/") as client:
            print(await client.call("add", 1, 2))

    Entering starts to connect and does not wait for it; after each loss it connects
    anew, after the delays of :class:`longwire.connect`. ``routes`` are what the server
    may call here.

    * ``wire``: ``"jsonrpc"``, ``"msgpack"``, ``"wsrpc"`` or ``"wsrpc.1"``; offered as
      the subprotocol, for those of wsrpc nothing is.
    * ``offline``: what becomes of calls that are made without a connection.
      ``"queue"``: they wait for one; where connecting fails they raise Disconnected
      after 2 seconds, which says why, and that they were not sent. ``"keep"``: they
      wait as long as their ``timeout`` allows. ``"reject"``: they raise it at once. At
      most ``max_queued`` wait.
    * ``limits``, ``errors``, ``tracebacks``, ``enc_hook``, … are those of
      :class:`Server`; everything else goes to :class:`longwire.connect`.

    ``peer`` is the present connection's :class:`Peer`, None without one.
    """

    @explained("rpc.Client('ws://localhost:8765/', name=value, ...)")
    def __init__(
        self,
        uri: str,
        routes: Any = None,
        *,
        wire: str = "jsonrpc",
        offline: Literal["queue", "keep", "reject"] = "queue",
        max_queued: int = 1000,
        **options: Any,
    ) -> None:
        from .. import connect

        self._begin_keeper(uri, routes, wire, offline, max_queued, options)
        options["process_exception"] = self._attempt_failed
        self._connecting = keeping.connect_with(connect, uri, options)
        self._task: asyncio.Task[None] | None = None

    # --- the connection ----------------------------------------------------------

    def __enter__(self) -> NoReturn:
        """Raise TypeError: connecting takes time."""
        raise use_async("Client()", "with Client(...) as client")

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __await__(self) -> NoReturn:
        """Raise TypeError: a client is entered."""
        raise TypeError(
            "Client() is not awaited: write 'async with Client(...) as client'"
        )

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def start(self) -> None:
        """Begin to connect; what ``async with`` does first."""
        if self._task is not None:
            raise RuntimeError("the client was started before; make another")
        if asyncio._get_running_loop() is None:
            raise no_loop("rpc.Client()", but="rpc.trio and rpc.sync have their own")
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def connected(self) -> Peer:
        """Wait for a connection; return its peer.

        Raises what made connecting impossible, such as InvalidStatus for a 403.
        """
        return await self._online(None)

    async def close(self) -> None:
        """Close the connection and end all calls."""
        if self._final is None:
            self._final = Disconnected(self._report, "the client is closed")
        peer, task = self.peer, self._task
        if peer is not None:
            await peer.close()
        self._refuse_waiting()
        outer = current_call()
        if task is None or (outer is not None and outer.peer is peer):
            return  # a route of ours, which must not wait for its own end
        if peer is not None:
            # It ends by itself, when what the server called has ended.
            await asyncio.wait([task], timeout=3 * LEAVING)
        task.cancel()
        await asyncio.wait([task])

    async def _run(self) -> None:
        connections: Any = aiter(self._connecting)
        try:
            async for connection in connections:
                peer = Peer(connection, settings=self.settings, client=True)
                self._came(peer)
                try:
                    self._report = await peer.run()
                finally:
                    self.peer = None
                if self._final is not None:
                    return
        except Exception as exc:
            self._has_failed(exc)
        finally:
            self._refuse_waiting()
            await connections.aclose()  # closes the last one, too

    def _attempt_failed(self, exc: Exception) -> Exception | None:
        return self._failed_at(exc, asyncio.get_running_loop().time())

    def _refuse(self, waiter: asyncio.Future[Peer], error: Exception) -> None:
        waiter.set_exception(error)
        waiter.exception()

    async def _online(self, timeout: float | None, method: str = "") -> Peer:
        """Return the peer; wait for one where calls may."""
        peer = self._open_peer()
        if peer is not None:
            return peer
        started = self._task is not None
        self._check_may_wait(started, method, "enter it with async with")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Peer] = loop.create_future()
        giving_up: asyncio.TimerHandle | None = None
        since = math.inf  # never given up
        if method and self.offline == "queue":
            since = loop.time()
            giving_up = loop.call_later(keeping.PATIENCE, self._give_up, future)
        self._waiting[future] = since
        self._queued += bool(method)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            if timeout is None:
                raise
            raise CallTimeout(method, timeout, self._not_connected(method)) from None
        except Disconnected as exc:
            raise self._told(exc, method) from None
        finally:
            if giving_up is not None:
                giving_up.cancel()
            self._queued -= bool(method)
            self._waiting.pop(future, None)

    # --- calling -----------------------------------------------------------------

    async def call_with(
        self,
        method: str,
        params: Params = None,
        *,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
    ) -> Any:
        """Call ``method`` with a list of arguments, or a dict; return its result."""
        check_timeout(timeout)
        peer = self._open_peer()
        if peer is None:
            if timeout is DEFAULT:
                timeout = self.settings.limits.timeout
            loop = asyncio.get_running_loop()
            begun = loop.time()
            peer = await self._online(timeout, method)
            if timeout is not None:
                # Time in the queue counts.
                timeout = max(timeout - (loop.time() - begun), 0.001)
        return await peer.call_with(method, params, timeout=timeout, returns=returns)
