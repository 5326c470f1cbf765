"""The old client: ``connect``, which makes connections of ``WebSocketClientProtocol``.

Turns old keywords into those of longwire's client, which checks them; connects by its
plan, and has the protocol do the opening handshake.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from typing import Any, cast

from ...asyncio import client as engine
from ...asyncio.driver import Stream, run
from ...errors import InvalidHeader, InvalidURI, SecurityError
from ...http.extensions import ClientExtensionFactory
from ...opening.client_plan import Target, open_stream, tell_of_leaving
from ..aliases import give_aliases
from ..asyncio.client import each_of, hang_up, wire_of
from ..client import (
    BACKOFF_FACTOR,
    BACKOFF_INITIAL_DELAY,
    BACKOFF_MAX_DELAY,
    BACKOFF_MIN_DELAY,
    backoff,
)
from ..datastructures import Headers, HeadersLike
from ..http11 import USER_AGENT
from ..loggers import CLIENT
from ..typing import LoggerLike
from ..uri import WebSocketURI
from ..variables import compression_of, interval_of
from . import opening
from .adapting import OldCall, headers_from, spell_out
from .client_protocol import WebSocketClientProtocol
from .exceptions import InvalidStatusCode, RedirectHandshake

__all__ = ["Connect", "WebSocketClientProtocol", "connect", "unix_connect"]


_GRACE = 1.0
"""Seconds that a server may take to close TCP after it has refused."""


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

    BACKOFF_INITIAL = BACKOFF_INITIAL_DELAY
    BACKOFF_MIN = BACKOFF_MIN_DELAY
    BACKOFF_MAX = BACKOFF_MAX_DELAY
    BACKOFF_FACTOR = BACKOFF_FACTOR
    MAX_REDIRECTS_ALLOWED = 10

    _legacy_recv = False
    _explains = False

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
        user_agent_header: str | None = USER_AGENT,
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
            "ping_interval": interval_of(ping_interval),
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
            compression=compression_of(compression),
            extensions=extensions,
            additional_headers=headers_from(extra_headers),
            proxy=kwargs.pop("proxy", None),
            reconnect_delays=self._delays,
            **kwargs,
        )
        self._settings = dataclasses.replace(
            self._settings, max_redirects=self.MAX_REDIRECTS_ALLOWED
        )
        self._first = self._target = Target(self._settings)
        self.logger, self.open_timeout = call.logger, open_timeout
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
        return backoff(
            self.BACKOFF_INITIAL,
            self.BACKOFF_MIN,
            self.BACKOFF_MAX,
            self.BACKOFF_FACTOR,
        )

    async def _open_stream(self) -> WebSocketClientProtocol:
        """Return a protocol on an open stream to the server that is asked now."""
        protocol = self._factory(**self._old_keywords)
        if not isinstance(protocol, WebSocketClientProtocol):
            kind = type(protocol).__name__
            raise TypeError(
                f"create_protocol returned a {kind}; WebSocketClientProtocol expected"
            )
        protocol._target = self._target
        inner = protocol._connection
        stream = Stream(make_wire=lambda: wire_of(inner))
        try:
            await run(open_stream(self._target), stream)
        except BaseException:
            # Whatever it is, a cancellation too: nobody else knows of the socket.
            stream.abort()
            raise
        inner.wire = stream.wire
        return protocol

    async def _connect(self) -> WebSocketClientProtocol:  # type: ignore[override]
        self._running.check()
        first, scope = self._target, asyncio.timeout(self.open_timeout)
        try:
            async with scope:
                return await self._open(scope.when())
        except TimeoutError as exc:
            if not scope.expired():
                raise  # the network's own: ETIMEDOUT is a TimeoutError too
            raise TimeoutError("timed out during opening handshake") from exc
        finally:
            self._target = first  # the next connection asks the first server anew

    async def _open(self, ends_at: float | None) -> WebSocketClientProtocol:
        """Connect, and follow redirects."""
        for left in reversed(range(self.MAX_REDIRECTS_ALLOWED + 1)):
            protocol = await self._open_stream()
            protocol._ends_at = ends_at
            try:
                await self._handshake(protocol)
            except BaseException as exc:
                await hang_up(protocol._connection, exc, _GRACE)
                if not isinstance(exc, RedirectHandshake):
                    raise
                self._follow(exc, protocol, left)
            else:
                self.protocol = protocol
                return protocol
        raise SecurityError("too many redirects")

    async def _handshake(self, protocol: WebSocketClientProtocol) -> None:
        """Have the protocol's ``handshake()`` do it."""
        uri = self._target.uri
        given = {
            "origin": protocol.origin,
            "available_extensions": protocol.available_extensions,
            "available_subprotocols": protocol.available_subprotocols,
            "extra_headers": protocol.extra_headers,
        }
        arguments = opening.accepted_arguments(protocol.handshake, given)
        await protocol.handshake(WebSocketURI(*dataclasses.astuple(uri)), **arguments)
        if protocol._connection._session is None:
            name = type(protocol).__name__
            raise RuntimeError(f"{name}.handshake() must call super().handshake()")

    def _follow(
        self, exc: RedirectHandshake, protocol: WebSocketClientProtocol, left: int
    ) -> None:
        """Have ``handle_redirect()`` say where to go on."""
        response = protocol._connection.response
        assert response is not None
        headers = cast(Headers, response.headers)
        refused = InvalidStatusCode(response.status_code, headers, response)
        if not self.MAX_REDIRECTS_ALLOWED:
            raise refused from exc
        before = self._target
        self.handle_redirect(exc.uri)
        if self._target is before:
            raise refused from exc  # an override would not go there
        if self._target.foreign and not before.foreign:
            tell_of_leaving(self._target)

    def handle_redirect(self, uri: str) -> None:
        """Go to ``uri``, which may be relative, instead of where we would have gone.

        Called for each redirect; an override may raise, or not call ``super()``: then
        the redirect is raised as InvalidStatusCode. Called before connecting, it is
        where connections of this object go. Raises InvalidURI when it is none,
        SecurityError for a way out of TLS, and ValueError where a redirect cannot be
        followed: with a socket that was given, or to another server with a given
        host, port or Unix socket.
        """
        address = self._settings.address
        if address.sock is not None:
            raise ValueError(f"cannot follow a redirect to {uri} with a preset socket")
        try:
            self._target = self._target.moved(uri)
        except SecurityError as exc:
            if address.preset is None:
                raise
            raise ValueError(str(exc)) from exc
        except InvalidHeader as exc:
            cause = exc.__cause__
            raise cause if isinstance(cause, InvalidURI) else exc from None

    # --- the ways to call it -----------------------------------------------------

    async def __await_impl__(self) -> WebSocketClientProtocol:
        """Return a new connection, open: what awaiting the object does."""
        return await self.connect()  # type: ignore[return-value]

    def __await__(self) -> Generator[Any, None, WebSocketClientProtocol]:  # type: ignore[override]
        """Return a new connection, open."""
        return self.__await_impl__().__await__()

    __iter__ = __await__  # for `yield from connect(...)`

    async def __aenter__(self) -> WebSocketClientProtocol:  # type: ignore[override]
        """Return a new connection, open; leaving the block closes it."""
        self.protocol = await self
        return self.protocol

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        """Close the connection, with 1000 also when an exception leaves the block."""
        await self.protocol.close()

    def __aiter__(self) -> AsyncIterator[WebSocketClientProtocol]:  # type: ignore[override]
        """Iterate over new connections, each made when the last one has ended."""
        return each_of(self)


Connect = connect


def unix_connect(
    path: str | os.PathLike[str] | None = None,
    uri: str = "ws://localhost/",
    **kwargs: Any,
) -> connect:
    """Return :class:`connect` to the server at the Unix socket ``path``."""
    if path is not None:
        kwargs["path"] = os.fspath(path)
    return connect(uri, unix=True, **kwargs)


spell_out(unix_connect, connect)


def _known(unix: bool) -> set[str]:
    """Return the keywords of :class:`connect` and of the way to the server."""
    own = set(connect.__init__.__annotations__) - {"uri", "kwargs", "return"}
    return own | (engine._UNIX if unix else engine._TCP) | {"proxy"}


give_aliases(globals())
