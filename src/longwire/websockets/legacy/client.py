"""The old client: ``connect`` and ``WebSocketClientProtocol``.

Turns old keywords into those of longwire's client, which does all the work.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from ... import retrying
from ...asyncio import client as engine
from ...asyncio.driver import Stream
from ...client_settings import ClientSettings
from ...connecting import Target, connect_plan
from ...errors import InvalidState, InvalidStatus
from ...http.extensions import ClientExtensionFactory, confirm
from ...http.handshake import confirm_subprotocol
from ...http.headers import Headers, HeadersLike, validate_subprotocols
from ...settings import PRODUCT
from ...steps import Opened, Plan
from ..loggers import CLIENT
from ..typing import LoggerLike
from ..uri import WebSocketURI
from . import opening
from .adapting import OldCall, headers_from, spell_out
from .exceptions import InvalidStatusCode
from .protocol import Behaviour, WebSocketCommonProtocol

__all__ = ["WebSocketClientProtocol", "connect", "unix_connect"]


class WebSocketClientProtocol(WebSocketCommonProtocol, engine.ClientConnection):
    """The client's end of a connection, as former editions have it.

    Subclass it and pass it as ``create_protocol``. The other keywords are those of
    :class:`WebSocketCommonProtocol`.
    """

    _exchange: opening.Exchange | None = None

    def __init__(
        self,
        *,
        logger: LoggerLike | None = None,
        origin: str | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        extra_headers: HeadersLike | None = None,
        user_agent_header: str | None = PRODUCT,
        **kwargs: Any,
    ) -> None:
        logger = logger or logging.getLogger(CLIENT)
        super().__init__(**kwargs, logger=logger)
        self.origin = origin
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.extra_headers = extra_headers
        self.user_agent_header = user_agent_header

    def _aim(self, settings: ClientSettings) -> None:
        """Ask for what the attributes say, where ``settings`` say."""
        if self.available_subprotocols is not None:
            validate_subprotocols(self.available_subprotocols)
        self.protocol = dataclasses.replace(
            settings,
            origin=self.origin,
            extensions=tuple(self.available_extensions or ()),
            subprotocols=None
            if self.available_subprotocols is None
            else tuple(self.available_subprotocols),
            additional_headers=Headers(self.extra_headers or {}),
            user_agent=self.user_agent_header,
        )

    # --- the opening handshake ---------------------------------------------------

    async def _handshake_by(self, exchange: opening.Exchange) -> None:
        """Have ``handshake()`` do the opening handshake; for ``connect``."""
        uri = WebSocketURI(*dataclasses.astuple(exchange.target.uri))
        given = {
            "origin": self.origin,
            "available_extensions": self.available_extensions,
            "available_subprotocols": self.available_subprotocols,
            "extra_headers": self.extra_headers,
        }
        self._exchange = exchange
        try:
            arguments = opening.accepted_arguments(self.handshake, given)
            await self.handshake(uri, **arguments)
        finally:
            self._exchange = None

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
        here, before or after, or ask for something else. ``subprotocols`` is what 2.6
        calls ``available_subprotocols``. Raises an InvalidHandshake for what is wrong
        with the answer: InvalidStatusCode for a refusal, RedirectHandshake, ...
        """
        exchange = self._exchange_now()
        self.origin = origin
        self.available_extensions = available_extensions
        self.available_subprotocols = available_subprotocols or subprotocols
        self.extra_headers = extra_headers
        self._aim(exchange.settings)
        exchange.settings = self.protocol
        exchange.target = dataclasses.replace(exchange.target, redirected_to=wsuri)
        await exchange.run()

    def _exchange_now(self) -> opening.Exchange:
        if self._exchange is None:
            raise InvalidState("no opening handshake is under way")
        return self._exchange

    def write_http_request(self, path: str, headers: Headers) -> None:
        """Send the request, which then is in ``request``.

        Called by ``handshake()``; an override may change ``headers``.
        """
        self.request = self._exchange_now().write_now(path, headers)

    async def read_http_response(self) -> tuple[int, Headers]:
        """Return status and headers of the response, which then is in ``response``.

        Called by ``handshake()``. Raises what is wrong with it: an InvalidHandshake.
        """
        self.response = response = await self._exchange_now().read_now()
        return response.status_code, response.headers

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


