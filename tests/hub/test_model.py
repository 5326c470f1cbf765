"""The core under any interleaving: nothing missing unsaid, nothing twice, in order.

``world.World`` checks at every message that each subscriber's log is a gapless run, or
has a gap exactly there, and after every step that memory is bounded.
"""

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.needs import needs

needs("msgspec")

from longwire.hub import entries
from longwire.hub.feeds import Kind
from tests.hub.world import World

TOPICS = {
    "kept": ("kept", 6, "catch_up"),
    "long": ("long", 50, "catch_up"),
    "none": ("none", 0, "drop"),
    "latest": ("latest", 3, "latest"),
    "dropped": ("dropped", 5, "drop"),
}


class Model(RuleBasedStateMachine):
    """Everything that may happen, in an order that hypothesis chooses."""

    topics = st.sampled_from(sorted(TOPICS))
    clients = st.integers(0, 2)
    sizes = st.sampled_from([8, 8, 300, 1500])

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed):
        self.world = World(seed, histories=tuple(TOPICS.values()))

    @rule(client=clients, topic=topics, how=st.integers(0, 2))
    def subscribe(self, client, topic, how):
        self.world.subscribe(client, topic, how)

    @rule(client=clients, topic=topics)
    def unsubscribe(self, client, topic):
        self.world.unsubscribe(client, topic)

    @rule(client=clients)
    def close(self, client):
        self.world.close(client)

    @rule(client=clients, has_room=st.booleans())
    def set_room(self, client, has_room):
        self.world.set_room(client, has_room)

    @rule()
    def answer(self):
        self.world.answer()

    @rule()
    def flush(self):
        self.world.flush()

    @rule(count=st.integers(1, 5))
    def fan_out(self, count):
        self.world.fan_out(count)

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0, 5.0, 20.0]))
    def pass_time(self, seconds):
        self.world.pass_time(seconds)

    @rule()
    def attach(self):
        self.world.attach()

    @rule(topic=topics, size=sizes)
    def publish(self, topic, size):
        self.world.publish(topic, size)

    @rule(topic=topics, count=st.integers(2, 8))
    def publish_and_deliver(self, topic, count):
        for _ in range(count):
            self.world.publish(topic)
            self.world.deliver(-1)

    @rule(topic=topics, count=st.integers(1, 4))
    def lose_newest(self, topic, count):
        self.world.lose_newest(topic, count)

    @rule(topic=topics)
    def restart(self, topic):
        self.world.restart(topic)

    @rule(topic=topics, count=st.integers(1, 4))
    def trim(self, topic, count):
        self.world.trim(topic, count)

    @rule(fail=st.booleans())
    def answer_read(self, fail):
        self.world.answer_read(fail)

    @rule()
    def bring_answer(self):
        self.world.bring_answer()

    @rule(index=st.integers(0, 2))
    def deliver(self, index):
        self.world.deliver(index)

    @rule()
    def repeat(self):
        self.world.repeat()

    @rule()
    def drop(self):
        self.world.drop()

    @rule()
    def lose_feed(self):
        self.world.lose_feed()

    @rule()
    def restore_feed(self):
        self.world.restore_feed()

    @invariant()
    def memory_is_bounded(self):
        if hasattr(self, "world"):
            self.world.check_bounds()

    def teardown(self):
        if hasattr(self, "world"):
            self.world.settle()


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

# What happens how often in a long random run: mostly what happens mostly.
ACTIONS = (
    (6, "subscribe", "client topic how"),
    (8, "answer", ""),
    (1, "unsubscribe", "client topic"),
    (1, "close", "client"),
    (4, "set_room", "client flag"),
    (10, "flush", ""),
    (12, "fan_out", "few"),
    (5, "pass_time", "seconds"),
    (8, "attach", ""),
    (20, "publish", "topic size"),
    (12, "answer_read", "rarely"),
    (12, "bring_answer", ""),
    (20, "deliver", "index"),
    (1, "repeat", ""),
    (2, "drop", ""),
    (1, "lose_feed", ""),
    (2, "restore_feed", ""),
)
DESTRUCTION = ((1, "lose_newest", "topic few"), (1, "restart", "topic"))
DESTRUCTION += ((1, "trim", "topic few"),)


