"""Client: a peer that comes back: one name for a connection, then the next one.

Calls made while there is no connection wait for it; calls under way when it is lost
fail, for nobody knows whether they were carried out.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
from collections.abc import Callable
from typing import Any, Literal, Self

from ..escaping import one_line
from ..messages import CloseReport
from .callbacks import log
from .calling import DEFAULT, Calling, as_params
from .envelope import Params
from .errors import CallTimeout, Disconnected, TooBusy
from .peer import Peer
from .performing import LEAVING, current_call
from .routes import Routes
from .settings import WIRES, Settings
from .signals import Signals
from .streams import Stream
from .texts import escaped, text_of

__all__ = ["Client"]

PATIENCE = 2.0
"""Seconds that a call waits for a connection where connecting fails: a server that
restarts is back by then, one that is not there will not be."""
_MAX_REASON = 200

OPTIONS = (
    "limits",
    "errors",
    "show_errors",
    "tracebacks",
    "authorize_call",
    "threads",
    "describe",
    "enc_hook",
    "dec_hook",
    "signals",
)


class Client(Calling):
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
        if offline not in ("queue", "keep", "reject"):
            raise ValueError(
                f'offline is {offline!r}; "queue", "keep" or "reject" is allowed'
            )
        if isinstance(max_queued, bool) or not isinstance(max_queued, int):
            kind = type(max_queued).__name__
            raise TypeError(f"max_queued must be an int, not {kind}")
        from .. import connect
        from ..opening.retry import process_exception

        own = {name: options.pop(name) for name in OPTIONS if name in options}
        own.setdefault("describe", False)
        self.settings = Settings(routes, wire=wire, **own)
        if not wire.startswith("wsrpc"):
            options.setdefault("subprotocols", [WIRES[wire]])
        self._process_exception: Callable[[Exception], Exception | None] = options.pop(
            "process_exception", process_exception
        )
        if not callable(self._process_exception):
            raise TypeError("process_exception must be a function")
        options["process_exception"] = self._attempt_failed
        self._connecting = connect(uri, **options)
        self.uri = uri
        self.offline = offline
        self.max_queued = max_queued
        self.peer: Peer | None = None
        # Those that wait for a connection, with the time since when they do.
        self._waiting: dict[asyncio.Future[Peer], float] = {}
        self._queued = 0  # of those waiting, the calls
        self._task: asyncio.Task[None] | None = None
        self._final: Exception | None = None
        # Why the last attempt to connect failed; None while there is a connection.
        self._failure: Exception | None = None
        self._report: CloseReport | None = None

    @property
    def routes(self) -> Routes:
        """What the server may call here."""
        return self.settings.routes

    @property
    def signals(self) -> Signals:
        """``opened`` and ``closed`` for each connection, and the server's calls."""
        return self.settings.signals

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self.peer is not None and self.peer.is_open

    @property
    def is_closed(self) -> bool:
        """Whether it has ended for good: closed, or connecting has failed for ever."""
        return self._final is not None

    # --- the connection ----------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def start(self) -> None:
        """Begin to connect; what ``async with`` does first."""
        if self._task is not None:
            raise RuntimeError("the client was started before; make another")
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
            log(logging.INFO, "the client gives up: %s", one_line(exc))
            self._final = exc
        finally:
            self._refuse_waiting()
            await connections.aclose()  # closes the last one, too

    def _attempt_failed(self, exc: Exception) -> Exception | None:
        """An attempt to connect has failed: tell the calls that have waited enough."""
        self._failure = exc
        now = asyncio.get_running_loop().time()
        for future, since in list(self._waiting.items()):
            if now - since >= PATIENCE:
                self._give_up(future)
        return self._process_exception(exc)

    def _give_up(self, future: asyncio.Future[Peer]) -> None:
        """Let a call wait no longer, if connecting has failed; else until it does."""
        if self._failure is not None and not future.done():
            future.set_exception(Disconnected(self._report, self._not_connected()))
            future.exception()

    def _not_connected(self, method: str = "") -> str:
        """Return that there is no connection, and why."""
        text = f"not connected to {_without_credentials(self.uri)}"
        if self._failure is not None:
            text = f"{text} ({_reason(self._failure)})"
        return f"{text}; {method} was not sent" if method else text

    def _came(self, peer: Peer) -> None:
        self.peer = peer
        self._failure = None
        waiting, self._waiting = self._waiting, {}
        # In the order they were made: each goes on when the loop comes to it.
        for future in waiting:
            if not future.done():
                future.set_result(peer)

    def _refuse_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            if not future.done():
                future.set_exception(self._why())
                future.exception()

    def _why(self, method: str = "") -> Exception:
        """Return why there is no connection, anew: it gets a traceback of its own."""
        if self._final is None:
            return Disconnected(self._report, self._not_connected(method))
        if isinstance(self._final, Disconnected):
            return Disconnected(self._final.report, self._final.message)
        return self._final

    async def _online(self, timeout: float | None, method: str = "") -> Peer:
        """Return the peer; wait for one where calls may."""
        if self.peer is not None and self.peer.is_open:
            return self.peer
        if self._final is not None:
            raise self._why()
        if self._task is None:
            raise RuntimeError("the client was not started: enter it with async with")
        if method and self.offline == "reject":
            raise self._why(method)
        if method and self._queued >= self.max_queued:
            raise TooBusy(f"{self.max_queued} calls wait for a connection already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Peer] = loop.create_future()
        giving_up: asyncio.TimerHandle | None = None
        since = math.inf  # never given up
        if method and self.offline == "queue":
            since = loop.time()
            giving_up = loop.call_later(PATIENCE, self._give_up, future)
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
            if self._final is None:
                # The same for all that waited, but for their names.
                raise Disconnected(exc.report, self._not_connected(method)) from None
            raise
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
        peer = self.peer
        if peer is None or not peer.is_open:
            if timeout is DEFAULT:
                timeout = self.settings.limits.timeout
            loop = asyncio.get_running_loop()
            begun = loop.time()
            peer = await self._online(timeout, method)
            if timeout is not None:
                # Time in the queue counts.
                timeout = max(timeout - (loop.time() - begun), 0.001)
        return await peer.call_with(method, params, timeout=timeout, returns=returns)

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
        client: Client,
        request: tuple[str, Params, int | None, Any],
        resubscribe: Callable[[CloseReport | None], object] | None,
    ) -> None:
        self._client = client
        self._request = request
        self._resubscribe = resubscribe
        self._left = False
        self._inner: Stream[Any] | None = None
        if client.peer is not None and client.peer.is_open:
            self._inner = client.peer._stream(*request)

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


def _without_credentials(uri: str) -> str:
    """Return ``uri`` as it may stand in a log."""
    return re.sub(r"(?<=//)[^/?#@]*@", "", uri)


def _reason(exc: Exception) -> str:
    """Return in a few words why connecting failed."""
    text = text_of(exc)
    # asyncio's text has the number where there were several addresses.
    number = getattr(exc, "errno", None) or re.search(r"\[Errno (\d+)\]", text)
    if isinstance(exc, OSError) and number:
        return os.strerror(number if isinstance(number, int) else int(number[1]))
    text = escaped(text)[:_MAX_REASON]
    return text or type(exc).__name__
