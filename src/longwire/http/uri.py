"""WebSocket URIs: RFC 6455 section 3.

Decides which addresses are valid and what of them goes where: host and port to the
network, path and query into the request, user name and password into a header.
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from ..errors import InvalidURI
from ..escaping import excerpt
from .fields import has_controls

__all__ = ["WebSocketURI", "parse_uri"]

# Visible ASCII that a request target may have; what is not here is percent-encoded.
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"<>')
UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_MAX_NAME = 253


@dataclasses.dataclass
class WebSocketURI:
    """A WebSocket URI in its parts.

    ``secure`` is whether the scheme is wss; ``host`` is ASCII, without brackets;
    ``port`` is always known; ``path`` and ``query`` are percent-encoded;
    ``username`` and ``password`` are plain text, both None if the URI has none.
    """

    secure: bool
    host: str
    port: int
    path: str
    query: str
    username: str | None = None
    password: str | None = None

    @property
    def resource_name(self) -> str:
        """Path and query: what the request asks for."""
        path = self.path or "/"
        return f"{path}?{self.query}" if self.query else path

    @property
    def shown(self) -> str:
        """The URI for a log: without credentials, and without the query."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "wss" if self.secure else "ws"
        return f"{scheme}://{host}:{self.port}{excerpt(self.path or '/')}"

    @property
    def user_info(self) -> tuple[str, str] | None:
        """User name and password, None if the URI has none."""
        if self.username is None or self.password is None:
            return None
        return self.username, self.password


def parse_uri(uri: str) -> WebSocketURI:
    """Return the parts of a ``ws://`` or ``wss://`` URI.

    A host name that is not ASCII is encoded by IDNA, path and query by percents.
    Raises InvalidURI, which says what is wrong.
    """
    if UNSAFE.search(uri) is not None:
        # urlsplit() drops some of these without a word.
        raise InvalidURI(repr(uri), "white space and control characters don't belong")
    parts = _split(uri)
    if parts.scheme not in ("ws", "wss"):
        found = repr(parts.scheme) if parts.scheme else "missing"
        hint = _instead_of_scheme(parts, uri)
        raise InvalidURI(
            uri or "''", f"scheme is {found}; ws and wss are allowed{hint}"
        )
    if "#" in uri:
        raise InvalidURI(uri, "fragment identifier is meaningless")
    secure = parts.scheme == "wss"
    port = _port(parts, uri)
    username, password = _user_info(parts, uri)
    return WebSocketURI(
        secure,
        _host(parts, uri),
        (443 if secure else 80) if port is None else port,
        _quote(parts.path, uri),
        _quote(parts.query, uri),
        username,
        password,
    )


def _instead_of_scheme(parts: urllib.parse.SplitResult, uri: str) -> str:
    """Return how the text about another scheme goes on: what to write."""
    known = {"http": "ws", "https": "wss"}.get(parts.scheme)
    if known is not None:
        return f": write {known}://"
    if parts.scheme == "unix" or (not parts.netloc and uri.startswith(("/", "."))):
        return ": write unix_connect(path) for a Unix socket"
    is_port = parts.path.split("/")[0].isdecimal() and "//" not in uri
    if is_port or (not parts.scheme and uri.strip("/")):
        return f": write ws://{uri.lstrip('/')}"
    return ""


def _split(uri: str) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(uri)
    except ValueError as exc:  # brackets that hold no address
        raise InvalidURI(uri, str(exc).lower()) from exc


def _port(parts: urllib.parse.SplitResult, uri: str) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        what = "port isn't a number from 1 to 65535"
        host = parts.netloc.rpartition("@")[2]
        if host.count(":") > 1 and "[" not in host:
            what += ", and an address of IPv6 has brackets: write [::1]"
        raise InvalidURI(uri, what)
    return port


def _host(parts: urllib.parse.SplitResult, uri: str) -> str:
    host = parts.hostname
    if not host:
        instead = parts.path.lstrip("/") if not parts.netloc else ""
        hint = f": write {parts.scheme}://{instead}" if instead else ""
        raise InvalidURI(uri, f"hostname isn't provided{hint}")
    try:
        return host_name(host)
    except UnicodeError as exc:
        raise InvalidURI(uri, "hostname isn't a valid domain name") from exc


def host_name(host: str) -> str:
    """Return the host of a URI as the network knows it, without brackets.

    Raises UnicodeError for what is none.
    """
    if ":" in host and host.isascii():
        # RFC 6874: a zone follows an encoded percent sign.
        return host.replace("%25", "%", 1)
    return domain_name(host)


def domain_name(host: str) -> str:
    """Return a host name in ASCII, encoded by IDNA where it is not.

    Raises UnicodeError for what is none, or longer than a name can be.
    """
    # RFC 1035 section 2.3.4: 255 octets with all length octets. Before encoding, which
    # takes time that grows with the square of the length.
    if len(host) > _MAX_NAME:
        raise UnicodeError(f"{len(host)} characters; {_MAX_NAME} are allowed")
    return host if host.isascii() else host.encode("idna").decode()


def _quote(text: str, uri: str) -> str:
    # A Location that is not UTF-8 comes with surrogates for the bytes it has.
    try:
        return urllib.parse.quote(text, safe=_SAFE, errors="surrogateescape")
    except UnicodeEncodeError as exc:
        raise InvalidURI(repr(uri), "surrogates are no characters") from exc


def _user_info(
    parts: urllib.parse.SplitResult, uri: str
) -> tuple[str | None, str | None]:
    if parts.username is None:
        return None, None
    if parts.password is None:
        raise InvalidURI(uri, "username provided without password")
    username = urllib.parse.unquote(parts.username, errors="surrogateescape")
    password = urllib.parse.unquote(parts.password, errors="surrogateescape")
    if ":" in username:
        raise InvalidURI(uri, "username contains a colon")
    if has_controls(username) or has_controls(password):
        raise InvalidURI(uri, "username or password contains control characters")
    return username, password
