"""The server's side of the sans-I/O protocol; the former ``serve`` and its classes.

The names of the former asyncio server are taken from ``legacy.server`` at first use.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import inspect
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..errors import (
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidProtocol,
    InvalidUpgrade,
    RequestLineTooLong,
    TooManyHeaders,
)
from ..escaping import excerpt
from ..http import handshake
from ..http.extension_base import ServerExtensionFactory
from ..http.extensions import grant
from ..http.headers import Headers as AnyHeaders
from ..http.headers import validate_subprotocols
from ..http.heads import Request, RequestReader, Response
from .aliases import give_aliases
from .connection import FormerRules, warn_renamed
from .datastructures import Headers
from .extensions.base import Extension
from .http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS
from .legacy.adapting import binds
from .negotiating import as_extensions, invalid_message, log_head
from .protocol import CONNECTING, MaxSize, Protocol, Side, State
from .typing import LoggerLike, Origin, StatusLike, Subprotocol

if TYPE_CHECKING:  # given by give_aliases below
    from .legacy.protocol import broadcast as broadcast
    from .legacy.server import WebSocketServer as WebSocketServer
    from .legacy.server import WebSocketServerProtocol as WebSocketServerProtocol
    from .legacy.server import serve as serve
    from .legacy.server import unix_serve as unix_serve

__all__ = [
    "ServerProtocol",
    "WebSocketServer",
    "WebSocketServerProtocol",
    "broadcast",
    "serve",
    "unix_serve",
]

SelectSubprotocol = Callable[
    ["ServerProtocol", Sequence[Subprotocol]], Subprotocol | None
]


class ServerProtocol(Protocol):
    """The server's side of a connection, without I/O.

    The first event is the Request: answer it with ``send_response()``, of what
    ``accept()`` or ``reject()`` returns. Then it is a Protocol.

    ``origins`` are the acceptable values of Origin, None among them if it may be
    missing; ``extensions`` and ``subprotocols`` are those supported, in order of
    preference; ``select_subprotocol(protocol, offered)`` chooses in our place.
    """

    def __init__(
        self,
        *,
        origins: Sequence[Origin | re.Pattern[str] | None] | None = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        select_subprotocol: SelectSubprotocol | None = None,
        state: State = CONNECTING,
        max_size: MaxSize = 2**20,
        logger: LoggerLike | None = None,
    ) -> None:
        super().__init__(Side.SERVER, state=state, max_size=max_size, logger=logger)
        if subprotocols is not None:
            validate_subprotocols(subprotocols)
        self.origins = origins
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self._select = select_subprotocol
        self._head = RequestReader(
            MAX_LINE_LENGTH, MAX_NUM_HEADERS, MAX_LINE_LENGTH * MAX_NUM_HEADERS
        )
        self._request: Request | None = None
        self._rest = bytearray()

    def accept(self, request: Request) -> Response:
        """Return the response that opens the connection, to be sent or changed first.

        If the request is not acceptable, the response says so, and ``handshake_exc``
        tells why.
        """
        try:
            return self._accept(request)
        except InvalidHandshake as exc:
            self._note_failure(exc, request)
        except Exception as exc:
            self._note_failure(exc, request)
            self.logger.error("opening handshake failed", exc_info=True)
        assert self.handshake_exc is not None
        return _refusal(self.handshake_exc)

    def reject(self, status: StatusLike, text: str) -> Response:
        """Return a plain text response that refuses, to be sent or changed first."""
        response = handshake.refuse(int(status), text, date=_now())
        response.headers = Headers.made(response.headers)
        return response

    def send_response(self, response: Response) -> None:
        """Send the response; with 101 the connection is open, else it is over.

        Raises InvalidState when there is nothing left to respond to.
        """
        if self._state is not CONNECTING or self.eof_sent:
            raise self._not_now()
        if self.debug:
            log_head(self.logger, ">", response)
        self._writes.append(response.serialize())
        if response.status_code == 101:
            rest = bytes(self._rest)
            self._rest = bytearray()
            self._open(rest)
            return
        refused = self.handshake_exc is not None and self._request is not None
        self.logger.info(
            "connection rejected (%d %s)" if refused else "HTTP response sent (%d %s)",
            response.status_code,
            excerpt(response.reason_phrase),
        )
        self._deaf = True
        self._end_sending()

    def select_subprotocol(
        self, subprotocols: Sequence[Subprotocol]
    ) -> Subprotocol | None:
        """Return the subprotocol for a client that offers these; None for none.

        The first supported one that is offered, unless ``select_subprotocol`` was
        given. Raises NegotiationError to refuse the client: when we support some and
        share none with it.
        """
        if self._select is not None:
            return self._select(self, subprotocols)
        supported = self.available_subprotocols
        chosen = handshake.select_subprotocol(subprotocols, supported)
        return None if chosen is None else Subprotocol(chosen)

    def process_request(self, request: Request) -> tuple[str, str | None, str | None]:
        """Check a request, and agree on what it offers.

        Returns what the response says in Sec-WebSocket-Accept, -Extensions and
        -Protocol. Raises InvalidHandshake for a request that is not acceptable.
        """
        headers = _known(request.headers)
        if headers is not request.headers:  # read by another program
            method = getattr(request, "method", "GET")
            version = getattr(request, "protocol", "HTTP/1.1")
            request = cast(Request, _Foreign(headers, method, version))
        key = handshake.check_request(request)
        self.origin = self.process_origin(headers)
        answer, self.extensions = self.process_extensions(headers)
        self.subprotocol = self.process_subprotocol(headers)
        return handshake.accept_token(key), answer, self.subprotocol

    def process_origin(self, headers: Headers) -> Origin | None:
        """Return the Origin of a request; raise InvalidOrigin if we do not want it."""
        handshake.check_origin(Request("/", _known(headers)), self.origins)
        origin = headers.get("Origin")
        return None if origin is None else Origin(origin)

    def process_extensions(
        self, headers: Headers
    ) -> tuple[str | None, list[Extension]]:
        """Return what to answer to the extensions offered, and those agreed on."""
        answer, agreed = grant(
            headers.get_all("Sec-WebSocket-Extensions"),
            list(self.available_extensions or ()),
        )
        return answer, as_extensions(agreed, client=False)

    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """Return the subprotocol for a request; see ``select_subprotocol()``."""
        offered = [
            Subprotocol(x) for x in handshake.offered_subprotocols(_known(headers))
        ]
        return self.select_subprotocol(offered)

    def _accept(self, request: Request) -> Response:
        accept, extensions, subprotocol = self.process_request(request)
        headers = Headers({"Date": _now(), "Upgrade": "websocket"})
        headers["Connection"] = "Upgrade"
        headers["Sec-WebSocket-Accept"] = accept
        if extensions is not None:
            headers["Sec-WebSocket-Extensions"] = extensions
        if subprotocol is not None:
            headers["Sec-WebSocket-Protocol"] = subprotocol
        return Response(101, "Switching Protocols", headers)

    def _note_failure(self, exc: Exception, request: Request | None) -> None:
        self.handshake_exc = exc
        if request is not None:
            with contextlib.suppress(AttributeError):  # not every program's has it
                request._exception = exc
        if self.debug and isinstance(exc, InvalidHandshake):
            self.logger.debug("! %s", _kind_of(exc), exc_info=exc)

    def _receive_head(self, data: bytes) -> None:
        if self._request is not None:
            # A client waits for the response; what does not is read after it.
            self._rest += data
            return
        try:
            request = self._head.feed(data)
        except InvalidMessage as exc:
            # Most likely not HTTP at all: no use answering in it.
            self._give_up(exc, ended=False)
        except InvalidHandshake as exc:
            self._note_failure(exc, None)
            self.send_response(_refusal(exc))
        else:
            if request is not None:
                self._receive_request(request)

    def _receive_request(self, request: Request) -> None:
        request.headers = Headers.received(request.headers)
        if self.debug:
            log_head(self.logger, "<", request)
        self._request = request
        self._rest += self._head.rest
        self._events.append(request)

    def _receive_eof_in_head(self) -> None:
        if self._request is not None:
            return
        try:
            self._head.feed_eof()
        except InvalidMessage as exc:
            self._give_up(exc, ended=True)

    def _give_up(self, exc: InvalidMessage, ended: bool) -> None:
        fault = invalid_message(exc, "request", ended)
        self.handshake_exc = fault
        if self.debug:
            cause = fault.__cause__
            self.logger.debug("! no valid HTTP request", exc_info=cause)
        self._deaf = True
        self._end_sending()


class ServerConnection(FormerRules, ServerProtocol):
    """ServerProtocol, as edition 10.4 calls and makes it. Deprecated."""

    def __init__(
        self,
        origins: Sequence[Origin | None] | None = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        state: State = CONNECTING,
        max_size: MaxSize = 2**20,
        logger: LoggerLike | None = None,
        **further: Any,
    ) -> None:
        warn_renamed("ServerConnection", "ServerProtocol")
        ServerProtocol.__init__(
            self,
            origins=origins,
            extensions=extensions,
            subprotocols=subprotocols,
            state=state,
            max_size=max_size,
            logger=logger,
            **further,
        )

    def accept(self, request: Request) -> Response:
        """Return the response to ``request``; ``body`` is None where it opens."""
        response = super().accept(request)
        if response.status_code == 101:
            response.body = None  # type: ignore[assignment]
        return response

    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """Return the subprotocol; None where one side has none, or none is shared."""
        offered = [
            Subprotocol(x) for x in handshake.offered_subprotocols(_known(headers))
        ]
        supported = self.available_subprotocols
        if not offered or not supported:
            return None
        select: Callable[..., Subprotocol | None] = self.select_subprotocol
        if not binds(inspect.signature(select), 2):
            return select(offered)  # an override as of edition 11
        return select(offered, supported)

    def select_subprotocol(
        self,
        subprotocols: Sequence[Subprotocol],
        server_subprotocols: Sequence[Subprotocol] | None = None,
    ) -> Subprotocol | None:
        """Return the one in common whose places in both lists have the least sum."""
        if self._select is not None or server_subprotocols is None:
            return super().select_subprotocol(subprotocols)
        ours, theirs = list(server_subprotocols), list(subprotocols)
        common = [name for name in theirs if name in ours]
        if not common:
            return None
        return min(common, key=lambda name: ours.index(name) + theirs.index(name))


@dataclasses.dataclass(frozen=True)
class _Foreign:
    """What is checked of a request that another program's server has read."""

    headers: Headers
    method: str
    protocol: Any


