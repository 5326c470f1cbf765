"""Connection for threads: what handlers call and wait for.

Receiving, sending, pings, closing: plans of ``verbs.py``, driven in the calling thread.
How bytes come to the session and leave it is in ``link.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from operator import call
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from ..connection import (
    BytesLike,
    Data,
    Fragments,
    Message,
    as_wanted,
    control_payload,
    opcode_for,
)
from ..errors import ConnectionClosedOK
from ..hints import Blocking
from ..options import check_timeout
from ..session.leaving import Outcome, outcome_of
from ..session.session import OUTPUT
from ..verbs import Verbs, fragments_of
from .link import Link
from .places import Places, wait_at

__all__ = ["Connection", "Pong"]


class Pong(threading.Event):
    """What ``ping()`` returns: an event that is set when the pong has come.

    ``latency`` is then the seconds it took. Where the connection ends before, the event
    is set too, ``latency`` stays None, and ``wait()`` raises ConnectionClosed.
    """

    latency: float | None = None
    error: BaseException | None = None

    def __init__(self) -> None:
        super().__init__()
        # No lock: the helper sets it, and must not wait for a thread that a signal
        # has interrupted inside of threading.Event.
        self._is_set = False
        self._places: Places = Places()

    def is_set(self) -> bool:
        """Return whether the pong has come, or the connection has ended."""
        return self._is_set

    isSet = is_set  # as threading.Event has it

    def set(self) -> None:
        """Wake all that wait."""
        self._is_set = True
        self._places.wake()

    def clear(self) -> None:
        """Have ``wait()`` wait again."""
        self._is_set = False

    def resolve(self, latency: float) -> None:
        """Tell who waits that the pong has come."""
        self.latency = latency
        self.set()

    def fail(self, error: BaseException) -> None:
        """Tell who waits that no pong will come."""
        self.error = error
        self.set()

    def forget_waiters(self) -> None:
        """In a child process: nobody waits who did in the parent."""
        self._places = Places()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the pong; return whether it came within ``timeout`` seconds."""
        check_timeout(timeout)
        place = self._places.take()
        # Set before that, or to be woken.
        done = self._is_set or wait_at(place, timeout)
        if not done:
            self._places.leave(place)
        if self.error is not None:
            raise self.error
        return done


P = TypeVar("P", bound=Pong)


