"""The states of calls: the tables, their page, and what carries them out."""

from __future__ import annotations

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire.rpc import RpcLimits, calls_table
from longwire.rpc.calls import CallTable
from longwire.rpc.calls_table import Connected, Mine, State
from tests.support.tools import tool

pytestmark = pytest.mark.once


def test_the_tables_of_calls_are_those_of_the_program():
    calls_page = tool("calls_page")
    text = calls_page.PAGE.read_text()

    assert text == calls_page.page_with(text, calls_page.tables()), (
        "run python tools/calls_page.py"
    )


@pytest.mark.parametrize(
    ("states", "steps", "last"),
    [
        (State, calls_table.THEIRS, State.ENDED),
        (Mine, calls_table.OURS, Mine.OVER),
        (Connected, calls_table.CONNECTION, Connected.LOST),
    ],
)
def test_from_every_state_there_is_a_way_to_the_last_one(states, steps, last):
    reached = {last}
    for _ in states:
        reached |= {before for (before, _), after in steps.items() if after in reached}

    assert reached == set(states)
    assert not any(before is last for before, _ in steps)
    assert {*states} == calls_table.MEANINGS[states].keys()
    assert {event for _, event in steps} <= calls_table.EVENTS.keys()


def test_a_call_of_ours_goes_through_its_states():
    table = CallTable(RpcLimits())
    answered, given_up, lost = (table.begin(None) for _ in range(3))
    assert answered.state is Mine.PENDING

    table.settle(answered.id)
    table.abandon(given_up)
    assert (answered.state, given_up.state) == (Mine.OVER, Mine.GIVEN_UP)

    table.settle(given_up.id)
    table.lose()
    assert lost.state is Mine.OVER
    assert table.strange == 0


def test_a_connection_that_drains_closes_once_and_is_lost_for_good():
    table = CallTable(RpcLimits())
    call = table.admit(1, None)
    table.drain()
    assert (table.state, table.is_draining) == (Connected.DRAINING, True)
    assert not table.closes_now()

    table.finish(call)
    assert table.closes_now()
    assert not table.closes_now()
    table.lose()
    table.drain()
    assert (table.state, table.is_lost) == (Connected.LOST, True)
