"""The environment's list of hosts that are reached without a proxy: ``no_proxy``.

No standard says what is in it. This reads what curl, Go, Python's urllib and requests
document for it, and where they differ, what most of them do. Elements are separated by
commas or white space:

=========================================  ==========================================
``*``                                      every host
``example.com``, ``.example.com``          this host, and all whose names end in it
``*.example.com``                          hosts whose names end in it
``192.0.2.7``, ``::1``, ``[::1]``          this address, in any spelling
``fe80::1%eth0``                           this address in this zone; without, in any
``192.0.2.0/24``, ``fd00::/8``             the addresses of this network
any of these names or addresses, ``:80``   the same at this port; an IPv6 address then
                                           needs its brackets
=========================================  ==========================================

Names are compared without case and without a final dot; nothing is looked up in DNS.
"""

from __future__ import annotations

import ipaddress
import re

from .fields import lower
from .uri import domain_name

__all__ = ["is_listed"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# In brackets, or without any colon: else it is an address of IPv6 as a whole.
_ELEMENT = re.compile(
    r"(?:\[(?P<ipv6>[^\]]*)\](?P<length>/[0-9]+)?|(?P<name>[^:]*))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)


def is_listed(host: str, port: int, no_proxy: str) -> bool:
    """Return whether ``no_proxy`` has ``host``, ASCII and without brackets."""
    name, addresses = _name(host), _addresses(host)
    for element in re.split(r"[,\s]+", no_proxy):
        if element == "*":
            return True
        if not element:
            continue
        wanted = _at_port(element, port)
        if wanted is None:
            continue
        if addresses:
            if any(_has(wanted, address) for address in addresses):
                return True
        elif _covers(wanted, name):
            return True
    return False


def _at_port(element: str, port: int) -> str | None:
    """Return an element without brackets and port; None if it has another port."""
    match = _ELEMENT.fullmatch(element)
    if match is None:
        return element
    if match["port"] is not None and int(match["port"]) != port:
        return None
    if match["name"] is not None:
        return match["name"]
    return match["ipv6"] + (match["length"] or "")


def _name(host: str) -> str:
    return lower(host).removesuffix(".")


def _addresses(host: str) -> list[Address]:
    """Return the address that ``host`` is, in both families if it has both; else []."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    mapped = getattr(address, "ipv4_mapped", None)
    return [address] if mapped is None else [address, mapped]


def _has(element: str, address: Address) -> bool:
    """Return whether an element is, or holds, ``address``."""
    try:
        if "/" in element:
            return address in ipaddress.ip_network(element, strict=False)
    except ValueError:
        return False
    zone = getattr(address, "scope_id", None)
    for listed in _addresses(element):
        wanted = getattr(listed, "scope_id", None)
        if listed.packed == address.packed and wanted in (None, zone):
            return True
    return False


def _covers(element: str, name: str) -> bool:
    """Return whether an element is ``name``, or a domain that it is in."""
    below = element.startswith("*.")
    try:
        domain = _name(domain_name(element.removeprefix("*").lstrip(".")))
    except UnicodeError:
        return False  # no name, so nobody's
    if not domain or _addresses(domain):
        return False
    return name.endswith(f".{domain}") or (name == domain and not below)
