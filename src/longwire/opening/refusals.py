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


def explain(exc: BaseException, uri: WebSocketURI, doing: str = "") -> None:
    """Add to the text of ``exc`` where it happened, what may be wrong, what to write.

    ``doing`` is what the attempt was at, in words.
    """
    if isinstance(exc, InvalidStatus):
        exc.explanation = explanation_of(exc.response)
        return
    if isinstance(exc, socket.gaierror):
        # Where host= is given, it is looked up in place of the URI's.
        host = doing.partition("connecting to ")[2].rpartition(" port ")[0]
        where = f"host {excerpt(host or uri.host)} of {uri.shown}"
        if host and host != uri.host:
            where = f"host {excerpt(host)}, where {uri.shown} is to be found"
        exc.strerror = f"{exc.strerror}: {where}"
        return
    hint = no_answer(uri.secure, exc)
    if isinstance(exc, InvalidMessage) and hint:
        exc.args = (f"{exc}; {hint}", *exc.args[1:])
    elif isinstance(exc, ssl.SSLError):
        exc.strerror = f"{exc.strerror}{'; ' * bool(hint)}{hint}"
    elif isinstance(exc, OSError) and not isinstance(exc, TimeoutError):
        _explain_network(exc, f"while {doing}" if doing else "", uri)


def _explain_network(exc: OSError, during: str, uri: WebSocketURI) -> None:
    """Say in the text of ``exc``, which the network raised, where that was.

    Whether the caller's network has an address, its library's text has it, or neither
    has, depends on the front end and on how many addresses were tried.
    """
    place = f"{during} ({uri.shown})" if during else f"({uri.shown})"
    if exc.strerror:
        exc.strerror = f"{exc.strerror} {place}"
        return
    reasons = _reasons(exc)
    text = str(exc) or "the other side hung up"
    exc.args = (f"{text}{': ' * bool(reasons)}{reasons} {place}",)


def _reasons(exc: BaseException) -> str:
    """Return why each of several attempts failed, which only the cause tells."""
    cause = exc.__cause__
    if not isinstance(cause, BaseExceptionGroup):
        return ""
    return ", ".join(dict.fromkeys(str(each) for each in cause.exceptions))


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
