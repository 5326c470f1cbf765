"""Connecting: the client's half of the opening handshake, as a plan.

Decides where to connect to and how: proxies, TLS, the request, whether the answer opens
a connection (RFC 6455 section 4.1), redirects, and when to try again. Does no I/O and
reads no clock: a front end's driver carries out the steps it yields.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import random as _random
import ssl
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .errors import (
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
    SecurityError,
)
from .http import handshake
from .http.extensions import (
    ClientExtensionFactory,
    ClientPerMessageDeflateFactory,
    confirm,
    offer,
)
from .http.headers import (
    Headers,
    MultipleValuesError,
    parse_subprotocol,
    validate_subprotocols,
)
from .http.heads import Request, Response, ResponseReader
from .http.proxy import Proxy, build_connect, get_proxy, parse_proxy
from .http.uri import WebSocketURI, parse_uri
from .messages import Deflate
from .options import Compression, Keepalive, Limits, Timeouts
from .steps import (
    Hangup,
    Opened,
    OpenSocks,
    OpenTcp,
    OpenUnix,
    Plan,
    Read,
    StartTls,
    Write,
)

__all__ = [
    "ClientSettings",
    "Retries",
    "backoff",
    "client_settings",
    "connect_plan",
    "default_tls_context",
    "process_exception",
]

LoggerLike = logging.Logger | logging.LoggerAdapter[Any]
HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRANSIENT = frozenset({500, 502, 503, 504})


# --- settings --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """How the caller wants the network used; the plan passes it on."""

    host: str | None = None
    """Where to connect to instead of the URI's host."""
    port: int | None = None
    unix: bool = False
    path: str | None = None
    """The Unix socket; None when ``sock`` is given."""
    sock: Any = None
    """A connected socket."""
    tls: ssl.SSLContext | None = None
    """None: the process's default context."""
    server_hostname: str | None = None
    proxy_tls: ssl.SSLContext | None = None
    proxy_server_hostname: str | None = None
    tls_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def preset(self) -> str | None:
        """What ties us to one place, in words; None if the URI alone decides."""
        if self.unix:
            return "a Unix socket"
        if self.sock is not None:
            return "a preset socket"
        if self.host is not None or self.port is not None:
            return "a preset host or port"
        return None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What one ``connect`` asks for and how its connections behave, checked.

    Made by :func:`client_settings` from the keywords of ``connect``.
    """

    uri: WebSocketURI
    address: Address = Address()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    keepalive: Keepalive = Keepalive()
    origin: str | None = None
    subprotocols: tuple[str, ...] | None = None
    extensions: tuple[ClientExtensionFactory, ...] = ()
    additional_headers: Headers = dataclasses.field(default_factory=Headers)
    user_agent: str | None = None
    proxy: Proxy | bool = False
    """True: what the environment says; False: none."""
    max_redirects: int = 10
    logger: LoggerLike = logging.getLogger("longwire.client")


def client_settings(
    uri: str,
    *,
    limits: Limits,
    timeouts: Timeouts,
    keepalive: Keepalive,
    origin: str | None = None,
    extensions: Iterable[ClientExtensionFactory] | None = None,
    subprotocols: Sequence[str] | None = None,
    compression: Compression | None = None,
    additional_headers: HeadersLike | None = None,
    user_agent_header: str | None = None,
    proxy: str | bool | None = True,
    logger: LoggerLike | str | None = None,
    network: Mapping[str, Any] | None = None,
) -> ClientSettings:
    """Return the settings, or raise what is wrong with the keyword it names.

    ``network`` are the keywords that say how to reach the server: ``ssl``, ``sock``,
    ``host`` and so on; those not known here are passed on to the front end's driver.
    """
    parsed = parse_uri(uri)
    address = _address(parsed, dict(network or {}))
    if subprotocols is not None:
        validate_subprotocols(subprotocols)
    for name, value in (("origin", origin), ("user_agent_header", user_agent_header)):
        _check_header_value(name, value)
    return ClientSettings(
        uri=parsed,
        address=address,
        limits=limits,
        timeouts=timeouts,
        keepalive=keepalive,
        origin=origin,
        subprotocols=None if subprotocols is None else tuple(subprotocols),
        extensions=_factories(extensions, compression),
        additional_headers=Headers(additional_headers or {}),
        user_agent=user_agent_header,
        proxy=_check_proxy(proxy, address),
        max_redirects=_max_redirects(),
        logger=_check_logger(logger),
    )


def _address(uri: WebSocketURI, network: dict[str, Any]) -> Address:
    """Return the address the keywords describe; what is left over are options."""
    tls = network.pop("ssl", None)
    if tls is not None and not uri.secure:
        raise ValueError("ssl is given, but the URI is ws://; write wss://")
    names = ("ssl_handshake_timeout", "ssl_shutdown_timeout")
    tls_options = {name: network.pop(name) for name in names if name in network}
    return Address(
        host=network.pop("host", None),
        port=network.pop("port", None),
        unix=network.pop("unix", False),
        path=network.pop("path", None),
        sock=network.pop("sock", None),
        tls=_check_context("ssl", tls),
        server_hostname=network.pop("server_hostname", None),
        proxy_tls=_check_context("proxy_ssl", network.pop("proxy_ssl", None)),
        proxy_server_hostname=network.pop("proxy_server_hostname", None),
        tls_options=tls_options,
        options=network,
    )


def _check_context(name: str, value: object) -> ssl.SSLContext | None:
    if value is None or value is True:
        return None
    if not isinstance(value, ssl.SSLContext):
        what = "False" if value is False else type(value).__name__
        raise TypeError(f"{name} must be an ssl.SSLContext, True or None, not {what}")
    return value


def _check_header_value(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a str or None, not {kind}")
    # Refuses what a header must not carry before a server does.
    Headers()["Checked"] = value


def _factories(
    extensions: Iterable[ClientExtensionFactory] | None,
    compression: Compression | None,
) -> tuple[ClientExtensionFactory, ...]:
    """Return the factories in order, permessage-deflate last unless it is there."""
    factories = tuple(extensions or ())
    for factory in factories:
        if not isinstance(factory, ClientExtensionFactory):
            kind = type(factory).__name__
            raise TypeError(f"extensions has a {kind}; ClientExtensionFactory expected")
    names = [factory.name for factory in factories]
    if compression is None or ClientPerMessageDeflateFactory.name in names:
        return factories
    return (*factories, ClientPerMessageDeflateFactory.of(compression))


def _check_proxy(proxy: object, address: Address) -> Proxy | bool:
    if proxy is None or proxy is False or address.unix or address.sock is not None:
        return False  # a connected socket or a local one needs no way to the server
    if proxy is True:
        return True
    if not isinstance(proxy, str):
        kind = type(proxy).__name__
        raise TypeError(f"proxy must be a URL, True or None, not {kind}")
    parsed = parse_proxy(proxy)
    if address.proxy_tls is not None and parsed.scheme != "https":
        raise ValueError(f"proxy_ssl is given, but the proxy is {parsed.scheme}://")
    return parsed


def _max_redirects() -> int:
    text = os.environ.get("LONGWIRE_MAX_REDIRECTS", "10")
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"LONGWIRE_MAX_REDIRECTS is {text!r}; a number is allowed")
    return int(text)


def _check_logger(logger: LoggerLike | str | None) -> LoggerLike:
    if logger is None or isinstance(logger, str):
        return logging.getLogger(logger or "longwire.client")
    return logger


@functools.cache
def default_tls_context() -> ssl.SSLContext:
    """Return the one context for all connections that were not given their own.

    A context costs some 500 KB and milliseconds to make; a client that reconnects
    with a new one each time grows by hundreds of megabytes an hour.
    """
    return ssl.create_default_context()


# --- the plan --------------------------------------------------------------------


def connect_plan(
    settings: ClientSettings, random_bytes: Callable[[int], bytes] = os.urandom
) -> Plan[Opened]:
    """Return the plan that opens a connection, following redirects.

    Raises an InvalidHandshake that says what was wrong with the server or proxy, or
    what the driver's steps raise; the stream is then the front end's to close.
    """
    target = _Target(settings)
    for _ in range(settings.max_redirects + 1):
        yield from _open_stream(target)
        request, response, rest = yield from _exchange(target, random_bytes)
        if response.status_code == 101:
            return _check(settings, request, response, rest)
        target = target.redirected(response)
        yield Hangup()
    raise SecurityError(f"more than {settings.max_redirects} redirects")


@dataclasses.dataclass(frozen=True, slots=True)
class _Target:
    """Where the plan is on the way through redirects, and what it may say there."""

    settings: ClientSettings
    redirected_to: WebSocketURI | None = None
    foreign: bool = False
    """We left the origin the caller named: its secrets are not for this server."""

    @property
    def uri(self) -> WebSocketURI:
        return self.redirected_to or self.settings.uri

    @property
    def headers(self) -> Headers:
        """The caller's headers, without secrets when they are not for this server."""
        headers = self.settings.additional_headers.copy()
        if self.foreign:
            for name in ("Authorization", "Cookie", "Proxy-Authorization", "Host"):
                if name in headers:
                    del headers[name]
        return headers

    @property
    def tls(self) -> StartTls | None:
        """TLS with the server, if the URI wants it."""
        if not self.uri.secure:
            return None
        address = self.settings.address
        # The name the caller gave is that of the first server only.
        name = None if self.foreign else address.server_hostname
        return StartTls(
            address.tls, self.uri.host if name is None else name, address.tls_options
        )

    def redirected(self, response: Response) -> _Target:
        """Return the target that ``response`` sends us to.

        Raises InvalidStatus when it is no redirect that can be followed and
        SecurityError for one that must not be.
        """
        location = _location(response)
        if location is None or self.settings.max_redirects == 0:
            raise InvalidStatus(response)
        uri = _resolve(self.uri, location)
        where = f"{'wss' if uri.secure else 'ws'}://{uri.host}:{uri.port}"
        if self.uri.secure and not uri.secure:
            raise SecurityError(f"cannot follow a redirect from wss to {where}")
        foreign = _origin(uri) != _origin(self.uri)
        preset = self.settings.address.preset
        if foreign and preset is not None:
            raise SecurityError(f"cannot follow a redirect to {where} with {preset}")
        if self.settings.address.sock is not None:
            raise InvalidStatus(response)  # the one socket we were given is used up
        if not foreign and uri.username is None:
            uri = dataclasses.replace(
                uri, username=self.uri.username, password=self.uri.password
            )
        return _Target(self.settings, uri, self.foreign or foreign)


