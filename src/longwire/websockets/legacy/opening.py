"""The opening handshake in the steps of former editions, over longwire's two plans.

The plans decide; where an edition had a method, they have the connection do it, so that
a subclass may do it in another way. What the methods do unless overridden is what the
plans do anyway.
"""

from __future__ import annotations

import http
import inspect
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from ...asyncio.driver import Stream, run
from ...errors import (
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidStatus,
    LimitExceeded,
    SecurityError,
)
from ...http.handshake import refusal_for
from ...http.heads import Request, RequestReader, Response
from ...opening import client_plan as connecting
from ...opening import server_plan as accepting
from ...opening.server_plan import Refused
from ...opening.steps import Call, Opened, Plan
from .. import heads
from ..datastructures import Headers, HeadersLike, OldHeaders
from ..negotiating import no_response
from .adapting import warn_in
from .exceptions import AbortHandshake, InvalidStatusCode, RedirectHandshake

if TYPE_CHECKING:
    from .client_protocol import WebSocketClientProtocol
    from .inner import InnerServerConnection

__all__ = [
    "EXCHANGING",
    "SERVER_HOOKS",
    "Acceptor",
    "Exchange",
    "PlainAcceptor",
    "accepted_arguments",
    "add_headers",
    "negotiate",
    "phrase_of",
    "process_request",
]

EXCHANGING = frozenset({"read_http_request", "write_http_response"})
SERVER_HOOKS = (
    *sorted(EXCHANGING),
    *("handshake", "process_extensions", "process_origin", "process_request"),
    *("process_subprotocol", "select_subprotocol"),
)
"""The methods of a server's opening handshake."""

HTTPResponse = tuple[http.HTTPStatus | int, HeadersLike, bytes]


def phrase_of(status: int) -> str:
    """Return the words for an HTTP status, "" if there are none."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def accepted_arguments(
    function: Callable[..., Any], given: dict[str, Any]
) -> dict[str, Any]:
    """Return what of ``given`` a ``handshake()`` of some edition has parameters for.

    2.6 calls ``subprotocols`` what is ``available_subprotocols`` later.
    """
    parameters = inspect.signature(function).parameters
    names = {"subprotocols", "available_subprotocols"} & parameters.keys()
    given = {**given, "subprotocols": given["available_subprotocols"]}
    if names != {"subprotocols"}:
        del given["subprotocols"]
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return given
    return {name: value for name, value in given.items() if name in parameters}


# --- server ----------------------------------------------------------------------


class PlainAcceptor(heads.Acceptor):
    """Reads and writes the values of headers as in former editions."""

    headers = OldHeaders


class Acceptor(PlainAcceptor):
    """Reads the request and writes the answer by methods of the connection."""

    _connection: InnerServerConnection
    _reader: RequestReader

    def read_request(self, reader: RequestReader) -> Plan[Request]:
        connection, outer = self._connection, self._connection._outer
        self._reader = reader
        outer._acceptor_now = self
        try:
            path, headers = yield Call(outer.read_http_request)
            request = connection.request
            if request is None or (request.path, request.headers) != (path, headers):
                request = Request(path, OldHeaders(headers))
        except (InvalidHandshake, LimitExceeded, OSError):
            raise
        except Exception as exc:
            raise _Failed from exc
        finally:
            self._begun = self._begun or connection.request is not None
        return request

    def refusing(self, exc: Exception) -> Plan[Refused]:
        """Return the plan that answers a client that nobody has read from."""
        self._begun = True
        self._connection._outer._acceptor_now = self
        if isinstance(exc, InvalidHandshake):
            return self.refuse_request(exc)
        failed = _Failed()
        failed.__cause__ = exc
        return self.refuse_request(failed)

    def reading(self) -> Plan[Request]:
        """Return the plan of the engine that reads the request."""
        return super().read_request(self._reader)

    def refuse_request(self, exc: Exception) -> Plan[Refused]:
        """Answer a request that could not be read, or that its reader refused."""
        if isinstance(exc, _Failed):
            response, fault = accepting.callback_failed(), exc.__cause__
        elif isinstance(exc, AbortHandshake):
            response, fault = response_from(exc.status, exc.headers, exc.body), None
        else:
            return (yield from super().refuse_request(exc))
        yield from self.write_response(self.sign(response))
        return Refused(response, fault, ours=fault is not None)

    def write_response(self, response: Response) -> Plan[None]:
        self._answered = True
        status: Any = response.status_code
        if phrase_of(status):
            status = http.HTTPStatus(status)
        write = self._connection._outer.write_http_response
        yield Call(write, (status, response.headers, response.body or None))

    def serialize(self, response: Response) -> bytes:
        """Return the bytes of ``response``; to HEAD it has no content."""
        return self.response_bytes(response)


class _Failed(InvalidHandshake):
    """``read_http_request()`` of a subclass raised; the cause is what."""


async def process_request(
    connection: InnerServerConnection, request: Request
) -> Response | None:
    """Ask the connection's ``process_request()``; for the hook of today."""
    outer = connection._outer
    try:
        result: Any = outer.process_request(request.path, request.headers)
        if inspect.isawaitable(result):
            result = await result
        else:
            warn_of_plain(outer.process_request)
    except AbortHandshake as exc:
        result = exc.status, exc.headers, exc.body
    except InvalidHandshake as exc:
        connection._handshake_exc = exc
        return refusal_for(exc)
    if result is None or isinstance(result, Response):
        return result
    return response_from(*result)


