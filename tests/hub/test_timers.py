"""What is to be done later is forgotten with what it was for."""

import time

import pytest

from tests.hub.serving import serving
from tests.hub.world import World
from tests.support.needs import needs

needs("msgspec")

from longwire.hub import HubLimits, Tokens
from longwire.hub.broker import Storage
from longwire.hub.expiries import Ended, Expiries
from longwire.hub.feeds import Feed
from longwire.hub.permissions import ALL_BUT_PUB, Access
from longwire.hub.subscriptions import GONE, Subscription

pytestmark = pytest.mark.once

KEPT = Storage(history=20, ttl=300.0, meta_ttl=86400.0, idempotency=60.0)
YEAR = 365 * 86400.0


class Link:
    subs: dict = {}
    behind: dict = {}


def subscription(expires):
    sub = Subscription(Link(), Feed("a:1", KEPT, "catch_up"))
    sub.grant = Access("ann", ALL_BUT_PUB, expires)
    return sub


def test_permissions_of_subscriptions_that_ended_are_forgotten_before_their_time():
    expiries = Expiries()
    kept = [subscription(YEAR) for _ in range(10)]
    for sub in kept:
        expiries.add(sub, 0.0)
    for _ in range(20_000):
        sub = subscription(YEAR)
        expiries.add(sub, 0.0)
        sub.state = GONE

    assert len(expiries) < 2000
    expiries.due(YEAR - 30)
    found = expiries.due(YEAR)
    assert [each.sub for each in found] == kept
    assert all(isinstance(each, Ended) for each in found)


def test_a_permission_that_is_renewed_often_has_one_end():
    expiries = Expiries()
    sub = subscription(YEAR)
    for number in range(20_000):
        sub.grant = Access("ann", ALL_BUT_PUB, YEAR + number)
        expiries.add(sub, 0.0)

    assert len(expiries) < 2000
    expiries.due(YEAR + 19_970)
    assert expiries.due(YEAR + 19_998) == []
    assert [each.sub for each in expiries.due(YEAR + 19_999)] == [sub]
    assert len(expiries) == 0


async def test_a_client_that_comes_and_goes_with_a_token_leaves_nothing():
    tokens = Tokens("x" * 32)
    options = {"subscribe": "token", "publish": "nobody"}
    limits = HubLimits(calls_per_second=None, linger=0.01)
    async with serving(options=options, tokens=tokens, limits=limits) as it:
        client = await it.by_hand()
        token = tokens.make("ann", "chat:{}", now=time.time(), expires=YEAR)
        names = [f"chat:{n}" for n in range(500)]
        for _ in range(12):
            answers = await client.call("hub.subscribe", topics=names, token=token)
            assert "position" in answers[-1]

        assert len(it.hub._running._expiries) <= 2000


def test_timers_of_topics_that_were_left_are_forgotten_before_their_time():
    world = World(0)
    node = world.core.node
    for number in range(20_000):
        feed = node.feeds[f"t:{number}"] = Feed(f"t:{number}", KEPT, "catch_up")
        feed.linger_at = 1000.0 + number
        node.schedule(feed)
        if number >= 10:
            node.forget(feed)

    assert len(node.timers) < 2000
    assert sum(node.is_due(when, feed) for when, _, feed in node.timers) == 10


async def test_topics_that_come_and_go_take_no_memory_of_a_hub():
    limits = HubLimits(calls_per_second=None, attached=1000, linger=60)
    async with serving(limits=limits) as it:
        client = await it.by_hand()
        for turn in range(20):
            names = [f"chat:{turn}.{n}" for n in range(500)]
            await client.call("hub.subscribe", topics=names)
            for name in names:
                await client.send("hub.unsubscribe", {"topic": name})
            await client.call("hub.unsubscribe", topic="chat:x")

        node = it.hub._running.driver.core.node
        assert len(node.feeds) <= 1000
        assert len(node.timers) <= 3000
