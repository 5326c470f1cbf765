"""Connection for threads: what handlers call and wait for.

Receiving, sending, pings, closing: plans of ``verbs.py``, driven in the calling thread.
How bytes come to the session and leave it is in ``link.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
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
from ..session.leaving import Outcome, outcome_of
from ..session.session import OUTPUT
from ..verbs import fragments_of
from .link import Link

__all__ = ["Connection", "Pong"]


class Pong(threading.Event):
    """What ``ping()`` returns: an event that is set when the pong has come.

    ``latency`` is then the seconds it took. Where the connection ends before, the event
    is set too, ``latency`` stays None, and ``wait()`` raises ConnectionClosed.
    """

    latency: float | None = None
    error: BaseException | None = None

    def resolve(self, latency: float) -> None:
        """Tell who waits that the pong has come."""
        self.latency = latency
        self.set()

    def fail(self, error: BaseException) -> None:
        """Tell who waits that no pong will come."""
        self.error = error
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the pong; return whether it came within ``timeout`` seconds."""
        done = super().wait(timeout)
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
        session = self._live
        with self._lock:
            # Most often the next read brings the message: spare the plan.
            if timeout is None and verbs.begin_to_wait():
                try:
                    if session.flags:
                        self._react()
                    if self._may_read():
                        self._read(None)
                finally:
                    verbs.stop_waiting()
            ready = session.has_message and not verbs.receiving
            if ready:
                payload = session.take()[1]
            if session.flags:
                self._react()
        if not ready:
            payload = self._drive(verbs.recv(), timeout)
        return payload if decode is None else as_wanted(payload, decode)

    def recv_streaming(self, decode: bool | None = None) -> Iterator[Data]:
        """Yield the next message in pieces, as its fragments arrive.

        ``decode`` is as for ``recv()``. The message has to be read to its end before
        the next can be received. Raises what ``recv()`` raises.
        """
        with self._lock:
            message = self._open_verbs.stream(decode)
        try:
            while not message.done:
                yield self._drive(message.next_piece())
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
        with self._lock:
            at_once = session.writable and not session.fragmenting and session.is_open
            if at_once:
                session.send(opcode, message, True, compress)
                if session.flags == OUTPUT:
                    session.flags = 0
                    self._write(session)
                if session.flags:
                    self._react()
                if session.writable:
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
        with self._lock:
            outcome = outcome_of(exc, self._live, from_outside=from_outside)
        self._leave_block(outcome, exc)

    def _leave_block(self, outcome: Outcome, exc: BaseException | None) -> None:
        """Close for how the block ended that used the connection, and wait."""
        self._drive(self._verbs.leave(outcome, exc))

    @property
    def socket(self) -> Any:
        """The socket below, for what only it knows."""
        return self.wire.sock
