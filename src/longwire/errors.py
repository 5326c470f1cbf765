"""Every exception of longwire, in one tree; the class says whose fault it was.

::

    WebSocketException
    ├── ConnectionClosed             normal life: the connection has ended
    │   ├── ConnectionClosedOK         with 1000, 1001 or no code, both ways
    │   └── ConnectionClosedError      in any other way
    ├── PeerError                    the peer broke a rule
    │   ├── ProtocolError              of RFC 6455, on an open connection
    │   └── InvalidHandshake           while opening
    │       ├── SecurityError
    │       │   ├── RequestLineTooLong      and LimitExceeded: 414
    │       │   ├── StatusLineTooLong       and LimitExceeded
    │       │   ├── HeaderLineTooLong       and LimitExceeded: 431
    │       │   └── TooManyHeaders          and LimitExceeded: 431
    │       ├── InvalidMessage
    │       ├── InvalidMethod               405
    │       ├── InvalidProtocol             505
    │       ├── InvalidStatus
    │       ├── InvalidHeader
    │       │   ├── InvalidHeaderFormat
    │       │   ├── InvalidHeaderValue
    │       │   ├── InvalidOrigin           403
    │       │   └── InvalidUpgrade          426
    │       ├── NegotiationError
    │       │   ├── DuplicateParameter
    │       │   ├── InvalidParameterName
    │       │   └── InvalidParameterValue
    │       └── ProxyError
    │           ├── InvalidProxyMessage
    │           └── InvalidProxyStatus
    ├── LimitExceeded                policy: a limit of ours was hit
    │   ├── PayloadTooBig              1009
    │   ├── TooManyFragments           1009
    │   └── TooManyPings               1008
    └── UsageError                   the caller's mistake
        ├── InvalidClose                 also a ProtocolError
        ├── InvalidState
        ├── ConcurrencyError             also a RuntimeError
        ├── InvalidURI
        └── InvalidProxy

``code`` on ``PeerError`` and ``LimitExceeded`` is the close code to send;
``status`` on ``InvalidHandshake`` is the HTTP status a server answers with.

Attributes hold what a peer sent as it came. ``str()`` of an exception is for people and
logs: it repeats no more than 200 characters of each such text, and nothing unprintable.
"""

from __future__ import annotations

from typing import Any

from .escaping import escape, excerpt
from .messages import Close, CloseReport

__all__ = [
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DuplicateParameter",
    "HeaderLineTooLong",
    "InvalidClose",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderValue",
    "InvalidMessage",
    "InvalidMethod",
    "InvalidOrigin",
    "InvalidParameterName",
    "InvalidParameterValue",
    "InvalidProtocol",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidState",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "LimitExceeded",
    "NegotiationError",
    "PayloadTooBig",
    "PeerError",
    "ProtocolError",
    "ProxyError",
    "RequestLineTooLong",
    "SecurityError",
    "StatusLineTooLong",
    "TooManyFragments",
    "TooManyHeaders",
    "TooManyPings",
    "UsageError",
    "WebSocketException",
]


class WebSocketException(Exception):
    """The root: ``except WebSocketException`` catches everything of longwire."""

    def __str__(self) -> str:
        return escape(super().__str__())


# --- normal life -----------------------------------------------------------------


class ConnectionClosed(WebSocketException):
    """The connection has ended: nothing more can be sent or received.

    ``rcvd`` and ``sent`` are the close frames (:class:`~longwire.Close`) or None;
    ``rcvd_then_sent`` says which came first when there are both, else it is None;
    ``report`` is the :class:`~longwire.CloseReport`. ``ConnectionClosed(code, reason)``
    is what was received.
    """

    # longwire.websockets has the documented text, as what a program makes itself.
    _says_reason_once = True

    def __init__(
        self,
        rcvd: Close | int | None = None,
        sent: Close | str | None = None,
        rcvd_then_sent: bool | None = None,
        report: CloseReport | None = None,
    ) -> None:
        if isinstance(rcvd, int):  # 1006: nothing was received
            rcvd = None if rcvd == 1006 else Close(rcvd, str(sent or ""))
            sent = None
        if isinstance(sent, str):
            raise TypeError("a close reason needs a close code")
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent
        self.report = report
        # Three, as the documented API has them; a copy gets the report all the same.
        super().__init__(rcvd, sent, rcvd_then_sent)

    def __str__(self) -> str:
        if self.rcvd is None:
            if self.sent is None:
                return "no close frame received or sent"
            return f"sent {self.sent}; no close frame received"
        if self.sent is None:
            return f"received {self.rcvd}; no close frame sent"
        first, second = self.rcvd, self.sent
        if not self.rcvd_then_sent:
            first, second = second, first
        # An answer has the same reason most often: said once, it can be read.
        once = self._says_reason_once and self.report is not None and first == second
        again = Close(second.code, "") if once else second
        if self.rcvd_then_sent:
            return f"received {first}; then sent {again}"
        return f"sent {first}; then received {again}"

    @property
    def code(self) -> int:
        """The close code received; 1006 if no close frame came (section 7.1.5)."""
        return 1006 if self.rcvd is None else self.rcvd.code

    @property
    def reason(self) -> str:
        """The close reason received; empty if no close frame came."""
        return "" if self.rcvd is None else self.rcvd.reason


