"""The opening handshake in the steps of former editions, over longwire's two plans.

The plans decide; where an edition had a method, they have the connection do it, so that
a subclass may do it in another way. What the methods do unless overridden is what the
plans do anyway.
"""

from __future__ import annotations

import functools
import http
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from ... import accepting, connecting
from ...accepting import Refused
from ...asyncio.driver import Stream, run
from ...errors import InvalidHandshake, InvalidStatus, LimitExceeded
from ...http.headers import Headers, HeadersLike
from ...http.heads import Request, RequestReader, Response
from ...steps import Call, Opened, Plan
from .adapting import deprecated_in
from .exceptions import AbortHandshake, InvalidStatusCode, RedirectHandshake

if TYPE_CHECKING:
    from .client import WebSocketClientProtocol, connect
    from .server import WebSocketServerProtocol

__all__ = [
    "Acceptor",
    "Exchange",
    "accepted_arguments",
    "add_headers",
    "negotiate",
    "phrase_of",
    "process_request",
]

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


class Acceptor(accepting.Acceptor):
    """Reads the request and writes the answer by methods of the connection."""

    _connection: WebSocketServerProtocol
    _reader: RequestReader

    def _read(self, reader: RequestReader) -> Plan[Request]:
        connection = self._connection
        self._reader = reader
        connection._acceptor_now = self
        try:
            path, headers = yield Call(connection.read_http_request)
            request = connection.request
            if request is None or (request.path, request.headers) != (path, headers):
                request = Request(path, Headers(headers))
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
        self._connection._acceptor_now = self
        if isinstance(exc, InvalidHandshake):
            return self._refuse(exc)
        failed = _Failed()
        failed.__cause__ = exc
        return self._refuse(failed)

    def reading(self) -> Plan[Request]:
        """Return the plan of the engine that reads the request."""
        return super()._read(self._reader)

    def _refuse(self, exc: Exception) -> Plan[Refused]:
        """Answer a request that could not be read, or that its reader refused."""
        if isinstance(exc, _Failed):
            response, fault = accepting.callback_failed(), exc.__cause__
        elif isinstance(exc, AbortHandshake):
            response, fault = response_from(exc.status, exc.headers, exc.body), None
        else:
            return (yield from super()._refuse(exc))
        yield from self._write(self._sign(response))
        return Refused(response, fault, ours=fault is not None)

    def _write(self, response: Response) -> Plan[None]:
        self._answered = True
        status: Any = response.status_code
        if phrase_of(status):
            status = http.HTTPStatus(status)
        write = self._connection.write_http_response
        yield Call(write, (status, response.headers, response.body or None))

    def serialize(self, response: Response) -> bytes:
        """Return the bytes of ``response``; to HEAD it has no content."""
        return self._serialize(response)


class _Failed(InvalidHandshake):
    """``read_http_request()`` of a subclass raised; the cause is what."""


async def process_request(
    connection: WebSocketServerProtocol, request: Request
) -> Response | None:
    """Ask the connection's ``process_request()``; for the hook of today."""
    try:
        result: Any = connection.process_request(request.path, request.headers)
        if inspect.isawaitable(result):
            result = await result
        else:
            warn_of_plain(connection.process_request)
    except AbortHandshake as exc:
        result = exc.status, exc.headers, exc.body
    if result is None or isinstance(result, Response):
        return result
    return response_from(*result)


def warn_of_plain(function: Callable[..., Any]) -> None:
    """Tell the author of a ``process_request`` that it should be a coroutine."""
    advice = "write async def"
    deprecated_in(function, "a process_request that is no coroutine", advice)


def response_from(
    status: http.HTTPStatus | int, headers: HeadersLike, body: bytes = b""
) -> Response:
    """Return the answer that a hook of old has given as a tuple."""
    if not isinstance(body, bytes | bytearray | memoryview):
        kind = type(body).__name__
        raise TypeError(f"process_request returned a body of type {kind}, not bytes")
    fields, content = Headers(headers), bytes(body)
    for name, value in (
        ("Content-Length", str(len(content))),
        ("Content-Type", "text/plain"),
        ("Connection", "close"),
    ):
        if name not in fields:
            fields[name] = value
    return Response(int(status), phrase_of(status), fields, content)


async def negotiate(
    connection: WebSocketServerProtocol, offered: Sequence[str]
) -> str | None:
    """Return the subprotocol to use; have overridden methods do the rest, too."""
    assert connection.request is not None
    headers, own = connection.request.headers, connection._own_negotiation
    if "process_origin" in own:
        connection.process_origin(headers, connection.origins)
    if "process_extensions" in own:
        connection._granted = connection.process_extensions(
            headers, connection.available_extensions
        )
    result: Any = connection.process_subprotocol(
        headers, connection.available_subprotocols
    )
    if inspect.isawaitable(result):
        result = await result
    return result  # type: ignore[no-any-return]


