"""Addresses: the URLs that say where NATS is.

::

    nats://host:4222                 one server
    nats://one:4222,two:4222         a cluster; any of its servers will do
    tls://user:password@host         TLS from the first INFO on, and who we are
    nats://token@host                a token in the place of a user

The servers of a cluster that a server names are tried too.
"""

from __future__ import annotations

import ssl
import urllib.parse
from typing import NamedTuple

__all__ = ["Address", "Place", "parse_address", "parse_url"]

DEFAULT_PORT = 4222


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Place(NamedTuple):
    """What a URL says."""

    addresses: tuple[Address, ...]
    username: str | None
    password: str | None
    token: str | None
    tls: ssl.SSLContext | None

    def __repr__(self) -> str:
        # Without the password: this is what ends up in logs.
        return f"<Place nats {', '.join(map(str, self.addresses))}>"


def parse_url(url: str, tls: ssl.SSLContext | None = None) -> Place:
    """Return what a URL says; ValueError for one that cannot be used."""
    if not isinstance(url, str):
        raise TypeError(f"the URL of NATS must be str, not {type(url).__name__}")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("nats", "tls"):
        raise _wrong(url, "it must begin with nats:// or tls://")
    if "?" in rest or "#" in rest or "/" in rest.rstrip("/"):
        raise _wrong(url, "it has hosts only: give options to NatsBroker()")
    credentials, at, hosts = rest.rstrip("/").rpartition("@")
    user, colon, password = credentials.partition(":")
    unquote = urllib.parse.unquote
    addresses = []
    for each in hosts.split(","):
        try:
            addresses.append(parse_address(each))
        except ValueError as exc:
            raise _wrong(url, str(exc)) from None
    if scheme == "tls" and tls is None:
        tls = ssl.create_default_context()
    elif scheme == "nats" and tls is not None:
        raise _wrong(url, "with tls= it begins with tls")
    return Place(
        tuple(addresses),
        unquote(user) if colon else None,
        unquote(password) if colon else None,
        unquote(user) if at and not colon else None,
        tls,
    )


def parse_address(text: str) -> Address:
    """Return the address ``host`` or ``host:port``; ValueError for anything else."""
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not a host")
        port = rest[1:] or port
    elif ":" in text:
        host, _, port = text.partition(":")
    if not host or not host.isprintable() or " " in host:
        raise ValueError(f"{host!r} is not a host")
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
        raise ValueError(f"{port!r} is not a port")
    return Address(host, int(port))


def _wrong(url: str, why: str) -> ValueError:
    # Whatever is before the hosts may be a password.
    _, at, tail = url.rpartition("@")
    shown = f"{url.partition('://')[0]}://…@{tail}" if at else url
    return ValueError(f"{shown!r} cannot be used: {why}")
