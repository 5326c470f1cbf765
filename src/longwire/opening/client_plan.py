"""Connecting: the client's half of the opening handshake, as a plan.

Decides where to connect to and how: proxies, TLS, the request, whether the answer opens
a connection (RFC 6455 section 4.1), and redirects. Does no I/O and reads no clock: a
front end's driver carries out the steps it yields.
"""

from __future__ import annotations

import dataclasses
import os
import urllib.parse
from collections.abc import Callable, Sequence

from ..errors import (
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    SecurityError,
)
from ..escaping import excerpt
from ..http import handshake
from ..http.extensions import Agreed, confirm, offer, split
from ..http.fields import lower
from ..http.headers import Headers, MultipleValuesError
from ..http.heads import Request, Response, ResponseReader
from ..http.proxy import Proxy, build_connect, get_proxy, parse_proxy
from ..http.uri import WebSocketURI, parse_uri
from ..options import Limits
from .client_settings import ClientSettings
from .steps import (
    Hangup,
    LimitReads,
    Opened,
    OpenSocks,
    OpenTcp,
    OpenUnix,
    Plan,
    Read,
    StartTls,
    Write,
)

__all__ = ["Exchange", "Target", "connect_plan", "open_stream", "tell_of_leaving"]

BODY_SECONDS = 2.0
"""How long the body of a response that opens nothing is waited for."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What a request may say to servers that the caller did not name: who is asking, and in
# which form an answer is wanted.
_FOR_ALL = frozenset(
    {
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "dnt",
        "pragma",
        "sec-gpc",
        "user-agent",
    }
)


# --- the plan --------------------------------------------------------------------


def connect_plan(
    settings: ClientSettings,
    random_bytes: Callable[[int], bytes] = os.urandom,
    make_exchange: Callable[..., Exchange] | None = None,
    target: Target | None = None,
) -> Plan[Opened]:
    """Return the plan that opens a connection, following redirects.

    ``make_exchange`` makes a subclass of :class:`Exchange` for each server asked,
    beginning with ``target`` instead of the URI of ``settings``.
    Raises an InvalidHandshake that says what was wrong with the server or proxy, or
    what the driver's steps raise; the stream is then the front end's to close.
    """
    target = target or Target(settings)
    make_exchange = make_exchange or Exchange
    for _ in range(settings.max_redirects + 1):
        yield from open_stream(target)
        exchange = make_exchange(target, random_bytes)
        yield from exchange.plan()
        if exchange.response.status_code == 101:
            return exchange.opened()
        came_from, target = target, (yield from exchange.redirect())
        if target.foreign and not came_from.foreign:
            tell_of_leaving(target)
        yield Hangup()
    raise SecurityError(f"more than {settings.max_redirects} redirects")


def tell_of_leaving(target: Target) -> None:
    """Log what is not sent any more: a server may refuse us for the want of it."""
    settings = target.settings
    left = Target.left_behind(settings.additional_headers)
    left += ["origin"] if settings.origin is not None else []
    left += ["subprotocols"] if settings.subprotocols else []
    left += ["credentials"] if settings.uri.username is not None else []
    if left:
        settings.logger.info(
            "redirected to another origin, %s; left behind: %s",
            _where(target.uri),
            excerpt(", ".join(left)),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where the plan is on the way through redirects, and what it may say there."""

    settings: ClientSettings
    redirected_to: WebSocketURI | None = None
    foreign: bool = False
    """We left the origin the caller named: its secrets are not for this server."""

    @property
    def uri(self) -> WebSocketURI:
        return self.redirected_to or self.settings.uri

    def for_this_server(self, settings: ClientSettings) -> ClientSettings:
        """Return ``settings`` with what the request to this server may say.

        Once the caller's origin was left, any header may be a secret, so only those
        known to be none go along. Nor does Origin: it would have one server speak to
        another in the name of the page that trusted the first (a browser sends "null"
        then, Fetch section 4.4). Nor do subprotocols, which often carry a token for
        want of headers in browsers. That holds for the rest of the way, also back to
        where it began: what is asked for there is another server's choice.
        """
        if not self.foreign:
            return settings
        headers = settings.additional_headers.copy()
        for name in self.left_behind(headers):
            del headers[name]
        return dataclasses.replace(
            settings, additional_headers=headers, origin=None, subprotocols=None
        )

    @staticmethod
    def left_behind(headers: Headers) -> list[str]:
        """Return the names of the fields that are for the first origin alone."""
        return [name for name in headers if name not in _FOR_ALL]

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

    def redirected(self, response: Response) -> Target:
        """Return the target that ``response`` sends us to.

        Raises InvalidStatus when it is no redirect that can be followed and
        SecurityError for one that must not be.
        """
        if not self.may_follow(response):
            raise InvalidStatus(response)
        target = self.moved(_location(response))
        if self.settings.address.sock is not None:
            raise InvalidStatus(response)  # the one socket we were given is used up
        return target

    def may_follow(self, response: Response) -> bool:
        """Return whether ``response`` is a redirect of the kind that is followed."""
        return (
            response.status_code in REDIRECTS
            and "Location" in response.headers
            and self.settings.max_redirects > 0
        )

    def moved(self, location: str) -> Target:
        """Return the target at ``location``, which may be relative to this one.

        Raises InvalidHeader when it is no address, SecurityError for one that must
        not be gone to.
        """
        uri = _resolve(self.uri, location)
        where = _where(uri)
        if self.uri.secure and not uri.secure:
            raise SecurityError(f"cannot follow a redirect from wss to {where}")
        foreign = _origin(uri) != _origin(self.uri)
        preset = self.settings.address.preset
        if foreign and preset is not None:
            raise SecurityError(f"cannot follow a redirect to {where} with {preset}")
        if not foreign and uri.username is None:
            uri = dataclasses.replace(
                uri, username=self.uri.username, password=self.uri.password
            )
        return Target(self.settings, uri, self.foreign or foreign)


