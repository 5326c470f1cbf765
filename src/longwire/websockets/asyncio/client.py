"""``connect``, ``unix_connect`` and their connections: longwire's own.

The logger's name is this API's, ``websockets.client``, and so are the variables, which
begin with ``WEBSOCKETS_``. What a subclass of ``connect`` or ``ClientConnection`` may
override is called, and attributes of a ``connect`` may be set between two attempts.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
import urllib.parse
from collections.abc import AsyncIterator, Generator, Mapping
from typing import TYPE_CHECKING, Any

from ...asyncio import client as engine
from ...asyncio import transport
from ...asyncio.driver import Stream, run
from ...asyncio.native import adopt
from ...errors import (
    InvalidHeader,
    InvalidStatus,
    InvalidURI,
    SecurityError,
)
from ...messages import Side, State
from ...opening import retry as retrying
from ...opening.client_plan import (
    REDIRECTS,
    Target,
    open_stream,
    tell_of_leaving,
)
from ...opening.client_settings import ClientSettings
from .. import variables
from ..aliases import give_aliases
from ..client import backoff, process_exception
from ..datastructures import Headers, HeadersLike, with_text
from ..documented import of_client
from ..driving import TellingWire
from ..heads import Exchange
from ..http11 import USER_AGENT
from ..overriding import overridden
from ..uri import WebSocketURI
from .connection import Connection
from .view import View

__all__ = [
    "ClientConnection",
    "backoff",
    "connect",
    "each_of",
    "hang_up",
    "process_exception",
    "unix_connect",
    "wire_of",
]


class ClientConnection(Connection, engine.ClientConnection):
    __doc__ = engine.ClientConnection.__doc__

    _target: Target | None = None
    _ends_at: float | None = None  # when the opening has to be over

    async def handshake(
        self,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
    ) -> None:
        """Do the opening handshake on an open stream; called by :class:`connect`.

        Raises an InvalidHandshake that says what was wrong with the answer:
        InvalidStatus for a refusal or a redirect.
        """
        target = self._target or Target(self._given)
        await _shake_hands(self, target, additional_headers, user_agent_header)

    def _note(self, text: str, *args: object, **extra: object) -> None:
        # At INFO are the lines of servers; those of a client are for its author.
        self.logger.debug(text, *args, extra=extra)


async def _shake_hands(
    connection: engine.ClientConnection,
    target: Target,
    additional_headers: HeadersLike | None,
    user_agent_header: str | None,
) -> None:
    """Ask the server of ``target`` for a WebSocket, on the wire of ``connection``."""
    settings = dataclasses.replace(
        target.settings,
        additional_headers=Headers(additional_headers or {}),
        user_agent=user_agent_header,
    )
    exchange = Exchange(dataclasses.replace(target, settings=settings), os.urandom)
    try:
        stream = Stream(connection.wire)
        stream.ends_at = getattr(connection, "_ends_at", None)
        await run(exchange.plan(), stream)
        if exchange.response.status_code != 101:
            raise InvalidStatus(exchange.response)
        opened = exchange.opened()
    except BaseException as exc:
        connection.request = getattr(exchange, "request", None)
        connection.response = getattr(exchange, "response", None)
        if isinstance(connection, Connection):
            connection._handshake_exc = exc
        raise
    if type(connection.wire) is transport.Wire:  # not one that tells of anything
        connection.wire = adopt(connection.wire, connection)
    connection.opened(opened)


class connect(engine.connect):
    __doc__ = engine.connect.__doc__

    _explains = False

    _target: Target
    # Since when an object of this has been what, by the names of its attributes.
    _built: Mapping[str, Any]

    if not TYPE_CHECKING:  # whose checkers would lose the signature

        @functools.wraps(engine.connect.__init__)
        def __init__(self, uri, **kwargs):
            of_client(kwargs)
            if kwargs.get("create_connection") is None:
                kwargs["create_connection"] = ClientConnection
            self._build(uri, kwargs)
            self.create_connection_kwargs = self.connection_kwargs = {
                name: value
                for name, value in kwargs.items()
                if name not in engine.documented_keywords()
            }

    def _build(self, uri: str, kwargs: Mapping[str, Any]) -> None:
        """Check everything; have attributes by the names of the keywords."""
        given = with_text(kwargs.get("additional_headers"))
        super().__init__(uri, **{**kwargs, "additional_headers": given})
        settings = variables.redirects_limited(
            variables.as_documented(self._settings, kwargs)
        )
        _refuse_no_tls(settings, kwargs)
        self._settings = settings
        self._kwargs = kwargs
        self._built = {
            "uri": uri,
            "additional_headers": kwargs.get("additional_headers"),
            "user_agent_header": settings.user_agent,
            "proxy": kwargs.get("proxy", True),
            "open_timeout": settings.timeouts.open,
            "process_exception": self._process_exception,
            "reconnect_delays": self._reconnect_delays,
            "logger": settings.logger,
        }
        vars(self).update(self._built)
        self._target = Target(settings)

    def _rebuild(self) -> None:
        """Take over what was set since the last attempt."""
        changed = {
            name: vars(self).get(name, value)
            for name, value in self._built.items()
            if vars(self).get(name, value) is not value
        }
        if changed:
            uri = changed.pop("uri", self._built["uri"])
            self._build(uri, {**self._kwargs, **changed})

    if TYPE_CHECKING:
        uri: str
        additional_headers: HeadersLike | None
        user_agent_header: str | None
        open_timeout: float | None

    # --- connecting --------------------------------------------------------------

    async def _connect(self) -> ClientConnection:
        self._rebuild()
        scope, first = asyncio.timeout(self._settings.timeouts.open), self.uri
        try:
            async with scope:
                return await self._open(scope.when())
        except TimeoutError as exc:
            if not scope.expired():
                raise  # the network's own: ETIMEDOUT is a TimeoutError too
            raise TimeoutError("timed out during opening handshake") from exc
        finally:
            self.uri = first  # the next attempt begins there again

    async def _open(self, ends_at: float | None) -> ClientConnection:
        """Connect, and follow redirects."""
        self._target = Target(self._settings)
        for _ in range(self._settings.max_redirects + 1):
            connection = await self.create_connection()
            try:
                await self._handshake(connection, ends_at)
            except BaseException as exc:
                await hang_up(connection, exc)
                if not isinstance(exc, Exception):
                    raise
                moved = self.process_redirect(exc)
                if moved is exc:
                    raise
                if isinstance(moved, Exception):
                    raise moved from exc
                self._move(moved)
            else:
                return connection
        raise SecurityError(f"more than {self._settings.max_redirects} redirects")

    async def _handshake(
        self, connection: ClientConnection, ends_at: float | None
    ) -> None:
        # Not those of the settings: a mapping may have been changed since.
        given = Headers(self.additional_headers or {})
        settings = dataclasses.replace(self._settings, additional_headers=given)
        headers = self._target.for_this_server(settings).additional_headers
        agent = self._settings.user_agent
        if isinstance(connection, ClientConnection):
            connection._target, connection._ends_at = self._target, ends_at
            await connection.handshake(headers, agent)
        else:  # of a class of longwire's own
            await _shake_hands(connection, self._target, headers, agent)

    async def create_connection(self) -> ClientConnection:
        """Return a connection whose stream is open, and whose handshake is not done.

        Called for each server that is asked. ``open_tcp_connection()`` is what
        editions from 17 on call it.
        """
        return await self.open_tcp_connection()

    async def open_tcp_connection(self) -> ClientConnection:
        """Return a connection whose stream is open: TCP, proxies and TLS."""
        connection = self.protocol_factory(self.ws_uri)
        stream = Stream(make_wire=lambda: wire_of(connection))
        try:
            await run(open_stream(self._target), stream)
        except BaseException:
            # Whatever it is, a cancellation too: nobody else knows of the socket.
            stream.abort()
            raise
        connection.wire = stream.wire
        return connection

    def protocol_factory(self, uri: WebSocketURI) -> ClientConnection:
        """Return a connection to be, to ``uri``.

        ``factory()`` is what editions from 17 on call it.
        """
        return self.factory(uri)

    def factory(self, uri: WebSocketURI) -> ClientConnection:
        """Return what ``create_connection`` makes, a :class:`ClientConnection`."""
        settings = self._settings
        view = View(dataclasses.replace(settings, uri=self._target.uri), Side.CLIENT)
        return self._create_connection(view, **self._keywords)  # type: ignore[return-value]

    @property
    def ws_uri(self) -> WebSocketURI:
        """The parts of the URI of the server that is asked now."""
        return WebSocketURI(*dataclasses.astuple(self._target.uri))

    # --- redirects ---------------------------------------------------------------

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return where to go on after ``exc``, as a URI, or the exception to raise.

        Called with all that makes an opening handshake fail; an override may refuse
        what is returned here, or return something else. Returns ``exc`` where that is
        no redirect, ValueError for one that cannot be followed, as with a socket that
        was given, and SecurityError for one that leads out of TLS.
        """
        location = _location(exc)
        if location is None:
            return exc
        uri = urllib.parse.urljoin(self.uri, location)
        scheme, colon, rest = uri.partition(":")
        uri = {"http": "ws", "https": "wss"}.get(scheme, scheme) + colon + rest
        preset = self._settings.address.preset
        try:
            self._target.moved(uri)
        except SecurityError as refused:
            return refused if preset is None else ValueError(str(refused))
        except InvalidHeader as invalid:
            cause = invalid.__cause__
            return cause if isinstance(cause, (InvalidURI, ValueError)) else invalid
        if self._settings.address.sock is not None:
            return ValueError(f"cannot follow a redirect to {uri} with {preset}")
        return uri

    def _move(self, uri: str) -> None:
        before = self._target
        try:
            self._target = target = before.moved(uri)
        except InvalidHeader as exc:  # an override's
            raise InvalidURI(uri, "process_redirect() returned it") from exc
        if target.foreign and not before.foreign:
            tell_of_leaving(target)
        self.uri = uri

    # --- the ways to call it -----------------------------------------------------

    async def __await_impl__(self) -> ClientConnection:
        """Return a new connection; what editions before 17 call ``connect()``."""
        return await self.connect()  # type: ignore[return-value]

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        """Return a new connection, open."""
        return self.__await_impl__().__await__()

    __iter__ = __await__  # for `yield from connect(...)`

    async def __aenter__(self) -> ClientConnection:
        """Return a new connection, open; leaving the block closes it."""
        self.connection = await self
        await self.connection.__aenter__()
        return self.connection

    def __aiter__(self) -> AsyncIterator[ClientConnection]:
        """Iterate over new connections, each made when the last one has ended."""
        self._rebuild()
        if overridden(type(self), ("__aenter__", "__aexit__")):
            return each_of(self)
        return super().__aiter__()  # type: ignore[return-value]