def _location(response: Response) -> str | None:
    if response.status_code not in REDIRECTS:
        return None
    try:
        return response.headers.get("Location")
    except MultipleValuesError:
        raise InvalidHeader("Location", "more than one value") from None


def _origin(uri: WebSocketURI) -> tuple[bool, str, int]:
    return uri.secure, uri.host.lower(), uri.port


def _resolve(base: WebSocketURI, location: str) -> WebSocketURI:
    """Return the URI ``location`` stands for in a response from ``base``."""
    host = f"[{base.host}]" if ":" in base.host else base.host
    scheme = "https" if base.secure else "http"
    try:
        joined = urllib.parse.urljoin(
            f"{scheme}://{host}:{base.port}{base.resource_name}", location
        )
        parts = urllib.parse.urlsplit(joined)
        # Redirects are HTTP's, so they may speak of http; and a fragment is
        # for whoever shows the page (RFC 9110 section 10.2.2).
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        return parse_uri(parts._replace(scheme=scheme, fragment="").geturl())
    except (ValueError, InvalidURI) as exc:
        raise InvalidHeader("Location", location) from exc


# --- reaching the server ---------------------------------------------------------


def _open_stream(target: _Target) -> Plan[None]:
    """Connect to the server of ``target``, through a proxy if need be, up to TLS."""
    address, uri = target.settings.address, target.uri
    if address.unix:
        options = dict(address.options)
        if address.sock is not None:
            options["sock"] = address.sock
        yield OpenUnix(address.path, target.tls, options)
        return
    if address.sock is not None:
        yield OpenTcp(None, None, target.tls, {**address.options, "sock": address.sock})
        return
    host = uri.host if address.host is None else address.host
    port = uri.port if address.port is None else address.port
    proxy = _proxy_for(target)
    if proxy is None:
        yield OpenTcp(host, port, target.tls, address.options)
        return
    if proxy.scheme.startswith("socks"):
        yield OpenSocks(proxy, host, port, address.options)
    else:
        yield from _open_tunnel(target.settings, proxy, host, port)
    if target.tls is not None:
        yield target.tls


