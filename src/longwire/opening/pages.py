"""A few files that a server sends to browsers, as a ``process_request``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from ..http.fields import lower
from ..http.headers import Headers, HeadersLike
from ..http.heads import Request, Response

__all__ = ["pages", "wants_websocket"]

# Not mimetypes: what that says depends on files and settings of the machine.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
_OTHER = "application/octet-stream"


def pages(
    files: Mapping[str, str | os.PathLike[str]], *, headers: HeadersLike = ()
) -> Callable[[Any, Request], Response | None]:
    """Return a ``process_request`` that answers browsers with files.

    ::

        serve(..., process_request=pages({"/": "page.html", "/page.js": "page.js"}))

    ``files`` has the file for each path. They are read now, and held in memory.
    ``headers`` are added to each response. A request that asks for a WebSocket, or for
    another path, goes on to the opening handshake. The content type follows from the
    end of the file's name. Raises ValueError for a path that does not begin with a
    slash, or has a query, OSError for a file that cannot be read.
    """
    if not isinstance(files, Mapping):
        kind = type(files).__name__
        raise TypeError(
            f"files must be a mapping, not {kind}: write pages({{'/': 'page.html'}})"
        )
    found = {_checked(path): _read(file) for path, file in files.items()}
    # "nosniff": a browser must not take a text of others for a script.
    fields = Headers([("X-Content-Type-Options", "nosniff")])
    fields["Cache-Control"] = "no-cache"  # a restarted server may have other files
    extra = Headers(headers)
    for name in extra:
        fields.pop(name, None)
    fields.update(extra)

    def process_request(connection: Any, request: Request) -> Response | None:
        page = found.get(request.path.partition("?")[0])
        if page is None or wants_websocket(request):
            return None
        response: Response
        if request.method not in ("GET", "HEAD"):
            allow = {"Allow": "GET, HEAD"}  # RFC 9110 section 15.5.6
            text = "Only GET and HEAD work here.\n"
            response = connection.respond(405, text, headers=allow)
        else:
            kind, body = page
            response = connection.respond(200, body, content_type=kind, headers=fields)
        return response

    return process_request


# Given as a callback itself, it is answered with how it is called.
pages._is_called_first = "pages({'/': 'page.html'})"  # type: ignore[attr-defined]


def wants_websocket(request: Request) -> bool:
    """Return whether ``request`` offers to upgrade to a WebSocket, or to others too."""
    return "websocket" in lower(",".join(request.headers.get_all("Upgrade")))


def _checked(path: str) -> str:
    if not path.startswith("/") or "?" in path or "#" in path:
        raise ValueError(
            f"path is {path!r}; it begins with '/', and has no query and no fragment"
        )
    return path


def _read(file: str | os.PathLike[str]) -> tuple[str, bytes]:
    kind = _TYPES.get(lower(PurePath(file).suffix), _OTHER)
    return kind, Path(file).read_bytes()