def _location(response: Response) -> str:
    try:
        return response.headers["Location"]
    except MultipleValuesError:
        raise InvalidHeader("Location", "more than one value") from None


def _where(uri: WebSocketURI) -> str:
    return f"{'wss' if uri.secure else 'ws'}://{excerpt(uri.host)}:{uri.port}"


def _origin(uri: WebSocketURI) -> tuple[bool, str, int]:
    return uri.secure, lower(uri.host), uri.port


def _resolve(base: WebSocketURI, location: str) -> WebSocketURI:
    """Return the URI ``location`` stands for in a response from ``base``."""
    host = base.host
    if ":" in host:
        host = f"[{host.replace('%', '%25')}]"  # RFC 6874: a zone after %25
    scheme = "https" if base.secure else "http"
    here = f"{scheme}://{host}:{base.port}{base.resource_name}"
    try:
        parts = urllib.parse.urlsplit(location)
        if not parts.scheme:
            # Only then: urljoin() takes "http://" for a relative reference.
            parts = urllib.parse.urlsplit(urllib.parse.urljoin(here, location))
        # Redirects are HTTP's, so they may speak of http; and a fragment is
        # for whoever shows the page (RFC 9110 section 10.2.2).
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        return parse_uri(parts._replace(scheme=scheme, fragment="").geturl())
    except (ValueError, InvalidURI) as exc:
        raise InvalidHeader("Location", location) from exc


# --- reaching the server ---------------------------------------------------------


def open_stream(target: Target) -> Plan[None]:
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
        yield from _open_tunnel(target, proxy, host, port)
    if target.tls is not None:
        yield target.tls


def _proxy_for(target: Target) -> Proxy | None:
    choice = target.settings.proxy
    if not isinstance(choice, bool):
        return choice
    found = get_proxy(target.uri) if choice else None
    return None if found is None else parse_proxy(found)


def _open_tunnel(target: Target, proxy: Proxy, host: str, port: int) -> Plan[None]:
    """Have an HTTP proxy connect us to ``host`` (RFC 9110 section 9.3.6)."""
    settings = target.settings
    address = settings.address
    tls = None
    if proxy.scheme == "https":
        name = address.proxy_server_hostname
        tls = StartTls(
            address.proxy_tls, proxy.host if name is None else name, address.tls_options
        )
    yield OpenTcp(proxy.host, proxy.port, tls, address.options)
    there = dataclasses.replace(target.uri, host=host, port=port)
    yield Write(build_connect(proxy, there, settings.user_agent))
    reader = _reader(settings.limits, tunnel=True)
    try:
        response = yield from _read_response(reader, lambda response: True)
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


