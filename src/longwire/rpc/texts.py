"""Texts: what is said of errors, in answers and in logs; none of it can fail.

An exception may have a ``__str__`` that raises, a text may have half of a surrogate
pair, which no wire takes, and the words of a peer may hold what a terminal obeys.
Whoever writes an answer or a line of a log says it by these functions.
"""

from __future__ import annotations

import re
from typing import Any

from ..escaping import escape

__all__ = ["escaped", "indented", "quoted", "text_of", "what_is_wrong", "writable"]

_MAX_NAME = 64
_MAX_DETAIL = 300

_PATH = re.compile(r" - at `(key in )?\$([^`]*)`\Z")


def text_of(value: Any) -> str:
    """Return ``str(value)`` as any wire takes it, whatever its ``__str__`` does."""
    try:
        text = str(value)
    except BaseException as exc:
        if isinstance(exc, (KeyboardInterrupt, SystemExit)):
            raise
        text = f"(its __str__ raised {type(exc).__name__})"
    return writable(text)


def writable(text: str) -> str:
    """Return ``text`` as UTF-8 can have it: half a surrogate pair as ``\\\\udce9``."""
    if text.isascii():
        return str(text)
    return text.encode("utf-8", "backslashreplace").decode()


def escaped(text: str) -> str:
    r"""Return ``text`` in one line, without what a terminal or a log would obey.

    What is obeyed, the ends of lines included, comes out as ``\x1b``, ``\n``.
    """
    return escape(text, prose=True)


def indented(text: str) -> str:
    """Return a text of several lines, escaped; none of them looks like a log record."""
    lines = re.split(r"\r\n|\r|\n", text.strip("\r\n"))
    return "\n".join(f"  | {escape(line, prose=True)}" for line in lines)


def quoted(name: str) -> str:
    """Return a name as a peer sent it, in quotes and cut, fit for a message."""
    name = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 3]}..."
    return escape(repr(name))


def what_is_wrong(exc: BaseException) -> str:
    """Return what a decoder found wrong, as one of our own messages says it."""
    if isinstance(exc, RecursionError):
        return "nested too deeply"
    text = text_of(exc)
    path = _PATH.search(text, max(0, len(text) - _MAX_DETAIL))
    # A text of the peer's may be quoted in it, as that of a wrong enumeration.
    text = text[: path.start()] if path else text
    if len(text) > _MAX_DETAIL:
        text = f"{text[:_MAX_DETAIL]}..."
    text = text.replace("`", "")
    where = ""
    if path and (path[1] or path[2]):
        where = f" at {path[1] or ''}{path[2]}" if path[2] else " at a key"
    return escaped(f"{text[:1].lower()}{text[1:]}{where}")
