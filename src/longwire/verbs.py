"""Verbs: what receiving, sending, pings and closing wait for, as plans.

A plan is a generator over a :class:`~longwire.session.session.Session`. It decides and
does no I/O: it yields what it waits for, and is resumed when that may have changed, or
has the exception of a wait (a timeout, an interrupt) thrown in. A front end has one
driver for all of them, which carries out what the session's flags ask for each time
that a plan yields and when it has ended. Where there were any, the plan is resumed at
once instead of waiting: what it waits for may be there now, and who carries it out
wakes only those that wait already.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterator,
)
from operator import call
from typing import Any, NamedTuple, TypeVar

from .connection import BytesLike, Data, Pieces, check_fragments, opcode_for
from .errors import ConcurrencyError
from .messages import Cause, Opcode
from .session.leaving import Outcome
from .session.session import Session, check_close

__all__ = [
    "ACT",
    "END",
    "INPUT",
    "NO_MORE",
    "ROOM",
    "TURN",
    "Next",
    "Plan",
    "Verbs",
    "fragments_of",
]

ACT, INPUT, TURN, ROOM, END = range(5)
"""What a plan yields: carry out the session's flags and go on; wait until bytes have
come or TCP has ended (``INPUT``), until nobody else is sending fragments (``TURN``),
until the wire takes more (``ROOM``), until the connection has ended (``END``). A wait
that ends too early does no harm: the plan looks, and waits again."""

NO_MORE = object()
"""What a plan is resumed with after ``Next`` where the iterator has ended."""


class Next(NamedTuple):
    """What a plan yields to get the next item of the caller's iterator."""

    items: Iterator[Any] | AsyncIterator[Any]


T = TypeVar("T")
Plan = Generator[int | Next, Any, T]


def fragments_of(
    message: Any, *, blocking: bool
) -> tuple[Iterator[Any] | AsyncIterator[Any], bool]:
    """Return an iterator over the fragments of ``message``, and whether all are there.

    Where ``blocking``, as in threads, an iterator may wait for something before its
    next item; what has a length is all there. Raises TypeError for a message without
    fragments, and for a mapping: its keys are hardly what somebody wanted to send.
    """
    check_fragments(message)
    if isinstance(message, AsyncIterable):
        return aiter(message), False
    return iter(message), not blocking or isinstance(message, Collection)


