"""The life of a slot as one table: (state, event) → (state, what is done).

A slot is the place of one worker. :mod:`.pool` carries the table out; the page
docs/howto/serving.md shows it, and a test compares the two. An event without a row in
a state changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ACTIONS", "EVENTS", "STATES", "STEPS", "Step"]

# States.
IDLE = 0
STARTING = 1
SERVING = 2
REPLACING = 3
WAITING = 4
CLOSED = 5
STOPPED = 6

STATES = {
    IDLE: ("idle", "no worker yet: that of the first slot has to be ready before"),
    STARTING: ("starting", "its worker starts; none serves"),
    SERVING: ("serving", "its worker takes connections"),
    REPLACING: ("replacing", "its worker takes connections, and another one starts"),
    WAITING: ("waiting", "its worker died; the next one starts after a delay"),
    CLOSED: ("closed", "its workers died too often; its socket is closed"),
    STOPPED: ("stopped", "it gets no worker any more"),
}

# Events. The worker that starts and the one that serves are told apart.
START = 0
READY = 1
FAILED = 2
FAILED_OFTEN = 3
HOPELESS = 4
DIED = 5
DIED_OFTEN = 6
LEFT = 7
TIMER = 8
RELOAD = 9
STOP = 10
UNSPAWNED = 11

EVENTS = {
    START: "the supervisor has begun, or the first worker of all is ready",
    READY: "the worker that starts is ready",
    UNSPAWNED: "the system has no room for the worker that is to start",
    FAILED: "the worker that starts ended, or took too long",
    FAILED_OFTEN: "the same, at the fifth death within a minute",
    HOPELESS: "the same, and no worker of any slot was ever ready",
    DIED: "the worker that serves ended",
    DIED_OFTEN: "the same, at the fifth death within a minute",
    LEFT: "the worker that serves was told to end, by SIGTERM to its process",
    TIMER: "the delay has passed",
    RELOAD: "its turn in a reload has come",
    STOP: "the supervisor stops",
}

# What is done, in this order.
RETIRE = 0
SERVE = 1
KILL = 2
SPAWN = 3
DELAY = 4
CLOSE = 5

ACTIONS = {
    RETIRE: "the worker that serves drains",
    SERVE: "the new worker serves",
    KILL: "the worker that starts is killed",
    SPAWN: "a worker is spawned",
    DELAY: "the delay begins",
    CLOSE: "the socket is closed",
}


class Step(NamedTuple):
    """What an event does in a state."""

    after: int
    does: tuple[int, ...] = ()


STEPS: dict[tuple[int, int], Step] = {
    (IDLE, START): Step(STARTING, (SPAWN,)),
    (STARTING, READY): Step(SERVING, (SERVE,)),
    (REPLACING, READY): Step(SERVING, (RETIRE, SERVE)),
    # No mistake of the application: tried again for as long as it takes.
    (STARTING, UNSPAWNED): Step(WAITING, (DELAY,)),
    (REPLACING, UNSPAWNED): Step(SERVING),
    (STARTING, FAILED): Step(WAITING, (DELAY,)),
    # The worker that serves goes on: a reload takes nothing away.
    (REPLACING, FAILED): Step(SERVING),
    (STARTING, FAILED_OFTEN): Step(CLOSED, (CLOSE,)),
    (STARTING, HOPELESS): Step(CLOSED, (CLOSE,)),
    (SERVING, DIED): Step(WAITING, (DELAY,)),
    # The next one starts already.
    (REPLACING, DIED): Step(STARTING),
    (SERVING, DIED_OFTEN): Step(CLOSED, (CLOSE,)),
    (SERVING, LEFT): Step(STARTING, (RETIRE, SPAWN)),
    (REPLACING, LEFT): Step(STARTING, (RETIRE,)),
    (WAITING, TIMER): Step(STARTING, (SPAWN,)),
    (SERVING, RELOAD): Step(REPLACING, (SPAWN,)),
    (WAITING, RELOAD): Step(STARTING, (SPAWN,)),
    (CLOSED, RELOAD): Step(STARTING, (SPAWN,)),
    (IDLE, STOP): Step(STOPPED),
    (STARTING, STOP): Step(STOPPED, (KILL,)),
    (SERVING, STOP): Step(STOPPED, (RETIRE,)),
    (REPLACING, STOP): Step(STOPPED, (RETIRE, KILL)),
    (WAITING, STOP): Step(STOPPED),
    (CLOSED, STOP): Step(STOPPED),
}
