"""What a peer's text may do to a terminal: nothing."""

from __future__ import annotations

import pytest

from longwire.escaping import escape, one_line

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcödé, 日本語", "plain text, ünïcödé, 日本語"),
        ('{"a": "b\\"c"}', '{"a": "b\\"c"}'),
        ("tab\tstays", "tab\tstays"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("nul\x00 del\x7f", r"nul\x00 del\x7f"),
        ("8-bit csi \x9b31m", r"8-bit csi \x9b31m"),
        ("reversed \u202egnp.exe", r"reversed \u202egnp.exe"),
        ("separators \u2028 \u2029", r"separators \u2028 \u2029"),
        ("lone surrogate \ud800", r"lone surrogate \ud800"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ],
)
def test_only_what_a_terminal_would_obey_is_escaped(text, shown):
    assert escape(text) == shown


def test_an_error_without_words_is_called_by_its_name():
    assert one_line(TimeoutError()) == "TimeoutError"


def test_an_error_of_several_lines_becomes_one():
    assert one_line(ValueError("one\ntwo \x1b[1m")) == r"one two \x1b[1m"
