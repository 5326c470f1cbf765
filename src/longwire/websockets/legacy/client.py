"""The old client: ``connect`` and ``WebSocketClientProtocol``.

Turns old keywords into those of longwire's client, which does all the work.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from ... import retrying
from ...asyncio import client as engine
from ...client_settings import ClientSettings
from ...errors import InvalidStatus
from ...http.extensions import ClientExtensionFactory
from ...http.headers import Headers, HeadersLike, validate_subprotocols
from ...http.uri import parse_uri
from ...settings import PRODUCT
from ..loggers import CLIENT
from ..typing import LoggerLike
from .adapting import (
    Running,
    check_keywords,
    choose_factory,
    headers_from,
    timeout_from,
)
from .exceptions import InvalidStatusCode
from .protocol import WebSocketCommonProtocol

__all__ = ["WebSocketClientProtocol", "connect", "unix_connect"]


class WebSocketClientProtocol(WebSocketCommonProtocol, engine.ClientConnection):
    """The client's end of a connection, as former editions have it.

    Subclass it and pass it as ``create_protocol``. The other keywords are those of
    :class:`WebSocketCommonProtocol`.
    """

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "handshake" in vars(cls):
            # A server's may be overridden; a client's may follow redirects, through
            # proxies, and is over before the connection has its transport.
            text = f"{cls.__name__}.handshake is never called; pass keywords to connect"
            warnings.warn(text, RuntimeWarning, stacklevel=2)

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
        self._running = Running(kwargs.pop("loop", None))
        self._factory = choose_factory(
            create_protocol, kwargs.pop("klass", None), WebSocketClientProtocol
        )
        close_timeout = timeout_from(close_timeout, kwargs.pop("timeout", None))
        legacy_recv = kwargs.pop("legacy_recv", False)
        check_keywords("connect", kwargs, _known(bool(kwargs.get("unix"))))
        if isinstance(logger, str) or logger is None:
            logger = logging.getLogger(logger or CLIENT)
        self._set_up(
            uri,
            logger=logger,
            compression=compression,
            origin=origin,
            extensions=extensions,
            subprotocols=subprotocols,
            additional_headers=headers_from(extra_headers),
            user_agent_header=user_agent_header,
            proxy=kwargs.pop("proxy", None),
            open_timeout=open_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_size=max_size,
            max_queue=max_queue,
            write_limit=write_limit,
            reconnect_delays=self._delays,
            create_connection=self._make,
            **kwargs,
        )
        settings = self._settings
        self._settings = dataclasses.replace(
            settings, max_redirects=self.MAX_REDIRECTS_ALLOWED
        )
        there = parse_uri(uri)
        self._old_keywords: dict[str, Any] = {
            "host": kwargs.get("host") or there.host,
            "port": kwargs.get("port") or there.port,
            "secure": there.secure,
            "open_timeout": open_timeout,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "max_size": max_size,
            "max_queue": max_queue,
            "read_limit": read_limit,
            "write_limit": write_limit,
            "legacy_recv": legacy_recv,
            "logger": logger,
            "origin": origin,
            # What compression= stands for is among them by now.
            "extensions": list(settings.extensions),
            "subprotocols": subprotocols,
            "extra_headers": extra_headers,
            "user_agent_header": user_agent_header,
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

    async def connect(self) -> WebSocketClientProtocol:
        """Return a new connection, open."""
        self._running.check()
        try:
            return await super().connect()  # type: ignore[return-value]
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


def _known(unix: bool) -> set[str]:
    """Return the keywords of :class:`connect` and of the way to the server."""
    own = set(connect.__init__.__annotations__) - {"uri", "kwargs", "return"}
    return own | (engine._UNIX if unix else engine._TCP) | {"proxy"}
