"""HubClient over real connections that come and go."""

import asyncio
import contextlib
import time

import pytest

from tests.hub.serving import eventually, serving, user_of_path
from tests.support.needs import needs

needs("msgspec")

from longwire import rpc
from longwire.hub import (
    BrokerUnavailable,
    Gap,
    HubClient,
    NotSubscribed,
    Tokens,
    TooLarge,
    UnknownTopic,
)
from longwire.hub.following import Broken, Follower, GapIn, MessageIn, SubscribedIn

SECRET = "0123456789abcdef0123456789abcdef"


async def take(chat, count):
    async with asyncio.timeout(10):
        return [(await anext(chat)).data for _ in range(count)]


def abort(it):
    """End all connections without a closing handshake, as a network does."""
    for peer in list(it.server.peers):
        peer.connection.transport.abort()


async def cut(it):
    """End all connections, and wait until the server knows."""
    peers = list(it.server.peers)
    abort(it)
    await eventually(lambda: not set(peers) & it.server.peers)


# --- following, without I/O ------------------------------------------------------


def entries(*offsets, **more):
    return [{"offset": offset, "data": offset, **more} for offset in offsets]


def message(position, *offsets, **more):
    import msgspec

    found = {"topic": "t", "position": position, "entries": entries(*offsets), **more}
    return msgspec.convert(found, MessageIn)


def answer(position, *offsets, **more):
    import msgspec

    found = {"position": position, "entries": entries(*offsets), **more}
    return msgspec.convert(found, SubscribedIn)


def offsets_of(items):
    return [item.entry.offset if item.entry else item.gap for item in items]


def test_what_came_before_the_answer_is_looked_at_after_it():
    follower = Follower("e.1.a")
    follower.asked()

    assert follower.message(message("e.4.d", 4)) == []
    items = follower.answered(answer("e.3.c", 2, 3, recovered=True))

    assert offsets_of(items) == [2, 3, 4]
    assert follower.position == "e.4.d"


def test_entries_that_are_there_already_are_dropped():
    follower = Follower("e.5.a")
    follower.asked()

    assert follower.answered(answer("e.5.a", recovered=True)) == []
    assert offsets_of(follower.message(message("e.6.b", 4, 5, 6))) == [6]
    assert follower.message(message("e.6.b", 6)) == []
    assert follower.position == "e.6.b"


def test_an_answer_behind_what_was_pushed_moves_nothing_back():
    follower = Follower(None)
    follower.asked()
    follower.answered(answer("e.0.0"))
    follower.message(message("e.9.a", *range(1, 10)))

    follower.asked()
    items = follower.answered(answer("e.5.a", 4, 5, recovered=True, more=True))

    assert items == []
    assert follower.position == "e.9.a"


def test_what_does_not_follow_is_broken():
    follower = Follower("e.5.a")
    follower.asked()
    follower.answered(answer("e.5.a", recovered=True))

    with pytest.raises(Broken, match="7 does not follow 5"):
        follower.message(message("e.7.b", 7))
    with pytest.raises(Broken, match="another history"):
        follower.message(message("f.6.b", 6))
    assert follower.position == "e.5.a"


def test_holes_in_offsets_are_no_gaps_where_prev_says_so():
    follower = Follower("e.5.a")
    follower.asked()
    follower.answered(answer("e.5.a", recovered=True))
    found = message("e.12.b", 9, 12)
    found.entries[0].prev = 5

    assert offsets_of(follower.message(found)) == [9, 12]


def test_a_gap_moves_the_position_and_so_does_a_skip():
    follower = Follower("e.5.a")
    follower.asked()
    follower.answered(answer("e.5.a", recovered=True))

    assert offsets_of(follower.gap(GapIn("t", "f.3.b", "epoch"))) == [("epoch", None)]
    assert offsets_of(follower.message(message("f.4.c", 4))) == [4]
    (item,) = follower.message(message("f.9.c", 9, skipped=4))
    assert (item.entry.offset, item.skipped) == (9, 4)


