"""Peer for threads: one connection, calls in both directions.

Carries out what ``link.py`` decides. One thread reads frames and hands the peer's calls
to threads of their own; any other thread may call. All that touches the calls holds the
lock of the settings, through ``guard``.
"""

from __future__ import annotations

import collections
import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec

from ...errors import ConnectionClosed
from ...messages import CloseReport
from ...options import check_timeout
from ..callbacks import INFO, log
from ..calling import DEFAULT
from ..calls import Ours
from ..envelope import PING, Params
from ..errors import CallTimeout, Disconnected, RemoteError
from ..link import LEAVING, LOOK_AT_END, STALLED, Link, read_result
from ..performing import lend_place
from ..signals import Signal
from .calling import Calling
from .incoming import Incoming, Table, tell
from .routes import Settings
from .sending import Outbox
from .streams import Inbox, PeerStream, Stream
from .waiting import Waiter

__all__ = ["Peer"]


class _Guard:
    """The lock of the settings, as one peer holds it.

    What was posted meanwhile leaves when the lock is given back.
    """

    __slots__ = ("_depth", "_lock", "peer")

    def __init__(self, lock: Any, peer: Peer) -> None:
        self._lock = lock
        self._depth = 0
        self.peer = peer

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        is_outermost = not self._depth
        self._lock.release()
        if is_outermost:
            if self.peer.dropped:
                self.peer.leave_dropped()
            if not self.peer.outbox.is_empty:
                self.peer.outbox.flush()


