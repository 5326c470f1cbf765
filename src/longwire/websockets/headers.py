"""Header values in and out: the functions of ``longwire.http.headers``."""

from __future__ import annotations

from ..http.headers import (
    ExtensionHeader,
    ExtensionParameter,
    build_authorization_basic,
    build_extension,
    build_host,
    build_subprotocol,
    build_www_authenticate_basic,
    parse_authorization_basic,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
    validate_subprotocols,
)
from .aliases import give_aliases

__all__ = [
    "ExtensionHeader",
    "ExtensionParameter",
    "build_authorization_basic",
    "build_extension",
    "build_host",
    "build_subprotocol",
    "build_www_authenticate_basic",
    "parse_authorization_basic",
    "parse_connection",
    "parse_extension",
    "parse_subprotocol",
    "parse_upgrade",
    "validate_subprotocols",
]

# What editions 9.1 and later call some of them themselves.
build_extension_list, build_subprotocol_list = build_extension, build_subprotocol
parse_extension_list, parse_subprotocol_list = parse_extension, parse_subprotocol

give_aliases(globals())
