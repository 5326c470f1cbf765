"""Glimpse: what can be seen of a message that cannot be read as a whole.

Who waits for an answer has to be told that it cannot be read, and who it was that waits
is in plain sight as a rule: members that are numbers or short texts, before the one
that is broken or nested too deep, or behind it at the very end. Only a few hundred
characters of either are looked at, whatever the message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from .costly import skip_value

__all__ = ["MAX_TEXT", "in_json", "in_msgpack"]

MAX_TEXT = 256
"""Characters of a text that is looked at."""
_MAX_HEAD = 1000
_MAX_TAIL = 600
_MAX_MEMBERS = 8
"""No message has more members than that."""

# What is no character, or was none, is no text that an answer could have.
_TEXT = r'"[^"\\\x00-\x1f\ud800-\udfff\ufffd]{0,256}"'
_SCALAR = rf"-?(?:0|[1-9]\d{{0,19}})|{_TEXT}|true|false|null"
_NAME = r'\s*"(\w{1,20})"\s*:\s*'
_BEGIN = re.compile(r"\s*\{")
_MEMBER = re.compile(rf"{_NAME}({_SCALAR})\s*,")
_NEXT = re.compile(_NAME)
# Members at the very end of the outermost object; the one before them is broken.
_END = re.compile(rf"((?:,{_NAME}(?:{_SCALAR})\s*){{1,{_MAX_MEMBERS}}})\}}\s*\Z")
_LAST = re.compile(rf",{_NAME}({_SCALAR})")


def in_json(frame: str | bytes) -> dict[str, Any]:
    """Return the members of an object that can be seen: all those before the first that
    is not a short scalar, whose value is ``...``, and those at the end.
    """
    text = _text(frame[:_MAX_HEAD])
    begin = _BEGIN.match(text)
    if begin is None:
        return {}
    found: dict[str, Any] = {}
    pos = begin.end()
    for _ in range(_MAX_MEMBERS):
        member = _MEMBER.match(text, pos)
        if member is None:
            break
        found[member[1]] = json.loads(member[2])
        pos = member.end()
    broken = _NEXT.match(text, pos)
    if broken is not None:
        found.setdefault(broken[1], ...)
    tail = _text(frame[-_MAX_TAIL:])
    end = _END.search(tail) if tail.rstrip().endswith("}") else None
    if end is not None:
        for last in _LAST.finditer(end[1]):
            found.setdefault(last[1], json.loads(last[2]))
    return found


def _text(part: str | bytes) -> str:
    return part if isinstance(part, str) else part.decode("utf-8", "replace")


def in_msgpack(frame: bytes, decode: Callable[[bytes], Any]) -> dict[str, Any]:
    """Return the members of a map up to the first that is not a short scalar.

    That one has the value ``...``.
    """
    if not frame or not 0x80 <= frame[0] <= 0x8F:
        return {}
    found: dict[str, Any] = {}
    pos, size = 1, len(frame)
    for _ in range(min(frame[0] & 0x0F, _MAX_MEMBERS)):
        name, pos = _scalar(frame, pos, decode)
        if not isinstance(name, str) or pos >= size:
            break
        found[name], pos = _scalar(frame, pos, decode)
        if found[name] is ...:
            break
    return found


def _scalar(frame: bytes, pos: int, decode: Callable[[bytes], Any]) -> tuple[Any, int]:
    """Return a value and where the next one begins; ``...`` for what is not short."""
    end, inside, _ = skip_value(frame, pos) if pos < len(frame) else (pos, 0, False)
    if inside or not pos < end <= min(len(frame), pos + 4 * MAX_TEXT):
        return ..., end
    try:
        return decode(frame[pos:end]), end
    except ValueError:
        return ..., end
