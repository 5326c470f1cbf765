"""The inbox: what it counts, and marks of any size."""

from __future__ import annotations

from types import ModuleType

import pytest

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

    assert (len(box), box.whole, box.size) == (3, 2, 3)
    assert box.take() == (2, b"ab")
    assert box.take() == (1, "c")
    assert (len(box), box.whole, box.size) == (0, 0, 0)
