"""Accepting: the server's half of the opening handshake, as a plan.

Decides what a request is answered with: a 101 that opens a connection, a health
check's answer, or the HTTP status that names the fault (RFC 6455 section 4.2). Does no
I/O and reads no clock: a front end's driver carries out the steps it yields.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from ..errors import InvalidHandshake, InvalidMessage, LimitExceeded, WebSocketException
from ..escaping import excerpt
from ..hints import a
from ..http import handshake
from ..http.extensions import (
    ServerExtensionFactory,
    ServerPerMessageDeflateFactory,
    check_factories,
    grant,
    split,
)
from ..http.headers import Headers, validate_subprotocols
from ..http.heads import Request, RequestReader, Response
from ..messages import Deflate
from ..options import Compression, Keepalive, Limits, LoggerLike, Timeouts
from .origins import Origins, check_origins
from .steps import Call, Opened, Plan, Read, Write

__all__ = [
    "CLOSING",
    "CROWDED",
    "LEFT",
    "Acceptor",
    "Refused",
    "ServerSettings",
    "callback_failed",
    "server_settings",
]

Health = Callable[[], Any] | None
"""What a health check asks: a function that returns why not, or None; may be async."""

CLOSING = "Server is shutting down"
"""Why a server that closes or drains answers 503."""
CROWDED = "Too many connections"
"""Why a server at one of its limits on connections answers 503."""
LEFT = "The client has gone"
"""Why a callback that the client did not wait for is not waited for either."""


class Accepting(Protocol):
    """What the plan writes on the connection that it accepts, as soon as known."""

    request: Any  # a Request; None until it is known
    response: Response | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What one server accepts and how its connections behave, checked.

    Made by :func:`server_settings` from the keywords of ``serve``.
    """

    limits: Limits = dataclasses.field(default_factory=Limits)
    timeouts: Timeouts = dataclasses.field(default_factory=Timeouts)
    keepalive: Keepalive = dataclasses.field(default_factory=Keepalive)
    origins: Origins | None = None
    subprotocols: tuple[str, ...] | None = None
    select_subprotocol: Callable[..., Any] | None = None
    extensions: tuple[ServerExtensionFactory, ...] = ()
    process_request: Callable[..., Any] | None = None
    process_response: Callable[..., Any] | None = None
    server_header: str | None = None
    health: Mapping[str, Health] | None = None
    logger: LoggerLike = dataclasses.field(default_factory=lambda: _check_logger(None))


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A handshake that opened no connection."""

    response: Response | None
    """What was answered; None when there was nobody to answer."""
    exc: BaseException | None = None
    """Why; None when ``process_request`` or ``process_response`` decided it."""
    ours: bool = False
    """The fault is in a callback of the server's author."""
    quiet: bool = False
    """A health check: nothing to log."""

    late: bool = False
    """The time for the handshake was over."""

    @property
    def how(self) -> str:
        """Why, in one word, for whoever counts."""
        if self.ours:
            return "error"
        if self.late:
            return "timeout"
        if isinstance(self.exc, _Unavailable):
            return "unavailable"
        if self.response is None:
            return "network"
        return "rejected" if self.exc is None else "invalid"


# --- settings --------------------------------------------------------------------


def server_settings(
    *,
    limits: Limits,
    timeouts: Timeouts,
    keepalive: Keepalive,
    origins: Origins | None = None,
    extensions: Iterable[ServerExtensionFactory] | None = None,
    subprotocols: Sequence[str] | None = None,
    select_subprotocol: Callable[..., Any] | None = None,
    compression: Compression | None = None,
    process_request: Callable[..., Any] | None = None,
    process_response: Callable[..., Any] | None = None,
    server_header: str | None = None,
    health: str | Mapping[str, Health] | None = None,
    logger: LoggerLike | str | None = None,
) -> ServerSettings:
    """Return the settings, or raise TypeError or ValueError naming the keyword."""
    _check_callback("select_subprotocol", select_subprotocol)
    _check_callback("process_request", process_request)
    _check_callback("process_response", process_response)
    if subprotocols is not None:
        validate_subprotocols(subprotocols)
    return ServerSettings(
        limits=limits,
        timeouts=timeouts,
        keepalive=keepalive,
        origins=check_origins(origins),
        subprotocols=None if subprotocols is None else tuple(subprotocols),
        select_subprotocol=select_subprotocol,
        extensions=_factories(extensions, compression),
        process_request=process_request,
        process_response=process_response,
        server_header=_check_server_header(server_header),
        health=_check_health(health),
        logger=_check_logger(logger),
    )


