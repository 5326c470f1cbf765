"""The transition table of RFC 6455 section 7.1."""

import pytest

from longwire.core import states
from longwire.errors import InvalidState
from longwire.messages import State

LEGAL = [
    (states.OPEN, states.SENT_CLOSE, states.CLOSING_BY_US),
    (states.OPEN, states.GOT_CLOSE, states.CLOSING_BY_PEER),
    (states.CLOSING_BY_US, states.GOT_CLOSE, states.CLOSING),
    (states.CLOSING_BY_PEER, states.SENT_CLOSE, states.CLOSING),
    (states.OPEN, states.LOST, states.CLOSED),
    (states.CLOSING_BY_US, states.LOST, states.CLOSED),
    (states.CLOSING_BY_PEER, states.LOST, states.CLOSED),
    (states.CLOSING, states.LOST, states.CLOSED),
]
ILLEGAL = [
    (state, event)
    for state in range(5)
    for event in range(3)
    if (state, event) not in {(s, e) for s, e, _ in LEGAL}
]


@pytest.mark.parametrize(("state", "event", "after"), LEGAL)
def test_a_legal_move_is_made(state, event, after):
    assert states.after(state, event) == after


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_an_illegal_move_names_state_and_event(state, event):
    with pytest.raises(InvalidState) as info:
        states.after(state, event)

    assert states.name(state) in str(info.value)
    assert states.EVENT_NAMES[event] in str(info.value)


def test_data_is_sent_until_our_close_frame():
    assert [states.may_send_data(s) for s in range(5)] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_pongs_are_sent_until_both_close_frames():
    assert [states.may_send_pong(s) for s in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_users_see_the_states_of_the_rfc():
    assert [states.public(s) for s in range(5)] == [
        State.OPEN,
        State.CLOSING,
        State.CLOSING,
        State.CLOSING,
        State.CLOSED,
    ]