class Peer(Link, Calling):
    """The other side of one connection: call it, and let it call our ``routes``.

    ::

        with longwire.sync.connect(uri) as connection:
            with rpc.sync.Peer(connection, routes) as peer:
                print(peer.call("add", 1, 2))

    Leaving the block closes the connection, for a thread that reads cannot be told to
    stop. ``wire`` is what is spoken where no subprotocol was agreed on; ``options`` are
    those of :class:`Server`. A server makes its peers itself, :class:`Client` makes one
    for each connection.

    ``state`` is a dict for the application, ``connection`` the connection.
    """

    table: Table
    settings: Settings
    incoming: Incoming

    _reader: threading.Thread | None = None
    _has_ended = False
    _events: Signal | None = None
    _change: Waiter | None = None

    def __init__(
        self,
        connection: Any,
        routes: Any = None,
        *,
        client: bool = False,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        if settings is None:
            settings = Settings(routes, **options)
        self._begin_link(connection, settings, client, Table)
        self.guard = self.table.guard = _Guard(settings.lock, self)
        self.outbox = Outbox(self)
        self.post = self.outbox.post
        # Streams that were forgotten, and are still to be cancelled.
        self.dropped: collections.deque[Ours] = collections.deque()
        self._new_events: list[Any] = []
        self.ended: ConnectionClosed | None = None
        self.incoming = Incoming(self)

    # --- what is known -----------------------------------------------------------

    def on_event(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Call ``function`` with each event of the wire ``wsrpc``, in the reader.

        Events are objects without id.
        """
        if self._events is None:
            events = Signal("on_event")
            events.only_plain()
            self._events = events
        return self._events.connect(function)

    def _give_event(self, value: Any) -> None:
        if self._events is not None:
            self._new_events.append(value)

    # --- running -----------------------------------------------------------------

    def run(self) -> CloseReport | None:
        """Read, and do what is read, until the connection has ended; say how."""
        try:
            self.settings.signals.opened.send(self)
            while True:
                self._take_next()
        except ConnectionClosed as exc:
            self.ended, self._report = exc, exc.report
        finally:
            self._end()
        return self.close_report

    def _take_next(self) -> None:
        """Wait for one frame, or for what is due first, and do what it asks for."""
        wakes_at = self._wakes_at
        seconds = None
        if wakes_at < math.inf:
            seconds = max(0.0, wakes_at - time.monotonic())
        try:
            frame = self.connection.recv(seconds)
        except TimeoutError:
            self._expire()
            return
        if type(frame) is not self._frames:
            self._close_for(1003, f"{self.wire.name} is not spoken so")
            return
        messages = self.wire.read(frame)
        with self.guard:
            for message in messages:
                self.take(message)
            must_look = self._must_look()
            is_strange = False
            if self.table.strange:
                self.table.forgive(time.monotonic())
                is_strange = self.table.is_strange
        if must_look:
            self._wait_to_read()
        if self._new_events:
            self._send_events()
        if is_strange:
            self._close_for(1008, "too many messages without sense")

    def _send_events(self) -> None:
        events, self._new_events = self._new_events, []
        for event in events:
            assert self._events is not None
            self._events.send(event)

    def _close_for(self, code: int, reason: str) -> None:
        log(INFO, "closing %r with %d: %s", self.connection, code, reason)
        self.connection.close(code, reason)

    def __enter__(self) -> Self:
        reader = threading.Thread(
            target=self.run, name="longwire-rpc reads", daemon=True
        )
        self._reader = reader
        reader.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._reader is not None
        self.close()
        if self._reader is not threading.current_thread():
            self._reader.join(3 * LEAVING)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection."""
        self.connection.close(code, reason)

    def _start_close(self, code: int, reason: str) -> None:
        threading.Thread(
            target=self.connection.close,
            args=(code, reason),
            name="longwire-rpc closes",
            daemon=True,
        ).start()

    def _end(self) -> None:
        """The connection has ended: so do all calls."""
        with self.guard:
            if self._has_ended:
                return
            self._has_ended = True
            ours, theirs = self.table.lose()
            for call in ours:
                self._fail(call, Disconnected(self.close_report))
            self.outbox.stop()
        try:
            self.incoming.end(theirs, LEAVING)
        finally:
            self.incoming.performer.close()
            while self._closing:
                tell(self._closing.pop(), what="a function of on_close()")
            self.settings.signals.closed.send(self, self.close_report)

    # --- reading, or not ---------------------------------------------------------

    def expect_change(self) -> Waiter:
        """Return what is done when a call has ended, or was sent; with the lock."""
        self._change = Waiter()
        return self._change

    def _wait_to_read(self) -> None:
        """Wait until more may be read, or the connection has ended."""
        since = time.monotonic()
        while True:
            with self.guard:
                if not self._must_wait() or self.connection.close_report is not None:
                    self.incoming.retry()
                    return
                change = self.expect_change()
            left = self._wakes_at - time.monotonic()
            if change.wait(min(LOOK_AT_END, left)):
                since = time.monotonic()
            now = time.monotonic()
            with self.guard:
                self.table.is_stalled = now - since >= STALLED
                self.incoming.retry()
            if now >= self._wakes_at:
                self._expire()

    def _wake(self) -> None:
        change, self._change = self._change, None
        if change is not None:
            change.set_result(None)

    def has_sent(self) -> None:
        """Less waits to be sent than before; with the lock."""
        self._has_sent()

    # --- calling -----------------------------------------------------------------

    def call_raw(
        self, method: str, params: Params, timeout: float | None
    ) -> msgspec.Raw:
        """Return the result of a call as it came."""
        if timeout is DEFAULT:
            timeout = self.settings.limits.timeout
        else:
            check_timeout(timeout)
        ends_at = None if timeout is None else time.monotonic() + timeout
        with self.guard:
            call = self._begin(Waiter(), math.inf)
        resume = lend_place()
        try:
            with self.guard:
                frame = self._encoded(call, method, params)
            if self._must_ask(frame):
                self._learn_limits(method, timeout)
                self._check_size(method, frame)
            self.outbox.send(frame)
            return self._answer(call, method, timeout, ends_at)
        except ConnectionClosed as exc:
            raise Disconnected(exc.report or self.close_report) from exc
        finally:
            # Whichever way we leave, nobody waits for the answer any more.
            self.give_up(call)
            if resume is not None:
                resume()

    def _answer(
        self, call: Ours, method: str, timeout: float | None, ends_at: float | None
    ) -> msgspec.Raw:
        waiter = call.waiter
        if not waiter.wait(None if ends_at is None else ends_at - time.monotonic()):
            assert timeout is not None
            raise CallTimeout(method, timeout)
        return waiter.result()  # type: ignore[no-any-return]

    def give_up(self, call: Ours) -> None:
        """Wait for the answer to a call no more."""
        with self.guard:
            self._give_up(call)

    def begin_call(self, method: str, params: Params) -> Ours:
        """Begin a call, and wait for nothing: for one to many."""
        with self.guard:
            call = self._begin(Waiter(), math.inf)
            self.post(self._encoded(call, method, params))
        return call

    def end_call(
        self,
        call: Ours,
        method: str,
        timeout: float | None,
        ends_at: float | None,
        returns: Any,
    ) -> Any:
        """Return the result of a call that was begun."""
        read = self.wire.codec.decoder(returns)
        try:
            raw = self._answer(call, method, timeout, ends_at)
        finally:
            self.give_up(call)
        return read_result(method, raw, read)

    def _learn_limits(self, method: str, timeout: float | None) -> None:
        """Wait until it is known whether the other side limits messages.

        A server that does says so before it answers anything.
        """
        try:
            self.call_raw(PING, None, timeout)
        except CallTimeout:
            assert timeout is not None
            raise CallTimeout(method, timeout) from None
        except RemoteError:
            pass  # an answer, too
        self._is_announced = True

    def call_with(
        self,
        method: str,
        params: Params = None,
        *,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
    ) -> Any:
        """Call ``method`` with a list of arguments, or a dict; return its result."""
        read = self.wire.codec.decoder(returns)
        raw = self.call_raw(method, params, timeout)
        return read_result(method, raw, read)

    def notification(self, method: str, params: Params) -> bytes:
        """Return the frame of a notification, for a broadcast to send."""
        with self.guard:
            return super().notification(method, params)

    def _notify(self, method: str, params: Params) -> None:
        frame = self.notification(method, params)
        if self._must_ask(frame):
            self._learn_limits(method, self.settings.limits.timeout)
            self._check_size(method, frame)
        self._send(frame)

    def emit(self, event: Any) -> None:
        """Send an event, an object without id, on the wire ``wsrpc``.

        Raises TypeError on other wires, which have notifications, and ValueError for an
        object with ``id``, ``method`` or ``error``, which would be something else.
        """
        self._send(self._event(event))

    def _send(self, frame: bytes) -> None:
        try:
            self.outbox.send(frame)
        except ConnectionClosed as exc:
            raise Disconnected(exc.report or self.close_report) from exc

    def drain(self, code: int = 1001, reason: str = "") -> None:
        """Refuse new calls, let those under way end, then close the connection.

        Streams are not waited for: they end with the connection.
        """
        with self.guard:
            super().drain(code, reason)

    def _stream(
        self, method: str, params: Params, window: int | None, returns: Any
    ) -> Stream[Any]:
        read = self.wire.codec.decoder(returns)
        inbox = Inbox()
        with self.guard:
            call = self._begin_stream(inbox, method, params, window)
        return PeerStream(self, inbox, call, lambda raw: read_result(method, raw, read))

    def leave_dropped(self) -> None:
        """Cancel the streams that nobody has any more."""
        while self.dropped:
            self.give_up(self.dropped.popleft())

    # --- time --------------------------------------------------------------------

    def _call_at(self, when: float) -> None:
        """Nothing: the thread that reads looks, and streams wait by themselves."""

    def _expire(self) -> None:
        with self.guard:
            self.expire(time.monotonic())