def _proxy_for(target: _Target) -> Proxy | None:
    choice = target.settings.proxy
    if not isinstance(choice, bool):
        return choice
    found = get_proxy(target.uri) if choice else None
    return None if found is None else parse_proxy(found)


def _open_tunnel(
    settings: ClientSettings, proxy: Proxy, host: str, port: int
) -> Plan[None]:
    """Have an HTTP proxy connect us to ``host`` (RFC 9110 section 9.3.6)."""
    address = settings.address
    tls = None
    if proxy.scheme == "https":
        name = address.proxy_server_hostname
        tls = StartTls(
            address.proxy_tls, proxy.host if name is None else name, address.tls_options
        )
    yield OpenTcp(proxy.host, proxy.port, tls, address.options)
    there = dataclasses.replace(settings.uri, host=host, port=port)
    yield Write(build_connect(proxy, there, settings.user_agent))
    reader = _reader(settings.limits, tunnel=True)
    try:
        response = yield from _read_response(reader)
    except (InvalidHandshake, EOFError) as exc:
        raise InvalidProxyMessage(
            "did not receive a valid HTTP response from the proxy"
        ) from exc
    if not 200 <= response.status_code < 300:
        raise InvalidProxyStatus(response)
    if reader.rest:
        # Nobody at the far end speaks before we do: it is the proxy that wants
        # us to take its words for the server's, perhaps for those inside TLS.
        raise InvalidProxyMessage(
            f"received {len(reader.rest)} bytes from the proxy after its response"
        )


