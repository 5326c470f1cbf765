"""What a peer's text may do to a log or a terminal: nothing."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from longwire.escaping import MAX_EXCERPT, escape, excerpt, one_line, quote

pytestmark = pytest.mark.once

OBEYED = [
    ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ("two\nlines\r\n", r"two\nlines\r\n"),
    ("nul\x00 del\x7f", r"nul\x00 del\x7f"),
    ("8-bit csi \x9b31m", r"8-bit csi \x9b31m"),
    ("next line \x85", r"next line \x85"),
    ("reversed \u202egnp.exe", r"reversed \u202egnp.exe"),
    ("isolated \u2066 \u2069", r"isolated \u2066 \u2069"),
    ("separators \u2028 \u2029", r"separators \u2028 \u2029"),
    ("lone surrogate \ud800", r"lone surrogate \ud800"),
    ("a byte that was not UTF-8 \udce9", r"a byte that was not UTF-8 \udce9"),
    ("no width \u200b \u2060 \ufeff", r"no width \u200b \u2060 \ufeff"),
    ("tags \U000e0041", r"tags \U000e0041"),
]
HARMLESS = [
    "",
    "plain text, ünïcödé, 日本語",
    '{"a": "b\\"c"}',
    "👩🚀",
]
# What people write and a log need not show.
PROSE = [
    ("tab\tstays", r"tab\tstays"),
    ("👩\u200d🚀", "👩\\u200d🚀"),
    ("10\xa0000\u202f€", "10\\xa0000\\u202f€"),
    ("private \ue000", r"private \ue000"),
]


@pytest.mark.parametrize(("text", "shown"), OBEYED)
@pytest.mark.parametrize("prose", [False, True])
def test_what_a_terminal_obeys_or_nobody_sees_is_escaped(text, shown, prose):
    assert escape(text, prose=prose) == shown


@pytest.mark.parametrize("text", HARMLESS)
@pytest.mark.parametrize("prose", [False, True])
def test_what_can_be_printed_stays(text, prose):
    assert escape(text, prose=prose) == text


@pytest.mark.parametrize(("text", "shown"), PROSE)
def test_a_message_for_a_person_keeps_what_writing_needs(text, shown):
    assert escape(text, prose=True) == text
    assert escape(text) == shown


def test_every_character_of_unicode_comes_out_printable():
    everything = "".join(map(chr, range(0x110000)))

    assert escape(everything).isprintable()


@pytest.mark.parametrize("character", "\u115f\u1160\u3164\uffa0\u034f")
def test_letters_that_show_nothing_are_escaped_though_python_calls_them_printable(
    character,
):
    assert character.isprintable()
    assert escape(character) == f"\\u{ord(character):04x}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * MAX_EXCERPT, "x" * MAX_EXCERPT),
        ("x" * (MAX_EXCERPT + 1), "x" * (MAX_EXCERPT - 3) + "..."),
        ("\0" * 60, ("\\x00" * 60)[: MAX_EXCERPT - 3] + "..."),
        (b"bytes \x1b \xff", r"bytes \x1b \xff"),
        ("日本語".encode(), "日本語"),
        (None, "None"),
        (404, "404"),
    ],
)
def test_an_excerpt_is_escaped_and_no_longer_than_its_limit(text, shown):
    assert excerpt(text) == shown


def test_a_quotation_shows_where_the_text_begins_and_ends():
    assert quote("") == "''"
    assert quote(b"a \x1b") == r"'a \x1b'"
    assert len(quote("x" * 5000)) == 100


def test_an_error_without_words_is_called_by_its_name():
    assert one_line(TimeoutError()) == "TimeoutError"


def test_an_error_of_several_lines_becomes_one():
    assert one_line(ValueError("one\ntwo \x1b[1m")) == r"one two \x1b[1m"


def test_an_error_whose_text_cannot_be_had_is_called_by_its_name():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no")

    assert one_line(Mute()) == "Mute"


def test_the_text_of_an_error_is_cut():
    assert len(one_line(ValueError("x" * 100_000))) == 500


@pytest.mark.parametrize("prose", [True, False])
def test_a_long_text_takes_no_call_for_each_character(prose):
    text, calls = "\u202e\x1b\xe9a" * 10_000, 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        escaped = escape(text, prose=prose)
    finally:
        sys.setprofile(None)
    assert escaped == "\\u202e\\x1b\xe9a" * 10_000
    assert calls < 100


@pytest.mark.parametrize("prose", [True, False])
def test_characters_without_number_do_not_stay_in_memory(prose):
    text = "".join(map(chr, range(0x10000, 0x20000)))
    tracemalloc.start()
    try:
        escape(text, prose=prose)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000
    assert escape("a\x1b", prose=prose) == "a\\x1b"
