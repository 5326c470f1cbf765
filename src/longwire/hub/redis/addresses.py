"""Addresses: the URLs that say where Redis is, and in which arrangement.

::

    redis://host:6379/0                          one server
    redis://one:6379,two:6379                    a primary and its replicas: whichever
                                                 is the primary now
    redis+sentinel://s1:26379,s2:26379/mymaster  whom the sentinels name
    redis+cluster://one:7000,two:7000            a cluster; any of its nodes will do

``rediss`` in the place of ``redis`` is TLS. ``user:password@`` comes before the hosts.
"""

from __future__ import annotations

import ssl
import urllib.parse
from typing import NamedTuple

__all__ = ["Address", "Place", "parse_url"]

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Place(NamedTuple):
    """What a URL says."""

    kind: str
    """``"redis"``, ``"sentinel"`` or ``"cluster"``."""
    addresses: tuple[Address, ...]
    username: str | None
    password: str | None
    database: int
    service: str
    """The name that sentinels know the primary by."""
    tls: ssl.SSLContext | None

    def __repr__(self) -> str:
        # Without the password: this is what ends up in logs.
        return f"<Place {self.kind} {', '.join(map(str, self.addresses))}>"


def parse_url(url: str, tls: ssl.SSLContext | None = None) -> Place:
    """Return what a URL says; ValueError for one that says nothing of use."""
    if not isinstance(url, str):
        raise TypeError(f"the URL of Redis must be str, not {type(url).__name__}")
    scheme, separator, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    kind = kind or "redis"
    if not separator or base not in ("redis", "rediss"):
        raise _wrong(url, "it must begin with redis:// or rediss://")
    if kind not in ("redis", "sentinel", "cluster"):
        raise _wrong(url, "redis, redis+sentinel and redis+cluster are known")
    if "?" in rest or "#" in rest:
        raise _wrong(url, "it has no options: give them to RedisBroker()")
    hosts, _, path = rest.partition("/")
    credentials, at, hosts = hosts.rpartition("@")
    username, password = _credentials(credentials) if at else (None, None)
    port = SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT
    addresses = tuple(_address(url, each, port) for each in hosts.split(","))
    database, service = 0, ""
    if kind == "sentinel":
        service, _, path = path.partition("/")
        if not service:
            raise _wrong(url, "the name of the service comes after the hosts")
    if path:
        if not (path.isascii() and path.isdecimal() and len(path) < 6):
            raise _wrong(url, f"{path!r} is not the number of a database")
        database = int(path)
    if kind == "cluster" and database:
        raise _wrong(url, "a cluster has no databases but 0")
    if base == "rediss" and tls is None:
        tls = ssl.create_default_context()
    elif base == "redis" and tls is not None:
        raise _wrong(url, "with tls= it begins with rediss")
    return Place(kind, addresses, username, password, database, service, tls)


def _credentials(text: str) -> tuple[str | None, str | None]:
    user, colon, password = text.partition(":")
    if not colon:
        user, password = "", user  # redis://password@host, as some write it
    unquote = urllib.parse.unquote
    return unquote(user) or None, unquote(password) or None


def _address(url: str, text: str, default: int) -> Address:
    host, port = text, str(default)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _wrong(url, f"{text!r} is not a host")
        port = rest[1:] or port
    elif ":" in text:
        host, _, port = text.partition(":")
    if not host:
        raise _wrong(url, "a host is empty")
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
        raise _wrong(url, f"{port!r} is not a port")
    return Address(host, int(port))


def _wrong(url: str, why: str) -> ValueError:
    # Whatever is before the hosts may be a password.
    head, at, tail = url.rpartition("@")
    scheme = head.partition("://")[0]
    shown = f"{scheme}://…@{tail}" if at else url
    return ValueError(f"{shown!r} cannot be used: {why}")
