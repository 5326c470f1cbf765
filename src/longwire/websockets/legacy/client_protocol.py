"""``WebSocketClientProtocol``: the client's end of a connection, in former editions.

``connect`` makes one for each server that it is sent to; so may a program that connects
by itself, and then calls ``handshake()``.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, cast

from ...asyncio import transport
from ...asyncio.driver import Stream
from ...asyncio.native import adopt
from ...client_settings import ClientSettings
from ...connecting import Target
from ...errors import InvalidState
from ...http.extensions import ClientExtensionFactory, confirm
from ...http.handshake import confirm_subprotocol
from ...http.headers import validate_subprotocols
from ...http.uri import WebSocketURI as EngineURI
from ..datastructures import Headers, HeadersLike, OldHeaders
from ..http11 import USER_AGENT
from ..loggers import CLIENT
from ..typing import LoggerLike
from ..uri import WebSocketURI
from . import opening
from .adapting import spell_out
from .behaviour import Behaviour
from .inner import InnerClientConnection
from .protocol import WebSocketCommonProtocol
from .steps import HOOKS

__all__ = ["WebSocketClientProtocol"]


class WebSocketClientProtocol(WebSocketCommonProtocol):
    """The client's end of a connection, as former editions have it.

    Subclass it and pass it as ``create_protocol``. The other keywords are those of
    :class:`WebSocketCommonProtocol`.
    """

    is_client = True
    side = "client"

    _hooks = (
        *HOOKS,
        *("handshake", "process_extensions", "process_subprotocol"),
        *("read_http_response", "write_http_request"),
    )
    _connection: InnerClientConnection
    _exchange: opening.Exchange | None = None
    _target: Target | None = None
    _ends_at: float | None = None  # when the opening has to be over
    """Where ``connect`` has connected it to."""

    def __init__(
        self,
        *,
        logger: LoggerLike | None = None,
        origin: str | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        extra_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        **kwargs: Any,
    ) -> None:
        logger = logger or logging.getLogger(CLIENT)
        self._behaviour = behaviour = Behaviour.of(self, {**kwargs, "logger": logger})
        self._connection = inner = InnerClientConnection(behaviour)
        inner._outer = self
        if subprotocols is not None:
            validate_subprotocols(subprotocols)
        self.origin = origin
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.extra_headers = extra_headers
        self.user_agent_header = user_agent_header

    async def handshake(
        self,
        wsuri: WebSocketURI,
        origin: str | None = None,
        available_extensions: Sequence[ClientExtensionFactory] | None = None,
        available_subprotocols: Sequence[str] | None = None,
        extra_headers: HeadersLike | None = None,
        *,
        subprotocols: Sequence[str] | None = None,
    ) -> None:
        """Do the opening handshake with the server of ``wsuri``, on an open stream.

        Called by ``connect`` for each server it is sent to; a subclass may do more
        here, before or after, or ask for something else: the connection is open when
        this returns. ``subprotocols`` is what 2.6 calls ``available_subprotocols``.
        Raises an InvalidHandshake for what is wrong with the answer:
        InvalidStatusCode for a refusal, RedirectHandshake, ...
        """
        inner = self._connection
        if inner.wire is None:
            raise InvalidState("connection_made() was not called")
        self.origin = origin
        self.available_extensions = available_extensions
        self.available_subprotocols = available_subprotocols or subprotocols
        self.extra_headers = extra_headers
        stream = Stream(inner.wire)
        stream.ends_at = self._ends_at
        self._exchange = opening.Exchange(self._aim(wsuri), self, stream)
        try:
            opened = await self._exchange.run()
        finally:
            self._exchange = None
        if type(inner.wire) is transport.Wire:  # not one that tells of anything
            inner.wire = adopt(inner.wire, inner)
        inner.opened(opened)

    def _aim(self, wsuri: WebSocketURI) -> Target:
        """Return the server of ``wsuri``, and what to ask it for."""
        uri = EngineURI(*dataclasses.astuple(wsuri))
        known = self._target
        behaviour = self._behaviour
        settings = dataclasses.replace(
            ClientSettings(uri=uri) if known is None else known.settings,
            limits=behaviour.limits,
            origin=self.origin,
            extensions=tuple(self.available_extensions or ()),
            subprotocols=None
            if self.available_subprotocols is None
            else tuple(self.available_subprotocols),
            additional_headers=OldHeaders(self.extra_headers or {}),
            user_agent=self.user_agent_header,
        )
        foreign = known is not None and known.foreign
        return Target(settings, uri, foreign)

    def _exchange_now(self) -> opening.Exchange:
        if self._exchange is None:
            raise InvalidState("no opening handshake is under way")
        return self._exchange

    def write_http_request(self, path: str, headers: Headers) -> None:
        """Send the request, which ``path`` and ``request_headers`` then are of.

        Called by ``handshake()``; an override may change ``headers``.
        """
        self._connection.request = self._exchange_now().write_now(path, headers)

    async def read_http_response(self) -> tuple[int, Headers]:
        """Return status and headers of the response, then in ``response_headers``.

        Called by ``handshake()``. Raises what is wrong with it: an InvalidHandshake.
        """
        response = await self._exchange_now().read_now()
        self._connection.response = response
        return response.status_code, cast(Headers, response.headers)

    @staticmethod
    def process_extensions(
        headers: Headers, available_extensions: Sequence[ClientExtensionFactory] | None
    ) -> list[Any]:
        """Return the extensions that a response agrees on; raise NegotiationError."""
        values = headers.get_all("Sec-WebSocket-Extensions")
        return list(confirm(values, available_extensions or ()))

    @staticmethod
    def process_subprotocol(
        headers: Headers, available_subprotocols: Sequence[str] | None
    ) -> str | None:
        """Return the subprotocol that a response chooses; raise NegotiationError."""
        return confirm_subprotocol(headers, available_subprotocols)


spell_out(WebSocketClientProtocol.__init__, Behaviour, "open_timeout")
