"""The sans-I/O protocol of the documents: bytes in, frames out; frames in, bytes out.

One side of a connection whose owner does the reading, writing and waiting. Frames are
read and written by ``longwire.core``, whose rules, limits and states these are; here
they become the documented events, lists of bytes and exceptions. The opening handshakes
are in ``client`` and ``server``.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from ..core import states
from ..core.assembler import Assembler
from ..core.frames import FrameReader, serialize_close
from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    LimitExceeded,
    PeerError,
    ProtocolError,
)
from ..http.heads import Request, Response
from ..messages import Side, State
from .aliases import give_aliases
from .extensions.base import Extension
from .frames import (
    BINARY,
    CLOSE,
    CONT,
    OK_CLOSE_CODES,
    PING,
    PONG,
    TEXT,
    Close,
    CloseCode,
    Frame,
)
from .overriding import refuse
from .typing import BytesLike, LoggerLike, Origin, Subprotocol

if TYPE_CHECKING:  # given by give_aliases below
    from .legacy.protocol import WebSocketCommonProtocol as WebSocketCommonProtocol

__all__ = ["SEND_EOF", "Protocol", "Side", "State"]

SEND_EOF = b""
"""In ``data_to_send()``: half-close the TCP connection."""

Event = Request | Response | Frame
"""What ``events_received()`` gives."""

CONNECTING, OPEN, CLOSING, CLOSED = State
SERVER, CLIENT = Side

MaxSize = int | tuple[int | None, int | None] | None

_PHASES = {
    State.OPEN: states.OPEN,
    State.CLOSING: states.CLOSING,
    State.CLOSED: states.CLOSED,
}
# A close reason of 123 bytes fills its frame.
_MOST_OF_REASON = 123


class Protocol:
    """One side of a WebSocket connection, without I/O.

    After each call of a ``receive_…``, ``send_…`` or ``fail`` method, write what
    ``data_to_send()`` returns, then process what ``events_received()`` returns.

    ``max_size`` limits incoming messages, or is a pair of limits of messages and of
    fragments, in bytes; None is no limit. Events are frames as they came, decompressed
    and within the limit: whether text is UTF-8 is for whoever decodes it to see.
    """

    id: uuid.UUID
    """Unique identifier of the connection, for logs."""
    logger: LoggerLike
    """Logger of this connection."""
    handshake_exc: Exception | None
    """Why the opening handshake failed; None if it has not."""
    parser_exc: Exception | None
    """What was wrong with the data received; None if nothing was."""

    def __init__(
        self,
        side: Side,
        *,
        state: State = OPEN,
        max_size: MaxSize = 2**20,
        logger: LoggerLike | None = None,
    ) -> None:
        self.id = uuid.uuid4()
        self.logger = logger or _default_logger(side)
        self.side = side
        self.handshake_exc = None
        self.parser_exc = None
        self.origin: Origin | None = None
        self.extensions: list[Extension] = []
        self.subprotocol: Subprotocol | None = None
        self.close_rcvd: Close | None = None
        self.close_sent: Close | None = None
        self.close_rcvd_then_sent: bool | None = None
        self.eof_sent = False
        self.debug = self.logger.isEnabledFor(logging.DEBUG)
        sizes = max_size if isinstance(max_size, tuple) else (max_size, None)
        self.max_message_size, self.max_fragment_size = sizes
        self._client = side is Side.CLIENT
        self._state = state
        self._phase = _PHASES.get(state, states.OPEN)
        self._events: list[Event] = []
        self._writes: list[bytes] = []
        self._reader: FrameReader | None = None
        most, most_in_frame = (-1 if size is None else size for size in sizes)
        self._order = Assembler(most, most_in_frame)
        self._begun = False
        self._payload = bytearray()
        self._fragmenting = False
        self._eof_received = False
        self._deaf = False
        if self.debug:
            self.logger.debug("= connection is %s", state.name)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse(cls, ("parse", "discard"), "override recv_frame()")

    # --- what is known of the connection ---

    @property
    def state(self) -> State:
        """Where the connection is in its life (RFC 6455 sections 4 and 7)."""
        return self._state

    @property
    def close_code(self) -> int | None:
        """The close code received; 1006 if none was, None before the end."""
        if self._state is not CLOSED:
            return None
        return 1006 if self.close_rcvd is None else self.close_rcvd.code

    @property
    def close_reason(self) -> str | None:
        """The close reason received; empty if none was, None before the end."""
        if self._state is not CLOSED:
            return None
        return "" if self.close_rcvd is None else self.close_rcvd.reason

    @property
    def close_exc(self) -> ConnectionClosed:
        """The exception to raise for whoever uses the closed connection.

        Its cause is what was wrong with the data. Raises AssertionError before the
        state is CLOSED: code and reason are not known yet.
        """
        if self._state is not CLOSED:
            raise AssertionError("connection isn't closed yet")
        closes = (self.close_rcvd, self.close_sent)
        proper = all(close and close.code in OK_CLOSE_CODES for close in closes)
        exc_type = ConnectionClosedOK if proper else ConnectionClosedError
        exc = exc_type(*closes, self.close_rcvd_then_sent)
        exc.__cause__ = self.parser_exc
        return exc

    # --- receiving ---

    def receive_data(self, data: BytesLike) -> None:
        """Take data from the network; raise EOFError after ``receive_eof()``."""
        if self._eof_received:
            raise EOFError("stream ended")
        if self._deaf:
            return  # until the peer has noticed how the connection ends
        if self._state is CONNECTING:
            self._receive_head(bytes(data))
        else:
            self._receive_frames(bytes(data))

    def receive_eof(self) -> None:
        """Take the end of the data from the network; it comes once."""
        if self._eof_received:
            return
        self._eof_received = True
        if self._state is CONNECTING:
            if not self._deaf:
                self._receive_eof_in_head()
        elif not self._deaf and self._state is not CLOSED:
            if self.debug:
                self.logger.debug("< EOF")
            self.parser_exc = EOFError("unexpected end of stream")
        self._deaf = True
        self._end_sending()
        if self._state is not CLOSED:
            self._phase = states.after(self._phase, states.LOST)
            self._set_state(CLOSED)

    def events_received(self) -> list[Event]:
        """Return the requests, responses and frames received since the last call."""
        events, self._events = self._events, []
        return events

    def _receive_head(self, data: bytes) -> None:
        """Take data of the opening handshake, or what comes before it is over."""
        self._frame_reader().feed(data)

    def _receive_eof_in_head(self) -> None:
        """Take the end of the data before the opening handshake is over."""

    def _open(self, rest: bytes) -> None:
        """Begin with frames; ``rest`` is what came of them with the handshake."""
        self._phase = states.OPEN
        self._set_state(OPEN)
        self._receive_frames(rest)

    def _frame_reader(self) -> FrameReader:
        # Made late: extensions, which may use reserved bits, are agreed on first.
        if self._reader is None:
            allowed = 7 if self.extensions else 0
            self._reader = FrameReader(self._client, allowed, allowed)
        return self._reader

    def _receive_frames(self, data: bytes) -> None:
        reader = self._frame_reader()
        reader.feed(data)
        try:
            while not self._deaf and (frame := self._next_frame(reader)):
                if self.debug:
                    self.logger.debug("< %s", frame)
                self.recv_frame(frame)
        except (PeerError, LimitExceeded) as exc:
            self._fail_for(exc, exc.code)
        except Exception as exc:
            self.logger.error("parser failed", exc_info=True)
            self._fail_for(exc, CloseCode.INTERNAL_ERROR)

    def _next_frame(self, reader: FrameReader) -> Frame | None:
        """Return the next whole frame, decoded; None if more data is needed."""
        if not self._begun:
            if not reader.read_header():
                return None
            if reader.opcode >= CLOSE:
                frame = Frame.take(reader, reader.take())
                return frame.decode(self.extensions) if self.extensions else frame
            self._check_header(reader)
            self._begun = True
        whole = reader.is_whole()
        payload = reader.take()
        if self._payload or not whole:
            self._payload += payload
            if not whole:
                return None
            payload = bytes(self._payload)
            self._payload = bytearray()
        self._begun = False
        frame = Frame.take(reader, payload)
        if self.extensions:
            frame = frame.decode(self.extensions, self._order.budget())
            self._order.check_size(len(frame.data))
        self._order.finish_with(bytes(frame.data), frame.fin)
        return frame

    def _check_header(self, reader: FrameReader) -> None:
        """Raise ProtocolError for a frame out of turn, PayloadTooBig for its size."""
        size = reader.size
        if self.extensions:
            # Data that cannot be compressed grows a little, at worst by 5 bytes for
            # each 127; what it inflates to is checked exactly, below.
            size = max(size - size // 16 - 64, 0)
        # As binary also if it is text: turns and sizes are all we ask for.
        self._order.begin(BINARY if reader.opcode else CONT, False, size)

    def recv_frame(self, frame: Frame) -> None:
        """Do what a frame that came asks for; it becomes one of the events."""
        if frame.opcode is CLOSE:
            self._receive_close(frame)
        self._events.append(frame)
        # Section 5.5.2; not after a close frame came.
        if frame.opcode is PING and not self.eof_sent:
            self.send_frame(Frame(PONG, frame.data))

    def _receive_close(self, frame: Frame) -> None:
        close = Close.parse(frame.data)
        self.close_rcvd = close
        self._phase = states.after(self._phase, states.GOT_CLOSE)
        if self.close_sent is None:
            self.close_rcvd_then_sent = True
            self._send_close(close, bytes(frame.data))
        else:
            self.close_rcvd_then_sent = False
        self._deaf = True
        # Section 7.1.1: the server closes TCP first.
        if not self._client:
            self._end_sending()

    def _fail_for(self, exc: Exception, code: int) -> None:
        self.parser_exc = exc
        self.fail(code, _cut(str(exc)))

    # --- sending ---

    def data_to_send(self) -> list[bytes]:
        """Return what to write to the network, in order; forget it.

        ``SEND_EOF``, which is empty, means: half-close the TCP connection.
        """
        writes, self._writes = self._writes, []
        return writes

    def close_expected(self) -> bool:
        """Return whether the peer will close the TCP connection soon.

        If so, close it yourself unless that happens within some seconds.
        """
        if self._state is CLOSED:
            return False
        return self._state is CLOSING or self.eof_sent

    def send_continuation(self, data: BytesLike, fin: bool) -> None:
        """Send a Continuation frame.

        Raises ProtocolError unless a fragmented message is under way.
        """
        if not self._fragmenting:
            raise ProtocolError("there is no message to continue")
        self._send_data(CONT, data, fin)

    def send_text(self, data: BytesLike, fin: bool = True) -> None:
        """Send a Text frame of UTF-8; with ``fin`` False it goes on.

        Raises ProtocolError while a fragmented message is under way.
        """
        self._check_no_message()
        self._send_data(TEXT, data, fin)

    def send_binary(self, data: BytesLike, fin: bool = True) -> None:
        """Send a Binary frame; with ``fin`` False it goes on.

        Raises ProtocolError while a fragmented message is under way.
        """
        self._check_no_message()
        self._send_data(BINARY, data, fin)

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        """Send a Close frame.

        Raises ProtocolError for a code that may not be sent, for a reason without a
        code and for one too long.
        """
        if self._state is not OPEN:
            raise self._not_now()
        payload = serialize_close(None if code is None else int(code), reason)
        self._send_close(Close(1005 if code is None else code, reason), payload)

    def send_ping(self, data: BytesLike) -> None:
        """Send a Ping frame of at most 125 bytes."""
        self._send_ping_or_pong(PING, data)

    def send_pong(self, data: BytesLike) -> None:
        """Send a Pong frame of at most 125 bytes."""
        self._send_ping_or_pong(PONG, data)

    def fail(self, code: int, reason: str = "") -> None:
        """Fail the connection: say why if that can be said, and listen no more.

        Raises ProtocolError for a code that may not be sent.
        """
        if self._state is CLOSED:
            return
        if self._state is OPEN:
            self._send_close(Close(code, reason), serialize_close(int(code), reason))
        self._deaf = True
        if self._reader is not None:
            self._reader.clear()
        # Section 7.1.7: a client should wait for the server to close TCP.
        if not self._client or self._state is CONNECTING:
            self._end_sending()

    def _check_no_message(self) -> None:
        if self._fragmenting:
            raise ProtocolError("the message being sent is not finished")

    def _send_data(self, opcode: Any, data: BytesLike, fin: bool) -> None:
        if self._state is not OPEN:
            raise self._not_now()
        self.send_frame(Frame(opcode, _to_bytes(data), fin))
        self._fragmenting = not fin

    def _send_ping_or_pong(self, opcode: Any, data: BytesLike) -> None:
        if self._state not in (OPEN, CLOSING):
            raise self._not_now()
        self.send_frame(Frame(opcode, _to_bytes(data)))

    def _send_close(self, close: Close, payload: bytes) -> None:
        self._phase = states.after(self._phase, states.SENT_CLOSE)
        self.close_sent = close
        self.send_frame(Frame(CLOSE, payload))
        self._set_state(CLOSING)

    def send_frame(self, frame: Frame) -> None:
        """Send a frame as it is; ``send_text()`` and the others call it."""
        if self.debug:
            self.logger.debug("> %s", frame)
        data = frame.serialize(mask=self._client, extensions=self.extensions)
        self._writes.append(data)

    def send_eof(self) -> None:
        """Half-close the TCP connection; called once, at the end."""
        assert not self.eof_sent, "the end of the stream was sent"
        self.eof_sent = True
        self._writes.append(SEND_EOF)
        if self.debug:
            self.logger.debug("> EOF")

    def _end_sending(self) -> None:
        if not self.eof_sent:
            self.send_eof()

    def _set_state(self, state: State) -> None:
        self._state = state
        if self.debug:
            self.logger.debug("= connection is %s", state.name)
        if not self._client and state in (OPEN, CLOSED):
            word = "open" if state is OPEN else "closed"
            self.logger.info("connection %s", word)

    def _not_now(self) -> InvalidState:
        return InvalidState(f"connection is {self._state.name.lower()}")


def _default_logger(side: Side) -> logging.Logger:
    return logging.getLogger(f"websockets.{side.name.lower()}")


def _to_bytes(data: BytesLike) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"data must be bytes-like, not {type(data).__name__}")


def _cut(reason: str) -> str:
    """Return as much of ``reason`` as a close frame can hold."""
    return reason.encode()[:_MOST_OF_REASON].decode(errors="ignore")


give_aliases(globals(), WebSocketCommonProtocol="legacy.protocol")
