"""The demo's page: its files, read once, and the headers they go out with."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from importlib.resources.abc import Traversable

from ... import rpc

__all__ = ["FILES", "SECURITY_HEADERS"]


_HERE = importlib.resources.files(__package__)


def _read(name: str, kind: str, folder: Traversable = _HERE) -> tuple[str, bytes]:
    return f"{kind}; charset=utf-8", folder.joinpath(name).read_bytes()


FILES: Mapping[str, tuple[str, bytes]] = {
    "/": _read("page.html", "text/html"),
    "/page.css": _read("page.css", "text/css"),
    "/page.js": _read("page.js", "text/javascript"),
    "/longwire.min.js": _read("longwire.min.js", "text/javascript", rpc.STATIC),
}
"""For each path the content type and the body."""

SECURITY_HEADERS: Mapping[str, str] = {
    # Nothing but our own files and our own socket; a chat shows strangers' text.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A restarted server may have another page.
    "Cache-Control": "no-cache",
}