def _refuse_no_tls(settings: ClientSettings, kwargs: Mapping[str, Any]) -> None:
    """Raise ValueError where None is given for TLS that the address asks for."""
    proxy = settings.proxy
    if settings.uri.secure and kwargs.get("ssl", True) is None:
        raise ValueError("ssl=None is incompatible with a wss:// URI")
    if isinstance(proxy, bool) or kwargs.get("proxy_ssl", True) is not None:
        return
    if proxy.scheme == "https":
        raise ValueError("proxy_ssl=None is incompatible with an https:// proxy")


async def hang_up(
    connection: engine.ClientConnection, exc: BaseException, grace: float = 0.0
) -> None:
    """Close the stream of an opening handshake that failed with ``exc``.

    Returns when TCP has ended, so that the server learns of it; after ``grace``
    seconds for the server to end it first.
    """
    wire = connection.wire
    if wire is not None:
        if grace and isinstance(exc, Exception) and not wire.lost:
            wire.half_close()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(grace):
                    await _read_out(wire)
        wire.abort()
        if isinstance(exc, Exception):
            with contextlib.suppress(OSError):
                await _read_out(wire)
    if connection.state is State.CONNECTING:
        connection.failed_to_open()


async def _read_out(wire: Any) -> None:
    """Read what nobody wants any more, to its end."""
    while await wire.read():
        pass


