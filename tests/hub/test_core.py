"""The core, one behaviour at a time; ``test_model.py`` has any interleaving."""

import itertools
import time

import pytest

from tests.support.needs import needs

needs("msgspec")

from longwire.hub.core import TooManyTopics
from longwire.hub.effects import Check, Read
from longwire.hub.entries import Position, Verdict
from longwire.hub.limits import HubLimits
from longwire.hub.subscriptions import BEHIND, LIVE, Missing
from tests.hub.world import LIMITS, World


def world(history=50, slow="catch_up", clients=3, limits=None, name="t"):
    return World(
        histories=((name, history, slow),),
        clients=clients,
        limits=limits or HubLimits(),
    )


def go(it, seconds=0.0):
    """Let everything happen that waits for nobody, ``seconds`` long."""
    for _ in range(2 + int(seconds / 0.05)):
        for _ in range(30):
            it.attach()
            it.answer_read()
            it.bring_answer()
            it.deliver()
            it.flush()
            it.fan_out(1000)
            it.answer()
        if seconds:
            it.pass_time(0.05)


def publish(it, count, **options):
    for _ in range(count):
        it.publish("t", **options)
        it.deliver(-1)
        it.flush()
        it.fan_out(1000)


def reads(it):
    return [each for each in it.asked if isinstance(each, Read)]


# --- recovery --------------------------------------------------------------------


def test_a_subscriber_of_an_empty_topic_has_a_position_and_recovers_from_it():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    assert it.clients[0].position["t"].offset == 0
    it.close(0)
    publish(it, 3)

    it.subscribe(0, "t", 0)
    go(it)

    assert it.clients[0].log[-4:-3] == [
        ("t", "subscribed", Verdict.COMPLETE, it.topics["t"].top)
    ]


def test_a_storm_of_reconnects_takes_two_reads_of_a_topic():
    it = world(clients=300, history=100)
    publish(it, 30)
    for number, client in enumerate(it.clients):
        entry = it.topics["t"].entries[number % 20]
        client.position["t"] = entry.position

    for number in range(len(it.clients)):
        it.subscribe(number, "t", 0)
    it.attach()
    count = 0
    while it.asked or it.answers or it.resolved:
        count += len(reads(it))
        it.answer_read()
        it.bring_answer()
        it.answer()
    go(it)

    assert count <= 2
    assert {client.position["t"] for client in it.clients} == {it.topics["t"].top}


def test_who_waits_costs_nothing_to_those_who_come_later():
    def seconds_for(count):
        it = world(clients=count, history=1000)
        publish(it, 200)
        it.subscribe(0, "t", 0)
        go(it)
        it.core.lost(None, it.now)  # so that all wait
        began = time.process_time()
        for number in range(1, count):
            entry = it.topics["t"].entries[number % 200]
            it.clients[number].position["t"] = entry.position
            it.subscribe(number, "t", 0)
        for number in range(1, count):
            it.close(number)
        return time.process_time() - began

    seconds_for(100)

    # Ten times as many take ten times as long, not a hundred.
    assert seconds_for(1000) < 40 * max(seconds_for(100), 0.002)


def test_the_tail_answers_without_a_read_and_not_while_the_feed_is_in_doubt():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    publish(it, 5)
    it.clients[1].position["t"] = it.topics["t"].entries[1].position
    it.clients[2].position["t"] = it.topics["t"].entries[1].position

    it.subscribe(1, "t", 0)
    assert it.resolved and not reads(it)
    it.core.lost(None, it.now)
    it.subscribe(2, "t", 0)

    assert len(it.resolved) == 1


@pytest.mark.parametrize(
    ("since", "verdict"),
    [
        (Position("other", 3, 5), Verdict.EPOCH),
        (Position("epoch1", 99, 5), Verdict.AHEAD),
        (Position("epoch1", 10, 5), Verdict.FORK),
        (Position("epoch1", 8, 5), Verdict.FORK),
        (Position("epoch1", 2, 5), Verdict.TRIMMED),
        (Position("epoch1", 0, 0), Verdict.TRIMMED),
    ],
)
@pytest.mark.parametrize("warm", [False, True])
def test_what_cannot_be_continued_is_said_with_the_reason(since, verdict, warm):
    it = world(history=5)
    publish(it, 10)
    if warm:
        it.subscribe(1, "t", 0)
        go(it)
    it.clients[0].position["t"] = since

    it.subscribe(0, "t", 0)
    go(it)

    assert it.clients[0].log == [("t", "subscribed", verdict, it.topics["t"].top)]