class Connection(Blocking, Link):
    """A WebSocket connection for threads; any method may be called from any thread.

    ``sock`` is a connected socket, ``protocol`` holds the settings of the side that
    makes it; the keywords override them for this connection. Made by ``connect`` and
    ``serve``; subclass it and pass the class as ``create_connection``.
    """

    _awaits = False
    _plain = "with connect(...) as websocket"

    # --- receiving ---------------------------------------------------------------

    @overload
    def recv(self, timeout: float | None = None, *, decode: Literal[True]) -> str: ...

    @overload
    def recv(
        self, timeout: float | None = None, *, decode: Literal[False]
    ) -> bytes: ...

    @overload
    def recv(
        self, timeout: float | None = None, decode: bool | None = None
    ) -> Data: ...

    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Data:
        """Return the next message: text as str, binary as bytes.

        ``decode=True`` decodes binary messages too, ``decode=False`` leaves text as
        UTF-8 bytes. Raises TimeoutError after ``timeout`` seconds, which loses nothing;
        0 only looks whether there is one. Raises ConnectionClosed when the connection
        has ended and all that came before was received, ConcurrencyError while another
        thread is receiving.
        """
        verbs = self._open_verbs
        if timeout is not None:
            check_timeout(timeout)
        ends_at = None if timeout is None else monotonic() + timeout
        me: object = [True]  # another object for each call
        try:
            while not self._take_or_read(verbs, me, timeout is None):
                left = None if ends_at is None else max(0.0, ends_at - monotonic())
                self._drive(verbs.wait_for_message(), left)
            payload: Data = self._taken[1]  # type: ignore[index]
            if decode is not None:
                payload = as_wanted(payload, decode)
            # Nothing is called from here on: what is not the caller's is still ours.
            verbs.receiving, self._taken = False, None
            return payload
        except BaseException as exc:
            if verbs.receiving is me:
                if isinstance(exc, UnicodeDecodeError):
                    self._taken = None  # no text, but received, all the same
                verbs.receiving = False
            raise

    def _take_or_read(self, verbs: Verbs, me: object, reads: bool) -> bool:
        """Take a message for the recv() of ``me``; return whether there was one.

        Where ``reads``, waits for one read of the socket if there is none. What was
        taken is in ``_taken``, and ``receiving`` is ``me`` until it is returned.
        """
        wire = self.wire
        try:
            with self._lock:
                # Most often the next read brings the message: spare the plan.
                if reads and self._taken is None and verbs.begin_to_wait(me):
                    if self._live.flags:
                        self._react()  # which may bring a message
                    elif self._goes_on and self._reader is None:
                        self._go_on()
                    elif self._may_read():
                        if wire.came or wire.plain:
                            self._take_in()  # see _takes_rest()
                        else:
                            self.reads += 1
                            self._reader = me
                if self._reader is not me:
                    self._take(verbs, me)
            if self._reader is me:
                came = self._receive(None, me)
                with self._lock:
                    others_wait = self._places or wire.closed
                    if came is True and self.recent and not others_wait:
                        self._take_in()
                    else:
                        self._end_reading(came)
                    self._take(verbs, me)
            if self._lines:
                self._log_rest()
            return verbs.receiving is me
        except BaseException:
            if verbs.receiving is me:
                verbs.receiving = False
                self._live.stop_waiting()
            if self._reader is me:
                self._reader = None
            self._give_up()
            raise

    def _take(self, verbs: Verbs, me: object) -> None:
        """Take a message from the session, if there is one, for the recv() of ``me``.

        Then nobody else may receive until it is returned: ``receiving`` is ``me``.
        """
        session = self._live
        if verbs.receiving is me:
            session.stop_waiting()
        elif verbs.receiving:
            return
        if self._taken is None and session.has_message:
            one = map(call, self._one_message)
            try:
                # In C: no interrupt comes in between, nor before it.
                (self._taken,) = one
            except BaseException as exc:
                verbs.taking_failed(exc)
                raise
        verbs.receiving = False if self._taken is None else me
        if session.flags:
            self._react()

    def recv_streaming(self, decode: bool | None = None) -> Iterator[Data]:
        """Yield the next message in pieces, as its fragments arrive.

        ``decode`` is as for ``recv()``. The message has to be read to its end before
        the next can be received. Interrupted before its first piece, it loses nothing;
        after that nothing more can be received, and the connection can be closed.
        Raises what ``recv()`` raises.
        """
        verbs = self._open_verbs
        message = verbs.stream(decode)
        if self._taken is not None:
            # A recv() was interrupted with it: it is whole.
            yield self.recv(decode=decode)
            return
        try:
            while not message.done:
                self._drive(message.next_piece())
                payload = message.payload()
                # Nothing is called from here on: what is not the caller's is ours.
                message.given, verbs.receiving = message.taken, message.goes_on
                yield payload
        finally:
            with self._lock:
                message.stop()

    def __iter__(self) -> Iterator[Data]:
        """Iterate over messages; ends when the connection is closed properly.

        Any other end raises ConnectionClosedError.
        """
        try:
            while True:
                yield self.recv()
        except ConnectionClosedOK:
            return

    # --- sending -----------------------------------------------------------------

    def send(
        self,
        message: Message | Fragments,
        text: bool | None = None,
        *,
        compress: bool = True,
    ) -> None:
        """Send a message: str as Text, bytes-like as Binary.

        ``text`` overrides that. An iterable is sent as one fragment for each item, all
        of one type. ``compress=False`` sends this message uncompressed though
        permessage-deflate was agreed on. Waits while the peer is slow. Raises
        ConnectionClosed when the connection has ended, TypeError for other types.
        """
        verbs = self._open_verbs
        if not isinstance(message, (str, *BytesLike)):
            fragments = fragments_of(message, blocking=True)
            if not isinstance(fragments[0], Iterator):
                opcode_for(message, text)  # raises TypeError
            self._ask_about_list(message)
            self._drive(verbs.send_fragments(fragments, text, compress))
            return
        session = self._live
        opcode = opcode_for(message, text)
        try:
            with self._lock:
                at_once = (
                    session.writable and not session.fragmenting and session.can_send
                )
                if at_once:
                    session.send(opcode, message, True, compress)
                    if session.flags == OUTPUT and session.outbox is None:
                        self._write(session)
                        session.flags ^= OUTPUT
                    if session.flags:
                        self._react()
        except BaseException:
            self._give_up()
            raise
        if self._lines:
            self._log_rest()
        if at_once and session.writable:
            return
        self._drive(
            verbs.wait_for_room() if at_once else verbs.send(message, text, compress)
        )

    # --- pings -------------------------------------------------------------------

    def ping(self, data: str | bytes | None = None) -> Pong:
        """Send a ping; return an event that is set when its pong has come.

        ``data`` is at most 125 bytes, four random ones if None. Raises ConcurrencyError
        while a ping with the same data waits for its pong, ConnectionClosed when the
        connection has ended.
        """
        return self._ping(data, Pong())

    def _ping(self, data: str | bytes | None, pong: P) -> P:
        payload = None if data is None else control_payload(data)
        self._drive(self._open_verbs.ping(payload, pong))
        self._read_at_once()
        return pong

    def pong(self, data: str | bytes = b"") -> None:
        """Send a pong nobody asked for: a heartbeat in one direction.

        ``data`` is at most 125 bytes. Raises ConnectionClosed when the connection has
        ended.
        """
        self._drive(self._open_verbs.pong(control_payload(data)))

    # --- closing -----------------------------------------------------------------

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection and wait until TCP has ended.

        Does the closing handshake, never longer than twice ``close_timeout``, also
        while messages wait unread. Calling it again only waits. Raises ProtocolError
        for a code or reason that may not be sent.
        """
        self._drive(self._open_verbs.close(code, reason))

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until TCP has ended, for whatever reason.

        Returns False if that takes longer than ``timeout`` seconds.
        """
        check_timeout(timeout)
        try:
            self._drive(self._open_verbs.wait_closed(), timeout)
        except TimeoutError:
            return False
        return True

    def __enter__(self) -> Self:
        """Return the connection; leaving the block closes it.

        With 1000; with 1001 when the program is interrupted; with 1011 when another
        exception leaves it.
        """
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from_outside = isinstance(exc, GeneratorExit)
        outcome = outcome_of(exc, self._live, from_outside=from_outside)
        self._leave_block(outcome, exc)

    def _leave_block(self, outcome: Outcome, exc: BaseException | None) -> None:
        """Close for how the block ended that used the connection, and wait."""
        self._drive(self._verbs.leave(outcome, exc))

    @property
    def socket(self) -> Any:
        """The socket below, for what only it knows."""
        return self.wire.sock
