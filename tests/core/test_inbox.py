"""The inbox: what it counts, and marks of any size."""

from __future__ import annotations

import sys
import tracemalloc
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.twins import builds

BUILDS = builds("core.inbox")


@pytest.fixture(params=BUILDS)
def inbox(request: pytest.FixtureRequest) -> ModuleType:
    return BUILDS[request.param]


@pytest.mark.parametrize("mark", [2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**80])
def test_marks_may_be_larger_than_any_size(inbox: ModuleType, mark: int) -> None:
    box = inbox.Inbox(mark, mark // 4, mark)

    box.add((1, "text", True))

    assert not box.is_full()
    assert box.is_roomy()


def test_pieces_of_a_message_are_joined(inbox: ModuleType) -> None:
    box = inbox.Inbox(-1, -1, -1)

    for piece in [(2, b"a", False), (2, b"b", True), (1, "c", True)]:
        box.add(piece)

    assert (len(box), box.whole) == (3, 2)
    assert box.take() == (2, b"ab")
    assert box.take() == (1, "c")
    assert (len(box), box.whole, box.size) == (0, 0, 0)


def test_pieces_can_be_looked_at(inbox: ModuleType) -> None:
    box = inbox.Inbox(-1, -1, -1)
    pieces = [(2, b"a", False), (2, b"b", True), (1, "c", True), (1, "d", True)]

    assert box.pieces() == []
    for piece in pieces:
        box.add(piece)
    for taken in range(4):
        assert box.pieces() == pieces[taken:]
        box.take_piece()
    assert box.pieces() == []


PAYLOADS = {
    "nothing": b"",
    "bytes": bytes(100_000),
    "ASCII": "a" * 100_000,
    "Latin-1": "é" * 100_000,
    "one euro in ASCII": "a" * 99_999 + "€",
    "one emoji in ASCII": "a" * 99_999 + "😀",
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
@pytest.mark.parametrize("count", [1, 50])
def test_size_is_the_memory_that_messages_take(
    inbox: ModuleType, payload: Any, count: int
) -> None:
    box = inbox.Inbox(-1, -1, -1)
    encoded = payload.encode() if isinstance(payload, str) else payload
    kind = 1 if isinstance(payload, str) else 2

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count):
            copy = encoded.decode() if kind == 1 else bytes(bytearray(encoded))
            box.add((kind, copy, True))
        del copy
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert taken <= box.size + 100
    assert box.size <= count * (sys.getsizeof(payload) + 100)


def test_a_text_with_one_emoji_makes_it_full_by_what_it_takes(
    inbox: ModuleType,
) -> None:
    box = inbox.Inbox(-1, -1, 4 << 20)

    box.add((1, "a" * (1 << 20) + "😀", True))

    assert box.is_full()


PIECES = st.lists(
    st.lists(st.binary(max_size=9), min_size=1, max_size=9), min_size=1, max_size=60
)


@pytest.mark.parametrize("name", BUILDS)
@given(PIECES, st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_messages_come_out_as_they_were_put_in(
    name: str, messages: list[list[bytes]], pattern: list[int]
) -> None:
    box = BUILDS[name].Inbox(-1, -1, -1)
    got: list[bytes] = []
    wanted = [b"".join(pieces) for pieces in messages]

    for number, pieces in enumerate(messages):
        for at, piece in enumerate(pieces):
            box.add((2, piece, at == len(pieces) - 1))
        for _ in range(min(pattern[number % len(pattern)], box.whole)):
            got.append(box.take()[1])
    while box.whole:
        got.append(box.take()[1])

    assert got == wanted
    assert (len(box), box.whole, box.size) == (0, 0, 0)


@pytest.mark.parametrize("taken", [1, 2, 5, 255, 256, 257, 300])
@pytest.mark.parametrize("left", [0, 1, 2, 10])
def test_what_was_taken_last_can_be_put_back(
    inbox: ModuleType, taken: int, left: int
) -> None:
    box = inbox.Inbox(-1, -1, -1)
    pieces = [(2, bytes(number), True) for number in range(taken + left)]
    for piece in pieces:
        box.add(piece)
    for _ in range(taken - 1):
        box.take_piece()
    before = (len(box), box.whole, box.size)

    box.put_back(box.take_piece())
    assert (len(box), box.whole, box.size) == before
    box.add((2, b"behind", True))

    rest = [box.take_piece() for _ in range(len(box))]
    assert rest == [*pieces[taken - 1 :], (2, b"behind", True)]
    assert (len(box), box.whole, box.size) == (0, 0, 0)


def test_many_messages_leave_no_trace_in_memory(inbox: ModuleType) -> None:
    box = inbox.Inbox(-1, -1, -1)
    box.add((2, b"the one that is always there", True))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20_000):
            box.add((2, bytes(100), True))
            box.take()
        assert tracemalloc.get_traced_memory()[0] - before < 8192
    finally:
        tracemalloc.stop()


# --- what fails ---


def test_what_cannot_be_joined_stays_whole(inbox: ModuleType) -> None:
    # A join that fails: nothing can be joined to what is of another type.
    broken = inbox.Inbox(-1, -1, -1)
    for piece in [(1, "head ", False), (1, b"middle ", False), (1, "tail", True)]:
        broken.add(piece)
    size = broken.size

    for _ in range(2):
        with pytest.raises(TypeError):
            broken.take()
        assert (len(broken), broken.whole, broken.size) == (3, 1, size)