def test_that_a_position_is_bad_is_never_answered_from_what_was_known_before():
    it = world()
    it.subscribe(1, "t", 0)
    go(it)
    publish(it, 3)
    it.subscribe(0, "t", 0)
    go(it)
    it.close(0)
    it.up = False  # the node misses the next ones, and does not know it
    publish(it, 4)
    it.up = True
    it.clients[0].position["t"] = it.topics["t"].top

    it.subscribe(0, "t", 0)
    assert not it.resolved
    go(it)

    assert it.clients[0].gaps == it.clients[1].gaps == 0
    assert it.clients[1].position["t"] == it.topics["t"].top


def test_a_long_recovery_comes_in_pages_and_is_not_done_before_its_end():
    limits = HubLimits(page=4, catch_up_bytes=2000)
    it = world(limits=limits)
    publish(it, 20)
    it.clients[0].position["t"] = it.topics["t"].entries[0].position

    it.subscribe(0, "t", 0)
    it.attach()
    it.answer_read()
    it.bring_answer()
    assert len(it.resolved[0].outcome.entries) == 4
    it.answer()
    assert it.clients[0].subs["t"].state == BEHIND
    go(it)

    assert it.clients[0].subs["t"].state == LIVE
    assert [event[1] for event in it.clients[0].log[1:]] == list(range(2, 21))


def test_history_trimmed_under_a_recovery_is_a_gap():
    it = world(limits=HubLimits(page=2), history=20)
    publish(it, 20)
    it.clients[0].position["t"] = it.topics["t"].entries[0].position
    it.subscribe(0, "t", 0)
    it.attach()
    it.answer_read()
    it.bring_answer()

    it.answer()
    it.trim("t", 10)
    go(it)

    assert it.clients[0].gaps == 1
    assert it.clients[0].log[-1] == ("t", "gap", "trimmed", 17)


def test_the_newest_entries_come_where_asked_and_are_not_called_recovered():
    it = world()
    publish(it, 10)

    it.subscribe(0, "t", 1)
    go(it)

    verdicts = [event[2] for event in it.clients[0].log if event[1] == "subscribed"]
    assert verdicts == [None]
    assert len(it.clients[0].log) == 4
    assert it.clients[0].position["t"] == it.topics["t"].top


def test_newest_entries_larger_than_the_tail_come_from_a_read():
    it = world(limits=HubLimits(tail_bytes=600))
    it.subscribe(1, "t", 0)
    go(it)
    publish(it, 10)

    it.subscribe(0, "t", 1)
    assert len(reads(it)) == 1
    go(it)

    assert len(it.clients[0].log) == 4


# --- gaps ------------------------------------------------------------------------


def test_an_entry_lost_on_the_way_is_repaired_at_the_next():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    it.publish("t")
    it.drop()

    publish(it, 1)
    assert len(it.clients[0].log) == 1
    go(it)

    assert [event[1] for event in it.clients[0].log[1:]] == [1, 2]
    assert it.core.node.repaired == 1


def test_a_loss_with_nothing_after_it_is_found_within_25_seconds():
    it = world()
    it.subscribe(0, "t", 0)
    go(it, 3.0)
    publish(it, 1)
    it.publish("t")
    it.drop()

    go(it, 14.0)
    assert len(it.clients[0].log) == 2
    go(it, 12.0)

    assert len(it.clients[0].log) == 3


def test_topics_that_are_quiet_are_looked_at_in_one_request():
    it = World(histories=tuple((f"t{n}", 5, "catch_up") for n in range(50)), clients=1)
    for name in it.topics:
        it.subscribe(0, name, 0)
    go(it, 5.0)
    it.core.lost(None, it.now)

    it.restore_feed()

    (check,) = it.asked
    assert isinstance(check, Check)
    assert len(check.feeds) == 50