def test_a_refused_recovery_is_a_gap_before_what_comes_with_it():
    follower = Follower("e.5.a")
    follower.asked()

    items = follower.answered(
        answer("f.9.b", 9, recovered=False, reason="epoch", missed=None)
    )

    assert offsets_of(items) == [("epoch", None), 9]


def test_a_server_that_sends_without_end_before_its_answer_is_broken():
    follower = Follower(None)
    follower.asked()

    with pytest.raises(Broken, match="before the answer"):
        for number in range(2000):
            follower.message(message(f"e.{number}.a", number))


# --- messages --------------------------------------------------------------------


async def test_messages_come_through_a_loop_with_all_that_is_known_of_them():
    async with serving(identify=user_of_path) as it:
        hub = await it.client("ann")
        async with hub.subscribe("chat:1") as chat:
            before = time.time()
            await chat.publish({"text": "hi"})
            await it.hub.publish("chat:1", "server", headers={"trace": "1"})

            first, second = await anext(chat), await anext(chat)

        assert (first.data, first.offset, first.sender) == ({"text": "hi"}, 1, "ann")
        assert abs(first.at - before) < 5
        assert (second.sender, second.headers) == (None, {"trace": "1"})
        assert second.position != first.position


async def test_on_messagepack_bytes_come_as_bytes():
    async with serving() as it:
        hub = await it.client(wire="msgpack")
        async with hub.subscribe("chat:1") as chat:
            await chat.publish({"raw": b"\x00\xff"})
            await it.hub.publish("chat:1", "text")
            assert await take(chat, 2) == [{"raw": b"\x00\xff"}, "text"]
            await cut(it)
            await it.hub.publish("chat:1", b"\x01")
            assert await take(chat, 1) == [b"\x01"]


async def test_a_lost_connection_is_taken_up_where_it_was():
    async with serving() as it:
        hub = await it.client()
        async with hub.subscribe("chat:1") as chat:
            await it.hub.publish("chat:1", 0)
            assert await take(chat, 1) == [0]

            for turn in range(3):
                await cut(it)
                for number in range(5):
                    await it.hub.publish("chat:1", [turn, number])
                assert await take(chat, 5) == [[turn, number] for number in range(5)]


async def test_every_message_comes_once_through_a_storm_of_losses():
    async with serving(options={"history": 2000}) as it:
        hub = await it.client()
        async with hub.subscribe("chat:1") as chat:

            async def publish():
                for number in range(600):
                    await it.hub.publish("chat:1", number)
                    await asyncio.sleep(0.001)

            async def disturb():
                while True:
                    await asyncio.sleep(0.15)
                    abort(it)

            publishing = asyncio.create_task(publish())
            disturbing = asyncio.create_task(disturb())
            async with asyncio.timeout(25):
                found = [(await anext(chat)).data for _ in range(600)]
            disturbing.cancel()
            await publishing

        assert found == list(range(600))


async def test_a_position_that_was_kept_goes_on_in_another_client():
    async with serving() as it:
        first = await it.client()
        async with first.subscribe("chat:1") as chat:
            for number in range(5):
                await it.hub.publish("chat:1", number)
            assert await take(chat, 3) == [0, 1, 2]
            # The third may not have been dealt with yet.
            saved = chat.position

        second = await it.client()
        async with second.subscribe("chat:1", since=saved) as chat:
            assert await take(chat, 3) == [2, 3, 4]
            await it.hub.publish("chat:1", 5)
            message = await anext(chat)
        async with second.subscribe("chat:1", since=message.position) as chat:
            await it.hub.publish("chat:1", 6)
            assert await take(chat, 1) == [6]


