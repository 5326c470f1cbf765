"""The server's side of the sans-I/O protocol; the former ``serve`` and its classes.

The names of the former asyncio server are taken from ``legacy.server`` at first use.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InvalidHandshake
from ..http import handshake
from ..http.extension_base import ServerExtensionFactory
from ..http.extensions import grant
from ..http.headers import validate_subprotocols
from ..http.heads import Request, RequestReader, Response
from .aliases import give_aliases
from .connection import FormerRules, warn_renamed
from .datastructures import Headers
from .http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS
from .negotiating import as_extensions, ended_early, log_head
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
            self.logger.info("opening handshake failed: %s", exc)
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
        else:
            self._deaf = True
            self._send_eof()

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

    def _accept(self, request: Request) -> Response:
        headers = request.headers
        key = handshake.check_request(request)
        handshake.check_origin(request, self.origins)
        origin = headers.get("Origin")
        self.origin = None if origin is None else Origin(origin)
        answer, agreed = grant(
            headers.get_all("Sec-WebSocket-Extensions"),
            list(self.available_extensions or ()),
        )
        offered = [Subprotocol(x) for x in handshake.offered_subprotocols(headers)]
        self.subprotocol = self.select_subprotocol(offered)
        self.extensions = as_extensions(agreed, client=False)
        response = handshake.build_response(
            key,
            subprotocol=self.subprotocol,
            extensions_header=answer,
            date=_now(),
        )
        response.headers = Headers.made(response.headers)
        return response

    def _note_failure(self, exc: Exception, request: Request | None) -> None:
        self.handshake_exc = exc
        if request is not None:
            request._exception = exc

    def _receive_head(self, data: bytes) -> None:
        if self._request is not None:
            # A client waits for the response; what does not is read after it.
            self._rest += data
            return
        try:
            request = self._head.feed(data)
        except InvalidHandshake as exc:
            self._note_failure(exc, None)
            self.logger.info("opening handshake failed: %s", exc)
            self.send_response(_refusal(exc))
            return
        if request is not None:
            request.headers = Headers.received(request.headers)
            if self.debug:
                log_head(self.logger, "<", request)
            self._request = request
            self._rest += self._head.rest
            self._events.append(request)

    def _receive_eof_in_head(self) -> None:
        if self._request is None:
            try:
                self._head.feed_eof()
            except InvalidHandshake as exc:
                self.handshake_exc = ended_early(exc)


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


def _refusal(exc: Exception) -> Response:
    response = handshake.refusal_for(exc, date=_now())
    response.headers = Headers.made(response.headers)
    return response


def _now() -> str:
    return email.utils.formatdate(usegmt=True)


_FORMER = "WebSocketServer WebSocketServerProtocol broadcast serve unix_serve"
give_aliases(globals(), **dict.fromkeys(_FORMER.split(), "legacy.server"))
