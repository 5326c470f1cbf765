"""Peer: one connection, calls in both directions, on asyncio.

Carries out what ``calls.py`` decides about what ``envelope.py`` reads. One loop reads
frames and hands the calls of the other side to ``incoming.py``; those of ours are here.
Reading goes on while answers wait for a slow peer, until too many of them do.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Self

import msgspec

from ..errors import ConnectionClosed
from ..messages import CloseReport
from .callbacks import as_coroutine, begin, begin_later, tell
from .calling import DEFAULT, Calling
from .calls import Admission, CallTable, Ours
from .codecs import UNREADABLE
from .envelope import (
    PING,
    Announced,
    Answer,
    Bad,
    Call,
    Cancel,
    Event,
    Failure,
    Item,
    More,
    Params,
)
from .errors import (
    CallTimeout,
    Disconnected,
    InvalidResult,
    RemoteError,
    StreamMismatch,
    TooBusy,
)
from .incoming import Incoming
from .limits import check_window
from .performing import LEAVING, lend_place
from .routes import Caller
from .sending import Outbox
from .settings import Settings
from .signals import Signal
from .streams import Inbox, PeerStream, Stream
from .texts import what_is_wrong

__all__ = ["Peer"]

logger = logging.getLogger("longwire.rpc")

_OVERDUE = object()
STALLED = 10.0
"""Seconds after which we read again although no call has ended: one that waits for what
the peer says next never does, and a peer that has gone is noticed by reading alone."""
_MAX_UNANNOUNCED = 16 * 1024
"""Bytes that a message may have before it is known how large it may be."""


class Peer(Caller, Calling):
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
    _max_message: float = math.inf  # what the other side said it takes
    _timer: asyncio.TimerHandle | None = None
    _wakes_at = math.inf
    _report: CloseReport | None = None
    _running: asyncio.Task[Any] | None = None
    _has_ended = False
    _events: Signal | None = None
    # What waits for a change before it reads on, and what closes when all is done.
    _change: asyncio.Future[None] | None = None
    _drained: Callable[[], None] | None = None
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
        self.connection = connection
        self.state: dict[str, Any] = {}
        self.settings = settings or Settings(routes, **options)
        self.wire = self.settings.make_wire(
            getattr(connection, "subprotocol", None), client=client
        )
        self.table = CallTable(
            self.settings.limits,
            self.settings.budget,
            first_id=self.wire.first_id,
            step=self.wire.step,
        )
        self._loop = asyncio.get_running_loop()
        self._frames = str if self.wire.codec.is_text else bytes
        self.outbox = Outbox(
            connection, self.wire.codec.is_text, self.table.holding, self._has_sent
        )
        self.send = self.outbox.send
        self.post = self.outbox.post
        self._own = self.settings.own_routes(self.wire)
        self.incoming = Incoming(self, self._loop)
        # Clients of ours ask before they send much.
        self.max_answer: float = self.settings.limits.message
        self._is_announced = not (
            client and getattr(connection, "subprotocol", None) and self.wire.extended
        )
        self._closing: list[Callable[[], Any]] = []

    # --- what is known -----------------------------------------------------------

    @property
    def request(self) -> Any:
        """The request of the opening handshake: path, headers."""
        return getattr(self.connection, "request", None)

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return not self.table.is_lost

    @property
    def close_report(self) -> CloseReport | None:
        """How the connection ended; None while it has not."""
        return self._report or getattr(self.connection, "close_report", None)

    def on_close(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Call ``function``, plain or async, when the connection has ended."""
        self._closing.append(function)
        return function

    def on_event(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Call ``function``, plain or async, with each event of the wire ``wsrpc``.

        Events are objects without id.
        """
        if self._events is None:
            self._events = Signal("on_event")
        return self._events.connect(function)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Peer {self.wire.name} {state} at {id(self):#x}>"

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
                    if type(message) is Call:
                        incoming.take_call(message)
                    else:
                        _TAKES[type(message)](self, message)
                if (
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

    def _must_wait(self) -> bool:
        """Whether nothing is to be read until some calls have ended, or were sent."""
        if self.outbox.size > 2 * self.settings.limits.unsent:
            return True
        return self.table.may_wait and (
            bool(self.incoming.deferred) or self.table.is_full
        )

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

    def has_changed(self) -> None:
        """A call has ended, or waits for the peer: look again who waits for that."""
        if self._change is not None and not self._change.done():
            self._change.set_result(None)
        if self._drained is not None and self.table.is_idle:
            close, self._drained = self._drained, None
            close()

    def _has_sent(self) -> None:
        self.incoming.make_room()
        self.has_changed()

    def drain(self, code: int = 1001, reason: str = "") -> None:
        """Refuse new calls, let those under way end, then close the connection.

        Streams are not waited for: they end with the connection.
        """
        self.table.is_draining = True

        def close() -> None:
            closing = self.connection.close(code, reason)
            self._closing_task = begin_later(as_coroutine(closing), self._loop)

        self._drained = close
        self.has_changed()

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
            if len(frame) > _MAX_UNANNOUNCED and not self._is_announced:
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
        if raw is _OVERDUE:
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
        read = self.wire.codec.decoder(returns)
        raw = await self.call_raw(method, params, timeout)
        return _read(method, raw, read)

    def _begin(self, waiter: Any, deadline: float, window: int = 0) -> Ours:
        if self.table.is_lost:
            raise Disconnected(self.close_report)
        try:
            call = self.table.begin(waiter, deadline, window)
        except Admission as exc:
            raise TooBusy(str(exc)) from None
        self.watch(deadline)
        self.has_changed()
        return call

    def _encoded(self, call: Ours, method: str, params: Params) -> bytes:
        """Return the frame of our call; without one it has not begun."""
        try:
            frame = self.wire.call(call.id, method, params, call.window)
            self._check_size(method, frame)
        except BaseException:
            self.table.settle(call.id)
            raise
        return frame

    def _check_size(self, method: str, frame: bytes) -> None:
        """Raise ValueError for a message that is larger than may be sent."""
        limit = self.settings.limits.message
        if len(frame) > limit:
            raise ValueError(
                f"the call of {method} takes {len(frame)} bytes; "
                f"at most {limit} are allowed (RpcLimits.message)"
            )
        if len(frame) > self._max_message:
            raise ValueError(
                f"the call of {method} takes {len(frame)} bytes; "
                f"the other side takes at most {self._max_message}"
            )

    def _notification(self, method: str, params: Params) -> bytes:
        if self.table.is_lost:
            raise Disconnected(self.close_report)
        if self.wire.extended:
            frame = self.wire.notification(method, params)
            self._check_size(method, frame)
            return frame
        # A call like any other, but for its answer, which nobody waits for.
        call = self._begin(None, math.inf)
        frame = self._encoded(call, method, params)
        self.table.abandon(call)
        return frame

    def notification(self, method: str, params: Params) -> bytes:
        """Return the frame of a notification, for a broadcast to send."""
        return self._notification(method, params)

    async def _notify(self, method: str, params: Params) -> None:
        frame = self._notification(method, params)
        if len(frame) > _MAX_UNANNOUNCED and not self._is_announced:
            await self._learn_limits(method, self.settings.limits.timeout)
            self._check_size(method, frame)
        await self._send(frame)

    async def emit(self, event: Any) -> None:
        """Send an event, an object without id, on the wire ``wsrpc``.

        Raises TypeError on other wires, which have notifications, and ValueError for an
        object with ``id``, ``method`` or ``error``, which would be something else.
        """
        frame = self.wire.event(event)
        if self.table.is_lost:
            raise Disconnected(self.close_report)
        self._check_size("an event", frame)
        await self._send(frame)

    async def _send(self, frame: bytes) -> None:
        try:
            await self.send(frame)
        except ConnectionClosed as exc:
            raise Disconnected(exc.report or self.close_report) from exc

    def _stream(
        self, method: str, params: Params, window: int | None, returns: Any
    ) -> Stream[Any]:
        if not self.wire.extended:
            raise TypeError(f"the wire {self.wire.name} has no streams")
        window = check_window(self.settings.limits.window if window is None else window)
        read = self.wire.codec.decoder(returns)
        inbox = Inbox(method)
        call = self._begin(inbox, math.inf, window)
        self.post(self._encoded(call, method, params))
        return PeerStream(
            inbox,
            call,
            lambda raw: _read(method, raw, read),
            self._item_taken,
            self._leave_stream,
            self._loop,
        )

    def _item_taken(self, call: Ours) -> Awaitable[None] | None:
        count = self.table.take_item(call)
        return self._grant(call, count) if count else None

    async def _grant(self, call: Ours, count: int) -> None:
        try:
            await self.send(self.wire.more(call.id, count))
        except ConnectionClosed:
            pass  # the stream's end says so, after the items that came

    def _leave_stream(self, call: Ours) -> None:
        self._give_up(call)

    def _give_up(self, call: Ours) -> bool:
        """Wait for the answer to a call no more; return whether it had none."""
        if not self.table.abandon(call):
            return False
        if self.wire.extended:
            self.post(self.wire.cancel(call.id))
        self.has_changed()
        return True

    def _fail(self, call: Ours, error: Exception) -> None:
        waiter = call.waiter
        if isinstance(waiter, Inbox):
            waiter.end(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    # --- answers -----------------------------------------------------------------

    def _take_answer(self, answer: Answer) -> None:
        call = self.table.settle(answer.id)
        if call is None:
            return
        waiter = call.waiter
        if isinstance(waiter, Inbox):
            waiter.end()
        elif waiter is not None and not waiter.done():
            waiter.set_result(answer.result)
        self.has_changed()

    def _take_failure(self, failure: Failure) -> None:
        call = self.table.settle(failure.id)
        if call is not None:
            error = self.wire.error_of(failure)
            self._fail(call, self.settings.errors.revive(error))
            self.has_changed()

    def _take_item(self, item: Item) -> None:
        call, granted = self.table.receive_item(item.id)
        if call is None:
            return
        if granted:
            call.waiter.put(item.value)
        elif self._give_up(call):
            call.waiter.end(StreamMismatch("more items came than were granted"))

    def _take_event(self, event: Event) -> None:
        if self._events is not None:
            self._events.send(event.value)

    def _take_announced(self, announced: Announced) -> None:
        self._max_message = announced.message
        self.max_answer = min(self.settings.limits.message, announced.message)
        self._is_announced = True

    def _take_bad(self, bad: Bad) -> None:
        self.incoming.take_bad(bad)

    def _take_cancel(self, cancel: Cancel) -> None:
        self.incoming.take_cancel(cancel)

    def _take_more(self, more: More) -> None:
        self.incoming.take_more(more)

    # --- time --------------------------------------------------------------------

    def watch(self, deadline: float) -> None:
        """See to it that what is overdue at ``deadline`` is given up then."""
        if deadline < self._wakes_at:
            if self._timer is not None:
                self._timer.cancel()
            self._wakes_at = deadline
            self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        """Give up on what is overdue: our calls, and the peer's."""
        self._timer, self._wakes_at = None, math.inf
        now = self._loop.time()
        ours, theirs = self.table.overdue(now)
        for call in ours:
            if self._give_up(call) and not call.waiter.done():
                call.waiter.set_result(_OVERDUE)
        for record in theirs:
            self.incoming.expire(record, now)
        self.watch(self.table.next_deadline())


# What is done with each kind of message.
_TAKES: dict[type, Callable[[Peer, Any], None]] = {
    Announced: Peer._take_announced,
    Answer: Peer._take_answer,
    Failure: Peer._take_failure,
    Cancel: Peer._take_cancel,
    Item: Peer._take_item,
    More: Peer._take_more,
    Event: Peer._take_event,
    Bad: Peer._take_bad,
}


def _read(method: str, raw: msgspec.Raw, read: Callable[[Any], Any]) -> Any:
    try:
        return read(raw)
    except UNREADABLE as exc:
        text = f"the result of {method}: {what_is_wrong(exc)}"
        raise InvalidResult(text) from None