def _check_callback(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` is None or can be called."""
    if value is not None and not callable(value):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a function, a coroutine or None, not {kind}")


def _check_server_header(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        kind = type(value).__name__
        raise TypeError(f"server_header must be a str or None, not {kind}")
    # Refuses what a header must not carry before the first client does.
    Headers()["Server"] = value
    return value


def _check_health(value: object) -> Mapping[str, Health] | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = {value: _fit}
    if not isinstance(value, Mapping):
        kind = type(value).__name__
        raise TypeError(f"health must be a path such as '/healthz', not {kind}")
    for path, check in value.items():
        if not isinstance(path, str):
            kind = type(path).__name__
            raise TypeError(f"health must be a path such as '/healthz', not {kind}")
        if not path.startswith("/") or "?" in path or "#" in path:
            raise ValueError(
                f"health is {path!r}; a path such as '/healthz' is allowed"
            )
        _check_callback(f"health of {path}", check)
    return dict(value)


def _fit() -> None:
    """Say that nothing more than the server itself is to be asked."""


def _check_logger(logger: LoggerLike | str | None) -> LoggerLike:
    if logger is None or isinstance(logger, str):
        return logging.getLogger(logger or "longwire.server")
    if not callable(getattr(logger, "info", None)):
        kind = type(logger).__name__
        raise TypeError(f"logger must be a logger, its name or None, not {kind}")
    return logger


def _factories(
    extensions: Iterable[ServerExtensionFactory] | None,
    compression: Compression | None,
) -> tuple[ServerExtensionFactory, ...]:
    """Return the factories in order, permessage-deflate last unless it is there."""
    factories = tuple(extensions or ())
    check_factories(factories, ServerExtensionFactory)
    names = [factory.name for factory in factories]
    if compression is None or ServerPerMessageDeflateFactory.name in names:
        return factories
    return (*factories, ServerPerMessageDeflateFactory.of(compression))


# --- the plan --------------------------------------------------------------------


class Acceptor:
    """One opening handshake on a new stream.

    ``unavailable`` is asked at every decision: why to answer 503 now, or None.
    ``date`` returns the time in the form of RFC 9110 section 5.6.7; ``secure`` says
    whether the stream is TLS, None if that is not known for the whole way.
    """

    def __init__(
        self,
        settings: ServerSettings,
        connection: Accepting,
        unavailable: Callable[[], str | None],
        *,
        date: Callable[[], str],
        secure: bool | None = None,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._unavailable = unavailable
        self._date = date
        self._secure = secure
        self._begun = False
        self._answered = False

    def plan(self) -> Plan[Opened | Refused]:
        """Return the plan that reads the request and answers it."""
        limits = self._settings.limits
        reader = RequestReader(
            limits.handshake_line, limits.handshake_headers, limits.handshake_bytes
        )
        try:
            try:
                request = yield from self.read_request(reader)
            except (InvalidHandshake, LimitExceeded) as exc:
                return (yield from self.refuse_request(exc))
            self._connection.request = request
            if self._is_health_check(request):
                return (yield from self._answer_health_check(request))
            return (yield from self._answer(request, reader))
        except OSError as exc:
            return Refused(None, exc)  # the peer is gone

    def interrupted(self, why: str = "") -> tuple[Refused, bytes]:
        """Return the end of a plan stopped by its front end, and what to write.

        ``why`` is empty when its time was over, else the reason for a 503.
        """
        exc: Exception
        if why:
            response, exc = handshake.refuse(503, f"{why}.\n"), _Unavailable(why)
        elif self._connection.request is not None:
            # The request was whole: what took so long was a callback of ours.
            exc = InvalidHandshake("timed out while answering the request")
            response = handshake.refuse(503, "The server took too long to answer.\n")
        else:
            exc = InvalidMessage("timed out while reading the request")
            response = handshake.refuse(408, "The request took too long.\n")
        if self._answered or not (why or self._begun):
            # Browsers open connections they may never use, and would take a 408
            # there for the answer to their next request.
            return Refused(None, exc, late=not why), b""
        refused = Refused(self.sign(response), exc, late=not why)
        return refused, self.response_bytes(response)

    def read_request(self, reader: RequestReader) -> Plan[Request]:
        while True:
            data = yield Read()
            if not data:
                reader.feed_eof()
                raise InvalidMessage("connection closed before the end of the request")
            self._begun = True
            request = reader.feed(data)
            del data  # the reader has what is needed of it
            if request is not None:
                return request

    def refuse_request(self, exc: Exception) -> Plan[Refused]:
        """Answer a request that could not be read."""
        if not self._begun:
            return Refused(None, exc)
        response = self.sign(handshake.refusal_for(exc))
        yield from self.write_response(response)
        return Refused(response, exc)

    def _is_health_check(self, request: Request) -> bool:
        if self._settings.health is None or request.method not in ("GET", "HEAD"):
            return False
        return request.path.partition("?")[0] in self._settings.health

    def _answer_health_check(self, request: Request) -> Plan[Refused]:
        assert self._settings.health is not None
        check = self._settings.health[request.path.partition("?")[0]]
        failure: Exception | None = None
        try:
            # None only asks whether anybody answers.
            why = None if check is None else self._unavailable()
            if why is None and check is not None:
                why = yield Call(check, ())
                if why is not None and not isinstance(why, str):
                    raise TypeError(
                        f"a health check returned {why!r}; None says that all is well, "
                        "a str why it is not"
                    )
        except Exception as exc:
            why, failure = "The check failed", exc
        status, text = (200, "OK") if why is None else (503, f"{why}.")
        response = self.sign(handshake.refuse(status, f"{text}\n"))
        try:
            yield from self.write_response(response)
        except OSError:
            pass  # who asked has gone, and nobody else wants to know
        ours = failure is not None
        return Refused(response, failure, ours=ours, quiet=not ours)

    def _answer(
        self, request: Request, reader: RequestReader
    ) -> Plan[Opened | Refused]:
        """Let the callbacks have their say, and write what comes out of it."""
        settings, connection = self._settings, self._connection
        agreed, ours = _Agreed(), False
        exc: BaseException | None = None
        try:
            self._check_available()
            response = None
            if settings.process_request is not None:
                response = yield from _ask(
                    "process_request", settings.process_request, connection, request
                )
                if response is None:
                    self._check_available()  # once more: it may have taken its time
            if response is None:
                response, agreed = yield from self._negotiate(request)
            else:
                agreed = _Agreed(response.headers.get("Sec-WebSocket-Protocol"))
        except _CallbackFailed as failure:
            exc, ours, response = failure.__cause__, True, callback_failed()
        except WebSocketException as fault:
            exc, response = fault, handshake.refusal_for(fault)
        except Exception as fault:
            # An extension's factory, or a response that says two things at once.
            exc, ours, response = fault, True, callback_failed()
        response = self.sign(response)
        if settings.process_response is not None:
            try:
                changed = yield from _ask(
                    "process_response",
                    settings.process_response,
                    *(connection, request, response),
                    unless=response,
                )
            except _CallbackFailed as failure:
                first, exc = exc, failure.__cause__
                if exc is not None and exc.__context__ is None:
                    exc.__context__ = first  # both are in the one record of the log
                ours, changed = True, callback_failed()
            if changed is not None:
                response = self.sign(changed)
        yield from self.write_response(response)
        if response.status_code != 101:
            return Refused(response, exc, ours)
        return Opened(
            request,
            response,
            agreed.subprotocol,
            agreed.deflate,
            agreed.extensions,
            reader.rest,
        )

    def _check_available(self) -> None:
        why = self._unavailable()
        if why is not None:
            raise _Unavailable(why)

    def _negotiate(self, request: Request) -> Plan[tuple[Response, _Agreed]]:
        """Return the 101 for a valid request, and what it agrees on."""
        key = handshake.check_request(request)
        origins = self._settings.origins
        handshake.check_origin(request, origins, secure=self._secure)
        offers = request.headers.get_all("Sec-WebSocket-Extensions")
        granted, extensions = grant(offers, self._settings.extensions)
        subprotocol = yield from self._select_subprotocol(request)
        response = handshake.build_response(
            key, subprotocol=subprotocol, extensions_header=granted
        )
        return response, _Agreed(subprotocol, *split(extensions))

    def _select_subprotocol(self, request: Request) -> Plan[str | None]:
        offered = handshake.offered_subprotocols(request.headers)
        select = self._settings.select_subprotocol
        if select is None:
            return handshake.select_subprotocol(offered, self._settings.subprotocols)
        try:
            selected = yield Call(select, (self._connection, offered))
            if selected is not None and selected not in offered:
                # RFC 6455 section 4.2.2: the value is one of those the client sent.
                allowed = excerpt(", ".join(offered)) or "none was offered"
                raise ValueError(
                    f"select_subprotocol returned {selected!r}; "
                    f"None or one of those offered is allowed: {allowed}"
                )
        except (InvalidHandshake, GeneratorExit):
            raise  # documented: NegotiationError refuses the client
        except BaseException as exc:
            raise _CallbackFailed from exc
        return selected  # type: ignore[no-any-return]

    def sign(self, response: Response) -> Response:
        """Return ``response`` with date and name; remember it as the answer."""
        headers = response.headers
        names = headers._by_name()
        # Both are known to be harmless.
        if "date" not in names:
            headers.set_insecure("Date", self._date())
        name = self._settings.server_header
        if name is not None and "server" not in names:
            headers.set_insecure("Server", name)
        self._connection.response = response
        return response

    def write_response(self, response: Response) -> Plan[None]:
        self._answered = True
        yield Write(self.response_bytes(response))

    def response_bytes(self, response: Response) -> bytes:
        data = response.serialize()
        request = self._connection.request
        if request is not None and request.method == "HEAD":
            # RFC 9110 section 9.3.2: a response to HEAD has no content.
            data = data[: len(data) - len(response.body)]
        return data


@dataclasses.dataclass(frozen=True, slots=True)
class _Agreed:
    """What the headers of a 101 say beside its being one."""

    subprotocol: str | None = None
    deflate: Deflate | None = None
    extensions: tuple[Any, ...] = ()


class _Unavailable(InvalidHandshake):
    """The server takes no new connection now."""

    status = 503


class _CallbackFailed(Exception):
    """A callback raised; the cause is what."""


def callback_failed() -> Response:
    """Return the answer when a function of the server's author raised."""
    return handshake.refuse(
        500,
        "Failed to open a WebSocket connection: an error in the server, "
        "which its log tells of.\n",
    )


def _ask(
    name: str,
    function: Callable[..., Any],
    *args: Any,
    unless: Response | None = None,
) -> Plan[Response | None]:
    """Return the response a callback wants, None if it wants none.

    ``unless`` is what is sent then; the callback may have changed it.
    """
    try:
        response = yield Call(function, args)
        if response is not None or unless is not None:
            _check_response(name, unless if response is None else response)
    except GeneratorExit:
        raise  # the plan is closed
    except BaseException as exc:
        raise _CallbackFailed from exc
    return response  # type: ignore[no-any-return]


def _check_response(name: str, response: object) -> None:
    """Raise TypeError for what cannot be sent, while that can still be answered."""
    if not isinstance(response, Response):
        kind = type(response).__name__
        status = response if type(response) is int else 403
        raise TypeError(
            f"{name} returned {a(kind)}; Response or None are allowed: write "
            f"'return connection.respond({status}, \"text\")', or None to go on"
        )
    try:
        response.serialize()
    except (TypeError, ValueError) as exc:
        text = f"the response of {name} cannot be sent: {exc}"
        raise (TypeError if isinstance(exc, TypeError) else ValueError)(text) from exc
