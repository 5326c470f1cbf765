"""The states of calls and of their connection as tables: (state, event) → state.

:mod:`.calls` carries them out; docs/explain/states.md shows them, and a test compares
the two. An event without a row in a state changes nothing there.
"""

from __future__ import annotations

import enum

__all__ = ["CONNECTION", "OURS", "THEIRS", "Connected", "Happens", "Mine", "State"]


class State(enum.IntEnum):
    """Where a call of the peer's is."""

    # IntEnum: the hash of a plain one takes a call of Python's.

    WAITING = enum.auto()
    RUNNING = enum.auto()
    LENT = enum.auto()
    ENDED = enum.auto()


class Mine(enum.IntEnum):
    """Where a call of ours is."""

    PENDING = enum.auto()
    GIVEN_UP = enum.auto()
    OVER = enum.auto()


class Connected(enum.IntEnum):
    """Where the connection of the calls is."""

    OPEN = enum.auto()
    DRAINING = enum.auto()
    CLOSING = enum.auto()
    LOST = enum.auto()


class Happens(enum.IntEnum):
    """The events of the three tables."""

    TURN = enum.auto()
    LEND = enum.auto()
    RESUME = enum.auto()
    END = enum.auto()
    ANSWER = enum.auto()
    GIVE_UP = enum.auto()
    DRAIN = enum.auto()
    IDLE = enum.auto()
    LOSE = enum.auto()


# By an attribute of the class each takes 0.3 us on Python 3.11, a dozen for a call.
WAITING, RUNNING, LENT, ENDED = State
PENDING, GIVEN_UP, OVER = Mine
OPEN, DRAINING, CLOSING, LOST = Connected
TURN, LEND, RESUME, END, ANSWER, GIVE_UP, DRAIN, IDLE, LOSE = Happens

MEANINGS: dict[type[enum.IntEnum], dict[int, str]] = {
    State: {
        WAITING: "it waits for its turn",
        RUNNING: "it has one of the places of `RpcLimits.calls`, or of `streams`",
        LENT: "it waits for a call of its own; another call may have its place",
        ENDED: "its place is free",
    },
    Mine: {
        PENDING: "its answer is awaited",
        GIVEN_UP: "nobody waits for its answer, which is dropped when it comes",
        OVER: "it has been answered, or its connection is lost",
    },
    Connected: {
        OPEN: "calls go both ways",
        DRAINING: "the peer's new calls are refused, those under way may end",
        CLOSING: "the connection is being closed, for no call is under way",
        LOST: "the connection has ended, or was left",
    },
}

EVENTS: dict[Happens, str] = {
    TURN: "a place is free, and all that came before it have had theirs",
    LEND: "it calls the peer, and waits",
    RESUME: "what it waited for has come",
    END: "its function has ended, or it was stopped before it began",
    ANSWER: "its answer comes",
    GIVE_UP: "its time is over, its task is cancelled, its stream is left",
    DRAIN: "`drain()` is called",
    IDLE: "no plain call is under way in either direction",
    LOSE: "the connection ends, or the peer is left",
}

THEIRS: dict[tuple[State, Happens], State] = {
    (WAITING, TURN): RUNNING,
    (WAITING, END): ENDED,
    (RUNNING, LEND): LENT,
    (RUNNING, END): ENDED,
    (LENT, RESUME): RUNNING,
    (LENT, END): ENDED,
}

OURS: dict[tuple[Mine, Happens], Mine] = {
    (PENDING, ANSWER): OVER,
    (PENDING, GIVE_UP): GIVEN_UP,
    (PENDING, LOSE): OVER,
    (GIVEN_UP, ANSWER): OVER,
    (GIVEN_UP, LOSE): OVER,
}

CONNECTION: dict[tuple[Connected, Happens], Connected] = {
    (OPEN, DRAIN): DRAINING,
    (DRAINING, IDLE): CLOSING,
    (OPEN, LOSE): LOST,
    (DRAINING, LOSE): LOST,
    (CLOSING, LOSE): LOST,
}
