"""What one ``connect`` asks for, checked: the client's settings.

Refuses what cannot be used at once, by the name of the keyword, so that the plan in
``client_plan.py`` need not doubt it. Makes no connection and knows no front end.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..http.extensions import (
    ClientExtensionFactory,
    ClientPerMessageDeflateFactory,
    check_factories,
)
from ..http.handshake import build_request
from ..http.headers import Headers, HeadersLike, validate_subprotocols
from ..http.proxy import Proxy, parse_proxy
from ..http.uri import WebSocketURI, parse_uri
from ..once import MAKING
from ..options import Compression, Keepalive, Limits, LoggerLike, Timeouts

__all__ = [
    "Address",
    "ClientSettings",
    "client_settings",
    "default_tls_context",
]


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
    limits: Limits = dataclasses.field(default_factory=Limits)
    timeouts: Timeouts = dataclasses.field(default_factory=Timeouts)
    keepalive: Keepalive = dataclasses.field(default_factory=Keepalive)
    origin: str | None = None
    subprotocols: tuple[str, ...] | None = None
    extensions: tuple[ClientExtensionFactory, ...] = ()
    additional_headers: Headers = dataclasses.field(default_factory=Headers)
    user_agent: str | None = None
    proxy: Proxy | bool = False
    """True: what the environment says; False: none."""
    max_redirects: int = 10
    logger: LoggerLike = dataclasses.field(default_factory=lambda: _check_logger(None))


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
    if not isinstance(uri, str):
        raise TypeError(f"uri must be a str, not {type(uri).__name__}")
    parsed = parse_uri(uri)
    address = _address(parsed, dict(network or {}))
    # True: TLS with the usual context, which is none of a proxy without TLS either.
    proxy_tls_given = (network or {}).get("proxy_ssl") is not None
    if subprotocols is not None:
        validate_subprotocols(subprotocols)
    _check_header_value("origin", "Origin", origin)
    _check_header_value("user_agent_header", "User-Agent", user_agent_header)
    return ClientSettings(
        uri=parsed,
        address=address,
        limits=limits,
        timeouts=timeouts,
        keepalive=keepalive,
        origin=origin,
        subprotocols=None if subprotocols is None else tuple(subprotocols),
        extensions=_factories(extensions, compression),
        additional_headers=_check_headers(parsed, origin, additional_headers),
        user_agent=user_agent_header,
        proxy=_check_proxy(proxy, address, proxy_tls_given),
        max_redirects=_max_redirects(),
        logger=_check_logger(logger),
    )


def _address(uri: WebSocketURI, network: dict[str, Any]) -> Address:
    """Return the address the keywords describe; what is left over are options."""
    tls = network.pop("ssl", None)
    if tls is not None and not uri.secure:
        raise ValueError("ssl is given, but the URI is ws://; write wss://")
    if network.get("server_hostname") is not None and not uri.secure:
        raise ValueError("server_hostname is given, but the URI is ws://; write wss://")
    sock = network.get("sock")
    if isinstance(sock, (str, bytes, int, list, tuple)):
        kind = type(sock).__name__
        raise TypeError(f"sock must be a connected socket or None, not {kind}")
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
    if value.protocol is ssl.PROTOCOL_TLS_SERVER:
        raise ValueError(
            f"{name} is a server's context; write ssl.create_default_context()"
        )
    return value


def _check_header_value(keyword: str, header: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        kind = type(value).__name__
        raise TypeError(f"{keyword} must be a str or None, not {kind}")
    # Refuses what a header must not carry before a server does.
    Headers()[header] = value


def _check_headers(
    uri: WebSocketURI, origin: str | None, given: HeadersLike | None
) -> Headers:
    try:
        headers = Headers(() if given is None else given)
    except TypeError as exc:
        text = str(exc)
        if not text.startswith("headers "):  # one of them, that is, and not the whole
            text = f"headers: {text}"
        raise TypeError(f"additional_{text}") from None
    # Refuses the fields that are the handshake's own.
    build_request(uri, key="", origin=origin, additional_headers=headers)
    return headers


def _factories(
    extensions: Iterable[ClientExtensionFactory] | None,
    compression: Compression | None,
) -> tuple[ClientExtensionFactory, ...]:
    """Return the factories in order, permessage-deflate last unless it is there."""
    factories = tuple(extensions or ())
    check_factories(factories, ClientExtensionFactory)
    names = [factory.name for factory in factories]
    if compression is None or ClientPerMessageDeflateFactory.name in names:
        return factories
    return (*factories, ClientPerMessageDeflateFactory.of(compression))


def _check_proxy(proxy: object, address: Address, tls_given: bool) -> Proxy | bool:
    if proxy is None or proxy is False or address.unix or address.sock is not None:
        return False  # a connected socket or a local one needs no way to the server
    if proxy is True:
        return True
    if not isinstance(proxy, str):
        kind = type(proxy).__name__
        raise TypeError(f"proxy must be a URL, True or None, not {kind}")
    parsed = parse_proxy(proxy)
    if tls_given and parsed.scheme != "https":
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
    if not callable(getattr(logger, "info", None)):
        kind = type(logger).__name__
        raise TypeError(f"logger must be a logger, its name or None, not {kind}")
    return logger


def default_tls_context() -> ssl.SSLContext:
    """Return the one context for all connections that were not given their own.

    A context costs some 500 KB and milliseconds to make; a client that reconnects
    with a new one each time grows by hundreds of megabytes an hour.
    """
    with MAKING:
        return _default_tls_context()


@functools.cache
def _default_tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()