async def test_a_gap_is_raised_in_the_loop_which_can_go_on():
    async with serving(options={"history": 2}) as it:
        hub = await it.client()
        async with hub.subscribe("chat:1") as chat:
            await it.hub.publish("chat:1", 0)
            assert await take(chat, 1) == [0]
            await it.hub.clear("chat:1")

            with pytest.raises(Gap, match=r"messages of chat:1 are missing \(epoch\)"):
                await take(chat, 1)

            await it.hub.publish("chat:1", 1)
            assert await take(chat, 1) == [1]


async def test_a_gap_may_be_told_to_a_function_instead():
    gaps, answers = [], []
    async with serving(options={"history": 2}) as it:
        hub = await it.client()
        async with hub.subscribe(
            "chat:1", on_gap=gaps.append, on_subscribed=answers.append
        ) as chat:
            await it.hub.publish("chat:1", 0)
            assert await take(chat, 1) == [0]
            abort(it)
            for number in range(5):
                await it.hub.publish("chat:1", number)
            await eventually(lambda: len(answers) == 2)
            await it.hub.publish("chat:1", "after")
            assert await take(chat, 1) == ["after"]

    assert [(gap.reason, gap.missed) for gap in gaps] == [("trimmed", 5)]
    assert [answer["recovered"] for answer in answers] == [None, False]


async def test_a_loop_that_is_slow_bounds_what_waits_and_misses_nothing():
    async with serving(options={"history": 5000}) as it:
        hub = await it.client()
        async with hub.subscribe("chat:1", max_queue=20) as chat:
            for start in range(0, 2000, 50):
                for number in range(start, start + 50):
                    await it.hub.publish("chat:1", number)
                await asyncio.sleep(0.001)
            most = 0

            found = []
            async with asyncio.timeout(20):
                while len(found) < 2000:
                    found.append((await anext(chat)).data)
                    most = max(most, len(chat._queue))

        assert found == list(range(2000))
        # The queue, and what one answer and one push have.
        assert most < 1000


async def test_all_subscriptions_of_a_client_are_taken_up_in_one_call():
    async with serving() as it:
        hub = await it.client()
        calls = []
        it.server.signals.call_started.connect(lambda call: calls.append(call.method))
        async with contextlib.AsyncExitStack() as stack:
            chats = [
                await stack.enter_async_context(hub.subscribe(f"chat:{number}"))
                for number in range(20)
            ]
            calls.clear()
            await cut(it)
            await eventually(lambda: bool(it.server.peers) and bool(calls))
            for number, chat in enumerate(chats):
                await it.hub.publish(f"chat:{number}", number)
                assert await take(chat, 1) == [number]

            assert calls == ["hub.subscribe"]


async def test_subscribes_with_large_tokens_take_calls_that_a_server_accepts():
    tokens = Tokens("x" * 32)
    info = {"text": "x" * 600}
    token = tokens.make("ann", "chat:{}", now=time.time(), info=info, expires=600)
    options = {"subscribe": "token", "publish": "token"}
    async with serving(options=options, tokens=tokens) as it:
        hub = await it.client()
        async with contextlib.AsyncExitStack() as stack:
            subs = [hub.subscribe(f"chat:{n}", token=token) for n in range(400)]
            assert len(token) * len(subs) > 256 << 10

            async with asyncio.timeout(20):
                await asyncio.gather(*map(stack.enter_async_context, subs))


async def test_a_subscribe_that_cannot_be_sent_is_an_error_and_no_end_of_others():
    async with serving() as it:
        hub = await it.client(limits=rpc.RpcLimits(message=1000))

        async with asyncio.timeout(10), hub.subscribe("chat:1") as chat:
            with pytest.raises(ValueError, match=r"takes .* bytes"):
                await hub.subscribe("chat:2", token="x" * 2000).__aenter__()
            await it.hub.publish("chat:1", "on")
            assert await take(chat, 1) == ["on"]


