"""What former editions call the parts of a connection, over those it has today.

Properties only: they cost nothing until somebody asks.
"""

from __future__ import annotations

from typing import cast

from ..messages import State
from ..steps import Opened
from . import closed
from .asyncio import client, connection, server
from .datastructures import Headers
from .extensions.base import Extension

__all__ = ["ClientConnection", "OldNames", "ServerConnection"]

_EARLY = "is known only after the opening handshake"


class OldNames(connection.Connection):
    """A connection with the attributes of all editions."""

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection."""
        super().opened(opened)
        self._live.kinds = closed.KINDS

    @property
    def open(self) -> bool:
        """Whether messages can be sent; better: ``except ConnectionClosed``."""
        return self.state is State.OPEN

    @property
    def closed(self) -> bool:
        """Whether the connection has ended; False while it opens or closes."""
        return self.state is State.CLOSED

    @property
    def path(self) -> str:
        """The path, and query, of the request; ``request.path`` today."""
        if self.request is None:
            raise AttributeError(f"path {_EARLY}")
        return self.request.path

    @property
    def request_headers(self) -> Headers:
        """The headers of the request; ``request.headers`` today."""
        if self.request is None:
            raise AttributeError(f"request_headers {_EARLY}")
        return cast(Headers, self.request.headers)

    @property
    def response_headers(self) -> Headers:
        """The headers of the response; ``response.headers`` today."""
        if self.response is None:
            raise AttributeError(f"response_headers {_EARLY}")
        return cast(Headers, self.response.headers)

    @property
    def raw_request_headers(self) -> list[tuple[str, str]]:
        """The headers of the request, as pairs."""
        return list(self.request_headers.raw_items())

    @property
    def raw_response_headers(self) -> list[tuple[str, str]]:
        """The headers of the response, as pairs."""
        return list(self.response_headers.raw_items())

    @property
    def extensions(self) -> list[Extension]:
        """The extensions agreed on; each has a ``name``."""
        return self._extensions

    @property
    def origin(self) -> str | None:
        """The Origin of the request."""
        origin: str | None = self.protocol.origin
        return origin

    @property
    def host(self) -> str | None:
        """Where a client connects to; None on a server."""
        if not self._client:
            return None
        address = self._given.address
        host: str = self._given.uri.host if address.host is None else address.host
        return host

    @property
    def port(self) -> int | None:
        """Where a client connects to; None on a server."""
        if not self._client:
            return None
        address = self._given.address
        port: int = self._given.uri.port if address.port is None else address.port
        return port

    @property
    def secure(self) -> bool | None:
        """Whether the connection is TLS; None before there is one."""
        if self.wire is None:
            return None
        return self.wire.get_extra_info("ssl_object") is not None

    @property
    def is_client(self) -> bool:
        """Which side this is."""
        return self._client

    @property
    def side(self) -> str:
        """Which side this is: "client" or "server"."""
        return "client" if self._client else "server"


class ServerConnection(OldNames, server.ServerConnection):
    """A client's connection, as handlers get it."""


class ClientConnection(OldNames, client.ClientConnection):
    """The client's end of a connection."""
