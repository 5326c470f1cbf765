"""The client's side of the sans-I/O protocol; the former ``connect`` and its class.

The names of the former asyncio client are taken from ``legacy.client`` at first use.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from ..errors import InvalidHandshake, InvalidMessage
from ..http import handshake
from ..http.extension_base import ClientExtensionFactory
from ..http.extensions import confirm, offer
from ..http.headers import validate_subprotocols
from ..http.heads import Request, Response
from ..retrying import process_exception
from .aliases import give_aliases
from .connection import FormerRules, warn_renamed
from .datastructures import Headers
from .extensions.base import Extension
from .http11 import MAX_BODY_SIZE, MAX_LINE_LENGTH, MAX_NUM_HEADERS
from .negotiating import OneDotOne, as_extensions, invalid_message, log_head
from .protocol import CONNECTING, MaxSize, Protocol, Side, State
from .typing import LoggerLike, Origin, Subprotocol
from .uri import WebSocketURI
from .utils import generate_key

if TYPE_CHECKING:  # given by give_aliases below
    from .legacy.client import WebSocketClientProtocol as WebSocketClientProtocol
    from .legacy.client import connect as connect
    from .legacy.client import unix_connect as unix_connect

__all__ = [
    "ClientProtocol",
    "WebSocketClientProtocol",
    "backoff",
    "connect",
    "process_exception",
    "unix_connect",
]


# The documented environment variables.
BACKOFF_INITIAL_DELAY = float(os.environ.get("WEBSOCKETS_BACKOFF_INITIAL_DELAY", "5"))
BACKOFF_MIN_DELAY = float(os.environ.get("WEBSOCKETS_BACKOFF_MIN_DELAY", "3.1"))
BACKOFF_MAX_DELAY = float(os.environ.get("WEBSOCKETS_BACKOFF_MAX_DELAY", "90.0"))
BACKOFF_FACTOR = float(os.environ.get("WEBSOCKETS_BACKOFF_FACTOR", "1.618"))


def backoff(
    initial_delay: float = BACKOFF_INITIAL_DELAY,
    min_delay: float = BACKOFF_MIN_DELAY,
    max_delay: float = BACKOFF_MAX_DELAY,
    factor: float = BACKOFF_FACTOR,
) -> Iterator[float]:
    """Yield the seconds to wait before each new attempt to connect, for ever.

    The first is anything up to ``initial_delay``. Then comes ``min_delay``, growing
    by ``factor`` up to ``max_delay``.
    """
    yield random.random() * initial_delay
    delay = min_delay
    while True:
        yield min(delay, max_delay)
        delay = min(delay * factor, max_delay)


class ClientProtocol(Protocol):
    """The client's side of a connection, without I/O.

    Begin with ``send_request(connect())``. The first event is the Response; if
    ``handshake_exc`` is then None, the connection is open and this is a Protocol.

    ``origin`` is sent as Origin; ``extensions`` and ``subprotocols`` are offered, in
    order of preference.
    """

    def __init__(
        self,
        uri: WebSocketURI,
        *,
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        state: State = CONNECTING,
        max_size: MaxSize = 2**20,
        logger: LoggerLike | None = None,
    ) -> None:
        super().__init__(Side.CLIENT, state=state, max_size=max_size, logger=logger)
        if subprotocols is not None:
            validate_subprotocols(subprotocols)
        self.uri = uri
        self.origin = origin
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.key = generate_key()
        self._head = OneDotOne(
            MAX_LINE_LENGTH,
            MAX_NUM_HEADERS,
            MAX_LINE_LENGTH * MAX_NUM_HEADERS,
            MAX_BODY_SIZE,
        )

    def connect(self) -> Request:
        """Return the request that asks for a connection, to be sent or changed first.

        It has no User-Agent; you may add one, or anything else.
        """
        request = handshake.build_request(
            self.uri,
            key=self.key,
            origin=self.origin,
            subprotocols=self.available_subprotocols,
            extensions_header=offer(self.available_extensions or ()),
        )
        request.headers = Headers.made(request.headers)
        return request

    def send_request(self, request: Request) -> None:
        """Send the request."""
        if self.debug:
            log_head(self.logger, ">", request)
        self._writes.append(request.serialize())

    def process_response(self, response: Response) -> None:
        """Take what the response agrees on; raise InvalidHandshake if we cannot."""
        headers = cast(Headers, response.headers)
        handshake.check_response(response, self.key)
        self.extensions = self.process_extensions(headers)
        self.subprotocol = self.process_subprotocol(headers)

    def process_extensions(self, headers: Headers) -> list[Extension]:
        """Return the extensions that a response agrees on, in its order.

        Raises InvalidHandshake for what was not offered.
        """
        agreed = confirm(
            headers.get_all("Sec-WebSocket-Extensions"),
            list(self.available_extensions or ()),
        )
        return as_extensions(agreed, client=True)

    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """Return the subprotocol of a response; None if it has none.

        Raises InvalidHandshake for one that was not offered.
        """
        chosen = handshake.confirm_subprotocol(headers, self.available_subprotocols)
        return None if chosen is None else Subprotocol(chosen)

    def _receive_head(self, data: bytes) -> None:
        self._read_head(lambda: self._head.feed(data), ended=False)

    def _receive_eof_in_head(self) -> None:
        self._read_head(self._head.feed_eof, ended=True)

    def _read_head(self, read: Callable[[], Response | None], ended: bool) -> None:
        try:
            response = read()
        except InvalidMessage as exc:
            self._give_up(invalid_message(exc, "response", ended))
        except InvalidHandshake as exc:
            self._give_up(exc)
        else:
            if response is not None:
                self._receive_response(response)

    def _receive_response(self, response: Response) -> None:
        response.headers = Headers.received(response.headers)
        if self.debug:
            log_head(self.logger, "<", response)
        self._events.append(response)
        try:
            self.process_response(response)
        except InvalidHandshake as exc:
            response._exception = exc
            self._give_up(exc)
        else:
            self._open(self._head.rest)

    def _give_up(self, exc: Exception) -> None:
        self.handshake_exc = exc
        self._deaf = True
        self._end_sending()


class ClientConnection(FormerRules, ClientProtocol):
    """ClientProtocol, as edition 10.4 calls and makes it. Deprecated."""

    def __init__(
        self,
        wsuri: WebSocketURI | None = None,
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        state: State = CONNECTING,
        max_size: MaxSize = 2**20,
        logger: LoggerLike | None = None,
        *,
        uri: WebSocketURI | None = None,
    ) -> None:
        warn_renamed("ClientConnection", "ClientProtocol")
        address = wsuri or uri
        if address is None:
            raise TypeError("ClientConnection() needs wsuri")
        ClientProtocol.__init__(
            self,
            address,
            origin=origin,
            extensions=extensions,
            subprotocols=subprotocols,
            state=state,
            max_size=max_size,
            logger=logger,
        )

    @property
    def wsuri(self) -> WebSocketURI:
        """What ClientProtocol calls ``uri``."""
        return self.uri


_FORMER = ("WebSocketClientProtocol", "connect", "unix_connect")
give_aliases(globals(), **dict.fromkeys(_FORMER, "legacy.client"))
