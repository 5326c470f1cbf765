"""Link: the calls of one connection, in both directions; no I/O and no clock.

A front end reads messages and hands each to ``take``; what is to be sent goes to its
``post``, what came for a call of ours to the call's waiter. The peer's calls are the
business of ``serving.py``, which calls are under way that of ``calls.py``, and what a
frame says that of the wire. A front end fills in the methods under "what a front end
adds".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from .calls import Admission, CallTable, Ours
from .codecs import UNREADABLE
from .envelope import (
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
from .errors import Disconnected, InvalidResult, StreamMismatch, TooBusy
from .limits import check_window
from .routes import Caller
from .settings import Settings
from .texts import what_is_wrong

if TYPE_CHECKING:
    from ..messages import CloseReport
    from .serving import Serving

__all__ = [
    "LEAVING",
    "LOOK_AT_END",
    "MAX_UNANNOUNCED",
    "OVERDUE",
    "STALLED",
    "TAKES",
    "Link",
    "read_result",
]

OVERDUE = object()
"""The result of a call of ours whose time is over."""
STALLED = 10.0
"""Seconds after which we read again although no call has ended: one that waits for what
the peer says next never does, and a peer that has gone is noticed by reading alone."""
LOOK_AT_END = 1.0
"""Seconds between two looks whether the connection has ended, while it is not read."""
LEAVING = 5.0
"""Seconds that routes and ``on_close`` get to end after the connection has."""
MAX_UNANNOUNCED = 16 * 1024
"""Bytes that a message may have before it is known how large it may be."""


class Waiter(Protocol):
    """What waits for the answer to a call of ours, as futures do."""

    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class Inbox(Protocol):
    """What takes the items of a stream of ours."""

    def put(self, item: Any) -> None: ...

    def end(self, error: Exception | None = None) -> None: ...


class Link(Caller):
    """The calls of one connection; a front end's ``Peer`` adds verbs.

    ``wire`` is what is spoken, ``table`` has the calls under way, ``incoming`` carries
    out the peer's.
    """

    # What few connections ever change: those at rest take less without.
    _max_message: float = math.inf  # what the other side said it takes
    _wakes_at = math.inf
    _report: CloseReport | None = None
    _close_args: tuple[int, str] = (1001, "")  # of drain()

    incoming: Serving

    def _begin_link(
        self,
        connection: Any,
        settings: Settings,
        client: bool,
        make_table: type[CallTable] = CallTable,
    ) -> None:
        self.connection = connection
        self.state: dict[str, Any] = {}
        self.settings = settings
        subprotocol = getattr(connection, "subprotocol", None)
        self.wire = settings.make_wire(subprotocol, client=client)
        self.table = make_table(
            settings.limits,
            settings.budget,
            first_id=self.wire.first_id,
            step=self.wire.step,
        )
        self._frames = str if self.wire.codec.is_text else bytes
        self.max_answer: float = settings.limits.message
        # Clients of ours ask before they send much.
        self._is_announced = not (client and subprotocol and self.wire.extended)
        self._closing: list[Callable[[], Any]] = []

    # --- what a front end adds ---------------------------------------------------

    outbox: Any
    """What is to be sent and has not been: its ``size`` in bytes, as memory takes them.
    """
    post: Callable[[bytes], None]
    """Send a frame after those before it, and wait for nothing."""

    def _call_at(self, when: float) -> None:
        """Have ``expire()`` called at ``when``, or earlier."""
        raise AssertionError("a front end does")

    def _wake(self) -> None:
        """Wake what waits until more may be read."""
        raise AssertionError("a front end does")

    def _start_close(self, code: int, reason: str) -> None:
        """Begin to close the connection, and wait for nothing."""
        raise AssertionError("a front end does")

    def _give_event(self, value: Any) -> None:
        """Hand an event to the functions of ``on_event()``."""
        raise AssertionError("a front end does")

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

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Peer {self.wire.name} {state} at {id(self):#x}>"

    # --- calls of ours -----------------------------------------------------------

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

    def _must_ask(self, frame: bytes) -> bool:
        """Whether to learn first how large a message the other side takes."""
        return len(frame) > MAX_UNANNOUNCED and not self._is_announced

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

    def notification(self, method: str, params: Params) -> bytes:
        """Return the frame of a notification, for a broadcast to send."""
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

    def _event(self, event: Any) -> bytes:
        """Return the frame of an event."""
        frame = self.wire.event(event)
        if self.table.is_lost:
            raise Disconnected(self.close_report)
        self._check_size("an event", frame)
        return frame

    def _begin_stream(
        self, inbox: Inbox, method: str, params: Params, window: int | None
    ) -> Ours:
        """Ask for a stream; return the call that stands for it."""
        if not self.wire.extended:
            raise TypeError(f"the wire {self.wire.name} has no streams")
        window = check_window(self.settings.limits.window if window is None else window)
        call = self._begin(inbox, math.inf, window)
        self.post(self._encoded(call, method, params))
        return call

    def item_taken(self, call: Ours) -> None:
        """An item of a stream was taken: grant more now and then.

        Nobody waits for it: who stopped waiting would lose the item and the grant.
        """
        count = self.table.take_item(call)
        if count:
            self.post(self.wire.more(call.id, count))

    def leave_stream(self, call: Ours) -> None:
        """Cancel a stream."""
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
        if call.window:
            waiter.end(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    # --- what the peer says ------------------------------------------------------

    def take(self, message: Any) -> None:
        """Do what a message of the peer's asks for."""
        if type(message) is Call:
            self.incoming.take_call(message)
        else:
            TAKES[type(message)](self, message)

    def _take_answer(self, answer: Answer) -> None:
        call = self.table.settle(answer.id)
        if call is None:
            return
        waiter = call.waiter
        if call.window:
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
        self._give_event(event.value)

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

    # --- reading, or not ---------------------------------------------------------

    def _must_look(self) -> bool:
        """Whether it may be that nothing is to be read for now; cheap."""
        limits, table = self.settings.limits, self.table
        return bool(
            self.outbox.size > 2 * limits.unsent
            or table.waiting_size > limits.memory
            or self.incoming.deferred
        )

    def _must_wait(self) -> bool:
        """Whether nothing is to be read until some calls have ended, or were sent."""
        if self.outbox.size > 2 * self.settings.limits.unsent:
            return True
        return self.table.may_wait and (
            bool(self.incoming.deferred) or self.table.is_full
        )

    def has_changed(self) -> None:
        """A call has ended, or waits for the peer: look again who waits for that."""
        self._wake()
        if self.table.is_draining and self.table.closes_now():
            self._start_close(*self._close_args)

    def _has_sent(self) -> None:
        self.incoming.make_room()
        self.has_changed()

    def drain(self, code: int = 1001, reason: str = "") -> None:
        """Refuse new calls, let those under way end, then close the connection.

        Streams are not waited for: they end with the connection.
        """
        self._close_args = code, reason
        self.table.drain()
        self.has_changed()

    # --- time --------------------------------------------------------------------

    def watch(self, deadline: float) -> None:
        """See to it that what is overdue at ``deadline`` is given up then."""
        if deadline < self._wakes_at:
            self._wakes_at = deadline
            self._call_at(deadline)

    def expire(self, now: float) -> None:
        """Give up on what is overdue: our calls, and the peer's."""
        self._wakes_at = math.inf
        ours, theirs = self.table.overdue(now)
        for call in ours:
            if self._give_up(call) and not call.waiter.done():
                call.waiter.set_result(OVERDUE)
        for record in theirs:
            self.incoming.expire(record, now)
        self.watch(self.table.next_deadline())


# What is done with each kind of message.
TAKES: dict[type, Callable[[Link, Any], None]] = {
    Announced: Link._take_announced,
    Answer: Link._take_answer,
    Failure: Link._take_failure,
    Cancel: Link._take_cancel,
    Item: Link._take_item,
    More: Link._take_more,
    Event: Link._take_event,
    Bad: Link._take_bad,
}


def read_result(method: str, raw: msgspec.Raw, read: Callable[[Any], Any]) -> Any:
    """Return a result, or an item, as it was asked for."""
    try:
        return read(raw)
    except UNREADABLE as exc:
        text = f"the result of {method}: {what_is_wrong(exc)}"
        raise InvalidResult(text) from None