def test_more_than_may_be_held_is_read_again_and_nothing_is_missing():
    it = world(limits=HubLimits(held=3, page=4), history=50)
    it.subscribe(0, "t", 0)
    go(it)
    it.publish("t")
    it.drop()
    publish(it, 12)

    feed = it.core.feeds["t"]
    assert len(feed.held) <= 3
    go(it)

    assert [event[1] for event in it.clients[0].log[1:]] == list(range(1, 14))


def test_a_topic_without_history_counts_what_is_lost():
    it = world(history=0, slow="drop")
    it.subscribe(0, "t", 0)
    go(it)
    for _ in range(2):
        it.publish("t")
        it.drop()

    publish(it, 1)

    assert it.clients[0].log[1:] == [
        ("t", "gap", "lost", 2),
        ("t", 3, it.topics["t"].top.tag),
    ]


def test_a_feed_that_is_late_is_no_loss_for_a_topic_without_history():
    it = world(history=0, slow="drop")
    it.subscribe(0, "t", 0)
    go(it)
    it.publish("t")
    it.pass_time(30.0)
    it.answer_read()
    it.bring_answer()

    it.pass_time(0.5)
    it.deliver()
    go(it, 3.0)

    assert it.clients[0].gaps == 0
    assert it.clients[0].position["t"] == it.topics["t"].top


def test_an_entry_of_a_history_that_has_ended_is_dropped():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    it.publish("t")
    ghost = it.network.popleft()
    it.restart("t")
    it.restore_feed()
    publish(it, 2)
    go(it, 1.0)

    it.network.append(ghost)
    go(it, 3.0)

    assert it.clients[0].gaps == 1
    assert not it.core.feeds["t"].held
    assert it.clients[0].position["t"] == it.topics["t"].top


# --- slow subscribers ------------------------------------------------------------


def stall(it, client=0):
    it.set_room(client, False)


def test_nothing_is_queued_for_one_without_room_and_it_is_fed_from_history():
    it = world(limits=HubLimits(tail_bytes=1000), history=200)
    it.subscribe(0, "t", 0)
    it.subscribe(1, "t", 0)
    go(it)
    stall(it)

    publish(it, 100)
    assert it.clients[0].subs["t"].state == BEHIND
    assert not it.fanout
    it.set_room(0, True)
    go(it)

    assert it.clients[0].subs["t"].state == LIVE
    assert [event[1] for event in it.clients[0].log[1:]] == list(range(1, 101))
    assert len(it.clients[1].log) == 101


def test_only_the_latest_waits_and_how_many_were_skipped_is_told():
    it = world(history=1, slow="latest")
    it.subscribe(0, "t", 0)
    go(it)
    publish(it, 1)
    stall(it)
    publish(it, 7)

    it.set_room(0, True)
    go(it)

    assert it.clients[0].log[-1] == ("t", "skipped", 6)
    assert it.clients[0].position["t"] == it.topics["t"].top


def test_without_history_a_slow_one_is_told_how_many_are_gone():
    it = world(history=0, slow="drop")
    it.subscribe(0, "t", 0)
    go(it)
    stall(it)
    publish(it, 7)

    it.set_room(0, True)
    go(it)
    publish(it, 1)

    assert it.clients[0].log[1:-1] == [("t", "gap", "slow", 7)]
    assert it.clients[0].position["t"] == it.topics["t"].top


def test_one_that_was_never_without_room_again_is_not_told_of_a_gap_of_nothing():
    it = world(history=0, slow="drop")
    it.subscribe(0, "t", 0)
    go(it)
    stall(it)
    it.set_room(0, True)
    go(it)

    assert it.clients[0].gaps == 0


def test_who_is_behind_for_a_minute_is_hung_up_on():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    stall(it)
    publish(it, 1)

    for _ in range(58):
        it.pass_time(1.0)
    assert not it.clients[0].hung_up
    for _ in range(4):
        it.pass_time(1.0)

    assert it.clients[0].hung_up
    assert not it.core.node.behind


def test_whose_history_is_trimmed_twice_in_a_row_is_hung_up_on():
    it = world(history=3)
    it.subscribe(0, "t", 0)
    go(it)
    for turn in range(2):
        assert not it.clients[0].hung_up
        stall(it)
        publish(it, 10)
        it.core.node.tails.forget(it.core.feeds["t"])
        it.core.feeds["t"].tail.drop(10)
        it.set_room(0, True)
        go(it)
        assert it.clients[0].hung_up is (turn == 1)

    assert it.clients[0].gaps == 1


