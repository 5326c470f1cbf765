"""SOCKS proxies: python-socks, as a front end's driver uses it.

Connects nothing: a front end waits for the proxy in its own manner. Needs python-socks
(``pip install '.[socks]'``).
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from .errors import ProxyError
from .escaping import one_line
from .http.proxy import Proxy

__all__ = ["NO_LIMIT", "proxy_for", "translated"]

NO_LIMIT = 1e6
"""Seconds: our own time limits end every step; python-socks shall not add its own.
Sockets take no more than 2**31 milliseconds."""


def proxy_for(proxy: Proxy, module: str) -> Any:
    """Return a proxy object of ``module`` of python-socks, such as "sync".

    Raises ImportError, which says what to install, where it is missing.
    """
    try:
        import python_socks

        made = importlib.import_module(f"python_socks.{module}").Proxy
    except ImportError as exc:
        raise ImportError(
            "connecting through a SOCKS proxy needs python-socks; "
            "in a checkout: pip install '.[socks]'"
        ) from exc
    scheme, kinds = proxy.scheme, python_socks.ProxyType
    return made(
        kinds.SOCKS5 if scheme.startswith("socks5") else kinds.SOCKS4,
        proxy.host,
        proxy.port,
        _credential(proxy.username),
        _credential(proxy.password),
        # socks5h and socks4a leave looking up the name to the proxy.
        rdns=scheme in ("socks5h", "socks4a"),
    )


class _Credential(str):
    """A user name or password: a character for each byte that is sent.

    RFC 1929 names no encoding; python-socks sends ASCII and counts characters.
    """

    __slots__ = ()

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:
        """Return the bytes, whatever encoding is asked for."""
        return super().encode("latin-1")


def _credential(text: str | None) -> str | None:
    """Return what python-socks sends as UTF-8, or as the bytes that the URL had."""
    if text is None:
        return None
    return _Credential(text.encode("utf-8", "surrogateescape").decode("latin-1"))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise our ProxyError where the proxy refuses; one out of reach is an OSError."""
    import python_socks

    try:
        yield
    except python_socks.ProxyError as exc:
        raise ProxyError(f"SOCKS proxy refused: {one_line(exc)}") from exc
