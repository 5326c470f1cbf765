"""What serve() is given, on every front end: mistakes are told before anything listens.

Each error says what was found, what is allowed, and what to write.
"""

from __future__ import annotations

import inspect
import ssl
from typing import Any

from ..hints import what_is_wrong_with

__all__ = ["check_context", "check_handler", "check_host", "check_port"]


def check_handler(handler: object, awaits: bool = True) -> None:
    """Raise TypeError unless ``handler`` can be called with one connection.

    ``awaits`` says whether the front end awaits what it returns.
    """
    wanted = "a coroutine function" if awaits else "a function"
    if not callable(handler):
        raise TypeError(
            f"handler must be {wanted}, not {type(handler).__name__}"
            f"{_instead_of_a_handler(handler)}"
        )
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return  # something of C that does not say
    name = getattr(handler, "__qualname__", type(handler).__name__)
    try:
        signature.bind(object())
    except TypeError:
        raise TypeError(
            f"handler must take one argument, the connection; found "
            f"{name}{signature} (the path is connection.request.path)"
        ) from None
    wrong = what_is_wrong_with(handler, awaits)
    if wrong:
        raise TypeError(f"handler must be {wanted}; {name} {wrong}")


def _instead_of_a_handler(found: object) -> str:
    if inspect.iscoroutine(found):
        return "; pass the function, do not call it"
    if isinstance(found, (str, int)):
        return "; the handler comes first: write serve(handler, 'localhost', 8765)"
    return ""


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


def check_port(port: object) -> None:
    """Raise TypeError or ValueError for what is no number of a port."""
    if isinstance(port, str):
        written = f": write {port}" if port.isdecimal() else ""
        raise TypeError(f"port is the text {port!r}; a number is allowed{written}")
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise ValueError(f"port is {port}; 0 to 65535 are allowed")


def check_context(context: Any) -> None:
    """Raise TypeError or ValueError for what is no TLS context of a server."""
    if not isinstance(context, ssl.SSLContext):
        kind = type(context).__name__
        hint = (
            "; write ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) and "
            "load_cert_chain()"
        )
        raise TypeError(f"ssl must be an ssl.SSLContext or None, not {kind}{hint}")
    if context.protocol is ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError(
            "ssl is a client's context; a server needs one with a certificate: write "
            "ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) and load_cert_chain()"
        )