def warn_of_plain(function: Callable[..., Any]) -> None:
    """Tell the author of a ``process_request`` that it should be a coroutine."""
    warn_in(function, "declare process_request as a coroutine")


def response_from(
    status: http.HTTPStatus | int, headers: HeadersLike, body: bytes = b""
) -> Response:
    """Return the answer that a hook of old has given as a tuple."""
    if not isinstance(body, bytes | bytearray | memoryview):
        kind = type(body).__name__
        raise TypeError(f"process_request returned a body of type {kind}, not bytes")
    fields, content = OldHeaders(headers), bytes(body)
    for name, value in (
        ("Content-Length", str(len(content))),
        ("Content-Type", "text/plain"),
        ("Connection", "close"),
    ):
        if name not in fields:
            fields[name] = value
    return Response(int(status), phrase_of(status), fields, content)


async def negotiate(connection: InnerServerConnection, offered: Sequence[str]) -> None:
    """Choose the subprotocol; have overridden methods negotiate the rest, too.

    What was chosen goes into the response with the other headers: a method may choose
    what the client did not offer.
    """
    outer = connection._outer
    assert connection.request is not None
    headers, own = connection.request.headers, outer._own
    if "process_origin" in own:
        outer.process_origin(headers, outer.origins)
    if "process_extensions" in own:
        connection.granted = outer.process_extensions(
            headers, outer.available_extensions
        )
    result: Any = outer.process_subprotocol(headers, outer.available_subprotocols)
    if inspect.isawaitable(result):
        result = await result
    connection.chosen = result


def add_headers(
    connection: InnerServerConnection, request: Request, response: Response
) -> None:
    """Put what the connection has to say into a 101."""
    if response.status_code != 101:
        return
    if connection.granted is not None and connection.granted[0]:
        response.headers["Sec-WebSocket-Extensions"] = connection.granted[0]
    if connection.chosen is not None:
        response.headers["Sec-WebSocket-Protocol"] = connection.chosen
    extra = connection._outer.extra_headers
    added = OldHeaders(
        (extra(request.path, request.headers) if callable(extra) else extra) or {}
    )
    for name in ("Date", "Server"):
        if name in added and name in response.headers:
            del response.headers[name]
    response.headers.update(added)


# --- client ----------------------------------------------------------------------


class Exchange(connecting.Exchange):
    """Asks a server by methods of the connection."""

    def __init__(
        self, target: connecting.Target, outer: WebSocketClientProtocol, stream: Stream
    ) -> None:
        super().__init__(target, os.urandom)
        self._outer = outer
        self._stream = stream

    async def run(self) -> Opened:
        """Do what ``handshake()`` does; return what it agreed on.

        Raises RedirectHandshake for a redirect, InvalidStatusCode for a refusal.
        """
        await run(self.plan(), self._stream)
        response = self.response
        if response.status_code == 101:
            return self._agree()
        if response.status_code in connecting.REDIRECTS:
            locations = response.headers.get_all("Location")
            if not locations:
                raise InvalidHeader("Location")
            raise RedirectHandshake(locations[0])
        raise InvalidStatusCode.of(InvalidStatus(response))

    def write(self) -> Plan[None]:
        """Have ``write_http_request()`` send the request."""
        request = self.request
        request.headers = OldHeaders.made(request.headers)
        yield Call(self._outer.write_http_request, (request.path, request.headers))

    def write_now(self, path: str, headers: Headers) -> Request:
        """Send the request; return it."""
        known = self.request
        if (known.path, known.headers) != (path, headers):
            self.request = Request(path, OldHeaders(headers))
        wire = self._stream.wire
        if wire is None:
            raise ConnectionResetError("connection lost in the opening handshake")
        wire.write(self.request.serialize())
        return self.request

    def read(self) -> Plan[None]:
        """Have ``read_http_response()`` receive the response."""
        status, headers = yield Call(self._outer.read_http_response)
        known = getattr(self, "response", None)
        if known is None or (known.status_code, known.headers) != (status, headers):
            body = b"" if known is None else known.body
            fields = OldHeaders(headers)
            self.response = Response(int(status), phrase_of(status), fields, body)

    async def read_now(self) -> Response:
        """Receive the response; return it."""
        try:
            await run(super().read(), self._stream)
        except (InvalidMessage, SecurityError, OSError) as exc:
            unreadable = no_response(exc)
            raise unreadable from unreadable.__cause__
        response = self.response
        response.headers = OldHeaders.received(response.headers)
        return response

    def _agree(self) -> Opened:
        outer, headers = self._outer, cast(Headers, self.response.headers)
        extensions = outer.process_extensions(headers, outer.available_extensions)
        names = outer.available_subprotocols
        return self.opened_as(extensions, outer.process_subprotocol(headers, names))
