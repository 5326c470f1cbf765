"""Text of a peer, made harmless for logs, terminals, error messages and responses.

What a peer wrote may hold escape sequences that retitle, recolour or reprogram a
terminal, line breaks that look like another log record, marks that reverse what is
read, and characters that nobody sees. All of them come out as backslash escapes, and
what is long is cut. Every text of ours that repeats a peer's is made with these.
"""

from __future__ import annotations

import unicodedata

__all__ = ["MAX_EXCERPT", "MAX_LINE", "escape", "excerpt", "one_line", "quote"]

MAX_EXCERPT = 200
"""Characters of a peer's text that we repeat, escapes and dots counted."""
_MAX_QUOTE = 100
MAX_LINE = 500
"""Characters of an exception's text in a log line: it may hold two excerpts."""

# Controls, formatting, surrogates, separators of lines and paragraphs: no message needs
# them. str.isprintable() says no to others as well: no-break spaces, private use, and
# what Unicode did not know when this Python was made.
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters and marks that show nothing, though str.isprintable() says yes to them.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
# Formatting characters that words and emoji are made with.
_PROSE = frozenset("\t\u200c\u200d")

_MOST_REMEMBERED = 4096


def escape(text: str, *, prose: bool = False) -> str:
    """Return ``text`` in one line, without anything invisible or obeyed by a terminal.

    What is left is printable, in the sense of :meth:`str.isprintable`. ``prose`` is for
    a message shown to a person: it leaves tabs, the joiners that some scripts and
    emoji need, no-break spaces, and characters newer than this Python.
    """
    if text.isascii() and text.isprintable():
        return text
    table = _FOR_PROSE if prose else _STRICT
    return "".join(map(table.__getitem__, text))


def excerpt(text: object, most: int = MAX_EXCERPT) -> str:
    """Return ``text``, escaped and cut to ``most`` characters.

    Bytes are read as UTF-8; those that are not come out as escapes. Anything else is
    taken by its ``str()``: an error message must not fail over what it tells of.
    """
    if isinstance(text, bytes):
        text = text[: most + 1].decode(errors="backslashreplace")
    elif not isinstance(text, str):
        text = str(text)
    text = text[: most + 1]  # no work on what is not shown
    return _cut(escape(text), most)


def quote(text: str | bytes) -> str:
    """Return ``text`` between quotation marks, escaped and cut to 100 characters.

    For a part of a message that may be empty, end in a space, or be no text at all.
    """
    shown = repr(text[: _MAX_QUOTE + 1]).removeprefix("b")
    return _cut(escape(shown), _MAX_QUOTE)


def one_line(exc: BaseException) -> str:
    """Return what went wrong in one harmless line, never empty.

    An exception whose ``str()`` fails is called by its class.
    """
    try:
        text = str(exc)
    except Exception:
        text = ""
    line = escape(" ".join(text[: MAX_LINE + 1].split("\n")))
    return _cut(line, MAX_LINE) or type(exc).__name__


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


class _Table(dict[str, str]):
    """What each character becomes, found when it is first met, and then remembered.

    A peer's text may be a megabyte of what is escaped: a Python call for each would
    hold the loop for a third of a second.
    """

    def __missing__(self, character: str) -> str:
        found = character
        if not character.isprintable() or character in _INVISIBLE:
            found = _escaped(character)
        return self._remember(character, found)

    def _remember(self, character: str, found: str) -> str:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()  # or a peer's text could fill it for ever
        self[character] = found
        return found


class _ProseTable(_Table):
    def __missing__(self, character: str) -> str:
        found = character
        if unicodedata.category(character) in _HARMFUL and character not in _PROSE:
            found = _escaped(character)
        return self._remember(character, found)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


_STRICT, _FOR_PROSE = _Table(), _ProseTable()
