"""The payload of a frame that arrives in more than one read, in both builds."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire.core.masking import apply_mask
from tests.support.twins import builds, compiled

BUILDS = builds("core.partial")
KEY = b"\x37\xfa\x21\x3d"

pytestmark = pytest.mark.once

each_build = pytest.mark.parametrize("held", BUILDS.values(), ids=BUILDS.keys())


def fill(held, payload, cuts, key=b"", more=True):
    """Add the payload in pieces that end at ``cuts``, as a frame's reads bring it."""
    masked = apply_mask(payload, key) if key else payload
    at = 0
    for cut in [*sorted(min(cut, len(payload)) for cut in cuts), len(payload)]:
        around = b"<" * (at % 3) + masked[at:cut] + b">"
        left = len(payload) - cut if more else -1
        held.add(around, at % 3, cut - at, key, at, left)
        at = cut


cut_anywhere = st.lists(st.integers(0, 9000), max_size=12)
texts = st.text(max_size=40) | st.text(st.characters(max_codepoint=127), max_size=40)


@each_build
@given(st.binary(max_size=60), st.integers(1, 300), cut_anywhere, st.booleans())
def test_bytes_come_out_as_they_were(held, payload, times, cuts, more):
    for key in (b"", KEY):
        whole = held.Held(False)
        fill(whole, payload * times, cuts, key, more)

        assert whole.size == len(payload) * times
        assert whole.take() == payload * times


@each_build
@given(texts, texts, st.integers(0, 300), cut_anywhere, st.booleans())
def test_texts_come_out_as_they_were(held, text, other, times, cuts, more):
    text = text * times + other
    for key in (b"", KEY):
        whole = held.Held(True)
        fill(whole, text.encode(), cuts, key, more)

        assert whole.tail == b""
        assert whole.take() == text


@each_build
@pytest.mark.parametrize("before", ["", "a", "a" * 5000, "é" * 70_000])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_half_a_character_is_left_for_the_next_frame(held, before, cut):
    data = before.encode() + "\U0001f600".encode()
    first = held.Held(True)
    fill(first, data[: len(data) - 4 + cut], range(0, len(data), 1000))

    assert first.take() == before
    assert first.tail == "\U0001f600".encode()[:cut]

    second = held.Held(True, first.tail)
    assert second.size == cut
    fill(second, "\U0001f600".encode()[cut:] + b"z", [])

    assert second.take() == "\U0001f600z"


@each_build
@pytest.mark.parametrize("before", ["", "abc", "é", "a" * 3000, "é" * 3000])
@pytest.mark.parametrize(
    "wrong", [b"\xff", b"\x80", b"\xc3(", b"\xe0\x80", b"\xed\xa0", b"\xf4\x90"]
)
def test_what_is_not_utf8_fails_as_soon_as_it_shows(held, before, wrong):
    data = before.encode() + wrong
    whole = held.Held(True)
    for at in range(len(data) - 1):
        whole.add(data, at, 1, b"", at, len(data) - at)

    with pytest.raises(UnicodeDecodeError):
        whole.add(data, len(data) - 1, 1, b"", 0, 0)


def peak_of(work):
    tracemalloc.start()
    try:
        kept = work()
        return kept, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@each_build
@pytest.mark.parametrize("text", [False, True])
def test_much_announced_and_little_sent_holds_little(held, text):
    def work():
        whole = held.Held(text)
        whole.add(b"x" * 100, 0, 100, KEY if not text else b"", 0, 2**62)
        return whole

    assert peak_of(work)[1] < 16384


@each_build
@pytest.mark.parametrize("character", ["a", "é", "я", "\U0001f600"])
def test_a_text_sent_byte_by_byte_holds_little(held, character):
    data = character.encode() * 20_000

    def work():
        whole = held.Held(True)
        for at in range(len(data)):
            whole.add(data, at, 1, b"", 0, -1)
        return whole

    whole, peak = peak_of(work)

    # A character of up to four bytes in memory, and room to join them.
    assert peak < 3 * 4 * 20_000
    assert whole.take() == character * 20_000


@pytest.mark.parametrize("place", [(-1, 2), (0, -1), (0, 4), (4, 0), (2, 2)])
def test_the_kernel_reads_nothing_outside_of_its_input(place):
    whole = compiled("core.partial").Held(False)

    with pytest.raises(IndexError):
        whole.add(b"abc", *place, b"", 0, 0)


@each_build
@pytest.mark.parametrize("text", [False, True])
def test_what_was_taken_is_not_held_any_more(held, text):
    whole = held.Held(text)
    whole.add(b"abc", 0, 3, b"", 0, 0)

    assert whole.take() == ("abc" if text else b"abc")
    whole.add(b"de", 0, 2, b"", 0, 0)

    assert whole.take() == ("de" if text else b"de")
    assert whole.take() == ("" if text else b"")
