"""Peer: one connection, calls in both directions, on asyncio.

Carries out what ``link.py`` decides. One loop reads frames; what the peer calls is run
by ``incoming.py``. Reading goes on while answers wait for a slow peer, until too many
of them do.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any, Self

import msgspec

from ..errors import ConnectionClosed
from ..messages import CloseReport
from ..options import check_timeout
from .callbacks import as_coroutine, begin, begin_later, tell
from .calling import DEFAULT, Calling
from .envelope import PING, Call, Params
from .errors import CallTimeout, Disconnected, RemoteError
from .incoming import Incoming
from .link import LEAVING, OVERDUE, STALLED, TAKES, Link, read_result
from .performing import lend_place
from .sending import Outbox
from .settings import Settings
from .signals import Signal
from .streams import Inbox, PeerStream, Stream

__all__ = ["Peer"]

logger = logging.getLogger("longwire.rpc")


class Peer(Link, Calling):
    """The other side of one connection: call it, and let it call our ``routes``.

    ::

        async with longwire.connect(uri) as connection:
            async with rpc.Peer(connection, routes) as peer:
                print(await peer.call("add", 1, 2))

    Leaving the block ends the calls, not the connection. ``wire`` is what is spoken
    where no subprotocol was agreed on; ``options`` are those of :class:`Server`. A
    server makes its peers itself, :class:`Client` makes one for each connection.

    ``state`` is a dict for the application, ``connection`` the connection.
    """

    # What few connections ever change: those at rest take less without.
    _timer: asyncio.TimerHandle | None = None
    _running: asyncio.Task[Any] | None = None
    _has_ended = False
    _events: Signal | None = None
    # What waits for a change before it reads on, and what closes when all is done.
    _change: asyncio.Future[None] | None = None
    _closing_task: asyncio.Task[Any] | None = None

    def __init__(
        self,
        connection: Any,
        routes: Any = None,
        *,
        client: bool = False,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        self._begin_link(connection, settings or Settings(routes, **options), client)
        self._loop = asyncio.get_running_loop()
        self.outbox = Outbox(
            connection, self.wire.codec.is_text, self.table.holding, self._has_sent
        )
        self.send = self.outbox.send
        self.post = self.outbox.post
        self.incoming: Incoming = Incoming(self, self._loop)

    # --- what is known -----------------------------------------------------------

    def on_event(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Call ``function``, plain or async, with each event of the wire ``wsrpc``.

        Events are objects without id.
        """
        if self._events is None:
            self._events = Signal("on_event")
        return self._events.connect(function)

    def _give_event(self, value: Any) -> None:
        if self._events is not None:
            self._events.send(value)

    # --- running -----------------------------------------------------------------

    async def run(self) -> CloseReport | None:
        """Read, and do what is read, until the connection has ended; say how.

        Cancelling it ends all calls and leaves the connection as it is.
        """
        recv, read, table = self.connection.recv, self.wire.read, self.table
        incoming, outbox = self.incoming, self.outbox
        limits, signals = self.settings.limits, self.settings.signals
        memory, unsent = limits.memory, 2 * limits.unsent
        try:
            await signals.opened.send_and_wait(self)
            while True:
                frame = await recv()
                if type(frame) is not self._frames:
                    await self._close_for(1003, f"{self.wire.name} is not spoken so")
                    continue
                for message in read(frame):
                    # As take(), without a call for each message.
                    if type(message) is Call:
                        incoming.take_call(message)
                    else:
                        TAKES[type(message)](self, message)
                if (  # as _must_look()
                    outbox.size > unsent
                    or table.waiting_size > memory
                    or incoming.deferred
                ):
                    await self._wait_to_read()
                if signals.times_calls:
                    await signals.catch_up()
                if self._events is not None:
                    await self._events.catch_up()
                if table.strange:
                    table.forgive(self._loop.time())
                    if table.is_strange:
                        await self._close_for(1008, "too many messages without sense")
        except ConnectionClosed as exc:
            self._report = exc.report
        finally:
            await self._end()
        return self.close_report

    async def _close_for(self, code: int, reason: str) -> None:
        logger.info("closing %r with %d: %s", self.connection, code, reason)
        await self.connection.close(code, reason)

    async def __aenter__(self) -> Self:
        self._running = self._loop.create_task(self.run())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait([self._running])
        # It may never have had its first turn.
        await self._end()
        if not self._running.cancelled():
            self._running.result()  # raises what should not have happened

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection."""
        await self.connection.close(code, reason)

    def _start_close(self, code: int, reason: str) -> None:
        closing = self.connection.close(code, reason)
        self._closing_task = begin_later(as_coroutine(closing), self._loop)

    async def _end(self) -> None:
        """The connection has ended, or we leave it: so do all calls."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()
        ours, theirs = self.table.lose()
        for call in ours:
            self._fail(call, Disconnected(self.close_report))
        try:
            pump = self.outbox.stop()
            await self.incoming.end(theirs, LEAVING)
            if pump is not None:
                await asyncio.wait([pump], timeout=LEAVING)
        finally:
            await self._tell_of_end()

    async def _tell_of_end(self) -> None:
        await self.incoming.performer.close(LEAVING)
        while self._closing:
            function = self._closing.pop()
            await tell(function, what="a function of on_close()", timeout=LEAVING)
        await self.settings.signals.closed.send_and_wait(self, self.close_report)

    # --- reading, or not ---------------------------------------------------------

    async def _wait_to_read(self) -> None:
        """Wait until more may be read, or the connection has ended."""
        if not self._must_wait():
            self.incoming.retry()
            return
        wait_closed = getattr(self.connection, "wait_closed", None)
        ended: asyncio.Task[Any] | None = None
        if wait_closed is not None:
            ended = begin(as_coroutine(wait_closed()), self._loop)
        try:
            while self._must_wait() and not (ended is not None and ended.done()):
                change = self._change = self._loop.create_future()
                waiting = [change] if ended is None else [change, ended]
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait(waiting, timeout=STALLED, return_when=first)
                self.table.is_stalled = not change.done()
                self.incoming.retry()
        finally:
            self._change = None
            if ended is not None:
                ended.cancel()

    def _wake(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    # --- calling -----------------------------------------------------------------

    async def call_raw(
        self, method: str, params: Params, timeout: float | None
    ) -> msgspec.Raw:
        """Return the result of a call as it came."""
        if timeout is DEFAULT:
            timeout = self.settings.limits.timeout
        future: asyncio.Future[Any] = self._loop.create_future()
        deadline = math.inf if timeout is None else self._loop.time() + timeout
        call = self._begin(future, deadline)
        resume = lend_place()
        try:
            frame = self._encoded(call, method, params)
            if self._must_ask(frame):
                await self._learn_limits(method, timeout)
                self._check_size(method, frame)
            await self.send(frame)
            raw = await future
        except ConnectionClosed as exc:
            raise Disconnected(exc.report or self.close_report) from exc
        finally:
            # Whichever way we leave, nobody waits for the answer any more.
            self._give_up(call)
            if future.done() and not future.cancelled():
                future.exception()  # looked at
            if resume is not None:
                resume()
        if raw is OVERDUE:
            assert timeout is not None
            raise CallTimeout(method, timeout)
        return raw  # type: ignore[no-any-return]

    async def _learn_limits(self, method: str, timeout: float | None) -> None:
        """Wait until it is known whether the other side limits messages.

        A server that does says so before it answers anything.
        """
        try:
            await self.call_raw(PING, None, timeout)
        except CallTimeout:
            assert timeout is not None
            raise CallTimeout(method, timeout) from None
        except RemoteError:
            pass  # an answer, too
        self._is_announced = True

    async def call_with(
        self,
        method: str,
        params: Params = None,
        *,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
    ) -> Any:
        """Call ``method`` with a list of arguments, or a dict; return its result."""
        if timeout is not DEFAULT:
            check_timeout(timeout)
        read = self.wire.codec.decoder(returns)
        raw = await self.call_raw(method, params, timeout)
        return read_result(method, raw, read)

    async def _notify(self, method: str, params: Params) -> None:
        frame = self.notification(method, params)
        if self._must_ask(frame):
            await self._learn_limits(method, self.settings.limits.timeout)
            self._check_size(method, frame)
        await self._send(frame)

    async def emit(self, event: Any) -> None:
        """Send an event, an object without id, on the wire ``wsrpc``.

        Raises TypeError on other wires, which have notifications, and ValueError for an
        object with ``id``, ``method`` or ``error``, which would be something else.
        """
        await self._send(self._event(event))

    async def _send(self, frame: bytes) -> None:
        try:
            await self.send(frame)
        except ConnectionClosed as exc:
            raise Disconnected(exc.report or self.close_report) from exc

    def _stream(
        self, method: str, params: Params, window: int | None, returns: Any
    ) -> Stream[Any]:
        read = self.wire.codec.decoder(returns)
        inbox = Inbox(method)
        call = self._begin_stream(inbox, method, params, window)
        return PeerStream(
            inbox,
            call,
            lambda raw: read_result(method, raw, read),
            self.item_taken,
            self.leave_stream,
            self._loop,
        )

    # --- time --------------------------------------------------------------------

    def _call_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self.expire(self._loop.time())