async def test_a_server_that_says_things_a_thousand_times_is_asked_once():
    asked = []

    def token():
        asked.append(1)
        return

    async with serving() as it:
        hub = await it.client()
        async with hub.subscribe("chat:1", token=token) as chat:
            (peer,) = it.server.peers
            for _ in range(1000):
                for method, params in (
                    ("hub.expiring", {"topic": "chat:1", "in": 30}),
                    ("hub.unsubscribed", {"topic": "chat:1", "again": True}),
                ):
                    peer.post(peer.wire.notification(method, params))
            await it.hub.publish("chat:1", "on")
            await eventually(lambda: len(asked) >= 3)
            assert len(hub._tasks) < 5
            await it.hub.publish("chat:1", "and on")

            assert await take(chat, 2) == ["on", "and on"]
        assert len(asked) <= 4


async def test_history_and_presence_are_asked_for():
    async with serving(options={"presence": True}, identify=user_of_path) as it:
        hub = await it.client("ann")
        diffs = []
        async with hub.subscribe(
            "chat:1", presence=True, on_presence=diffs.append
        ) as chat:
            for number in range(3):
                await it.hub.publish("chat:1", number)
            messages = await chat.history(limit=2, reverse=True)
            assert [message.data for message in messages] == [2, 1]
            assert messages[0].position != messages[1].position
            await eventually(lambda: bool(diffs))
            found = await chat.presence()
            assert [each["user"] for each in found["members"]] == ["ann"]
            assert diffs[0]["joined"][0]["user"] == "ann"


async def test_a_snapshot_is_what_there_is_in_the_place_of_what_was_missed():
    async def snapshot(topic, params):
        return "all of it"

    async with serving(options={"history": 2, "snapshot": snapshot}) as it:
        hub = await it.client()
        async with hub.subscribe("chat:1") as chat:
            assert chat.snapshot == "all of it"


# --- what fails ------------------------------------------------------------------


async def test_errors_of_a_subscribe_are_raised_where_it_is_entered():
    async with serving() as it:
        hub = await it.client()
        with pytest.raises(UnknownTopic, match="'chatt:1' is declared"):
            async with hub.subscribe("chatt:1"):
                pass
        with pytest.raises(UnknownTopic):
            await hub.publish("chatt:1", 1)
        with pytest.raises(TooLarge):
            await hub.publish("chat:1", "x" * 70_000)

        async with hub.subscribe("chat:1") as chat:
            with pytest.raises(ValueError, match="subscribed to already"):
                hub.subscribe("chat:1")
            with pytest.raises(RuntimeError, match="entered once"):
                async with chat:
                    pass


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"presence": "yes"}, ValueError, "True or 'watch'"),
        ({"max_queue": 0}, ValueError, "max_queue is 0"),
        ({"max_queue": "1"}, TypeError, "max_queue must be an int"),
    ],
)
async def test_options_of_a_subscription_are_checked(options, error, text):
    async with serving() as it:
        hub = await it.client()
        with pytest.raises(error, match=text):
            hub.subscribe("chat:1", **options)


async def test_a_client_is_an_rpc_client_or_a_peer_and_has_one_hub_of_a_name():
    with pytest.raises(TypeError, match=r"an rpc.Client or a Peer, not str"):
        HubClient("ws://localhost")
    async with serving() as it:
        hub = await it.client()
        with pytest.raises(ValueError, match="there is a route") as caught:
            HubClient(hub.client)
    assert "this client has a HubClient, and one is enough" in str(caught.value)


async def test_a_peer_serves_as_client_until_its_connection_ends():
    import longwire

    async with serving() as it:
        async with longwire.connect(
            it.uri, subprotocols=["longwire.jsonrpc"]
        ) as websocket:
            async with rpc.Peer(websocket) as peer, HubClient(peer) as hub:
                async with hub.subscribe("chat:1") as chat:
                    await it.hub.publish("chat:1", 1)
                    assert await take(chat, 1) == [1]

                    await cut(it)
                    with pytest.raises(rpc.Disconnected):
                        await take(chat, 1)