# --- the handshake ---------------------------------------------------------------


def _exchange(
    target: _Target, random_bytes: Callable[[int], bytes]
) -> Plan[tuple[Request, Response, bytes]]:
    """Send the request; return it, the response, and what came after it."""
    settings = target.settings
    key = handshake.make_key(random_bytes(16))
    request = handshake.build_request(
        target.uri,
        key=key,
        origin=settings.origin,
        subprotocols=settings.subprotocols,
        extensions_header=offer(settings.extensions),
        additional_headers=target.headers,
        user_agent=settings.user_agent,
    )
    yield Write(request.serialize())
    reader = _reader(settings.limits, tunnel=False)
    try:
        response = yield from _read_response(reader)
    except EOFError as exc:
        raise InvalidMessage("did not receive a valid HTTP response") from exc
    if response.status_code == 101:
        handshake.check_response(response, key)
    return request, response, reader.rest


def _reader(limits: Limits, tunnel: bool) -> ResponseReader:
    return ResponseReader(
        limits.handshake_line,
        limits.handshake_headers,
        limits.handshake_bytes,
        limits.handshake_body,
        tunnel=tunnel,
    )


def _read_response(reader: ResponseReader) -> Plan[Response]:
    """Return the response; raise EOFError when the stream ends before there is any."""
    received = 0
    while True:
        data = yield Read()
        if not data:
            break
        received += len(data)
        response = reader.feed(data)
        if response is not None:
            return response
    if not received:
        raise EOFError("connection closed before any byte of a response")
    try:
        response = reader.feed_eof()
    except InvalidMessage as exc:
        raise EOFError(str(exc)) from exc
    if response is None:
        raise EOFError("connection closed in the middle of the response")
    return response


