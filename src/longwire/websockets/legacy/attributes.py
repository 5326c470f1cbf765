"""What programs read of a connection of former editions, at every stage of its life.

Attributes are read from the connection inside when somebody asks. They were plain ones
once, and a subclass, or another program's server, may still set them, which wins.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, cast

from ...connection import ConnectionLogger
from ...messages import State
from ..datastructures import Headers
from ..extensions.base import Extension
from ..frames import Close
from ..overriding import Known
from .waiting import WaitingMessages

if TYPE_CHECKING:
    from .behaviour import Behaviour
    from .inner import InnerConnection

__all__ = ["Attributes"]

# What longwire's connections have beside, and no edition does.
_MORE = frozenset(
    {
        *("close_exc", "close_report", "dropped", "protocol", "recv_streaming"),
        *("request", "response", "send_threadsafe", "username", "wire"),
    }
)


class Attributes:
    """The attributes of ``WebSocketCommonProtocol``."""

    _behaviour: Behaviour
    _connection: InnerConnection

    is_client: bool
    side: str = "undefined"

    # --- who it is ---------------------------------------------------------------

    @Known
    def id(self) -> uuid.UUID:
        """Unique identifier of the connection, for logs."""
        return self._connection.id

    @Known
    def logger(self) -> ConnectionLogger:
        """Logger of this connection."""
        return self._connection.logger

    @Known
    def debug(self) -> bool:
        """Whether frames are logged."""
        return self._connection.debug

    @Known
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        return self._connection.loop

    @Known
    def transport(self) -> asyncio.BaseTransport:
        """The transport, once there is one."""
        if self._connection.wire is None:
            raise AttributeError("transport is known only after connection_made()")
        return self._connection.transport

    @property
    def host(self) -> str | None:
        """Where the client connects to or the server listens."""
        return self._behaviour.host

    @property
    def port(self) -> int | None:
        """Where the client connects to or the server listens."""
        return self._behaviour.port

    @property
    def secure(self) -> bool | None:
        """Whether the connection is TLS; None if that is not known yet."""
        wire = self._connection.wire
        if self._behaviour.secure is not None or wire is None:
            return self._behaviour.secure
        return wire.get_extra_info("ssl_object") is not None

    @property
    def local_address(self) -> Any:
        """Our address: (host, port, …) for TCP; None before there is one."""
        return self._connection.local_address

    @property
    def remote_address(self) -> Any:
        """The peer's address: (host, port, …) for TCP; None before there is one."""
        return self._connection.remote_address

    # --- how it behaves ----------------------------------------------------------

    @Known
    def ping_interval(self) -> float | None:
        """Seconds between pings."""
        return self._behaviour.ping_interval

    @Known
    def ping_timeout(self) -> float | None:
        """Seconds that a pong may take."""
        return self._behaviour.ping_timeout

    @Known
    def close_timeout(self) -> float | None:
        """Seconds that each step of closing may take."""
        return self._behaviour.close_timeout

    @Known
    def timeout(self) -> float | None:
        """What editions before 7 call ``close_timeout``."""
        return self._behaviour.timeout

    @Known
    def max_size(self) -> Any:
        """Largest message received, in bytes."""
        return self._behaviour.max_size

    @Known
    def max_queue(self) -> Any:
        """Messages that wait for ``recv()`` when reading pauses."""
        return self._behaviour.max_queue

    @Known
    def read_limit(self) -> int:
        """Accepted, and of no use."""
        return self._behaviour.read_limit

    @Known
    def write_limit(self) -> Any:
        """Unsent bytes at which ``send()`` waits."""
        return self._behaviour.write_limit

    @Known
    def legacy_recv(self) -> bool:
        """Whether ``recv()`` returns None at the end, as in 2.6."""
        return self._behaviour.legacy_recv

    # --- what was agreed on ------------------------------------------------------

    @Known
    def path(self) -> str:
        """The path, and query, of the request."""
        request = self._connection.request
        if request is None:
            raise _too_early("path")
        return request.path

    @Known
    def request_headers(self) -> Headers:
        """The headers of the request."""
        request = self._connection.request
        if request is None:
            raise _too_early("request_headers")
        return cast(Headers, request.headers)

    @Known
    def response_headers(self) -> Headers:
        """The headers of the response."""
        response = self._connection.response
        if response is None:
            raise _too_early("response_headers")
        return cast(Headers, response.headers)

    @property
    def raw_request_headers(self) -> list[tuple[str, str]]:
        """The headers of the request, as pairs."""
        return list(self.request_headers.raw_items())

    @property
    def raw_response_headers(self) -> list[tuple[str, str]]:
        """The headers of the response, as pairs."""
        return list(self.response_headers.raw_items())

    @Known
    def origin(self) -> str | None:
        """The Origin of the request."""
        request = self._connection.request
        return None if request is None else request.headers.get("Origin")

    @Known
    def extensions(self) -> list[Extension]:
        """The extensions agreed on."""
        return self._connection._extensions

    @Known
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on."""
        return self._connection.subprotocol

    @Known
    def messages(self) -> WaitingMessages:
        """What has arrived and waits for ``recv()``."""
        return WaitingMessages(self._connection)

    # --- its state ---------------------------------------------------------------

    @Known
    def state(self) -> State:
        """Where the connection is in its life."""
        return self._connection.state

    @property
    def open(self) -> bool:
        """Whether messages can be sent; better: ``except ConnectionClosed``."""
        return self._connection.state is State.OPEN

    @property
    def closed(self) -> bool:
        """Whether the connection has ended; False while it opens or closes."""
        return self._connection.state is State.CLOSED

    @property
    def close_code(self) -> int | None:
        """The close code received, 1006 if none was; None before the end."""
        return self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        """The close reason received, "" if none was; None before the end."""
        return self._connection.close_reason

    @Known
    def close_rcvd(self) -> Close | None:
        """The close frame received."""
        close: Close | None = self._connection.protocol.close_rcvd
        return close

    @Known
    def close_sent(self) -> Close | None:
        """The close frame sent."""
        close: Close | None = self._connection.protocol.close_sent
        return close

    @Known
    def close_rcvd_then_sent(self) -> bool | None:
        """Which close frame came first; None before there are both."""
        first: bool | None = self._connection.protocol.close_rcvd_then_sent
        return first

    @Known
    def latency(self) -> float:
        """Seconds the last answered ping took, 0 before the first one."""
        return self._connection.latency

    @Known
    def connection_lost_waiter(self) -> asyncio.Future[None]:
        """A future that is done when TCP has ended."""
        return self._connection.connection_lost_waiter

    @Known
    def transfer_data_exc(self) -> BaseException | None:
        """What ended the reading of messages, None while nothing has."""
        session = self._connection._session
        if session is None or session.ended is None:
            return None
        return session.exception().__cause__


def _too_early(name: str) -> AttributeError:
    return AttributeError(f"{name} is known only after the opening handshake")


def _inside(name: str) -> Known[Any]:
    def read(self: Attributes) -> Any:
        try:
            return getattr(self._connection, name)
        except AttributeError:
            kind = type(self).__name__
            text = f"{kind!r} object has no attribute {name!r}"
            raise AttributeError(text, name=name, obj=self) from None

    return Known(read)


# Not by __getattr__(): with one, each ``ws.send`` is looked for in two ways.
for _name in _MORE:
    setattr(Attributes, _name, _inside(_name))