class Verbs:
    """The verbs of one open connection.

    ``now`` is the clock that the session is told; ``users`` is what runs verbs of this
    front end, for error texts: "thread" or "task".
    """

    __slots__ = ("_now", "_session", "_users", "receiving")

    def __init__(
        self, session: Session, now: Callable[[], float], users: str = "task"
    ) -> None:
        self._session = session
        self._now = now
        self._users = users
        self.receiving: object = False  # or who is

    # --- receiving ---------------------------------------------------------------

    def recv(self) -> Plan[Data]:
        """Return the next whole message."""
        yield from self.wait_for_message()
        payload: Data = self._session.take()[1]
        return payload

    def wait_for_message(self) -> Plan[None]:
        """Wait until there is a whole message, and take none."""
        self.check_receiver("recv")
        if not self._session.has_message:
            yield from self._wait_for_input(False)

    def check_receiver(self, name: str) -> None:
        """Raise ConcurrencyError while another is receiving."""
        if self.receiving:
            raise ConcurrencyError(
                f"cannot call {name} while another {self._users} is already running "
                "recv or recv_streaming"
            )

    def _wait_for_input(self, streaming: bool) -> Plan[None]:
        """Wait for a whole message, or, when streaming, for a piece of one."""
        session = self._session
        before = self.receiving
        try:
            self.receiving = True
            session.streaming = streaming
            session.wait(self._now())
            while not (session.has_message or (streaming and len(session.inbox))):
                if session.end_is_known():
                    raise session.exception()
                yield INPUT
                session.wait(self._now())
        finally:
            # First by an assignment, which no signal interrupts.
            self.receiving = before
            session.stop_waiting()

    def begin_to_wait(self, who: object = True) -> bool:
        """Begin to wait for a message without a plan, for a front end's shortest way.

        Returns whether there is something to wait for, and nobody who does; ``who``
        receives then. ``stop_waiting()`` has to follow, and the plan, if no message
        came.
        """
        session = self._session
        if self.receiving or session.has_message:
            return False
        try:
            self.receiving = who
            session.streaming = False
            session.wait(self._now())
            waits = not (session.has_message or session.end_is_known())
        except BaseException:
            self.receiving = False
            session.stop_waiting()
            raise
        if not waits:
            self.receiving = False
            session.stop_waiting()
        return waits

    def stop_waiting(self) -> None:
        """The receiver got something, or gave up."""
        self.receiving = False
        self._session.stop_waiting()

    def taking_failed(self, exc: BaseException) -> None:
        """End the connection: an interrupt came in the middle of taking a message.

        That happens where the session is not compiled alone, and nobody can tell
        whether the message is lost. Where memory runs out, it is not.
        """
        if not isinstance(exc, MemoryError):
            self._session.intake.forget()
            self._session.break_off(exc, self._now())

    def stream(self, decode: bool | None) -> PieceByPiece:
        """Return the next message, to be received in pieces."""
        self.check_receiver("recv_streaming")
        return PieceByPiece(self, self._session, decode)

    # --- sending -----------------------------------------------------------------

    def send(
        self, message: Any, text: bool | None = None, compress: bool = True
    ) -> Plan[None]:
        """Send a whole message; wait for the turn before, and for room after it."""
        yield from self.put(message, text, compress)
        yield from self.wait_for_room()

    def put(
        self, message: Any, text: bool | None = None, compress: bool = True
    ) -> Plan[None]:
        """Send a whole message in turn, and do not wait for room after it.

        Where this ends early, the message is not sent.
        """
        session = self._session
        opcode = opcode_for(message, text)
        yield from self._wait_for_turn()
        if not session.can_send:
            yield from self._raise_closed()
        session.send(opcode, message, True, compress)

    def send_fragments(
        self,
        fragments: tuple[Iterator[Any] | AsyncIterator[Any], bool],
        text: bool | None = None,
        compress: bool = True,
    ) -> Plan[None]:
        """Send one message in fragments, which are those of `fragments_of`."""
        if (yield from self.put_fragments(fragments, text, compress)):
            yield from self.wait_for_room()

    def put_fragments(
        self,
        fragments: tuple[Iterator[Any] | AsyncIterator[Any], bool],
        text: bool | None = None,
        compress: bool = True,
    ) -> Plan[bool]:
        """Do that, and do not wait for room after the last; False if there was none.

        Where this ends early, no message is sent: one that has begun cannot be
        finished, and the connection is closed with 1011.
        """
        session = self._session
        # What is made one by one leaves as it comes, and an empty fragment ends it.
        # What is all there needs no such end: its last item waits to be told as such.
        items, holding = fragments
        opcode: Opcode | None = None
        kind: Any = None
        held: Any = None
        begun = False
        try:
            while (item := (yield Next(items))) is not NO_MORE:
                if opcode is None:
                    opcode = opcode_for(item, text)
                    kind = str if isinstance(item, str) else BytesLike
                    # The turn may have been taken while the first item was awaited.
                    yield from self._wait_for_turn()
                    begun = True
                    yield from self._fragment(opcode, item, compress)
                    continue
                if not isinstance(item, kind):
                    found = type(item).__name__
                    raise TypeError(f"all fragments must be of one type; found {found}")
                if holding:
                    item, held = held, item
                if item is not None:
                    yield from self._fragment(Opcode.CONT, item, compress)
            if opcode is None:
                return False
            last = b"" if held is None else held
            if not session.can_send:
                yield from self._raise_closed()
            session.send(Opcode.CONT, last, True, compress)
            return True
        except BaseException as exc:
            if begun and session.fragmenting and session.can_send:
                # The peer holds half a message that nobody will finish.
                self.start_close(1011, "error in fragmented message", exc)
            raise

    def _fragment(self, opcode: Opcode, item: Any, compress: bool) -> Plan[None]:
        session = self._session
        if not session.can_send:
            yield from self._raise_closed()
        session.send(opcode, item, False, compress)
        yield from self.wait_for_room()

    def _wait_for_turn(self) -> Plan[None]:
        # Who waits here has put nothing in the output: it holds one message more than
        # its limit, however many senders there are and however many give up.
        session = self._session
        if session.fragmenting or not session.writable:
            yield from self._stand_in_line(self._before_turn)

    def wait_for_room(self) -> Plan[None]:
        """Have the output written, and wait while the peer is slow to take it."""
        session = self._session
        yield ACT
        if session.writable:
            return
        yield from self._stand_in_line(self._before_room)
        if not session.writable:
            # The peer will not get it: better said than left to the next send().
            yield from self._raise_closed()

    def _before_turn(self) -> int | None:
        session = self._session
        if session.can_send and (session.fragmenting or not session.writable):
            return TURN if session.fragmenting else ROOM
        return None

    def _before_room(self) -> int | None:
        session = self._session
        return None if session.writable or session.is_over else ROOM

    def _stand_in_line(self, before: Callable[[], int | None]) -> Plan[None]:
        """Wait to send, so that messages for many do not always come first."""
        session = self._session
        standing: list[None] = []
        try:
            # In one call into C: it is counted, or it is not.
            standing += map(call, (session.wait_to_send,))
            while (what := before()) is not None:
                yield what
        finally:
            if standing:
                session.stop_waiting_to_send()

    def _raise_closed(self) -> Plan[None]:
        """Raise ConnectionClosed, once it is known how the connection ends."""
        session = self._session
        while not (session.tcp_lost or session.end_is_known()):
            yield END
        raise session.exception()

    # --- pings -------------------------------------------------------------------

    def ping(self, payload: bytes | None, waiter: Any) -> Plan[None]:
        """Send a ping; ``waiter`` comes back from the session with its latency."""
        if not self._session.can_send:
            yield from self._raise_closed()
        self._session.ping(payload, waiter, self._now())

    def pong(self, payload: bytes) -> Plan[None]:
        """Send a pong that nobody asked for."""
        if not self._session.can_send:
            yield from self._raise_closed()
        self._session.pong(payload)

    # --- closing -----------------------------------------------------------------

    def start_close(
        self, code: int | None, reason: str, error: BaseException | None = None
    ) -> None:
        """Begin the closing handshake, for ``error`` if that is why."""
        cause = Cause.LOCAL if error is None else Cause.HANDLER
        self._session.close(code, reason, self._now(), cause, error)

    def close(self, code: int | None = 1000, reason: str = "") -> Plan[None]:
        """Close the connection and wait until TCP has ended."""
        check_close(code, reason)
        self.start_close(code, reason)
        yield from self.wait_closed()

    def wait_closed(self) -> Plan[None]:
        """Wait until TCP has ended."""
        while not self._session.is_gone:
            yield END

    def leave(self, outcome: Outcome, exc: BaseException | None) -> Plan[None]:
        """Close for how the block ended that used the connection, and wait."""
        if outcome in (Outcome.RETURNED, Outcome.ENDED):
            yield from self.close()
            return
        error = exc if outcome is Outcome.FAILED else None
        self.start_close(outcome.value, "", error)
        yield from self.wait_closed()


