"""What serve() and connect() are given, on every front end: mistakes are told at once.

Each error says what was found, what is allowed, and what to write.
"""

from __future__ import annotations

import functools
import inspect
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..hints import what_is_wrong_with
from ..once import MAKING
from .origins import check_pages
from .server_plan import ServerSettings, server_settings
from .settings import settings_of_both

__all__ = [
    "CALL",
    "check_callback",
    "check_context",
    "check_handler",
    "check_host",
    "check_path",
    "check_port",
    "check_sock",
    "settings_of_server",
]

CALL = "serve(handler, {host!r}, {port})"
"""How ``serve`` is called, for error texts."""

# Keywords of the documented signature that settings have under the same names.
_SAME = (
    *("origins", "extensions", "subprotocols", "select_subprotocol", "logger"),
    *("process_request", "process_response", "server_header", "health"),
)

# What the plan calls these with.
_CALLED_WITH = {
    "process_request": ("connection", "request"),
    "process_response": ("connection", "request", "response"),
    "select_subprotocol": ("connection", "offered"),
}

_MAKE_CONTEXT = (
    "write ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) and load_cert_chain()"
)


def settings_of_server(
    given: Mapping[str, Any],
    *,
    awaits: bool = True,
    call: str = CALL,
    pages: bool = True,
) -> ServerSettings:
    """Return the settings that the arguments of ``serve`` ask for.

    ``given`` has all of its signature, by name; ``awaits`` says whether what the
    handler returns is awaited; ``pages`` whether a text that no browser sends is
    refused among ``origins``, which longwire.websockets documents as any.
    Raises TypeError or ValueError for what cannot be used.
    """
    check_handler(given["handler"], awaits, call)
    settings = server_settings(
        **settings_of_both(given),
        **{name: given[name] for name in _SAME},
    )
    if pages:
        check_pages(settings.origins)
    for name, parameters in _CALLED_WITH.items():
        check_callback(name, given[name], parameters, awaits)
    if isinstance(given["health"], Mapping):
        for path, function in given["health"].items():
            check_callback(f"health[{path!r}]", function, (), awaits)
    create = given["create_connection"]
    if create is not None and not callable(create):
        kind = type(create).__name__
        raise TypeError(f"create_connection must be a class or factory, not {kind}")
    if given.get("ssl") is not None:
        check_context(given["ssl"])
    check_host(given["host"], call)
    check_port(given["port"], call)
    return settings


def check_handler(handler: object, awaits: bool = True, call: str = CALL) -> None:
    """Raise TypeError unless ``handler`` can be called with one connection.

    ``awaits`` says whether the front end awaits what it returns.
    """
    wanted = "a coroutine function" if awaits else "a function"
    if not callable(handler):
        raise TypeError(
            f"handler must be {wanted}, not {type(handler).__name__}"
            f"{_instead_of_a_handler(handler, call)}"
        )
    found = _other_signature(handler, 1)
    if found is not None:
        raise TypeError(
            f"handler must take one argument, the connection; found "
            f"{found}{_instead_of_parameters(handler)}"
        )
    name = getattr(handler, "__qualname__", type(handler).__name__)
    wrong = what_is_wrong_with(handler, awaits)
    if wrong:
        raise TypeError(f"handler must be {wanted}; {name} {wrong}")


def _instead_of_parameters(handler: Callable[..., Any]) -> str:
    """Return what to write for a handler with other parameters, "" if nobody knows."""
    names = list(inspect.signature(handler).parameters)
    cls, dot, method = getattr(handler, "__qualname__", "").rpartition(".")
    if names[:1] == ["self"] and dot:
        made = cls.rpartition(".")[2]
        return f"; it is a method: write {made}().{method}"
    if inspect.isclass(handler):
        return "; it is a class: write a function, or a method of an object"
    if len(names) == 2:
        return " (the path is connection.request.path)"
    if not names:
        name = getattr(handler, "__name__", "")
        return f"; write {name}(websocket)" if name.isidentifier() else ""
    return "; functools.partial() gives the others"


def check_callback(
    keyword: str, function: object, parameters: Sequence[str], awaits: bool = True
) -> None:
    """Raise TypeError unless ``function``, if there is one, takes ``parameters``.

    ``awaits`` says whether it may be a coroutine function.
    """
    if function is None:
        return
    if not callable(function):
        kind = type(function).__name__
        raise TypeError(f"{keyword} must be a function or None, not {kind}")
    if not awaits and inspect.iscoroutinefunction(function):
        name = getattr(function, "__qualname__", keyword)
        raise TypeError(f"{keyword} must be a plain function; {name} has 'async'")
    made_by = getattr(function, "_is_called_first", "")
    if made_by and isinstance(made_by, str):  # of a mock, every attribute is there
        raise TypeError(f"{keyword} is what makes one: write {made_by}")
    found = _other_signature(function, len(parameters))
    if found is not None:
        wanted = f"{keyword}({', '.join(parameters)})"
        raise TypeError(f"{keyword} is called as {wanted}; found {found}")


