"""Hub core: any bytes as what happens to a node, its broker and its clients.

Whatever the order: each subscriber's log is a gapless run or has a gap exactly where
one is, nothing comes twice, memory is bounded, and when all goes well again everybody
has everything. The world that checks this is the one of the model test.
"""

from __future__ import annotations

from typing import Any

from tests.hub.world import World

from fuzz.choices import Choices

TOPICS = (
    ("kept", 6, "catch_up"),
    ("long", 50, "catch_up"),
    ("none", 0, "drop"),
    ("latest", 3, "latest"),
)
NAMES = tuple(name for name, _, _ in TOPICS)
MOST_STEPS = 300


def check(data: bytes) -> list[Any]:
    """Decisions: the dice; then of each step what it is and its arguments."""
    choices = Choices(data)
    world = World(choices.byte(), histories=TOPICS)
    for _ in range(MOST_STEPS):
        if not choices:
            break
        choices.pick(STEPS)(world, choices)
        world.check_bounds()
    world.settle()
    return [client.log for client in world.clients]


def _client(choices: Choices) -> int:
    return choices.byte() % 3


def _topic(choices: Choices) -> str:
    return choices.pick(NAMES)


STEPS = (
    lambda w, c: w.publish(_topic(c), c.pick((8, 8, 300, 1500))),
    lambda w, c: w.deliver(c.byte() % 3),
    lambda w, c: w.flush(),
    lambda w, c: w.fan_out(1 + c.byte() % 5),
    lambda w, c: w.subscribe(_client(c), _topic(c), c.byte() % 3),
    lambda w, c: w.attach(),
    lambda w, c: w.answer_read(),
    lambda w, c: w.bring_answer(),
    lambda w, c: w.answer(),
    lambda w, c: w.pass_time(c.pick((0.01, 0.1, 1.0, 5.0, 20.0))),
    lambda w, c: w.set_room(_client(c), bool(c.byte() % 2)),
    lambda w, c: w.unsubscribe(_client(c), _topic(c)),
    lambda w, c: w.close(_client(c)),
    lambda w, c: w.answer_read(fail=True),
    lambda w, c: w.repeat(),
    lambda w, c: w.drop(),
    lambda w, c: w.lose_feed(),
    lambda w, c: w.restore_feed(),
    lambda w, c: w.lose_newest(_topic(c), 1 + c.byte() % 4),
    lambda w, c: w.restart(_topic(c)),
    lambda w, c: w.trim(_topic(c), 1 + c.byte() % 4),
)
