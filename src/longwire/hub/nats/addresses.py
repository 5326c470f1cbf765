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

from ..addresses import Address, parse_addresses, split_url, tls_of, unusable
from .login import Login

__all__ = ["DEFAULT_PORT", "Place", "parse_url"]

DEFAULT_PORT = 4222


class Place(NamedTuple):
    """What a URL says."""

    addresses: tuple[Address, ...]
    username: str | None
    password: str | None
    token: str | None
    tls: ssl.SSLContext | None
    login: Login | None = None
    """Who we are by a key, where the URL does not say it."""
    inbox: str = "_INBOX"
    """What the subjects begin with that answers come by."""

    def __repr__(self) -> str:
        # Without the password: this is what ends up in logs.
        return f"<Place nats {', '.join(map(str, self.addresses))}>"


def parse_url(url: str, tls: ssl.SSLContext | None = None) -> Place:
    """Return what a URL says; ValueError for one that cannot be used."""
    scheme, rest = split_url(url, "NATS")
    if scheme not in ("nats", "tls"):
        raise unusable(url, "it must begin with nats:// or tls://")
    if "?" in rest or "#" in rest or "/" in rest.rstrip("/"):
        raise unusable(url, "it has hosts only: give options to NatsBroker()")
    credentials, at, hosts = rest.rstrip("/").rpartition("@")
    user, colon, password = credentials.partition(":")
    unquote = urllib.parse.unquote
    return Place(
        parse_addresses(url, hosts, DEFAULT_PORT),
        unquote(user) if colon else None,
        unquote(password) if colon else None,
        unquote(user) if at and not colon else None,
        tls_of(url, scheme == "tls", "tls", tls),
    )