def add_headers(
    connection: WebSocketServerProtocol, request: Request, response: Response
) -> None:
    """Put what the connection has to say into a 101."""
    if response.status_code != 101:
        return
    if connection._granted is not None and connection._granted[0]:
        response.headers["Sec-WebSocket-Extensions"] = connection._granted[0]
    extra = connection.extra_headers
    if extra is None:
        return
    added = Headers(extra(request.path, request.headers) if callable(extra) else extra)
    for name in ("Date", "Server"):
        if name in added and name in response.headers:
            del response.headers[name]
    response.headers.update(added)


# --- client ----------------------------------------------------------------------


class Exchange(connecting.Exchange):
    """Asks a server by methods of the connection and of its ``connect``."""

    def __init__(
        self,
        target: connecting.Target,
        random_bytes: Callable[[int], bytes],
        *,
        connector: connect,
        connection: WebSocketClientProtocol,
        stream: Stream,
    ) -> None:
        super().__init__(target, random_bytes)
        self.connection = connection
        self._connector = connector
        self._stream = stream
        self._agreed: Opened | None = None

    @classmethod
    def maker(
        cls, connector: connect, connection: Any, stream: Stream
    ) -> Callable[..., Self]:
        """Return what makes one for each server that is asked."""
        return functools.partial(
            cls, connector=connector, connection=connection, stream=stream
        )

    def plan(self) -> Plan[None]:
        """Have the connection's ``handshake()`` do it."""
        try:
            yield Call(self.connection._handshake_by, (self,))
        except RedirectHandshake:
            pass  # redirect() is next
        if not hasattr(self, "response"):
            name = type(self.connection).__name__
            raise RuntimeError(f"{name}.handshake() must call super().handshake()")

    async def run(self) -> None:
        """Do what ``handshake()`` does, raise what it raises."""
        await run(super().plan(), self._stream)
        response = self.response
        if response.status_code == 101:
            self._agreed = self._agree()
            return
        location = response.headers.get_all("Location")
        if response.status_code in connecting.REDIRECTS and location:
            raise RedirectHandshake(location[0])
        raise InvalidStatusCode.of(InvalidStatus(response))

    def write(self) -> Plan[None]:
        """Have ``write_http_request()`` send the request."""
        request = self.request
        yield Call(self.connection.write_http_request, (request.path, request.headers))

    def write_now(self, path: str, headers: Headers) -> Request:
        """Send the request; return it."""
        known = self.request
        if (known.path, known.headers) != (path, headers):
            self.request = Request(path, Headers(headers))
        wire = self._stream.wire
        if wire is None:
            raise ConnectionResetError("connection lost in the opening handshake")
        wire.write(self.request.serialize())
        return self.request

    def read(self) -> Plan[None]:
        """Have ``read_http_response()`` receive the response."""
        status, headers = yield Call(self.connection.read_http_response)
        known = getattr(self, "response", None)
        if known is None or (known.status_code, known.headers) != (status, headers):
            body = b"" if known is None else known.body
            fields = Headers(headers)
            self.response = Response(int(status), phrase_of(status), fields, body)

    async def read_now(self) -> Response:
        """Receive the response; return it."""
        await run(super().read(), self._stream)
        return self.response

    def _agree(self) -> Opened:
        connection, headers = self.connection, self.response.headers
        settings = self.settings
        extensions = connection.process_extensions(headers, settings.extensions)
        names = settings.subprotocols
        return self._opened(extensions, connection.process_subprotocol(headers, names))

    def opened(self) -> Opened:
        """Return what the connection found in the 101."""
        return self._agreed or self._agree()

    def redirect(self) -> Plan[connecting.Target]:
        """Have ``handle_redirect()`` of ``connect`` say where to go on."""
        self.target.redirected(self.response)  # raises for what we never follow
        location = self.response.headers["Location"]
        target: connecting.Target = yield Call(self._move, (location,))
        return target

    def _move(self, location: str) -> connecting.Target:
        connector = self._connector
        first, connector._target = connector._target, self.target
        try:
            connector.handle_redirect(location)
            target = connector._target
        finally:
            # The next connection asks the first server anew.
            connector._target = first
        if target is self.target:
            raise InvalidStatus(self.response)  # an override would not go there
        return target
