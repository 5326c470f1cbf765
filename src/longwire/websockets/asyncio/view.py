"""``connection.protocol``: the sans-I/O side of a connection, as programs read it.

longwire's session does for a connection what a sans-I/O protocol does for its owner. A
view looks like that protocol: it reads each attribute from the connection when somebody
asks, and has the connection send what is sent by it.
"""

from __future__ import annotations

import dataclasses
import logging
import uuid
from typing import TYPE_CHECKING, Any

from ...core.frames import serialize_close
from ...errors import ConnectionClosed, InvalidState, ProtocolError
from ...messages import Opcode, Side, State
from ...session import HALF_CLOSE
from ..extensions.base import Extension
from ..frames import Close
from ..typing import BytesLike
from ..uri import WebSocketURI

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["View"]

_NOT_HERE = "the connection reads by itself; receive by its recv()"


class View:
    """The documented ClientProtocol or ServerProtocol of a connection.

    ``settings`` are what ``connect`` or ``serve`` was told. Where a factory of the
    caller's makes the connection, its view is made before, and says CONNECTING.
    """

    _id: uuid.UUID | None = None

    def __init__(
        self, settings: Any, side: Side, connection: Connection | None = None
    ) -> None:
        self.settings = settings
        self._connection = connection
        self.side = side

    def join(self, connection: Connection) -> None:
        """Be the view of ``connection`` from now on."""
        self._connection = connection
        if self._id is not None:
            connection._id = self._id

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What isinstance() is told: a view is not one, and can do for one."""
        from ..client import ClientProtocol
        from ..server import ServerProtocol

        return ClientProtocol if self.side is Side.CLIENT else ServerProtocol

    def __getattr__(self, name: str) -> Any:
        # What a front end takes from its settings: limits, timeouts, origins, ...
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.settings, name)

    def __repr__(self) -> str:
        name = "ClientProtocol" if self.side is Side.CLIENT else "ServerProtocol"
        return f"<{name} {self.state.name} at {id(self):#x}>"

    # --- what is known from the beginning ----------------------------------------

    @property
    def id(self) -> uuid.UUID:
        """Unique identifier of the connection."""
        if self._connection is not None:
            return self._connection.id
        if self._id is None:
            self._id = uuid.uuid4()
        return self._id

    @property
    def logger(self) -> Any:
        """Logger of the connection."""
        connection = self._connection
        return self.settings.logger if connection is None else connection.logger

    @property
    def debug(self) -> bool:
        """Whether frames are logged."""
        return bool(self.logger.isEnabledFor(logging.DEBUG))

    @property
    def uri(self) -> WebSocketURI:
        """The URI that a client connects to."""
        return WebSocketURI(*dataclasses.astuple(self.settings.uri))

    @property
    def available_extensions(self) -> list[Any]:
        """The factories of extensions that may be agreed on."""
        return list(self.settings.extensions)

    @property
    def available_subprotocols(self) -> list[str] | None:
        """The subprotocols that may be agreed on."""
        names = self.settings.subprotocols
        return None if names is None else list(names)

    @property
    def max_message_size(self) -> int | None:
        """Largest message received, in bytes."""
        limit: int | None = self._limits.message
        return limit

    @property
    def max_fragment_size(self) -> int | None:
        """Largest fragment received, in bytes."""
        limit: int | None = self._limits.fragment
        return limit

    @property
    def _limits(self) -> Any:
        connection = self._connection
        return self.settings.limits if connection is None else connection._limits

    # --- the opening handshake ---------------------------------------------------

    @property
    def key(self) -> str | None:
        """The Sec-WebSocket-Key of the request, None before it is known."""
        connection = self._connection
        if connection is None or connection.request is None:
            return None
        return connection.request.headers.get("Sec-WebSocket-Key")

    @property
    def origin(self) -> str | None:
        """The Origin of the request."""
        if self.side is Side.CLIENT:
            origin: str | None = self.settings.origin
            return origin
        connection = self._connection
        if connection is None or connection.request is None:
            return None
        return connection.request.headers.get("Origin")

    @property
    def extensions(self) -> list[Extension]:
        """The extensions agreed on, in the order in which frames are encoded."""
        return [] if self._connection is None else self._connection._extensions

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on."""
        return None if self._connection is None else self._connection.subprotocol

    @property
    def handshake_exc(self) -> BaseException | None:
        """Why the opening handshake failed; None if it has not."""
        return None if self._connection is None else self._connection._handshake_exc

    # --- the state ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection is in its life."""
        return State.CONNECTING if self._connection is None else self._connection.state

    @property
    def close_rcvd(self) -> Close | None:
        """The close frame received."""
        session = self._session
        close = None if session is None else session.peer_close
        return None if close is None else Close(*close)

    @property
    def close_sent(self) -> Close | None:
        """The close frame sent."""
        session = self._session
        close = None if session is None else session.protocol.close_sent
        return None if close is None else Close(*close)

    @property
    def close_rcvd_then_sent(self) -> bool | None:
        """Which close frame came first; None before there are both."""
        session = self._session
        if session is None or None in (session.peer_close, session.protocol.close_sent):
            return None
        return session.closing_cause is None

    @property
    def close_code(self) -> int | None:
        """The close code received, 1006 if none was; None while not CLOSED."""
        return None if self._connection is None else self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        """The close reason received, "" if none was; None while not CLOSED."""
        return None if self._connection is None else self._connection.close_reason

    @property
    def close_exc(self) -> ConnectionClosed:
        """The exception that tells of the end; AssertionError while not CLOSED."""
        if self._connection is None:
            raise AssertionError("connection isn't closed yet")
        return self._connection.close_exc

    @property
    def parser_exc(self) -> BaseException | None:
        """What was wrong with the data received; None if nothing was."""
        session = self._session
        if session is None or session.ended is None or session.peer_close is not None:
            return None
        cause: BaseException | None = session.exception().__cause__
        return cause

    @property
    def eof_sent(self) -> bool:
        """Whether our half of the TCP connection was closed."""
        session = self._session
        return session is not None and session.ending >= HALF_CLOSE

    @property
    def _session(self) -> Any:
        return None if self._connection is None else self._connection._session

    # --- sending -----------------------------------------------------------------

    def send_continuation(self, data: BytesLike, fin: bool) -> None:
        """Send a Continuation frame."""
        self._send(Opcode.CONT, data, fin)

    def send_text(self, data: BytesLike, fin: bool = True) -> None:
        """Send a Text frame of UTF-8."""
        self._send(Opcode.TEXT, data, fin)

    def send_binary(self, data: BytesLike, fin: bool = True) -> None:
        """Send a Binary frame."""
        self._send(Opcode.BINARY, data, fin)

    def _send(self, opcode: Opcode, data: BytesLike, fin: bool) -> None:
        connection = self._open_connection()
        connection._live.send(opcode, bytes(data), fin, True)
        connection._react()

    def send_ping(self, data: BytesLike) -> None:
        """Send a Ping frame."""
        connection = self._open_connection()
        waiter = connection._loop.create_future()
        connection._live.ping(bytes(data), waiter, connection._now())
        connection._react()

    def send_pong(self, data: BytesLike) -> None:
        """Send a Pong frame."""
        connection = self._open_connection()
        connection._live.pong(bytes(data))
        connection._react()

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        """Send a Close frame; raise ProtocolError for one that may not be sent."""
        serialize_close(code, reason)
        self._open_connection()._start_close(code, reason)

    def fail(self, code: int, reason: str = "") -> None:
        """Fail the connection: send a Close frame, and listen no more.

        Raises ProtocolError for a code that may not be sent.
        """
        serialize_close(code, reason)
        connection = self._connection
        if connection is None or connection._session is None:
            raise InvalidState("the opening handshake is not complete")
        error = ProtocolError(reason, code=code)
        connection._live.fail(error, connection._now())
        connection._react()

    def data_to_send(self) -> list[bytes]:
        """Return nothing: what was sent has left."""
        return []

    def events_received(self) -> list[Any]:
        """Return nothing: what was received is for ``recv()``."""
        return []

    def close_expected(self) -> bool:
        """Return whether the peer will close the TCP connection soon."""
        if self.state is State.CLOSED:
            return False
        return self.state is State.CLOSING or self.eof_sent

    def receive_data(self, data: BytesLike) -> None:
        """Raise InvalidState: the connection reads by itself."""
        raise InvalidState(_NOT_HERE)

    def receive_eof(self) -> None:
        """Raise InvalidState: the connection reads by itself."""
        raise InvalidState(_NOT_HERE)

    def _open_connection(self) -> Connection:
        connection = self._connection
        if connection is None or connection.state is not State.OPEN:
            raise InvalidState(f"connection is {self.state.name.lower()}")
        return connection