async def each_of(connecting: Any) -> AsyncIterator[Any]:
    """Enter and leave ``connecting`` again and again; yield what it gives."""
    retries = retrying.Retries(
        connecting._process_exception,
        connecting._reconnect_delays,
        connecting._settings.logger,
    )
    while True:
        try:
            connection = await connecting.__aenter__()
        except Exception as exc:
            await asyncio.sleep(retries.delay_after(exc))
            continue
        try:
            yield connection
        finally:
            await connecting.__aexit__(None, None, None)
        ended = getattr(connection, "_connection", connection)
        await asyncio.sleep(retries.delay_after_end(ended._live.exception()))


def wire_of(connection: engine.ClientConnection) -> transport.Wire:
    """Return the wire of a connection to be; it tells of what is overridden."""
    if isinstance(connection, Connection) and connection._is_told:
        return TellingWire(connection._driven)
    return transport.Wire(connection)


def _location(exc: Exception) -> str | None:
    """Return where ``exc`` redirects to; None if that is nowhere."""
    if not isinstance(exc, InvalidStatus):
        return None
    response = exc.response
    # 300 has a Location where the server prefers one of its choices.
    if response.status_code not in REDIRECTS | {300}:
        return None
    return next(iter(response.headers.get_all("Location")), None)


@functools.wraps(engine.unix_connect)
def unix_connect(
    path: str | os.PathLike[str] | None = None,
    uri: str | None = None,
    **kwargs: Any,
) -> connect:
    """Return :class:`connect` to the server at the Unix socket ``path``."""
    if uri is None:
        uri = "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"
    if path is not None:
        path = os.fspath(path)
    options: dict[str, Any] = {"unix": True, "path": path, **kwargs}
    return connect(uri, **options)


give_aliases(globals())