class ConnectionClosedOK(ConnectionClosed):
    """The connection ended properly: 1000, 1001 or no code, sent and received."""


class ConnectionClosedError(ConnectionClosed):
    """The connection ended with another code, or without a closing handshake."""


# --- the peer's fault ------------------------------------------------------------


class PeerError(WebSocketException):
    """The peer broke a rule of the protocol; ``code`` is the close code to send."""

    code = 1002

    def __init__(self, *args: Any, code: int | None = None) -> None:
        super().__init__(*args)
        if code is not None:
            self.code = code


class ProtocolError(PeerError):
    """A frame or message broke RFC 6455 or RFC 7692."""


class InvalidHandshake(PeerError):
    """The opening handshake failed; ``status`` is the HTTP status of the answer."""

    status = 400

    def __init__(self, *args: Any, status: int | None = None) -> None:
        super().__init__(*args)
        if status is not None:
            self.status = status


# --- policy ----------------------------------------------------------------------


class LimitExceeded(WebSocketException):
    """A limit of ours was exceeded.

    ``limit`` names the field of :class:`~longwire.Limits`, ``limit_value`` is what
    it allows, ``code`` is the close code to send.
    """

    code = 1008
    limit: str | None = None
    limit_value: int | float | None = None


# Which keyword of serve() and connect() sets a limit on sizes.
_KEYWORD_OF_LIMIT = {"message": "max_size", "fragment": "max_size[1]"}


class PayloadTooBig(LimitExceeded):
    """A frame or message is larger than the limit, compressed or not.

    ``size`` is what it would have been in bytes, None when only known to be too
    much; ``max_size`` is the limit; ``current_size`` is what earlier fragments of the
    message had used of it. A single string sets the whole text.
    """

    code = 1009

    def __init__(
        self,
        size: int | str | None,
        max_size: int | None = None,
        current_size: int | None = None,
        *,
        limit: str = "message",
    ) -> None:
        super().__init__(size, max_size, current_size)
        self.size = None if isinstance(size, str) else size
        self.max_size = max_size
        self.current_size = current_size
        self.limit = limit
        self.limit_value = max_size

    def __str__(self) -> str:
        if isinstance(self.args[0], str):
            return escape(self.args[0])
        what, size = "a frame", self.size
        if self.current_size:
            # More of the message may follow.
            what = "a message"
            size = None if size is None else self.current_size + size
        if size is None:
            # What is compressed is not inflated further to find its size.
            found = f"{what} of more than {self.max_size} bytes"
        else:
            at_least = "at least " * (what == "a message")
            found = f"{what} of {at_least}{size} bytes"
        keyword = _KEYWORD_OF_LIMIT.get(self.limit or "")
        whose = f" ({keyword} of its receiver)" if keyword else ""
        return f"{found} exceeds the limit of {self.max_size} bytes{whose}"


class TooManyFragments(LimitExceeded):
    """A message came in more fragments than allowed."""

    code = 1009
    limit = "fragments"

    def __init__(self, max_fragments: int) -> None:
        super().__init__(max_fragments)
        self.limit_value = max_fragments

    def __str__(self) -> str:
        return f"too many fragments: a message may have {self.limit_value}"


class TooManyPings(LimitExceeded):
    """The peer sends more pings per second than allowed."""

    limit = "pings_per_second"

    def __init__(self, max_pings: int) -> None:
        super().__init__(max_pings)
        self.limit_value = max_pings

    def __str__(self) -> str:
        return f"too many pings: {self.limit_value} per second are allowed"


# --- opening handshake -----------------------------------------------------------


class SecurityError(InvalidHandshake):
    """The handshake breaks a security rule: too large, or a forbidden redirect."""


class _HeadTooLarge(SecurityError, LimitExceeded):
    """A part of an HTTP head is over its limit: says which and what is allowed.

    A single string sets the whole text.
    """

    what = "head"
    unit = "bytes"

    def __init__(self, limit_value: int | str) -> None:
        super().__init__(limit_value)
        if isinstance(limit_value, int):
            self.limit_value = limit_value

    def __str__(self) -> str:
        if isinstance(self.args[0], str):
            return escape(self.args[0])
        return f"{self.what} exceeds the limit of {self.limit_value} {self.unit}"


class RequestLineTooLong(_HeadTooLarge):
    """The request line is longer than ``Limits.handshake_line``."""

    status = 414
    what = "request line"
    limit = "handshake_line"


class StatusLineTooLong(_HeadTooLarge):
    """The status line of a response is longer than ``Limits.handshake_line``."""

    what = "status line"
    limit = "handshake_line"


class HeaderLineTooLong(_HeadTooLarge):
    """A header line, or all of them together, is longer than allowed."""

    status = 431
    what = "header line"
    limit = "handshake_line"

    def __init__(self, limit_value: int | str, *, total: bool = False) -> None:
        super().__init__(limit_value)
        if total:
            self.what = "head"
            self.limit = "handshake_bytes"