class PieceByPiece:
    """A message that is received in pieces; ``done`` after its last one.

    ``next_piece()`` takes a piece, and ``payload()`` returns it. A front end gives it
    to the caller by assignments, which nothing interrupts: ``given`` is ``taken`` then,
    and ``receiving`` of the verbs is ``goes_on``. ``stop()`` puts back the first piece
    if it was taken and not given.
    """

    def __init__(self, verbs: Verbs, session: Session, decode: bool | None) -> None:
        self.taken: tuple[int, Data, bool] | None = None
        self.given: tuple[int, Data, bool] | None = None
        self.goes_on: object = False
        self._me = object()
        self._verbs = verbs
        self._session = session
        self._pieces = Pieces(decode)
        self._one_piece = (session.take_piece,)

    @property
    def done(self) -> bool:
        """Whether the caller has all of it."""
        return self.given is not None and self.given[2]

    def next_piece(self) -> Plan[None]:
        """Take the next piece."""
        if self.given is None:
            # In the same step as what follows: two threads may ask for the first.
            self._verbs.check_receiver("recv_streaming")
        if not len(self._session.inbox):
            yield from self._verbs._wait_for_input(True)
        # Others must not receive before this message is at its end.
        self._verbs.receiving = self._me
        one = map(call, self._one_piece)
        try:
            # In C: no interrupt comes in between, nor before it.
            (self.taken,) = one
        except BaseException as exc:
            self._verbs.taking_failed(exc)
            raise

    def payload(self) -> Data:
        """Return what was taken, of the type that was asked for."""
        assert self.taken is not None
        _, payload, fin = self.taken
        self.goes_on = False if fin else self._me
        try:
            return self._pieces.feed(payload, fin)
        except UnicodeDecodeError:
            # Bytes that are no text are received, all the same.
            self.given = self.taken
            raise

    def stop(self) -> None:
        """Receive no more of it: to be called in any case, also after the end."""
        verbs, session = self._verbs, self._session
        if verbs.receiving is not self._me:
            return
        begun = self.given is not None
        if self.taken is not None and not begun:
            session.inbox.put_back(self.taken)
            self.taken = None
        # Half a message cannot be told from a whole one by the next recv().
        over = session.ended is not None and not len(session.inbox)
        if not begun or self.done or over:
            verbs.receiving = False
