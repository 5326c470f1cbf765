"""An open connection: bytes in, events out; commands in, bytes out.

Joins frames, messages, compression and the states of closing for one side of a
connection. Decides what RFC 6455 decides; queues, waits and clocks are the session's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import InvalidState, ProtocolError, UsageError
from ..messages import Deflate, Frame, Opcode
from . import states
from .assembler import Assembler
from .deflate import Codec, Deflating
from .frames import FrameReader, parse_close, serialize_close
from .masking import build_frame, build_header

Payload = str | bytes | bytearray | memoryview
Event = tuple[int, Any, bool]

_CONT = int(Opcode.CONT)
_TEXT = int(Opcode.TEXT)
_BINARY = int(Opcode.BINARY)
_CLOSE = int(Opcode.CLOSE)
_PING = int(Opcode.PING)
_PONG = int(Opcode.PONG)

_FIN = 0x80
_RSV1 = 0x40
# Payloads from here on are not copied behind their header but queued after it.
_LARGE = 16384
# Random bytes are asked for in advance: 128 keys in one call.
_POOL = 512


class Protocol:
    """One side of an open connection.

    ``receive()`` adds input, ``next_event()`` gives what it means, one event at a
    time; ``send_...()`` add output, ``take_output()`` gives it. Limits are in bytes;
    -1 is no limit. ``random_bytes`` must be unpredictable (section 5.3).
    """

    def __init__(
        self,
        client: bool,
        *,
        max_message: int = -1,
        max_fragment: int = -1,
        max_fragments: int = -1,
        codec: Codec | None = None,
        extensions: Sequence[Any] = (),
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """``client``: the side we are; ``extensions``: what follows the codec."""
        self.client = client
        self.codec = codec
        self.extensions = tuple(
            Deflating(Codec(each, client)) if type(each) is Deflate else each
            for each in extensions
        )
        self.state = states.public(states.OPEN)
        self.mid_message = False
        self.output_size = 0
        self.output_large = False  # some of it was better not joined to the rest
        self.close_sent: tuple[int, str] | None = None
        self.close_received: tuple[int, str] | None = None
        self.close_received_first = False
        self._ends_cleanly = False  # nothing came behind the peer's close frame
        self.bytes_received = 0
        self.bytes_sent = 0
        self.messages_received = 0
        self.messages_sent = 0
        self._reader = FrameReader(
            client, _allowed_rsv(codec, self.extensions), 7 if extensions else 0
        )
        self._assembler = Assembler(max_message, max_fragment, max_fragments, codec)
        self._begun = False
        # The payload of an incomplete frame that extensions have to see whole.
        self._wire = bytearray()
        self._input_ended = False
        self._skipping = False
        self._phase = states.OPEN
        self._can_send = True
        self._can_pong = True
        self._sending = 0
        self._sending_compressed = False
        self._output: list[bytes] = []
        self._random_bytes = random_bytes
        self._keys = b""
        self._keys_at = 0

    # --- receiving ---

    def receive(self, data: bytes) -> None:
        """Add input; nothing is read of it before ``next_event()``."""
        self.bytes_received += len(data)
        if not self._input_ended:
            self._reader.feed(data)
        else:
            self._ends_cleanly = False

    @property
    def buffered(self) -> int:
        """Bytes of input that are held and were not delivered."""
        return self._reader.unread() + self._assembler.waiting() + len(self._wire)

    @property
    def is_inflating(self) -> bool:
        """Whether input waits for the codec's next ``allowance``."""
        return self.codec is not None and self.codec.pending

    @property
    def closing_is_done(self) -> bool:
        """Whether both have sent a close frame, and the peer nothing behind its own."""
        return self._ends_cleanly and self.close_sent is not None

    def partial(self) -> int:
        """Return the bytes of memory that the frame under way takes."""
        return self._assembler.memory() + len(self._wire)

    def memory(self) -> int:
        """Return the bytes of memory that input takes, and the output."""
        return self._reader.memory() + self.partial() + self.output_size

    def next_event(self) -> Event | None:
        """Return what came next; None if more input is needed, or none is wanted.

        (TEXT, str, fin) and (BINARY, bytes, fin): a piece of a message, its kind that
        of the message. (PING, bytes, True), (PONG, bytes, True), and
        (CLOSE, (code, reason), True), after which there is nothing more. Raises
        ProtocolError or LimitExceeded once, with the close code to send; after that
        there is nothing more either. ``is_inflating`` tells of another None.
        """
        if self._input_ended:
            return None
        try:
            if self._skipping:
                return self._skip_event()
            return self._read_event()
        except BaseException:
            self._end_input()
            raise

    def skip_messages(self) -> None:
        """Read no payload of a message any more: their pieces come out empty.

        For who waits for a close frame behind messages that nobody wants: it costs
        nothing to pass over them, whatever they would inflate to.
        """
        self._skipping = True
        self._assembler.clear()
        self._wire = bytearray()

    def end_input(self) -> int:
        """Read nothing more; return how many whole messages were there unread."""
        unread = 0
        self._skipping = True
        try:
            while not self._input_ended:
                event = self._skip_event()
                if event is None:
                    break
                if event[0] == _BINARY and event[2]:
                    unread += 1
        except ProtocolError:
            pass  # what lies behind a fault is no message
        self._end_input()
        return unread

    def _read_event(self) -> Event | None:
        reader = self._reader
        assembler = self._assembler
        if not self._begun:
            if not reader.read_header():
                return None
            if reader.opcode >= 8:
                return self._read_control()
            compressed = reader.rsv >= 4 and self.codec is not None
            assembler.begin(reader.opcode, compressed, reader.size)
            self._begun = True
        event: Event | None
        codec = self.codec
        if codec is not None and codec.pending:
            event = assembler.go_on(reader.fin)
            if event is not None:
                return self._end_frame(event)
            if codec.pending:
                return None
        if self.extensions:
            return self._read_extended()
        if not reader.is_whole():
            assembler.add(reader)
            return None
        if assembler.is_plain_text(reader.fin):
            event = (_TEXT, assembler.whole_text(reader), True)
        else:
            event = assembler.finish(reader)
            if event is None:
                return None
        return self._end_frame(event)

    def _end_frame(self, event: Event) -> Event:
        self._begun = False
        self._count_piece(event[2])
        return event

    def _skip_event(self) -> Event | None:
        """Pass over a frame, unless it is a control frame."""
        reader = self._reader
        if not self._begun:
            if not reader.read_header():
                return None
            if reader.opcode >= 8:
                return self._read_control()
            self._begun = True
        if not reader.skip():
            return None
        return self._end_frame((_BINARY, b"", reader.fin))

    def _count_piece(self, fin: bool) -> None:
        self.mid_message = not fin
        if fin:
            self.messages_received += 1

    def _read_extended(self) -> Event | None:
        """Pass a whole data frame through the extensions, the last one first."""
        reader = self._reader
        assembler = self._assembler
        whole = reader.is_whole()
        self._wire += reader.take()
        if not whole:
            return None
        payload = self._decode(bytes(self._wire))
        self._wire = bytearray()
        if not assembler.compressed:
            assembler.check_size(len(payload))
        event = assembler.finish_with(payload, reader.fin)
        return None if event is None else self._end_frame(event)

    def _decode(self, payload: bytes) -> bytes:
        """Return what the extensions make of the frame with this payload."""
        rsv = self._reader.rsv
        frame = Frame(
            Opcode(self._reader.opcode), payload, self._reader.fin,
            bool(rsv & 4), bool(rsv & 2), bool(rsv & 1),
        )  # fmt: skip
        for extension in reversed(self.extensions):
            frame = extension.decode(frame, max_size=self._assembler.budget())
        compressible = self.codec is not None and self._reader.opcode < 8
        if frame.rsv2 or frame.rsv3 or (frame.rsv1 and not compressible):
            raise ProtocolError("reserved bits are set that no extension knows")
        return bytes(frame.data)

    def _read_control(self) -> Event:
        payload = self._reader.take()
        if self.extensions:
            payload = self._decode(payload)
        if self._reader.opcode != _CLOSE:
            return (self._reader.opcode, payload, True)
        close = parse_close(payload)
        self.close_received = close
        self.close_received_first = self.close_sent is None
        self._ends_cleanly = self._reader.unread() == 0
        self._move(states.GOT_CLOSE)
        self._end_input()
        return (_CLOSE, close, True)

    def _end_input(self) -> None:
        self._input_ended = True
        self._reader.clear()
        self._assembler.clear()
        self._wire = bytearray()

    # --- sending ---

    def send_message(
        self, opcode: int, payload: Payload, fin: bool = True, compress: bool = True
    ) -> None:
        """Send a message, or with ``fin`` False the first fragment of one.

        CONT goes on with the message; ``compress`` is chosen by its first fragment.
        Raises InvalidState if it is not the turn of such a frame.
        """
        self._check_turn(opcode)
        if type(payload) is not bytes and (
            type(payload) is not str or self.codec is not None
        ):
            payload = _to_bytes(payload)
        if opcode != _CONT:
            self._sending_compressed = compress and self._is_worth_it(payload, fin)
        first = opcode | _FIN if fin else opcode
        if self._sending_compressed:
            self._put_compressed(first, payload, fin)
        elif self.extensions:
            self._put_extended(first, payload)
        else:
            self._put_frame(first, payload)
        if not fin:
            self._sending = opcode or self._sending
        else:
            self._sending = 0
            self.messages_sent += 1

    def _check_turn(self, opcode: int) -> None:
        if not self._can_send:
            raise InvalidState("a message cannot follow our close frame")
        if opcode == _CONT:
            if not self._sending:
                raise InvalidState("there is no message to continue")
        elif self._sending:
            raise InvalidState("the message being sent is not finished")
        elif opcode != _TEXT and opcode != _BINARY:
            raise UsageError(f"opcode {opcode} is not that of a message")

    def send_encoded(self, data: bytes, messages: int = 1) -> None:
        """Send whole messages that were encoded elsewhere, for this side."""
        self._check_turn(_BINARY)
        self._put(data)
        self.messages_sent += messages

    def send_ping(self, payload: bytes) -> None:
        """Send a ping of at most 125 bytes."""
        if not self._can_send:
            raise InvalidState("a ping cannot follow our close frame")
        self._put_control(_PING, payload)

    def send_pong(self, payload: bytes) -> None:
        """Send a pong of at most 125 bytes; also while our close frame waits."""
        if not self._can_pong:
            raise InvalidState(
                f"a pong cannot be sent while {states.name(self._phase)}"
            )
        self._put_control(_PONG, payload)

    def send_close(self, code: int | None, reason: str = "") -> None:
        """Send a close frame, once; a code of None makes it empty."""
        payload = serialize_close(code, reason)
        close = (1005, "") if code is None else (code, reason)
        states.after(self._phase, states.SENT_CLOSE)
        self._put_control(_CLOSE, payload)
        self._move(states.SENT_CLOSE)
        self.close_sent = close

    def lost(self) -> None:
        """Note the end of TCP: nothing more comes, nothing more can be sent."""
        if self._phase != states.CLOSED:
            self._move(states.LOST)
        self._end_input()
        self._output.clear()
        self.output_size = 0
        self.output_large = False

    def take_output(self) -> bytes:
        """Return everything to write, in order, and forget it."""
        output = self._output
        if len(output) == 1:
            data = output[0]
        else:
            data = b"".join(output)
        self.bytes_sent += len(data)
        output.clear()
        self.output_size = 0
        self.output_large = False
        return data

    def take_pieces(self) -> list[bytes]:
        """Return the same in pieces, of which the large ones were not copied."""
        pieces = self._output
        self._output = []
        self.bytes_sent += self.output_size
        self.output_size = 0
        self.output_large = False
        return pieces

    def _move(self, event: int) -> None:
        self._phase = states.after(self._phase, event)
        self._can_send = states.may_send_data(self._phase)
        self._can_pong = states.may_send_pong(self._phase)
        self.state = states.public(self._phase)

    def _put_control(self, opcode: int, payload: bytes) -> None:
        data: bytes = _to_bytes(payload)
        if len(data) > 125:
            raise UsageError(f"control frame of {len(data)} bytes; 125 are allowed")
        if self.extensions:
            self._put_extended(opcode | _FIN, data)
        else:
            self._put_frame(opcode | _FIN, data)

    def _put_frame(self, first: int, payload: str | bytes) -> None:
        if self.client:
            at = self._next_key()
            self._put(build_frame(first, payload, self._keys, at))
        elif isinstance(payload, str) or len(payload) < _LARGE:
            self._put(build_frame(first, payload, b"", -1))
        else:
            # Both or none: half a frame would make nonsense of all that follows.
            self._output += (build_header(first, len(payload), b"", -1), payload)
            self.output_size += len(self._output[-2]) + len(payload)
            self.output_large = True

    def _is_worth_it(self, payload: str | bytes, fin: bool) -> bool:
        if self.codec is None:
            return False
        # How long a message in fragments will be is not known.
        return not fin or self.codec.should_compress(len(payload))

    def _put_compressed(self, first: int, payload: Any, fin: bool) -> None:
        codec = self.codec
        assert codec is not None
        payload = codec.compress(payload, fin)
        if first & 0x0F:
            first |= _RSV1
        try:
            if self.extensions:
                self._put_extended(first, payload)
            else:
                self._put_frame(first, payload)
        except BaseException:
            codec.forget()  # the peer does not get what the next would refer to
            raise

    def _put_extended(self, first: int, payload: str | bytes) -> None:
        """Pass a frame through the extensions in order, then send it."""
        fin = first >= _FIN
        if isinstance(payload, str):
            payload = payload.encode()
        frame = Frame(Opcode(first & 0x0F), payload, fin, bool(first & _RSV1))
        for extension in self.extensions:
            frame = extension.encode(frame)
        rsv = frame.rsv1 << 6 | frame.rsv2 << 5 | frame.rsv3 << 4
        self._put_frame(first & (_FIN | 0x0F) | rsv, bytes(frame.data))

    def _put(self, data: bytes) -> None:
        self._output.append(data)
        self.output_size += len(data)
        if len(data) >= _LARGE:
            self.output_large = True

    def _next_key(self) -> int:
        """Return where in ``_keys`` a masking key is that was never used."""
        at = self._keys_at
        if at == len(self._keys):
            self._keys = self._random_bytes(_POOL)
            at = 0
        self._keys_at = at + 4
        return at


def _to_bytes(payload: object) -> bytes:
    if isinstance(payload, str):
        return payload.encode()
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    kind = type(payload).__name__
    raise TypeError(f"a payload must be str or bytes-like, not {kind}")


def _allowed_rsv(codec: Codec | None, extensions: tuple[Any, ...]) -> int:
    if extensions:
        return 7
    return 0 if codec is None else 4
