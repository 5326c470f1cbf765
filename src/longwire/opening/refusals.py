"""What an attempt to connect that failed says of the reason, and what to write."""

from __future__ import annotations

import socket
import ssl

from ..errors import InvalidMessage, InvalidStatus
from ..escaping import excerpt
from ..hints import no_answer
from ..http.fields import lower
from ..http.heads import Response
from ..http.uri import WebSocketURI

__all__ = ["explain", "explanation_of"]


def explain(exc: BaseException, uri: WebSocketURI) -> None:
    """Add to the text of ``exc`` what may be wrong, and what to write."""
    if isinstance(exc, InvalidStatus):
        exc.explanation = explanation_of(exc.response)
        return
    if isinstance(exc, socket.gaierror):
        exc.strerror = f"{exc.strerror}: host {excerpt(uri.host)} of {uri.shown}"
        return
    hint = no_answer(uri.secure, exc)
    if not hint:
        return
    if isinstance(exc, InvalidMessage):
        exc.args = (f"{exc}; {hint}", *exc.args[1:])
    elif isinstance(exc, ssl.SSLError):
        exc.strerror = f"{exc.strerror}; {hint}"


def explanation_of(response: Response) -> str:
    """Return how the text of a refusal goes on: the reason given, and what to look at.

    ``""`` where the answer says no more than its status.
    """
    status = response.status_code
    if 200 <= status < 300:
        return "; a page was answered: is the path right?"
    if 300 <= status < 400:
        found = response.headers.get_all("Location")
        return f"; it redirects to {excerpt(found[0])}" if found else ""
    line = _first_line(response)
    return f": {line}" if line else ""


def _first_line(response: Response) -> str:
    """Return the first line of a body that is text for people, escaped and cut."""
    kinds = response.headers.get_all("Content-Type") or ["text/plain"]
    kind = lower(kinds[0].partition(";")[0].strip())
    if kind not in ("text/plain", "application/json", "application/problem+json"):
        return ""
    body = response.body[:4096].lstrip()
    lines = body.splitlines()
    return excerpt(lines[0].strip()) if lines else ""