def _known(headers: Any) -> Headers:
    """Return headers as longwire's; those of other programs have ``get_all()``."""
    if isinstance(headers, AnyHeaders):
        return cast(Headers, headers)
    known = Headers()
    for name in {name.lower(): name for name in headers}.values():
        for value in headers.get_all(name):
            known.set_insecure(name, value)
    return known


def _kind_of(exc: InvalidHandshake) -> str:
    for kind, text in _KINDS.items():
        if isinstance(exc, kind):
            return text
    return "invalid handshake"


_KINDS: dict[type[Exception], str] = {
    InvalidMethod: "invalid method",
    InvalidOrigin: "invalid origin",
    InvalidProtocol: "invalid protocol",
    InvalidUpgrade: "invalid upgrade",
    RequestLineTooLong: "request line too long",
    HeaderLineTooLong: "header fields too large",
    TooManyHeaders: "header fields too large",
}


def _refusal(exc: Exception) -> Response:
    response = handshake.refusal_for(exc, date=_now())
    response.headers = Headers.made(response.headers)
    return response


def _now() -> str:
    return email.utils.formatdate(usegmt=True)


_FORMER = "WebSocketServer WebSocketServerProtocol broadcast serve unix_serve"
give_aliases(globals(), **dict.fromkeys(_FORMER.split(), "legacy.server"))
