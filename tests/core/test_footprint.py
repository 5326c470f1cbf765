"""How much memory a payload takes, in both builds."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.twins import builds

BUILDS = builds("core.footprint")

pytestmark = pytest.mark.once


@pytest.mark.parametrize("build", BUILDS)
@given(st.text(max_size=20) | st.binary(max_size=20), st.integers(0, 99))
def test_it_is_what_python_says(build: str, payload: str | bytes, times: int) -> None:
    payload = payload * times

    assert BUILDS[build].memory_of(payload) == sys.getsizeof(payload)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("last", ["a", "é", "€", "😀"])
def test_the_widest_character_counts_for_all(build: str, last: str) -> None:
    text = "a" * 999 + last

    assert BUILDS[build].memory_of(text) == sys.getsizeof(text)


@pytest.mark.parametrize("payload", ["a" * 9, "é" * 9, "😀" * 9, b"a" * 9])
def test_where_python_does_not_say_it_is_the_most_that_it_may_be(
    payload: str | bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getsizeof(found: object) -> int:
        raise TypeError("as on PyPy")

    real = sys.getsizeof(payload)
    monkeypatch.setattr(sys, "getsizeof", getsizeof)

    assert real <= BUILDS["pure"].memory_of(payload) <= 4 * 9 + 99
