"""Addresses of a broker's servers, as the URLs of brokers have them."""

from __future__ import annotations

import ssl
from typing import NamedTuple

__all__ = [
    "Address",
    "parse_address",
    "parse_addresses",
    "split_url",
    "tls_of",
    "unusable",
    "version_of",
]


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def split_url(url: str, broker: str) -> tuple[str, str]:
    """Return the scheme of a URL and what follows ``://``; "" without a scheme."""
    if not isinstance(url, str):
        raise TypeError(f"the URL of {broker} must be str, not {type(url).__name__}")
    scheme, separator, rest = url.partition("://")
    return (scheme, rest) if separator else ("", url)


def parse_address(text: str, default_port: int) -> Address:
    """Return the address ``host`` or ``host:port``; ValueError for anything else."""
    host, port = text, str(default_port)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not a host")
        port = rest[1:] or port
    elif ":" in text:
        host, _, port = text.partition(":")
    if not host:
        raise ValueError("a host is empty")
    if not host.isprintable() or " " in host:
        raise ValueError(f"{host!r} is not a host")
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
        raise ValueError(f"{port!r} is not a port")
    return Address(host, int(port))


def parse_addresses(url: str, hosts: str, default_port: int) -> tuple[Address, ...]:
    """Return the addresses of a URL, which commas separate."""
    try:
        return tuple(parse_address(each, default_port) for each in hosts.split(","))
    except ValueError as exc:
        raise unusable(url, str(exc)) from None


def tls_of(
    url: str, is_tls: bool, scheme: str, context: ssl.SSLContext | None
) -> ssl.SSLContext | None:
    """Return the context of a URL with TLS, None of one without.

    ``scheme`` is what a URL with TLS begins with.
    """
    if context is not None and not is_tls:
        raise unusable(url, f"with tls= it begins with {scheme}")
    return ssl.create_default_context() if is_tls and context is None else context


def unusable(url: str, why: str) -> ValueError:
    """Return the error for a URL that cannot be used, without its password."""
    head, at, tail = url.rpartition("@")
    shown = f"{head.partition('://')[0]}://…@{tail}" if at else url
    return ValueError(f"{shown!r} cannot be used: {why}")


def version_of(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a server's version."""
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
