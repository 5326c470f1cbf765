"""Values shared by all layers: opcodes, close codes, frames, states, close reports.

Plain values without behaviour of their own: no parsing, no policy, no I/O. The
numbers are those of RFC 6455 sections 5.2 (opcodes) and 7.4 (close codes).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from .escaping import MAX_LINE, excerpt

__all__ = [
    "Cause",
    "Close",
    "CloseCode",
    "CloseReport",
    "Deflate",
    "Frame",
    "Opcode",
    "Side",
    "State",
]


class Opcode(enum.IntEnum):
    """The frame types of RFC 6455 section 5.2."""

    CONT = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(enum.IntEnum):
    """The registered close codes of RFC 6455 section 7.4.1 and its registry."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


CLOSE_CODE_NAMES: Mapping[int, str] = {
    1000: "OK",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no status received [internal]",
    1006: "abnormal closure [internal]",
    1007: "invalid frame payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake failure [internal]",
}


class Side(enum.IntEnum):
    """Which end of a connection we are. The client masks, the server does not."""

    SERVER = 0
    CLIENT = 1


class State(enum.IntEnum):
    """Where a connection is in its life, as RFC 6455 names it."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


@dataclasses.dataclass
class Close:
    """What a close frame says: a code and, optionally, a reason.

    A close frame without a payload is ``Close(1005, "")``: the RFC reserves 1005
    for "no code was present" (section 7.1.5). ``reason`` is as it came; ``str()``
    escapes what is not printable in it, so that it is safe in a log or a terminal.
    """

    code: int
    reason: str = ""

    def __str__(self) -> str:
        if 3000 <= self.code < 4000:
            name = "registered"
        elif 4000 <= self.code < 5000:
            name = "private use"
        else:
            name = CLOSE_CODE_NAMES.get(self.code, "unknown")
        text = f"{int(self.code)} ({name})"
        return f"{text} {excerpt(self.reason)}" if self.reason else text


# How a peer closes that had no pong from us: longwire and websockets.
_NO_PONG_FROM_US = Close(1011, "keepalive ping timeout")


@dataclasses.dataclass
class Frame:
    """One frame as RFC 6455 section 5.2 lays it out, payload unmasked.

    Only extensions and logs meet frames as objects: the core works on plain
    values, which cost a fraction of it.
    """

    opcode: Opcode
    data: bytes | bytearray | memoryview
    fin: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deflate:
    """What two sides agreed on for permessage-deflate, and how we compress.

    The first four are the parameters of RFC 7692 section 7.1, the others our own
    compressor's settings, which the wire does not show.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    level: int = 6
    mem_level: int = 5
    min_size: int = 0
    backend: str = "auto"

    @property
    def name(self) -> str:
        """The extension's registered name."""
        return "permessage-deflate"


class Cause(enum.StrEnum):
    """Why a connection ended, in one word; :class:`CloseReport` has the details."""

    LOCAL = "local"
    """We closed it: ``close()``, the end of the handler, a shutdown."""
    PEER = "peer"
    """The peer closed it with a close frame."""
    PEER_ERROR = "peer error"
    """The peer broke RFC 6455; we closed with 1002, 1003 or 1007."""
    LIMIT = "limit"
    """One of our limits was exceeded: ``limit`` and ``limit_value`` name it."""
    KEEPALIVE = "keepalive timeout"
    """No answer to a ping within ``ping_timeout`` while we were reading."""
    CLOSE_TIMEOUT = "close timeout"
    """The closing handshake, or the end of TCP, did not come in time."""
    WRITE_TIMEOUT = "write timeout"
    """The peer took none of our bytes for the whole of the write timeout."""
    NETWORK = "network"
    """TCP ended without a closing handshake; ``error`` has the exception, if any."""
    HANDLER = "handler error"
    """The handler raised, or an extension did; we closed with 1011."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CloseReport:
    """How and why one connection ended. There is exactly one for each connection.

    The same object is ``connection.close_report``, ``ConnectionClosed.report`` and
    the ``close_report`` attribute of the log record written at the end.
    """

    cause: Cause
    closed_by: Side | None
    """The side whose close frame came first; None if there was no close frame."""
    code: int
    """The code received; 1006 when no close frame was (RFC 6455 section 7.1.5)."""
    reason: str
    rcvd: Close | None = None
    sent: Close | None = None
    detail: str = ""
    """One sentence for people: what was found and what was allowed. ``str()`` of the
    report escapes it, as it does ``reason``."""
    error: BaseException | None = None
    limit: str | None = None
    """Name of the field of :class:`~longwire.Limits` that was exceeded."""
    limit_value: int | float | None = None
    last_byte_age: float = 0.0
    """Seconds between the last byte received and the decision to end."""
    loop_stall: float = 0.0
    """Seconds our own event loop was late at that time; 0.0 if it was not."""
    bytes_received: int = 0
    bytes_sent: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    messages_dropped: int = 0
    """Messages that did not reach their reader: those for many that did not go out, for
    the peer was slow or the connection ended first, and ``received_dropped``."""
    received_dropped: int = 0
    """Of these, messages that were received and dropped, for nobody would read them: we
    closed while the queue was full, or ended the connection ourselves. With any of them
    the end is a :exc:`ConnectionClosedError`, whatever the close frames say."""
    duration: float = 0.0
    """Seconds from the end of the opening handshake to the decision to end."""

    def __str__(self) -> str:
        if self.rcvd is None and self.sent is not None:
            # 1006 is all there is to report then; what we sent says more.
            said, reason = f"sent {self.sent}", self.sent.reason
        else:
            said, reason = str(Close(self.code, self.reason)), ""
        text = f"{self.cause.value}: {said}"
        if self.detail not in ("", reason):
            # It may repeat what the peer, or the network, had to say.
            text = f"{text}; {excerpt(self.detail, MAX_LINE)}"
        if self.limit is not None:
            keyword = " (max_size)" if self.limit == "message" else ""
            text = f"{text}; the limit is Limits.{self.limit}{keyword}"
        if self.loop_stall >= 1:
            stall = f"{self.loop_stall:.1f} s late"
            text = f"{text}; our event loop was {stall}: something in it blocks"
        if self.rcvd == _NO_PONG_FROM_US:
            text = f"{text}; our pong was late: does something here block?"
        return text
