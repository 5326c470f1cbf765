import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.needs import needs

needs("msgspec")

from longwire.hub.entries import (
    MAX_OFFSET,
    MAX_POSITION,
    MAX_TAG,
    Entry,
    Position,
    Run,
    Verdict,
    judge,
)

TOP = Position("epoch1", 9, 90)


def entry(offset, tag=None, epoch="epoch1", prev=None, data=b"data"):
    prev = offset - 1 if prev is None else prev
    return Entry(epoch, offset, prev, tag or offset * 10, prev * 10, 1.0, data)


# --- positions -------------------------------------------------------------------


def test_a_position_is_epoch_offset_and_tag_in_one_text():
    assert str(Position("k3f9Zq1B", 1042, 0xF00)) == "k3f9Zq1B.1042.f00"
    assert Position.parse("k3f9Zq1B.1042.f00") == Position("k3f9Zq1B", 1042, 0xF00)


@given(
    st.from_regex(r"[0-9A-Za-z_-]{1,16}", fullmatch=True),
    st.integers(1, MAX_OFFSET),
    st.integers(1, MAX_TAG),
)
def test_every_position_fits_and_comes_back(epoch, offset, tag):
    position = Position(epoch, offset, tag)

    assert len(str(position)) <= MAX_POSITION
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.1",
        "a.1.1.1",
        ".1.1",
        "a.-1.1",
        "a.01.1",
        "a.1.01",
        "a.1.F0",
        "a.1.0x1",
        "a.0.1",
        "a.1.1 ",
        " a.1.1",
        "a.1.1\n",
        "a b.1.1",
        "é.1.1",
        "a.١.1",
        "a.1.١",
        f"{'a' * 17}.1.1",
        f"a.{MAX_OFFSET + 1}.1",
        "a.1.1000000000000",
        "a.9999999999999999.1",
        "a" * 1000,
        "\ud800.1.1",
    ],
)
def test_what_is_not_a_position_is_refused(text):
    with pytest.raises(ValueError, match="not a position") as caught:
        Position.parse(text)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_the_position_before_the_first_entry_has_no_tag():
    assert Position.parse("a.0.0") == Position("a", 0, 0)


# --- the table of verdicts -------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "stored", "verdict"),
    [
        (TOP, {}, Verdict.COMPLETE),
        (Position("epoch1", 7, 70), {"first_prev": 5, "tag_at": 70}, Verdict.COMPLETE),
        (Position("epoch0", 7, 70), {"first_prev": 5, "tag_at": 70}, Verdict.EPOCH),
        (Position("epoch1", 4, 40), {"first_prev": 5}, Verdict.TRIMMED),
        (Position("epoch1", 10, 100), {"first_prev": 5}, Verdict.AHEAD),
        (Position("epoch1", 9, 91), {"first_prev": 5, "tag_at": 90}, Verdict.FORK),
        (Position("epoch1", 7, 71), {"first_prev": 5, "tag_at": 70}, Verdict.FORK),
        (Position("epoch1", 0, 0), {"first_prev": 0}, Verdict.COMPLETE),
        (Position("epoch1", 0, 0), {"first_prev": 5}, Verdict.TRIMMED),
        (Position("epoch1", 0, 0), {}, Verdict.TRIMMED),
        (Position("epoch1", 7, 70), {"keeps": False}, Verdict.NO_HISTORY),
        (TOP, {"keeps": False}, Verdict.COMPLETE),
        (Position("epoch1", 9, 91), {"keeps": False}, Verdict.FORK),
        (Position("epoch0", 7, 70), {"keeps": False}, Verdict.EPOCH),
    ],
)
def test_a_position_is_complete_only_if_its_own_entry_was_found(since, stored, verdict):
    assert judge(since, TOP, **{"keeps": True, **stored}) is verdict


def test_an_empty_topic_is_complete_at_its_beginning():
    empty = Position("epoch1", 0, 0)

    assert judge(empty, empty, keeps=True) is Verdict.COMPLETE


# --- runs ------------------------------------------------------------------------


def test_a_run_knows_what_follows_each_position_in_it():
    run = Run(Position("epoch1", 4, 40), [entry(5), entry(6), entry(7)])

    assert run.find(Position("epoch1", 4, 40)) == 0
    assert run.find(Position("epoch1", 5, 50)) == 1
    assert run.find(Position("epoch1", 7, 70)) == 3
    assert run.find(Position("epoch1", 6, 61)) is None
    assert run.find(Position("epoch0", 6, 60)) is None
    assert run.find(Position("epoch1", 3, 30)) is None
    assert run.find(Position("epoch1", 8, 80)) is None
    assert run.end == Position("epoch1", 7, 70)
    assert not run.is_whole


def test_a_run_from_the_first_entry_follows_the_position_before_it():
    run = Run(None, [entry(1), entry(2)])

    assert run.is_whole
    assert run.find(Position("epoch1", 0, 0)) == 0
    assert run.find(Position("epoch0", 0, 0)) is None


def test_a_run_with_holes_in_its_offsets_finds_them_by_what_is_stored():
    run = Run(None, [entry(5, prev=2), entry(9, prev=5)])

    assert run.find(Position("epoch1", 5, 50)) == 1
    assert run.find(Position("epoch1", 7, 70)) is None
    assert run.tag_at(9) == 90
    assert run.tag_at(8) is None


def test_dropping_from_a_run_moves_its_base_and_counts_the_bytes():
    run = Run(Position("epoch1", 4, 40), [entry(5), entry(6), entry(7)])
    size = run.size

    run.drop(2)

    assert run.base == Position("epoch1", 6, 60)
    assert run.size * 3 == size
    assert run.tag_at(6) == 60
    run.drop(0)
    assert len(run.entries) == 1


def test_an_entry_counts_as_much_as_memory_takes_for_it():
    assert entry(5, data=bytes(1000)).size > 1000 + 200
