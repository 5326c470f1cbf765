"""Verbs: what receiving, sending, pings and closing wait for, as plans.

A plan is a generator over a :class:`~longwire.session.session.Session`. It decides and
does no I/O: it yields what it waits for, and is resumed when that may have changed, or
has the exception of a wait (a timeout, an interrupt) thrown in. A front end has one
driver for all of them, which carries out what the session's flags ask for each time
that a plan yields and when it has ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, NamedTuple, TypeVar

from .connection import BytesLike, Data, Pieces, opcode_for
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
    if isinstance(message, Mapping):
        raise TypeError(
            "a message cannot be a mapping: send json.dumps(message) for its JSON"
        )
    if isinstance(message, AsyncIterable):
        return aiter(message), False
    if isinstance(message, Iterable):
        return iter(message), not blocking or isinstance(message, Collection)
    opcode_for(message, None)
    raise AssertionError("a whole message has no fragments")


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
        self.receiving = False

    # --- receiving ---------------------------------------------------------------

    def recv(self) -> Plan[Data]:
        """Return the next whole message."""
        self.check_receiver("recv")
        session = self._session
        if not session.has_message:
            yield from self._wait_for_input(False)
        payload: Data = session.take()[1]
        return payload

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
        self.receiving = True
        session.streaming = streaming
        try:
            while True:
                session.wait(self._now())
                if session.has_message or (streaming and len(session.inbox)):
                    return
                if session.end_is_known():
                    raise session.exception()
                yield INPUT
        finally:
            self.stop_waiting()

    def begin_to_wait(self) -> bool:
        """Begin to wait for a message without a plan, for a front end's shortest way.

        Returns whether there is something to wait for, and nobody who does. Then
        ``stop_waiting()`` has to follow, and after it the plan, if no message came.
        """
        session = self._session
        if self.receiving or session.has_message:
            return False
        self.receiving = True
        session.streaming = False
        try:
            session.wait(self._now())
        except BaseException:
            self.stop_waiting()
            raise
        if session.has_message or session.end_is_known():
            self.stop_waiting()
            return False
        return True

    def stop_waiting(self) -> None:
        """The receiver got something, or gave up."""
        self._session.stop_waiting()
        self.receiving = False

    def stream(self, decode: bool | None) -> PieceByPiece:
        """Return the next message, to be received in pieces."""
        self.check_receiver("recv_streaming")
        return PieceByPiece(self, self._session, decode)

    # --- sending -----------------------------------------------------------------

    def send(
        self, message: Any, text: bool | None = None, compress: bool = True
    ) -> Plan[None]:
        """Send a whole message; wait for the turn before, and for room after it."""
        session = self._session
        opcode = opcode_for(message, text)
        yield from self._wait_for_turn()
        if not session.is_open:
            yield from self._raise_closed()
        session.send(opcode, message, True, compress)
        yield from self.wait_for_room()

    def send_fragments(
        self,
        fragments: tuple[Iterator[Any] | AsyncIterator[Any], bool],
        text: bool | None = None,
        compress: bool = True,
    ) -> Plan[None]:
        """Send one message in fragments, which are those of `fragments_of`."""
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
                    yield from self._fragment(opcode, item, False, compress)
                    continue
                if not isinstance(item, kind):
                    found = type(item).__name__
                    raise TypeError(f"all fragments must be of one type; found {found}")
                if holding:
                    item, held = held, item
                if item is not None:
                    yield from self._fragment(Opcode.CONT, item, False, compress)
            if opcode is not None:
                last = b"" if held is None else held
                yield from self._fragment(Opcode.CONT, last, True, compress)
        except BaseException as exc:
            if begun and session.fragmenting and session.is_open:
                # The peer holds half a message that nobody will finish.
                self.start_close(1011, "error in fragmented message", exc)
            raise

    def _fragment(
        self, opcode: Opcode, item: Any, fin: bool, compress: bool
    ) -> Plan[None]:
        session = self._session
        if not session.is_open:
            yield from self._raise_closed()
        session.send(opcode, item, fin, compress)
        yield from self.wait_for_room()

    def _wait_for_turn(self) -> Plan[None]:
        # Who waits here has put nothing in the output: it holds one message more than
        # its limit, however many senders there are and however many give up.
        session = self._session
        if session.fragmenting or not session.writable:
            with self._in_line():
                while session.is_open and (session.fragmenting or not session.writable):
                    yield TURN if session.fragmenting else ROOM

    def wait_for_room(self) -> Plan[None]:
        """Have the output written, and wait while the peer is slow to take it."""
        session = self._session
        yield ACT
        if session.writable:
            return
        with self._in_line():
            while not session.writable and not session.is_over:
                yield ROOM
            lost = not session.writable
        if lost:
            # The peer will not get it: better said than left to the next send().
            yield from self._raise_closed()

    @contextlib.contextmanager
    def _in_line(self) -> Iterator[None]:
        """Wait to send, so that messages for many do not always come first."""
        self._session.wait_to_send()
        try:
            yield
        finally:
            self._session.stop_waiting_to_send()

    def _raise_closed(self) -> Plan[None]:
        """Raise ConnectionClosed, once it is known how the connection ends."""
        session = self._session
        while not (session.tcp_lost or session.end_is_known()):
            yield END
        raise session.exception()

    # --- pings -------------------------------------------------------------------

    def ping(self, payload: bytes | None, waiter: Any) -> Plan[None]:
        """Send a ping; ``waiter`` comes back from the session with its latency."""
        if not self._session.is_open:
            yield from self._raise_closed()
        self._session.ping(payload, waiter, self._now())

    def pong(self, payload: bytes) -> Plan[None]:
        """Send a pong that nobody asked for."""
        if not self._session.is_open:
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
    """A message that is received in pieces; ``done`` after its last one."""

    def __init__(self, verbs: Verbs, session: Session, decode: bool | None) -> None:
        self.done = False
        self._begun = False
        self._verbs = verbs
        self._session = session
        self._pieces = Pieces(decode)

    def next_piece(self) -> Plan[Data]:
        """Return the next piece."""
        session = self._session
        if not len(session.inbox):
            yield from self._verbs._wait_for_input(True)
        piece = session.take_piece()
        assert piece is not None
        _, payload, self.done = piece
        self._begun = True
        # Others must not receive before this message is at its end.
        self._verbs.receiving = not self.done
        return self._pieces.feed(payload, self.done)

    def stop(self) -> None:
        """Receive no more of it: to be called in any case, also after the end."""
        if self._begun and not self.done:
            # Half a message cannot be told from a whole one by the next recv().
            over = self._session.ended is not None and not len(self._session.inbox)
            self._verbs.receiving = not over