def test_a_gap_told_to_one_without_room_is_told_when_there_is_room():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    publish(it, 2)
    stall(it)
    it.restart("t")
    it.restore_feed()
    publish(it, 1)
    go(it)
    assert it.clients[0].gaps == 0

    it.set_room(0, True)
    go(it)

    assert it.clients[0].gaps == 1


def test_a_message_for_many_goes_out_in_slices_and_each_gets_it_once():
    it = world(clients=20)
    for number in range(10):
        it.subscribe(number, "t", 0)
    go(it)
    it.publish("t")
    it.deliver()
    it.flush()

    it.fan_out(4)
    it.close(5)
    it.subscribe(15, "t", 0)
    it.answer()
    publish(it, 1)
    go(it)

    counts = [len(client.log) for client in it.clients]
    assert counts[:4] == [3, 3, 3, 3]
    assert counts[5] == 1
    assert counts[15] == 2


# --- attaching -------------------------------------------------------------------


def test_a_topic_is_left_some_time_after_its_last_subscriber():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    it.unsubscribe(0, "t")

    it.pass_time(9.0)
    assert "t" in it.core.feeds
    it.pass_time(2.0)

    assert it.core.feeds == {}
    assert list(it.attaching) == ["t"]
    assert it.core.node.tails.size == 0


def test_one_who_comes_back_meanwhile_finds_it_attached():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    publish(it, 3)
    it.close(0)
    publish(it, 2)

    it.subscribe(0, "t", 0)

    assert it.resolved and not it.asked
    it.pass_time(60.0)
    assert "t" in it.core.feeds


def test_topics_nobody_listens_to_make_way_for_others_at_the_limit():
    names = ("a", "b", "c")
    limits = HubLimits(attached=2)
    it = World(histories=tuple((n, 5, "catch_up") for n in names), limits=limits)
    it.subscribe(0, "a", 0)
    it.subscribe(0, "b", 0)
    go(it)
    with pytest.raises(TooManyTopics):
        it.subscribe(1, "c", 0)

    it.unsubscribe(0, "a")
    it.subscribe(1, "c", 0)

    assert sorted(it.core.feeds) == ["b", "c"]


def test_a_read_that_fails_is_tried_again_and_less_often():
    it = world()
    it.subscribe(0, "t", 0)
    it.attach()
    times = []
    while it.now < 130:
        if it.asked:
            times.append(it.now)
            it.answer_read(fail=True)
            it.bring_answer()
        it.pass_time(0.01)

    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[0] < 0.3
    assert 3.0 < max(pauses) < 7.0
    assert len(it.asked) <= 1


def test_the_newest_subscription_of_a_connection_to_a_topic_is_the_one():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    old = it.clients[0].subs["t"]
    publish(it, 2)

    it.subscribe(0, "t", 0)
    go(it)
    publish(it, 1)

    assert it.clients[0].subs["t"] is not old
    assert it.core.feeds["t"].members == 1
    assert it.clients[0].position["t"] == it.topics["t"].top


def test_tails_keep_within_a_budget_for_all_of_them():
    names = [f"t{n}" for n in range(6)]
    it = World(histories=tuple((n, 50, "catch_up") for n in names), limits=LIMITS)
    for name in names:
        it.subscribe(0, name, 0)
    go(it)

    for _ in range(20):
        for name in names:
            it.publish(name, 300)
            it.deliver()
            it.flush()
            it.fan_out(100)
            it.check_bounds()

    assert it.core.node.tails.size <= LIMITS.tail_bytes_in_all


def test_a_missing_message_says_from_where_to_where():
    it = world()
    it.subscribe(0, "t", 0)
    go(it)
    publish(it, 2)
    it.restart("t")
    publish(it, 1)
    found = []
    it.clients[0].take = lambda topic, message, latest: found.append(message)

    go(it, 1.0)

    assert isinstance(found[0], Missing)
    assert (found[0].reason, found[0].missed) == ("epoch", None)
    assert found[0].before.epoch == "epoch1"
    assert found[0].after.epoch == "epoch2"