def _other_signature(function: Callable[..., Any], count: int) -> str | None:
    """Return name and signature of what cannot be called with ``count`` arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None  # something of C that does not say
    try:
        signature.bind(*range(count))
    except TypeError:
        name = getattr(function, "__qualname__", type(function).__name__)
        return f"{name}{signature}"
    return None


def _instead_of_a_handler(found: object, call: str) -> str:
    if inspect.iscoroutine(found):
        return "; pass the function, do not call it"
    if isinstance(found, (str, int)):
        written = call.format(host="localhost", port=8765)
        return f"; the handler comes first: write {written}"
    if isinstance(found, (Mapping, list, tuple)):
        return "; route() chooses one by the path, or look at websocket.request.path"
    if callable(getattr(found, "install", None)):
        return "; write server = rpc.Server(), hub.install(server), server.serve(...)"
    if callable(getattr(found, "handler", None)):
        return "; pass the handler itself"
    return ""


def check_host(host: object, call: str = CALL) -> None:
    """Raise TypeError or ValueError for a port, or a URI, in place of a host."""
    if isinstance(host, int):
        raise TypeError(
            f"host is {host}, which looks like a port: write "
            f"{call.format(host='localhost', port=host)}"
        )
    if isinstance(host, (list, tuple)) and len(host) > 1:
        for each in host:
            if isinstance(each, int):
                written = call.format(host=host[0], port=each)
                raise TypeError(f"host has the number {each}: write {written}")
    if isinstance(host, (bytes, bytearray)):
        kind = type(host).__name__
        raise TypeError(f"host must be a str, not {kind}")
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
            f"{call.format(host=name.strip('[]'), port=port)}"
        )


def check_port(port: object, call: str = CALL) -> None:
    """Raise TypeError or ValueError for what is no number of a port."""
    if isinstance(port, str):
        written = port if port.isdecimal() else call.format(host=port, port=8765)
        raise TypeError(
            f"port is the text {port!r}; a number is allowed: write {written}"
        )
    if port is not None and not hasattr(port, "__index__"):
        kind = type(port).__name__
        raise TypeError(f"port must be an int or None, not {kind}")
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise ValueError(f"port is {port}; 0 to 65535 are allowed")


def check_sock(sock: object) -> None:
    """Raise TypeError for what is no socket."""
    if isinstance(sock, (str, bytes, int, list, tuple)):
        raise TypeError(f"sock must be a socket or None, not {type(sock).__name__}")


def check_path(path: object, others: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError for what is no path of a Unix socket.

    ``others`` may have ``sock``, or ``path`` itself.
    """
    if path is None and others.get("sock") is None and others.get("path") is None:
        raise ValueError("path or sock is needed: write unix_serve(handler, '/run/x')")
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path must be a str or Path or None, not {type(path).__name__}: write "
            "unix_serve(handler, '/run/x')"
        )
    if isinstance(path, str) and "://" in path:
        raise ValueError(f"path is {path!r}; the path of a file is allowed")


def check_context(context: Any) -> None:
    """Raise TypeError or ValueError for what is no TLS context of a server."""
    if not isinstance(context, ssl.SSLContext):
        kind = type(context).__name__
        raise TypeError(
            f"ssl must be an ssl.SSLContext or None, not {kind}; {_MAKE_CONTEXT}"
        )
    if context.protocol is ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError(
            "ssl is a client's context; a server needs one with a certificate: "
            f"{_MAKE_CONTEXT}"
        )
    if _has_no_certificate(context):
        raise ValueError(
            "ssl has no certificate to show to clients: write "
            "context.load_cert_chain('cert.pem', 'key.pem') before serve()"
        )


def _has_no_certificate(context: ssl.SSLContext) -> bool:
    """Return whether a server with ``context`` would refuse every client.

    A context does not tell what was loaded into it, so it is asked to answer a client
    that takes whatever there is (RFC 8446 section 4.1.1: a server that finds nothing to
    agree on aborts). One that chooses another context by name is not asked, nor one
    with keys that were shared before (RFC 4279), which needs no certificate.
    """
    ciphers = (cipher["name"] for cipher in context.get_ciphers())
    if context.sni_callback is not None or any("PSK" in name for name in ciphers):
        return False
    server_in, wire = ssl.MemoryBIO(), ssl.MemoryBIO()
    with MAKING:
        client = _asking_context().wrap_bio(ssl.MemoryBIO(), server_in)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    except ssl.SSLError:
        return False  # this OpenSSL does not let us ask
    try:
        context.wrap_bio(server_in, wire, server_side=True).do_handshake()
    except ssl.SSLError as exc:
        return exc.reason == "NO_SHARED_CIPHER"
    return False


@functools.cache
def _asking_context() -> ssl.SSLContext:
    """Return the context of a client that takes every certificate and cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
