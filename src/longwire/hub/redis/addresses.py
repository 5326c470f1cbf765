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

from ..addresses import Address, parse_addresses, split_url, tls_of, unusable

__all__ = ["Place", "parse_url"]

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379


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
    scheme, rest = split_url(url, "Redis")
    base, _, kind = scheme.partition("+")
    kind = kind or "redis"
    if base not in ("redis", "rediss"):
        raise unusable(url, "it must begin with redis:// or rediss://")
    if kind not in ("redis", "sentinel", "cluster"):
        raise unusable(url, "redis, redis+sentinel and redis+cluster are known")
    if "?" in rest or "#" in rest:
        raise unusable(url, "it has no options: give them to RedisBroker()")
    hosts, _, path = rest.partition("/")
    credentials, at, hosts = hosts.rpartition("@")
    username, password = _credentials(credentials) if at else (None, None)
    port = SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT
    addresses = parse_addresses(url, hosts, port)
    database, service = 0, ""
    if kind == "sentinel":
        service, _, path = path.partition("/")
        if not service:
            raise unusable(url, "the name of the service comes after the hosts")
    if path:
        if not (path.isascii() and path.isdecimal() and len(path) < 6):
            raise unusable(url, f"{path!r} is not the number of a database")
        database = int(path)
    if kind == "cluster" and database:
        raise unusable(url, "a cluster has no databases but 0")
    tls = tls_of(url, base == "rediss", "rediss", tls)
    return Place(kind, addresses, username, password, database, service, tls)


def _credentials(text: str) -> tuple[str | None, str | None]:
    user, colon, password = text.partition(":")
    if not colon:
        user, password = "", user  # redis://password@host, as some write it
    unquote = urllib.parse.unquote
    return unquote(user) or None, unquote(password) or None