def _check(
    settings: ClientSettings, request: Request, response: Response, rest: bytes
) -> Opened:
    """Return what a 101 agrees on, if we can agree."""
    values = response.headers.get_all("Sec-WebSocket-Extensions")
    extensions = confirm(values, settings.extensions)
    return Opened(
        request,
        response,
        _subprotocol(settings.subprotocols, response.headers),
        next((x for x in extensions if isinstance(x, Deflate)), None),
        tuple(x for x in extensions if not isinstance(x, Deflate)),
        rest,
    )


def _subprotocol(offered: tuple[str, ...] | None, headers: Headers) -> str | None:
    chosen: list[str] = []
    for value in headers.get_all("Sec-WebSocket-Protocol"):
        chosen += parse_subprotocol(value)
    if not chosen:
        return None
    if len(chosen) > 1:
        raise NegotiationError(f"multiple subprotocols: {', '.join(chosen)}")
    if chosen[0] not in (offered or ()):
        names = ", ".join(offered or ()) or "none"
        raise NegotiationError(f"unsupported subprotocol: {chosen[0]}; offered: {names}")
    return chosen[0]


# --- trying again ----------------------------------------------------------------


def process_exception(exc: Exception) -> Exception | None:
    """Return None to try again after ``exc``, else the exception to raise.

    The network's faults (OSError, TimeoutError, a stream that ends without a
    response) and the HTTP status codes 500, 502, 503 and 504, of a server or of a
    proxy, may pass by themselves. Everything else is final.
    """
    if isinstance(exc, (InvalidStatus, InvalidProxyStatus)):
        return None if exc.response.status_code in TRANSIENT else exc
    if isinstance(exc, (InvalidMessage, InvalidProxyMessage)):
        return None if isinstance(exc.__cause__, EOFError) else exc
    return None if isinstance(exc, (OSError, EOFError, TimeoutError)) else exc


def backoff(
    initial_delay: float = 5.0,
    min_delay: float = 3.0,
    max_delay: float = 90.0,
    factor: float = 1.6,
    random: Callable[[], float] = _random.random,
) -> Iterator[float]:
    """Yield the seconds to wait before each new attempt, for ever.

    The first is anything up to ``initial_delay``, so that the clients of a server that
    restarts do not come back at once. Then ``min_delay``, growing by ``factor`` up to
    ``max_delay``, each with up to a quarter more or less.
    """
    yield random() * initial_delay
    delay = min_delay
    while True:
        yield min(delay * (0.75 + random() / 2), max_delay)
        delay = min(delay * factor, max_delay)


class Retries:
    """When to try again after each failed attempt of ``async for``, and its log.

    ``process`` and ``delays`` are ``process_exception`` and ``reconnect_delays``.
    """

    def __init__(
        self,
        process: Callable[[Exception], Exception | None],
        delays: Callable[[], Iterable[float]],
        logger: LoggerLike,
    ) -> None:
        self._process = process
        self._delays = delays
        self._logger = logger
        self._left: Iterator[float] | None = None

    def delay_after(self, exc: Exception) -> float:
        """Return the seconds to wait; raise when ``exc`` or the delays are final."""
        final = self._process(exc)
        if final is exc:
            raise exc
        if final is not None:
            raise final from exc
        if self._left is None:
            self._left = iter(self._delays())
        delay = next(self._left, None)
        if delay is None:
            raise exc
        self._logger.info(
            "connect failed; reconnecting in %.1f seconds: %s",
            delay,
            f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__,
        )
        return delay

    def succeeded(self) -> None:
        """Begin anew: the next failure is the first of its kind."""
        self._left = None
