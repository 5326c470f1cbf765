"""What former editions call the parts of a connection, over those it has today.

Properties only: they cost nothing until somebody asks.
"""

from __future__ import annotations

import logging
from typing import Any

from ..asyncio import client, connection
from ..http.headers import Headers
from ..messages import State
from ..steps import Opened
from . import closed
from .asyncio import server

__all__ = ["ClientConnection", "OldNames", "ServerConnection"]

_EARLY = "is known only after the opening handshake"


class OldNames(connection.Connection):
    """A connection with the attributes of all editions."""

    _agreed: Opened | None = None
    _host: str | None = None
    _port: int | None = None
    _secure: bool | None = None

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection."""
        self._agreed = opened
        if self._plain_logger.isEnabledFor(logging.DEBUG):
            from .frame_log import log_frames, log_heads

            log_heads(self, opened)
            self._taps = log_frames(self, opened)
        super().opened(opened)
        self._live.kinds = closed.KINDS

    @property
    def open(self) -> bool:
        """Whether messages can be sent; better: ``except ConnectionClosed``."""
        return self.state is State.OPEN and self._live.is_open

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
        return self.request.headers

    @property
    def response_headers(self) -> Headers:
        """The headers of the response; ``response.headers`` today."""
        if self.response is None:
            raise AttributeError(f"response_headers {_EARLY}")
        return self.response.headers

    @property
    def raw_request_headers(self) -> list[tuple[str, str]]:
        """The headers of the request, as pairs."""
        return list(self.request_headers.raw_items())

    @property
    def raw_response_headers(self) -> list[tuple[str, str]]:
        """The headers of the response, as pairs."""
        return list(self.response_headers.raw_items())

    @property
    def extensions(self) -> list[Any]:
        """The extensions agreed on; each has a ``name``."""
        agreed = self._agreed
        if agreed is None:
            return []
        deflate = [] if agreed.deflate is None else [agreed.deflate]
        return [*deflate, *agreed.extensions]

    @property
    def host(self) -> str | None:
        """Where the client connects to or the server listens; None if unknown."""
        return self._host

    @property
    def port(self) -> int | None:
        """Where the client connects to or the server listens; None if unknown."""
        return self._port

    @property
    def secure(self) -> bool | None:
        """Whether the connection is TLS; None before there is one."""
        if self._secure is not None or self.wire is None:
            return self._secure
        return self.wire.get_extra_info("ssl_object") is not None

    @property
    def is_client(self) -> bool:
        """Which side this is."""
        return self._client

    @property
    def side(self) -> str:
        """Which side this is: "client" or "server"."""
        return "client" if self._client else "server"


class ServerConnection(OldNames, server.LoggedServerConnection):
    """A client's connection, as handlers get it."""


class ClientConnection(OldNames, client.ClientConnection):
    """The client's end of a connection."""