class connect(engine.connect):
    """A connection as former editions make it; ``longwire.connect`` is today's.

    ``await connect(uri)`` gives a :class:`WebSocketClientProtocol`; ``async with``
    also closes it; ``async for`` gives a new one each time. No loop has to run to make
    the object.

    ``create_protocol`` is a subclass of :class:`WebSocketClientProtocol` or a factory;
    ``extra_headers`` go into the request. ``loop``, ``timeout`` and ``klass`` are
    deprecated. Proxies are used only if ``proxy`` says so. A refusal is raised as
    InvalidStatusCode. All other keywords are as for ``longwire.connect``, or go to the
    loop's ``create_connection()``.
    """

    BACKOFF_INITIAL = 5.0
    BACKOFF_MIN = 3.1
    BACKOFF_MAX = 90.0
    BACKOFF_FACTOR = 1.618
    MAX_REDIRECTS_ALLOWED = 10

    _legacy_recv = False

    def __init__(
        self,
        uri: str,
        *,
        create_protocol: Callable[..., Any] | None = None,
        logger: LoggerLike | str | None = None,
        compression: str | None = "deflate",
        origin: str | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        extra_headers: HeadersLike | None = None,
        user_agent_header: str | None = PRODUCT,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = None,
        max_size: int | None = 2**20,
        max_queue: int | None = 2**5,
        read_limit: int = 2**16,
        write_limit: int = 2**16,
        **kwargs: Any,
    ) -> None:
        call = OldCall(
            "connect",
            kwargs,
            _known(bool(kwargs.get("unix"))),
            create_protocol=create_protocol,
            default_protocol=WebSocketClientProtocol,
            close_timeout=close_timeout,
            legacy_recv=self._legacy_recv,
            logger=logger,
            default_logger=CLIENT,
        )
        self._running, self._factory = call.running, call.factory
        shared: dict[str, Any] = {
            "open_timeout": open_timeout,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": call.close_timeout,
            "max_size": max_size,
            "max_queue": max_queue,
            "write_limit": write_limit,
            "logger": call.logger,
            "origin": origin,
            "subprotocols": subprotocols,
            "user_agent_header": user_agent_header,
        }
        self._set_up(
            uri,
            **shared,
            compression=compression,
            extensions=extensions,
            additional_headers=headers_from(extra_headers),
            proxy=kwargs.pop("proxy", None),
            reconnect_delays=self._delays,
            create_connection=self._make,
            **kwargs,
        )
        self._settings = dataclasses.replace(
            self._settings, max_redirects=self.MAX_REDIRECTS_ALLOWED
        )
        self._target = Target(self._settings)
        there = self._settings.uri
        self._old_keywords: dict[str, Any] = {
            **shared,
            "host": kwargs.get("host") or there.host,
            "port": kwargs.get("port") or there.port,
            "secure": there.secure,
            "read_limit": read_limit,
            "legacy_recv": call.legacy_recv,
            # What compression= stands for is among them by now.
            "extensions": list(self._settings.extensions),
            "extra_headers": extra_headers,
        }

    def _set_up(self, *args: Any, **kwargs: Any) -> None:
        """Have longwire's own client check everything; its words for it are ours."""
        try:
            super().__init__(*args, **kwargs)
        except ValueError as exc:
            text = str(exc)
            if text.startswith("additional_headers"):
                text = text.replace("additional_headers", "extra_headers", 1)
                raise ValueError(text) from None
            raise

    def _delays(self) -> Iterator[float]:
        return retrying.backoff(
            self.BACKOFF_INITIAL,
            self.BACKOFF_MIN,
            self.BACKOFF_MAX,
            self.BACKOFF_FACTOR,
        )

    def _make(self, settings: ClientSettings, **_: Any) -> WebSocketClientProtocol:
        made = self._factory(**self._old_keywords)
        if not isinstance(made, WebSocketClientProtocol):
            kind = type(made).__name__
            raise TypeError(
                f"create_protocol returned a {kind}; WebSocketClientProtocol expected"
            )
        made._aim(settings)
        return made

    def _plan(
        self, connection: engine.ClientConnection, stream: Stream
    ) -> Plan[Opened]:
        settings = connection.protocol
        return connect_plan(
            settings,
            make_exchange=opening.Exchange.maker(self, connection, stream),
            target=dataclasses.replace(self._target, settings=settings),
        )

    def handle_redirect(self, uri: str) -> None:
        """Go to ``uri``, which may be relative, instead of where we would have gone.

        Called for each redirect; an override may raise, or not call ``super()``: then
        the redirect is raised as InvalidStatusCode. Called before connecting, it is
        where connections of this object go. Raises SecurityError for a way out of TLS
        or, with a given host, port or socket, to another server.
        """
        self._target = self._target.moved(uri)

    async def connect(self) -> WebSocketClientProtocol:
        """Return a new connection, open."""
        self._running.check()
        try:
            return await super().connect()  # type: ignore[return-value]
        except InvalidStatusCode:
            raise
        except InvalidStatus as exc:
            raise InvalidStatusCode.of(exc) from exc

    def __await__(self) -> Generator[Any, None, WebSocketClientProtocol]:
        """Return a new connection, open."""
        return self.connect().__await__()

    __iter__ = __await__  # for `yield from connect(...)`

    async def __aenter__(self) -> WebSocketClientProtocol:
        """Return a new connection, open; leaving the block closes it."""
        return await super().__aenter__()  # type: ignore[return-value]


def unix_connect(
    path: str | os.PathLike[str] | None = None,
    uri: str = "ws://localhost/",
    **kwargs: Any,
) -> connect:
    """Return :class:`connect` to the server at the Unix socket ``path``."""
    if path is not None:
        kwargs["path"] = os.fspath(path)
    return connect(uri, unix=True, **kwargs)


spell_out(WebSocketClientProtocol.__init__, Behaviour, "open_timeout")
spell_out(unix_connect, connect)


def _known(unix: bool) -> set[str]:
    """Return the keywords of :class:`connect` and of the way to the server."""
    own = set(connect.__init__.__annotations__) - {"uri", "kwargs", "return"}
    return own | (engine._UNIX if unix else engine._TCP) | {"proxy"}