def run_at_random(seed, *, destroy, steps=400):
    """A world in which ``steps`` things happen, then all goes well."""
    dice = random.Random(seed)
    names = sorted(dice.sample(sorted(TOPICS), dice.randint(1, 3)))
    world = World(seed, histories=tuple(TOPICS[name] for name in names))
    draw = {
        "client": lambda: dice.randrange(len(world.clients)),
        "topic": lambda: dice.choice(names),
        "how": lambda: dice.choice([0, 0, 0, 0, 1, 2]),
        "flag": lambda: dice.random() < 0.5,
        "rarely": lambda: dice.random() < 0.1,
        "few": lambda: dice.choice([1, 1, 2, 4]),
        "seconds": lambda: dice.choice([0.01, 0.1, 1.0, 1.0, 5.0, 20.0]),
        "size": lambda: dice.choice([8, 8, 8, 300, 1500]),
        "index": lambda: dice.choice([0, 0, 0, 0, 1, 2]),
    }
    actions = ACTIONS + DESTRUCTION * destroy
    weights = [action[0] for action in actions]
    for _ in range(steps):
        _, name, arguments = dice.choices(actions, weights)[0]
        getattr(world, name)(*(draw[each]() for each in arguments.split()))
        world.check_bounds()
    world.settle()
    return world


@pytest.mark.parametrize("seed", range(60))
def test_a_lossy_feed_without_losses_at_the_broker_makes_no_gap_but_by_trimming(seed):
    world = run_at_random(seed, destroy=False)

    assert world.destroyed == 0


@pytest.mark.parametrize("seed", range(60))
def test_a_broker_that_goes_back_or_restarts_is_told_of_exactly_where_it_matters(seed):
    run_at_random(seed, destroy=True)


# --- a model that cannot fail says nothing ---


def _without_tags(self, entry):
    position = self.position
    if entry.epoch != position.epoch:
        return Kind.ODD
    if entry.offset <= position.offset:
        return Kind.REPEAT
    return Kind.NEXT if entry.prev == position.offset else Kind.JUMP


def _judge_without_tags(since, top, **stored):
    tag_at = stored.pop("tag_at", None)
    same = since._replace(tag=top.tag) if since.offset == top.offset else since
    tag_at = None if tag_at is None else since.tag
    return entries.judge(same, top, tag_at=tag_at, **stored)


def _always(*args, **kwargs):
    return True


def _never(*args, **kwargs):
    return False


FAULTS = [
    ("longwire.hub.feeds.Feed.kind_of", _without_tags),
    ("tests.hub.world.judge", _judge_without_tags),
    ("longwire.hub.feeds.Feed.is_settled", property(_always)),
    ("longwire.hub.lagging.Lagging.wants", _always),
    ("longwire.hub.lagging.Lagging.room", _never),
    ("longwire.hub.node.Node.flush", lambda self, feed: None),
    ("longwire.hub.feeds.Feed.trim_tail", lambda self, most: None),
    ("longwire.hub.reading.Reading.repair", lambda self, feed, now: None),
]


@pytest.mark.parametrize(("place", "fault"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_put_in_is_found(place, fault, monkeypatch):
    monkeypatch.setattr(place, fault)

    with pytest.raises(Exception):  # noqa: B017 - any is a find
        for seed in range(150):
            run_at_random(seed, destroy=True, steps=300)


def test_the_model_sees_losses_repaired_and_gaps_signalled():
    repaired = signalled = repeats = 0
    for seed in range(20):
        node = run_at_random(1000 + seed, destroy=True, steps=200).core.node
        repaired += node.repaired
        signalled += node.signalled
        repeats += node.repeats

    assert repaired > 5
    assert signalled > 20
    assert repeats > 3