class TooManyHeaders(_HeadTooLarge):
    """There are more header lines than ``Limits.handshake_headers``."""

    status = 431
    what = "number of headers"
    unit = "lines"
    limit = "handshake_headers"


class InvalidMessage(InvalidHandshake):
    """What came is not a valid HTTP/1.1 message, or came incomplete."""


class InvalidMethod(InvalidHandshake):
    """The request's method is not GET (RFC 6455 section 4.1)."""

    status = 405

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.method = method

    def __str__(self) -> str:
        return f"unsupported HTTP method; expected GET; got {excerpt(self.method)}"


class InvalidProtocol(InvalidHandshake):
    """The HTTP version is not 1.1 (RFC 6455 section 4.1)."""

    status = 505

    def __init__(self, protocol: str, *, status: int | None = None) -> None:
        super().__init__(protocol, status=status)
        self.protocol = protocol

    def __str__(self) -> str:
        found = excerpt(self.protocol)
        return f"unsupported protocol; expected HTTP/1.1; got {found}"


class InvalidStatus(InvalidHandshake):
    """The server refused the handshake; ``response`` is its whole answer.

    Its text ends with ``explanation``: what the answer says of the reason, if it does.
    """

    def __init__(self, response: Any) -> None:
        super().__init__(response)
        self.response = response
        self.explanation = ""

    def __str__(self) -> str:
        status = self.response.status_code
        text = f"server rejected WebSocket connection: HTTP {status}"
        return f"{text}{self.explanation}"


class InvalidHeader(InvalidHandshake):
    """A header is missing (``value`` is None), empty or not what it must be."""

    def __init__(self, name: str, value: str | None = None) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        name = excerpt(self.name)
        if self.value is None:
            return f"missing {name} header"
        if self.value == "":
            return f"empty {name} header"
        return f"invalid {name} header: {excerpt(self.value)}"


class InvalidHeaderFormat(InvalidHeader):
    """A header cannot be parsed: ``error`` says what, at position ``pos``."""

    def __init__(self, name: str, error: str, header: str, pos: int) -> None:
        super().__init__(name, f"{error} at {pos} in {header}")
        self.args = name, error, header, pos  # what copies are made from


class InvalidHeaderValue(InvalidHeader):
    """A header can be parsed but says something unacceptable."""


class InvalidOrigin(InvalidHeader):
    """The Origin of a request is not one of those allowed."""

    status = 403

    def __init__(self, origin: str | None) -> None:
        super().__init__("Origin", origin)
        self.args = (origin,)  # what copies are made from


class InvalidUpgrade(InvalidHeader):
    """Upgrade or Connection do not ask for (or grant) a WebSocket."""

    status = 426


class NegotiationError(InvalidHandshake):
    """Extensions or subprotocols cannot be agreed on."""


class DuplicateParameter(NegotiationError):
    """An extension parameter appears twice."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"duplicate parameter: {excerpt(self.name)}"


class InvalidParameterName(NegotiationError):
    """An extension parameter is unknown."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"invalid parameter name: {excerpt(self.name)}"


class InvalidParameterValue(NegotiationError):
    """An extension parameter has a value it may not have."""

    def __init__(self, name: str, value: str | None) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        name = excerpt(self.name)
        if self.value is None:
            return f"missing value for parameter {name}"
        if self.value == "":
            return f"empty value for parameter {name}"
        return f"invalid value for parameter {name}: {excerpt(self.value)}"


class ProxyError(InvalidHandshake):
    """The connection through a proxy could not be made."""


class InvalidProxyMessage(ProxyError):
    """The proxy's answer is not a valid HTTP response."""


class InvalidProxyStatus(ProxyError):
    """The proxy refused; ``response`` is its answer."""

    def __init__(self, response: Any) -> None:
        super().__init__(response)
        self.response = response

    def __str__(self) -> str:
        return f"proxy rejected connection: HTTP {self.response.status_code}"


# --- the caller's fault ----------------------------------------------------------


class UsageError(WebSocketException):
    """The caller asked for something that cannot be done."""


class InvalidClose(UsageError, ProtocolError):
    """The close code or reason may not be sent (RFC 6455 section 7.4).

    Also a ProtocolError, which is what the documented API says it raises.
    """


class InvalidState(UsageError):
    """The operation is not possible in the connection's state."""


class ConcurrencyError(UsageError, RuntimeError):
    """Two tasks use a connection in a way only one may at a time."""


class InvalidURI(UsageError):
    """The address is not a WebSocket URI (RFC 6455 section 3)."""

    def __init__(self, uri: str, msg: str) -> None:
        super().__init__(uri, msg)
        self.uri = uri
        self.msg = msg

    def __str__(self) -> str:
        return f"{excerpt(self.uri)} isn't a valid URI: {excerpt(self.msg)}"


class InvalidProxy(UsageError):
    """The address of a proxy cannot be used."""

    def __init__(self, proxy: str, msg: str) -> None:
        super().__init__(proxy, msg)
        self.proxy = proxy
        self.msg = msg

    def __str__(self) -> str:
        return f"{excerpt(self.proxy)} isn't a valid proxy: {excerpt(self.msg)}"
