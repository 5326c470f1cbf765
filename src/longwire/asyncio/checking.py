"""What serve() is given: mistakes are told before anything listens."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from ..hints import what_is_wrong_with
from ..opening.settings import check_keywords

__all__ = ["check_handler", "check_host", "check_network"]


def check_handler(handler: object) -> None:
    """Raise TypeError unless ``handler`` can be called with one connection."""
    if not callable(handler):
        kind = type(handler).__name__
        hint = "; pass the function, do not call it" if kind == "coroutine" else ""
        raise TypeError(f"handler must be a coroutine function, not {kind}{hint}")
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return  # something of C that does not say
    try:
        signature.bind(object())
    except TypeError:
        name = getattr(handler, "__qualname__", type(handler).__name__)
        raise TypeError(
            f"handler must take one argument, the connection; found "
            f"{name}{signature} (the path is connection.request.path)"
        ) from None
    wrong = what_is_wrong_with(handler)
    if wrong:
        name = getattr(handler, "__qualname__", type(handler).__name__)
        raise TypeError(f"handler must be a coroutine function; {name} {wrong}")


def check_host(host: object) -> None:
    """Raise TypeError or ValueError for a port, or a URI, in place of a host."""
    if isinstance(host, int):
        raise TypeError(
            f"host is {host}, which looks like a port: write "
            f"serve(handler, 'localhost', {host})"
        )
    if not isinstance(host, str):
        return
    name, colon, port = host.rpartition(":")
    if "://" in host or "/" in host:
        raise ValueError(
            f"host is {host!r}; a name or an address is allowed, such as 'localhost'"
        )
    if colon and port.isdecimal() and (":" not in name or name.endswith("]")):
        raise ValueError(
            f"host is {host!r}; the port is an argument of its own: write "
            f"serve(handler, {name.strip('[]')!r}, {port})"
        )


def check_network(unix: bool, given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise TypeError for a keyword that nobody knows; ``own`` are those of serve()."""
    create = "create_unix_server" if unix else "create_server"
    known = {
        *inspect.signature(getattr(asyncio.AbstractEventLoop, create)).parameters,
        *inspect.signature(getattr(asyncio.SelectorEventLoop, create)).parameters,
        *own,
    }
    known -= {"self", "protocol_factory", "kwargs", "handler"}
    if unix:
        known -= {"host", "port"}
    names = given.keys() - {"make_server"}
    check_keywords("unix_serve" if unix else "serve", names, known)
