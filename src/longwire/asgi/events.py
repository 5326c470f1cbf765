"""The events and the scope of ASGI's WebSocket specification, as values.

Specification: https://asgi.readthedocs.io/en/latest/specs/www.html, version 2.4. What
an application sends is checked here, so that its mistakes are told in its own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from ..errors import ConnectionClosed
from ..http.headers import Headers
from ..http.heads import Request

__all__ = [
    "ClientDisconnected",
    "Event",
    "body_of",
    "close_of",
    "disconnect",
    "headers_of",
    "message_of",
    "received",
    "scope_of",
    "status_of",
    "unexpected",
]

Event = Mapping[str, Any]

_FRAMING = frozenset({"connection", "upgrade", "sec-websocket-accept"})
_OF_ACCEPT = _FRAMING | {"sec-websocket-extensions"}


class ClientDisconnected(OSError):
    """The application sends to a client that has gone.

    An OSError, as the specification asks for: Starlette makes a WebSocketDisconnect of
    it. ``__cause__`` is the :exc:`~longwire.ConnectionClosed` that says why.
    """


def scope_of(
    request: Request,
    *,
    secure: bool,
    server: Any,
    client: Any,
    root_path: str,
    subprotocols: list[str],
    state: Mapping[str, Any],
    asgi_version: str,
) -> dict[str, Any]:
    """Return the scope of a connection that is being opened.

    ``server`` and ``client`` are the addresses of the socket's two ends.
    """
    target, _, query = request.path.partition("?")
    raw_path = _bytes(target)
    return {
        "type": "websocket",
        "asgi": {"version": asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if secure else "ws",
        "server": _address(server),
        "client": _address(client),
        "root_path": root_path,
        "path": root_path + unquote(target),
        "raw_path": root_path.encode() + raw_path,
        "query_string": _bytes(query),
        "headers": [
            (name.lower().encode(), _bytes(value))
            for name, value in request.headers.raw_items()
        ],
        "subprotocols": subprotocols,
        "state": dict(state),
        "extensions": {"websocket.http.response": {}},
    }


def _bytes(text: str) -> bytes:
    """Return the bytes that came for ``text``."""
    return text.encode(errors="surrogateescape")


def _address(name: Any) -> tuple[str, int | None] | None:
    """Return an address as the specification has it; of Unix sockets, the path."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(name[0]), int(name[1])
    if isinstance(name, bytes):
        name = name.decode(errors="surrogateescape")
    return (name, None) if isinstance(name, str) and name else None


# --- what the application receives -----------------------------------------------


def received(data: str | bytes) -> dict[str, Any]:
    """Return the event of a message."""
    if type(data) is str:
        return {"type": "websocket.receive", "text": data}
    return {"type": "websocket.receive", "bytes": data}


def disconnect(
    closed: ConnectionClosed | None = None, shut_down: bool = False
) -> dict[str, Any]:
    """Return the event of the end; without ``closed``, of a client that left early.

    The code is that of the close frame which came first: the client's, or our own where
    the application, or the server that is ``shut_down``, closed; 1005 for one without a
    code, 1006 where there was none (RFC 6455 section 7.4.1).
    """
    frame = None
    if closed is not None:
        ours_first = closed.rcvd_then_sent is False or shut_down
        frame = closed.sent if ours_first else closed.rcvd
    if frame is None:
        return {"type": "websocket.disconnect", "code": 1006}
    if shut_down:
        return {"type": "websocket.disconnect", "code": frame.code}
    return {
        "type": "websocket.disconnect",
        "code": frame.code,
        "reason": frame.reason,
    }


# --- what the application sends --------------------------------------------------


def unexpected(kind: str, allowed: str) -> RuntimeError:
    """Return the error of an application that sends what has no place now."""
    if not allowed:
        return RuntimeError(
            f"Unexpected ASGI message {kind!r}, after sending 'websocket.close' or a "
            f"whole response."
        )
    return RuntimeError(f"Expected ASGI message {allowed} but got {kind!r}.")


def message_of(event: Event) -> str | bytes:
    """Return the message of a ``websocket.send``."""
    text, data = event.get("text"), event.get("bytes")
    if (text is None) is (data is None):
        found = "neither" if text is None else "both"
        raise ValueError(
            f"'websocket.send' needs either 'text' or 'bytes'; found {found}"
        )
    if text is not None:
        if not isinstance(text, str):
            raise _kind("websocket.send", "text", "a str", text)
        return text
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise _kind("websocket.send", "bytes", "bytes-like", data)
    return data  # type: ignore[return-value]


def close_of(event: Event) -> tuple[int, str]:
    """Return code and reason of a ``websocket.close``."""
    code, reason = event.get("code"), event.get("reason")
    return 1000 if code is None else code, reason or ""


def status_of(event: Event) -> int:
    """Return the status of a ``websocket.http.response.start``."""
    status = event.get("status")
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"status is {status!r}; 200 to 599 are allowed")
    return int(status)


def body_of(event: Event) -> tuple[bytes, bool]:
    """Return a piece of a response's body, and whether more of it follows."""
    body = event.get("body", b"")
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise _kind("websocket.http.response.body", "body", "bytes", body)
    return bytes(body), bool(event.get("more_body", False))


def headers_of(event: Event) -> Headers:
    """Return the ``headers`` of an event, without those that are not its to set.

    Raises TypeError or ValueError for what cannot be sent.
    """
    kind = event["type"]
    ours = _OF_ACCEPT if kind == "websocket.accept" else _FRAMING
    given: Iterable[Any] = event.get("headers") or ()
    headers = Headers()
    for item in given:
        name, value = item
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            found = f"({type(name).__name__}, {type(value).__name__})"
            raise TypeError(
                f"{kind!r}: headers must be pairs of bytes; found {found}: "
                f'write (b"name", b"value")'
            )
        if name.lower().decode("latin-1") not in ours:
            headers[name.decode("latin-1")] = value.decode(errors="surrogateescape")
    return headers


def _kind(event: str, name: str, allowed: str, found: object) -> TypeError:
    kind = type(found).__name__
    return TypeError(f"{event!r}: {name!r} must be {allowed}, not {kind}")