class Exchange:
    """The request to one server and its response, on a stream that is open.

    ``plan()`` leaves them in ``request`` and ``response``; ``opened()`` or
    ``redirect()`` is what follows from a response. A subclass may do any part in
    another way.
    """

    request: Request
    response: Response
    rest = b""

    def __init__(self, target: Target, random_bytes: Callable[[int], bytes]) -> None:
        self.target = target
        self.settings = target.settings
        self._random_bytes = random_bytes

    def plan(self) -> Plan[None]:
        """Send the request, receive the response."""
        self.settings = settings = self.target.for_this_server(self.settings)
        key = handshake.make_key(self._random_bytes(16))
        self.request = handshake.build_request(
            self.target.uri,
            key=key,
            origin=settings.origin,
            subprotocols=settings.subprotocols,
            extensions_header=offer(settings.extensions),
            additional_headers=settings.additional_headers,
            user_agent=settings.user_agent,
        )
        yield from self.write()
        yield from self.read()
        if self.response.status_code == 101:
            handshake.check_response(self.response, key)

    def write(self) -> Plan[None]:
        """Send ``request``."""
        yield Write(self.request.serialize())

    def read(self) -> Plan[None]:
        """Receive ``response``; ``rest`` is what came after it."""
        reader = _reader(self.settings.limits, tunnel=False)
        try:
            self.response = yield from _read_response(reader, self._needs_body)
        except EOFError as exc:
            raise InvalidMessage("did not receive a valid HTTP response") from exc
        self.rest = reader.rest

    def _needs_body(self, response: Response) -> bool:
        """Return whether somebody will want to read why ``response`` opens nothing."""
        return not self.target.may_follow(response)

    def opened(self) -> Opened:
        """Return what a 101 agrees on, if we can agree."""
        settings, headers = self.settings, self.response.headers
        values = headers.get_all("Sec-WebSocket-Extensions")
        extensions = confirm(values, settings.extensions)
        subprotocol = handshake.confirm_subprotocol(headers, settings.subprotocols)
        return self.opened_as(extensions, subprotocol)

    def opened_as(
        self, extensions: Sequence[Agreed], subprotocol: str | None
    ) -> Opened:
        return Opened(
            self.request,
            self.response,
            subprotocol,
            *split(extensions),
            self.rest,
        )

    def redirect(self) -> Plan[Target]:
        """Return where any other response than a 101 sends us; raise if nowhere."""
        yield from ()
        return self.target.redirected(self.response)


def _reader(limits: Limits, tunnel: bool) -> ResponseReader:
    return ResponseReader(
        limits.handshake_line,
        limits.handshake_headers,
        limits.handshake_bytes,
        limits.handshake_body,
        tunnel=tunnel,
    )


def _read_response(
    reader: ResponseReader, needs_body: Callable[[Response], bool]
) -> Plan[Response]:
    """Return the response, if it opens nothing with what came of its body.

    A server that has refused may say why at any length and speed: what counts is the
    refusal. So whatever happens in the body (a fault, the end, a reset, silence) is the
    end of it; ``needs_body`` says whether to wait for it at all. Raises EOFError when
    the stream ends in the head.
    """
    limited = False
    try:
        while data := (yield Read()):
            response = reader.feed(data)
            del data  # the reader has what is needed of it
            if response is None and not limited:
                response = reader.so_far()
                if response is not None and needs_body(response):
                    yield LimitReads(BODY_SECONDS)
                    limited, response = True, None
            if response is not None:
                return response
        return _ended(reader)
    except (InvalidHandshake, EOFError, OSError):
        response = reader.so_far()
        if response is None:
            raise
        return response


def _ended(reader: ResponseReader) -> Response:
    """Return the response that the end of the stream completes."""
    try:
        response = reader.feed_eof()
    except InvalidMessage as exc:
        raise EOFError(str(exc)) from exc
    if response is None:
        raise EOFError("connection closed in the middle of the response")
    return response
