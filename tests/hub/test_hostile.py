"""Clients that send whatever they like: refused by name, never an internal error."""

import json
import random

import pytest

from tests.hub.serving import serving, user_of_path
from tests.support.needs import needs

needs("msgspec")

from longwire.hub import HubLimits, Tokens

CALLS = ("subscribe", "unsubscribe", "publish", "history", "presence", "refresh")
PARAMS = (
    *("topic", "topics", "since", "last", "token", "presence", "data", "id", "key"),
    *("limit", "reverse", "headers", "client", "watch", "x", ""),
)
TOPICS = ("chat:1", "own:ann", "own:bob", "secret", "token:1", "price:x", "$control")
TEXTS = (
    *("", " ", "a", "chat:", ":", "chat:1:2", "\x00", "\ud7ff", "é" * 200, "a" * 9000),
    *(
        "k3f9Zq1B.1.1",
        "a.0.0",
        "a.9007199254740993.1",
        "x.1.-1",
        "null",
        "{}",
        "chat:{}",
    ),
    *("eyJhbGciOiJub25lIn0.e30.", "..", "a.b.c"),
)
NUMBERS = (0, 1, -1, 2, 500, 501, 1 << 31, 1 << 63, -(1 << 63), 1 << 64, 0.5, 1e308)


def value(dice, depth=0):
    """Anything JSON can say, mostly something near what is wanted."""
    choice = dice.random()
    if choice < 0.35:
        return dice.choice(TOPICS)
    if choice < 0.55:
        return dice.choice(TEXTS)
    if choice < 0.7:
        return dice.choice(NUMBERS)
    if choice < 0.8 or depth > 2:
        return dice.choice((None, True, False))
    if choice < 0.9:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {
        dice.choice(PARAMS): value(dice, depth + 1) for _ in range(dice.randrange(4))
    }


def declare(hub):
    hub.topic("chat:{x}", subscribe="anyone", publish="anyone", presence=True)
    hub.topic("own:{user}", subscribe="own", publish="own")
    hub.topic("secret", subscribe="nobody")
    hub.topic("token:{x}", subscribe="token", publish="token")
    hub.topic("price:{x}", subscribe="anyone", publish="anyone", latest=True)


@pytest.mark.parametrize("seed", range(6))
async def test_no_params_are_an_internal_error_or_open_what_is_closed(seed, caplog):
    dice = random.Random(seed)
    limits = HubLimits(calls_per_second=None, publishes_per_second=None)
    tokens = Tokens("0123456789abcdef0123456789abcdef")
    options = {"limits": limits, "tokens": tokens, "identify": user_of_path}
    async with serving(declare, **options) as it:
        client = await it.by_hand("ann")
        taken = 0
        for _ in range(300):
            call = dice.choice(CALLS)
            if dice.random() < 0.1:
                params = [value(dice) for _ in range(dice.randrange(9))]
            else:
                params = {
                    name: value(dice)
                    for name in dice.sample(PARAMS, dice.randrange(5))
                    if name
                }
                if dice.random() < 0.7:
                    params["topic"] = dice.choice(TOPICS)
            id = await client.send(f"hub.{call}", params)
            while True:
                frame = json.loads(await client.frame())
                if frame.get("id") == id:
                    break
            text = json.dumps([call, params])
            error = frame.get("error")
            if error is not None:
                assert error["code"] not in (-32603, -32000), (text, error)
            else:
                taken += 1
        (link,) = it.hub._running.links.values()
        assert taken > 3
        assert not {"own:bob", "secret", "token:1", "$control"} & set(link.subs)
        assert (await it.hub.position("own:bob")).endswith(".0.0")
        assert (await it.hub.position("token:1")).endswith(".0.0")
    assert "failed" not in caplog.text


async def test_floods_of_one_client_cost_the_others_nothing():
    async with serving(declare) as it:
        flooder, other = await it.by_hand(), await it.by_hand()
        for number in range(2000):
            await flooder.send("hub.subscribe", {"topic": f"chat:{number}"})
        answer = await other.call("hub.subscribe", topic="chat:other")
        assert "position" in answer

        codes = []
        for _ in range(2000):
            frame = json.loads(await flooder.frame())
            codes.append(frame.get("error", {}).get("code"))
        # How many were done before more came depends on the machine.
        assert set(codes) <= {None, -32002}
        service = it.hub._running
        # Theirs, the other client's, and the one that nodes talk by.
        assert len(service.driver.core.feeds) == codes.count(None) + 2