async def test_a_client_that_gives_up_connecting_ends_its_subscriptions():
    def refuse(connection, request):
        return connection.respond(403, "no\n")

    async with serving(serve={"process_request": refuse}) as it:
        hub = await it.client()
        with pytest.raises(Exception, match="403"):
            async with hub.subscribe("chat:1"):
                pass


async def test_a_client_that_is_closed_ends_its_subscriptions():
    async with serving() as it:
        async with rpc.Client(it.uri) as client:
            hub = HubClient(client)
            async with hub.subscribe("chat:1") as chat:
                waiting = asyncio.create_task(anext(chat))
                await asyncio.sleep(0.05)
                await client.close()
                with pytest.raises(rpc.Disconnected):
                    async with asyncio.timeout(5):
                        await waiting
            await hub.close()


async def test_a_revoked_subscription_ends_and_is_not_asked_for_again():
    async with serving(identify=user_of_path) as it:
        hub = await it.client("ann")
        async with hub.subscribe("chat:1") as chat:
            await it.hub.unsubscribe("ann")
            with pytest.raises(NotSubscribed, match="ended by the server"):
                await take(chat, 1)


async def test_leaving_a_subscription_ends_its_loop():
    async with serving() as it:
        hub = await it.client()
        found = []
        async with hub.subscribe("chat:1") as chat:

            async def read():
                async for message in chat:
                    found.append(message.data)

            reading = asyncio.create_task(read())
            await it.hub.publish("chat:1", 1)
            await eventually(lambda: found == [1])
        async with asyncio.timeout(5):
            await reading


# --- tokens ----------------------------------------------------------------------


async def test_a_token_is_fetched_before_each_subscribe_and_for_each_renewal():
    fetched = []
    tokens = Tokens(SECRET)

    async def fetch():
        fetched.append(tokens.make("ann", "token:1", now=time.time(), expires=31))
        return fetched[-1]

    async with serving(
        lambda hub: hub.topic("token:{x}", subscribe="token", history=5), tokens=tokens
    ) as it:
        hub = await it.client()
        async with hub.subscribe("token:1", token=fetch) as chat:
            assert len(fetched) == 1
            await cut(it)
            await it.hub.publish("token:1", 1)
            assert await take(chat, 1) == [1]
            assert len(fetched) == 2
            service = it.hub._running
            (link,) = service.links.values()
            before = link.subs["token:1"].grant.expires
            await eventually(lambda: len(fetched) >= 3)
            await eventually(lambda: link.subs["token:1"].grant.expires > before)


async def test_a_token_that_cannot_be_fetched_is_said_where_it_is_entered():
    async def fetch():
        raise RuntimeError("no session")

    async with serving() as it:
        hub = await it.client()
        with pytest.raises(RuntimeError, match="no session"):
            async with hub.subscribe("chat:1", token=fetch):
                pass
        with pytest.raises(TypeError, match="a token must be str, not int"):
            async with hub.subscribe("chat:1", token=lambda: 7):
                pass


# --- a broker that is away -------------------------------------------------------


async def test_a_broker_that_does_not_answer_is_tried_again():
    from longwire.hub import HubLimits, MemoryBroker

    class Away(MemoryBroker):
        lossless = False
        away = True

        async def read(self, *args, **kwargs):
            if self.away:
                raise BrokerUnavailable("away")
            return await super().read(*args, **kwargs)

    broker = Away()
    limits = HubLimits(subscribe_timeout=0.2)
    async with serving(broker=broker, limits=limits) as it:
        by_hand = await it.by_hand()
        error = await by_hand.call("hub.subscribe", topic="chat:1")
        assert error["code"] == -32013
        assert error["data"]["data"] == {"retry": 1000}

        hub = await it.client()
        entering = asyncio.create_task(hub.subscribe("chat:1").__aenter__())
        await asyncio.sleep(0.5)
        assert not entering.done()
        broker.away = False
        async with asyncio.timeout(10):
            chat = await entering
        await it.hub.publish("chat:1", 1)
        assert await take(chat, 1) == [1]
        await chat.unsubscribe()
