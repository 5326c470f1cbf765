"""Proxies: their addresses, where the environment names them, and CONNECT.

Decides which proxy a connection takes and what an HTTP proxy is asked; SOCKS is
spoken by a library above.
"""

from __future__ import annotations

import dataclasses
import urllib.parse

from ..errors import InvalidProxy
from .fields import has_controls
from .headers import Headers, build_authorization_basic, build_host
from .heads import Request
from .no_proxy import is_listed
from .uri import UNSAFE, WebSocketURI, host_name

__all__ = ["Proxy", "build_connect", "get_proxy", "parse_proxy"]

_DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}


@dataclasses.dataclass
class Proxy:
    """The address of a proxy.

    ``scheme`` is http, https, socks4, socks4a, socks5 or socks5h (with a and h the
    proxy resolves host names); ``username`` and ``password`` are plain text, both
    None if there are none.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None

    @property
    def user_info(self) -> tuple[str, str] | None:
        """User name and password, None if there are none."""
        if self.username is None or self.password is None:
            return None
        return self.username, self.password


def parse_proxy(proxy: str) -> Proxy:
    """Return the address in a proxy's URL.

    Raises InvalidProxy, which says what is wrong.
    """
    if UNSAFE.search(proxy) is not None:
        # urlsplit() drops some of these without a word.
        what = "white space and control characters don't belong"
        raise InvalidProxy(repr(proxy), what)
    try:
        parts = urllib.parse.urlsplit(proxy)
        port = parts.port
    except ValueError as exc:
        raise InvalidProxy(proxy, str(exc).lower()) from exc
    if parts.scheme not in _DEFAULT_PORTS:
        found = repr(parts.scheme) if parts.scheme else "missing"
        names = ", ".join(_DEFAULT_PORTS)
        is_port = parts.path.isdecimal()
        hint = f": write http://{proxy}" if is_port or not parts.scheme else ""
        raise InvalidProxy(proxy, f"scheme is {found}; {names} are allowed{hint}")
    if not parts.hostname:
        raise InvalidProxy(proxy, "hostname isn't provided")
    if port == 0:
        raise InvalidProxy(proxy, "port isn't a number from 1 to 65535")
    if parts.path not in ("", "/"):
        raise InvalidProxy(proxy, "path is meaningless")
    if parts.query or parts.fragment:
        raise InvalidProxy(proxy, "query and fragment are meaningless")
    username, password = _user_info(parts, proxy)
    return Proxy(
        parts.scheme,
        _host(parts.hostname, proxy),
        _DEFAULT_PORTS[parts.scheme] if port is None else port,
        username,
        password,
    )


def _host(host: str, proxy: str) -> str:
    try:
        return host_name(host)
    except UnicodeError as exc:
        raise InvalidProxy(proxy, "hostname isn't a valid domain name") from exc


def _user_info(
    parts: urllib.parse.SplitResult, proxy: str
) -> tuple[str | None, str | None]:
    if parts.username is None:
        return None, None
    if parts.password is None:
        raise InvalidProxy(proxy, "username provided without password")
    username = urllib.parse.unquote(parts.username, errors="surrogateescape")
    password = urllib.parse.unquote(parts.password, errors="surrogateescape")
    if ":" in username and parts.scheme in ("http", "https"):
        raise InvalidProxy(proxy, "username contains a colon")
    if has_controls(username) or has_controls(password):
        raise InvalidProxy(proxy, "username or password contains control characters")
    if parts.scheme.startswith("socks5"):
        # RFC 1929 section 2: their lengths are sent in one byte.
        for text in (username, password):
            if len(text.encode("utf-8", "surrogateescape")) > 255:
                raise InvalidProxy(proxy, "username or password is over 255 bytes")
    return username, password


def get_proxy(uri: WebSocketURI) -> str | None:
    """Return the URL of the proxy that the environment or system wants for ``uri``.

    None when there is none, or when ``no_proxy`` (see :mod:`longwire.http.no_proxy`) or
    the system's list says to connect directly. Looked at in this order: ``wss_proxy``
    or ``ws_proxy``, after the scheme; a SOCKS proxy; ``https_proxy``, for both schemes;
    ``http_proxy``, for ws only. Each may name any kind of proxy.
    """
    # Costs as much as all the rest of us to import, and many never need it.
    from urllib.request import getproxies

    proxies = getproxies()
    if not proxies or _is_direct(uri):
        return None
    schemes = (
        ["wss", "socks", "https"] if uri.secure else ["ws", "socks", "https", "http"]
    )
    for scheme in schemes:
        if proxies.get(scheme):
            return _with_scheme(proxies[scheme], scheme)
    return None


def _is_direct(uri: WebSocketURI) -> bool:
    """Return whether ``uri`` is to be reached without a proxy."""
    from urllib.request import getproxies_environment, proxy_bypass

    environment = getproxies_environment()
    if environment:
        return is_listed(uri.host, uri.port, environment.get("no", ""))
    # The list is that of Windows or macOS, which urllib can read.
    host = build_host(uri.host, uri.port, uri.secure, always_include_port=True)
    return bool(proxy_bypass(host))


def _with_scheme(proxy: str, found_as: str) -> str:
    """Return a URL that says which kind of proxy it is.

    Environment variables often hold a host and port alone, and systems call the
    SOCKS proxy ``socks://`` or even ``http://``.
    """
    kind, separator, address = proxy.partition("://")
    if not separator:
        kind, address = "", proxy
    if found_as == "socks" and kind in ("", "http", "socks"):
        kind = "socks5h"
    return f"{kind or 'http'}://{address}"


def build_connect(proxy: Proxy, uri: WebSocketURI, user_agent: str | None) -> bytes:
    """Return the request for a tunnel to the server of ``uri`` (RFC 9110, 9.3.6)."""
    host = build_host(uri.host, uri.port, uri.secure, always_include_port=True)
    headers = Headers()
    headers["Host"] = host
    if user_agent is not None:
        headers["User-Agent"] = user_agent
    if proxy.user_info is not None:
        headers["Proxy-Authorization"] = build_authorization_basic(*proxy.user_info)
    return Request(host, headers, "CONNECT").serialize()
