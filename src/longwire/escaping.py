"""Text of a peer, made harmless for a terminal and a line of output.

A received message may hold escape sequences that retitle, recolour or reprogram a
terminal, line breaks that look like another message, and marks that reverse what is
read. All of them come out as backslash escapes.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["escape", "one_line"]

# Controls, invisible formatting, separators of lines and paragraphs, surrogates.
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# Formatting characters that words and emoji are made with.
_HARMLESS = frozenset({"\t", "\u200c", "\u200d"})

_SUSPECT = re.compile(r"[^\t\x20-\x7e]")


def escape(text: str) -> str:
    """Return ``text`` in one line, without anything that a terminal would obey."""
    return _SUSPECT.sub(_escape_match, text)


def one_line(exc: BaseException) -> str:
    """Return what went wrong in one harmless line, never empty."""
    return escape(" ".join(str(exc).split("\n"))) or type(exc).__name__


def _escape_match(match: re.Match[str]) -> str:
    character = match.group()
    if character in _HARMLESS or unicodedata.category(character) not in _HARMFUL:
        return character
    return character.encode("unicode_escape").decode("ascii")
