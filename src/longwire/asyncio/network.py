"""Network: who makes connections with TLS, asyncio itself or aiofastnet.

aiofastnet, where it is installed (``pip install '.[tls]'``), has functions like
the loop's own that need a third less CPU for TLS: see ``docs/explain/engine.md``.
Connections without TLS are made by the loop, and then given to the reactor.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from ..opening.arguments import check_context

__all__ = [
    "ENGINES",
    "Tls",
    "as_usual",
    "beneath",
    "method_of",
    "take_tls",
    "wanted_engine",
]

ENGINES = ("native", "transport")

# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_MISMATCHES = {62: "Hostname", 64: "IP address"}

aiofastnet: Any
try:
    import aiofastnet
except ImportError:
    aiofastnet = None


class Tls(NamedTuple):
    """What a server was told of TLS."""

    context: ssl.SSLContext
    options: dict[str, Any]
    """The loop's own keywords for it."""


def take_tls(kwargs: dict[str, Any]) -> Tls | None:
    """Remove and return what concerns TLS in the keywords of ``serve()``."""
    context = kwargs.pop("ssl", None)
    if context is None:
        return None  # the loop itself refuses TLS options without a context
    check_context(context)
    names = ("ssl_handshake_timeout", "ssl_shutdown_timeout")
    return Tls(context, {name: kwargs.pop(name) for name in names if name in kwargs})


def method_of(
    loop: asyncio.AbstractEventLoop, name: str, tls: bool
) -> Callable[..., Awaitable[Any]]:
    """Return the loop's method ``name``, or with TLS what does the same for less."""
    if tls and aiofastnet is not None and wanted_engine() == "native":
        return partial(_with_usual_errors, getattr(aiofastnet, name), _Quiet(loop))
    method: Callable[..., Awaitable[Any]] = getattr(loop, name)
    return method


async def _with_usual_errors(
    function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
) -> Any:
    try:
        return await function(*args, **kwargs)
    except ssl.SSLError as exc:
        usual = as_usual(exc, kwargs.get("server_hostname"))
        raise usual.with_traceback(exc.__traceback__) from None


def as_usual(exc: Any, server_hostname: str | None = None) -> Any:
    """Return an error of aiofastnet's TLS as one of Python's own; others as they are.

    aiofastnet's have no ``args`` and a text of their own. Programs look for
    "certificate verify failed", or pickle what they caught.
    """
    if not isinstance(exc, ssl.SSLError) or exc.args or not exc.reason:
        return exc
    usual: Any
    what = exc.reason.replace("_", " ").lower()
    if isinstance(exc, ssl.SSLCertVerificationError):
        why = exc.verify_message
        kind = _MISMATCHES.get(exc.verify_code)
        if kind is not None and server_hostname:
            why = f"{kind} mismatch, certificate is not valid for '{server_hostname}'."
        usual = type(exc)(ssl.SSL_ERROR_SSL, f"[SSL: {exc.reason}] {what}: {why}")
        usual.verify_code, usual.verify_message = exc.verify_code, why
    else:
        usual = type(exc)(ssl.SSL_ERROR_SSL, f"[SSL: {exc.reason}] {what}")
    usual.library, usual.reason = "SSL", exc.reason
    return usual


def beneath(
    transport: asyncio.Transport, lowest: asyncio.Transport
) -> asyncio.Transport | None:
    """Return the transport whose unsent bytes ``transport`` does not count, if any.

    TLS of asyncio hands what it has encrypted to the transport of the socket, a whole
    message at once, and knows nothing of it any more. That transport is ``lowest``,
    unless the connection was made with TLS; then asyncio keeps it where nobody is meant
    to look, and nothing is counted if it should be elsewhere some day, as on uvloop.
    aiofastnet counts both.
    """
    if aiofastnet is not None and type(transport).__module__.startswith("aiofastnet"):
        return None
    if lowest is not transport:
        return lowest
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return below if isinstance(below, asyncio.Transport) else None


class _Quiet:
    """A loop that keeps to itself whose TLS handshake fails.

    aiofastnet tells the loop's exception handler, which would log a traceback for each
    peer that gives up; the connection has its own line for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Pass on what is not a failed handshake."""
        fault = context.get("exception")
        kind = fault if isinstance(fault, type) else type(fault)
        if not issubclass(kind, (OSError, ssl.SSLError)):
            self._loop.call_exception_handler(context)


def wanted_engine() -> str:
    """Return what the environment asks for: "native", or "transport" for asyncio only.

    Raises ValueError where LONGWIRE_ENGINE is something else.
    """
    wanted = os.environ.get("LONGWIRE_ENGINE") or "native"
    if wanted not in ENGINES:
        raise ValueError(
            f"LONGWIRE_ENGINE is {wanted!r}; allowed are {' and '.join(ENGINES)}"
        )
    return wanted
