"""What a client by hand sends and gets: the documented transcript, calls and errors."""

import asyncio
import json

import pytest

from tests.hub.serving import eventually, serving, user_of_path
from tests.support.needs import needs

needs("msgspec")

from longwire.hub import Grant, HubLimits, Tokens

SECRET = "0123456789abcdef0123456789abcdef"


def data_of(params):
    return [entry["data"] for entry in params["entries"]]


# --- the transcript --------------------------------------------------------------


async def test_a_client_by_hand_subscribes_gets_messages_and_recovers():
    async with serving() as it:
        first = await it.hub.publish("chat:42", "hi")
        client = await it.by_hand()
        answer = await client.call("hub.subscribe", topic="chat:42", last=1)
        entry = answer["entries"][0]
        assert {**answer, "entries": []} == {
            "position": first.position,
            "recovered": None,
            "entries": [],
        }
        assert (entry["offset"], entry["data"]) == (1, "hi")

        second = await it.hub.publish("chat:42", "you")
        method, params = await client.push()
        assert method == "hub.message"
        assert params["topic"] == "chat:42"
        assert params["position"] == second.position
        assert data_of(params) == ["you"]

        await client.websocket.close()
        third = await it.hub.publish("chat:42", "again")
        client = await it.by_hand()
        answer = await client.call(
            "hub.subscribe", topic="chat:42", since=params["position"]
        )
        assert answer["recovered"] is True
        assert data_of(answer) == ["again"]
        assert answer["position"] == third.position
        assert "more" not in answer


async def test_the_answer_comes_before_the_first_message():
    async with serving() as it:
        clients = [await it.by_hand() for _ in range(10)]

        async def publish():
            for number in range(200):
                await it.hub.publish("chat:1", number)
                await asyncio.sleep(0)

        publishing = asyncio.create_task(publish())
        answers = []
        for client in clients:
            await asyncio.sleep(0.003)
            answers.append(await client.call("hub.subscribe", topic="chat:1"))
        await publishing

        for client, answer in zip(clients, answers, strict=True):
            offset = int(answer["position"].split(".")[1])
            while offset < 200:
                params = await client.pushes_of("hub.message")
                for entry in params["entries"]:
                    assert entry["offset"] == offset + 1
                    offset += 1
            assert client.log[0] == ("answer", 1)


async def test_messages_of_one_turn_leave_as_one_push():
    async with serving() as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")

        for number in range(5):
            it.hub.publish_nowait("chat:1", number)

        params = await client.pushes_of("hub.message")
        assert data_of(params) == [0, 1, 2, 3, 4]
        assert [("position" in entry) for entry in params["entries"]] == [True] * 4 + [
            False
        ]


async def test_several_topics_are_subscribed_to_in_one_call_each_with_its_answer():
    async with serving() as it:
        await it.hub.publish("chat:1", "one")
        client = await it.by_hand()

        answers = await client.call(
            "hub.subscribe",
            topics=["chat:1", {"topic": "chat:2", "last": 3}, "nope", "chat:3"],
            last=1,
        )

        assert [answer["topic"] for answer in answers] == [
            "chat:1",
            "chat:2",
            "nope",
            "chat:3",
        ]
        assert data_of(answers[0]) == ["one"]
        assert answers[2]["error"]["code"] == -32010
        assert answers[2]["error"]["data"]["type"] == "UnknownTopic"
        await it.hub.publish("chat:3", "three")
        assert data_of(await client.pushes_of("hub.message")) == ["three"]


async def test_messagepack_has_bytes_and_json_has_base64():
    import msgspec

    async with serving() as it:
        json_client = await it.by_hand()
        await json_client.call("hub.subscribe", topic="chat:1")
        binary = await it.by_hand(subprotocols=["longwire.msgpack"])
        params = {"topic": "chat:1"}
        call = {"jsonrpc": "2.0", "id": 1, "method": "hub.subscribe", "params": params}
        await binary.websocket.send(msgspec.msgpack.encode(call))
        await binary.frame()

        await it.hub.publish("chat:1", {"raw": b"\x00\xff"})
        await it.hub.publish("chat:1", {"text": "x"})

        frame = msgspec.msgpack.decode(await binary.frame())
        assert data_of(frame["params"]) == [{"raw": b"\x00\xff"}, {"text": "x"}]
        params = await json_client.pushes_of("hub.message")
        assert data_of(params) == [{"raw": "AP8="}, {"text": "x"}]


async def test_publishing_by_a_client_says_where_it_was_stored_and_who_it_was():
    async with serving(identify=user_of_path) as it:
        client = await it.by_hand("ann")
        await client.call("hub.subscribe", topic="chat:1")

        answer = await client.call("hub.publish", topic="chat:1", data=None, id="x")
        again = await client.call("hub.publish", topic="chat:1", data=None, id="x")

        assert answer["offset"] == 1
        assert again == {**answer, "duplicate": True}
        params = await client.pushes_of("hub.message")
        assert params["entries"][0]["from"] == "ann"
        assert params["entries"][0]["data"] is None
        assert params["position"] == answer["position"]


async def test_an_id_is_a_users_own():
    async with serving(identify=user_of_path) as it:
        ann, bob = await it.by_hand("ann"), await it.by_hand("bob")

        first = await ann.call("hub.publish", topic="chat:1", data=1, id="x")
        second = await bob.call("hub.publish", topic="chat:1", data=2, id="x")
        third = await it.hub.publish("chat:1", 3, id="x")

        assert (first["offset"], second["offset"], third.offset) == (1, 2, 3)


async def test_history_is_read_forwards_and_backwards_by_pages():
    async with serving() as it:
        for number in range(10):
            await it.hub.publish("chat:1", number)
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")

        async def pages(**params):
            found, since = [], None
            while True:
                more = {} if since is None else {"since": since}
                page = await client.call(
                    "hub.history", topic="chat:1", limit=4, **more, **params
                )
                found.append(data_of(page))
                since = page["position"]
                if not page["more"]:
                    return found

        assert await pages() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert await pages(reverse=True) == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]


async def test_history_from_a_position_that_is_gone_says_why():
    async with serving(options={"history": 2}) as it:
        first = await it.hub.publish("chat:1", 0)
        for number in range(5):
            await it.hub.publish("chat:1", number)
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")

        page = await client.call("hub.history", topic="chat:1", since=first.position)

        assert page["reason"] == "trimmed"
        assert page["entries"] == []


# --- what is refused -------------------------------------------------------------


def several(hub):
    hub.topic("chat:{room}", subscribe="anyone", publish="anyone", history=5)
    hub.topic("none:{x}", subscribe="anyone", history=0)
    hub.topic("closed", subscribe="anyone", read_history="nobody", presence=True,
              read_presence="nobody")  # fmt: skip
    hub.topic("secret", subscribe="nobody")
    hub.topic("price:{s}", subscribe="anyone", publish="anyone", latest=True)


@pytest.mark.parametrize(
    ("method", "params", "code", "text"),
    [
        ("subscribe", {}, -32602, "either topic or topics"),
        ("subscribe", {"topic": "chat:1", "topics": []}, -32602, "either topic"),
        ("subscribe", {"topic": "chatt:1"}, -32010, "'chatt:1' is declared"),
        ("subscribe", {"topic": ""}, -32010, "empty"),
        ("subscribe", {"topic": "a b"}, -32010, "white space"),
        ("subscribe", {"topic": "$control"}, -32010, "hub's own"),
        ("subscribe", {"topic": "x" * 200}, -32012, "128 bytes"),
        ("subscribe", {"topic": 7}, -32602, "topic"),
        ("subscribe", {"topic": "secret"}, -32001, "not authorised"),
        ("subscribe", {"topic": "chat:1", "since": "x"}, -32602, "not a position"),
        ("subscribe", {"topic": "chat:1", "last": -1}, -32602, "0 to 500 are allowed"),
        ("subscribe", {"topic": "chat:1", "last": 501}, -32602, "last is 501"),
        ("subscribe", {"topic": "chat:1", "token": "x"}, -32001, "not taken here"),
        ("subscribe", {"topic": "chat:1", "presence": True}, -32016, "no presence"),
        (
            "subscribe",
            {"topic": "closed", "presence": True},
            -32016,
            "reading its presence",
        ),
        ("subscribe", {"topics": ["chat:1"] * 2}, -32602, "named twice"),
        ("subscribe", {"topics": [f"chat:{n}" for n in range(513)]}, -32602, "513"),
        ("publish", {"topic": "chat:1"}, -32602, "data"),
        ("publish", {"topic": "none:1", "data": 1}, -32001, "not authorised"),
        ("publish", {"topic": "chat:1", "data": "x" * 70_000}, -32012, "65536"),
        ("publish", {"topic": "chat:1", "data": 1, "id": ""}, -32602, "length"),
        ("publish", {"topic": "chat:1", "data": 1, "id": "x" * 200}, -32602, "length"),
        ("publish", {"topic": "chat:1", "data": 1, "key": "k"}, -32602, "latest"),
        ("publish", {"topic": "price:1", "data": 1, "key": ""}, -32602, "key of 0"),
        ("publish", {"topic": "chat:1", "data": 1 << 70}, -32602, "64 bits"),
        ("history", {"topic": "chat:1"}, -32011, "not subscribed"),
        ("presence", {"topic": "chat:1"}, -32011, "not subscribed"),
        ("refresh", {"topic": "chat:1"}, -32011, "not subscribed"),
        ("unsubscribe", {}, -32602, "topic"),
    ],
)
async def test_what_a_call_does_not_take_it_refuses_by_name(method, params, code, text):
    async with serving(several) as it:
        client = await it.by_hand()

        error = await client.call(f"hub.{method}", **params)

        assert error["code"] == code, error
        assert text in error["message"]


async def test_an_option_that_is_off_is_named():
    async with serving(several) as it:
        client = await it.by_hand()
        for topic in ("none:1", "closed"):
            await client.call("hub.subscribe", topic=topic)

        for method, topic, option in (
            ("history", "none:1", "history"),
            ("history", "closed", "read_history"),
            ("presence", "none:1", "presence"),
            ("presence", "closed", "read_presence"),
        ):
            error = await client.call(f"hub.{method}", topic=topic)
            assert error["code"] == -32016
            assert error["data"]["data"] == {"option": option}


@pytest.mark.parametrize("nested", [70, 3000])
async def test_data_nested_too_deeply_is_refused(nested):
    async with serving() as it:
        client = await it.by_hand()
        data = "[" * nested + "]" * nested
        frame = (
            '{"jsonrpc":"2.0","id":1,"method":"hub.publish",'
            f'"params":{{"topic":"chat:1","data":{data}}}}}'
        )

        await client.websocket.send(frame)

        error = json.loads(await client.frame())["error"]
        assert error["code"] in (-32602, -32700)


async def test_subscribing_needs_an_answer_that_comes_first():
    async with serving() as it:
        client = await it.by_hand()
        call = {
            "jsonrpc": "2.0",
            "method": "hub.subscribe",
            "params": {"topic": "chat:1"},
        }

        await client.websocket.send(json.dumps([{**call, "id": 1}, {**call, "id": 2}]))
        answers = json.loads(await client.frame())
        await client.websocket.send(json.dumps(call))
        await it.hub.publish("chat:1", 1)

        assert [answer["error"]["code"] for answer in answers] == [-32600, -32600]
        assert "several topics in one call" in answers[0]["error"]["message"]
        await client.call("hub.unsubscribe", topic="chat:1")
        assert client.pushes.empty()


async def test_the_wires_of_wsrpc_have_no_subscriptions():
    async with serving(rpc_options={"wire": "wsrpc"}) as it:
        client = await it.by_hand(subprotocols=None)

        await client.websocket.send(
            '{"id":3,"method":"hub.subscribe","params":{"topic":"chat:1"}}'
        )

        error = json.loads(await client.frame())["error"]
        assert "longwire.jsonrpc" in error["message"]


# --- limits ----------------------------------------------------------------------


async def test_a_connection_has_so_many_subscriptions():
    async with serving(limits=HubLimits(subscriptions=3)) as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topics=["chat:1", "chat:2"])

        answers = await client.call(
            "hub.subscribe", topics=["chat:2", "chat:3", "chat:4"]
        )

        assert [("error" in answer) for answer in answers] == [False, False, True]
        assert answers[2]["error"]["code"] == -32015
        assert "3 subscriptions" in answers[2]["error"]["message"]
        await client.call("hub.unsubscribe", topic="chat:1")
        assert "position" in await client.call("hub.subscribe", topic="chat:4")


async def test_a_node_attaches_to_so_many_topics():
    async with serving(limits=HubLimits(attached=4)) as it:
        client = await it.by_hand()
        answers = await client.call(
            "hub.subscribe", topics=[f"chat:{number}" for number in range(5)]
        )

        codes = [answer.get("error", {}).get("code") for answer in answers]
        # One is the hub's own.
        assert codes == [None, None, None, -32015, -32015]


async def test_a_connection_may_call_so_often_and_publish_so_often():
    limits = HubLimits(
        calls_per_second=1, calls_at_once=8, publishes_per_second=3, subscriptions=None
    )
    async with serving(limits=limits) as it:
        client = await it.by_hand()

        answers = [
            await client.call("hub.publish", topic="chat:1", data=n) for n in range(4)
        ]
        assert [answer.get("code") for answer in answers] == [None, None, None, -32002]
        assert answers[3]["message"] == "too many messages"
        assert 0 < answers[3]["data"]["data"]["retry"] <= 400
        codes = [
            (await client.call("hub.unsubscribe", topic="chat:1") or {}).get("code")
            for _ in range(6)
        ]
        assert codes == [None] * 4 + [-32002] * 2


async def test_a_recovery_fits_into_one_answer_and_the_rest_is_pushed():
    limits = HubLimits(page_bytes=4000, catch_up_bytes=2000)
    async with serving(limits=limits) as it:
        first = await it.hub.publish("chat:1", "")
        for number in range(40):
            await it.hub.publish("chat:1", f"{number:03}" + "x" * 300)
        client = await it.by_hand()

        answer = await client.call(
            "hub.subscribe", topic="chat:1", since=first.position
        )

        assert (answer["recovered"], answer["more"]) == (True, True)
        numbers = [data[:3] for data in data_of(answer)]
        assert 1 < len(numbers) < 13
        behind = []
        while len(numbers) < 40:
            params = await client.pushes_of("hub.message")
            behind.append(params.get("behind", False))
            numbers += [data[:3] for data in data_of(params)]
        assert numbers == [f"{number:03}" for number in range(40)]
        assert behind == [True] * (len(behind) - 1) + [False]


async def test_many_topics_share_the_room_of_one_answer():
    limits = HubLimits(page_bytes=4000)
    async with serving(limits=limits) as it:
        starts = {}
        for room in range(10):
            starts[room] = await it.hub.publish(f"chat:{room}", "")
            for number in range(5):
                await it.hub.publish(f"chat:{room}", f"{number}" + "x" * 300)
        client = await it.by_hand()

        id = await client.send(
            "hub.subscribe",
            {
                "topics": [
                    {"topic": f"chat:{room}", "since": start.position}
                    for room, start in starts.items()
                ]
            },
        )
        frame = await client.frame()
        answers = json.loads(frame)["result"]
        got = {answer["topic"]: [d[0] for d in data_of(answer)] for answer in answers}

        assert id == 1
        assert len(frame) < 8000
        while any(len(found) < 5 for found in got.values()):
            params = await client.pushes_of("hub.message")
            got[params["topic"]] += [data[0] for data in data_of(params)]
        assert all(found == list("01234") for found in got.values())


# --- permissions -----------------------------------------------------------------


def guarded(hub):
    hub.topic("user:{user}", subscribe="own", publish="own")
    hub.topic("members", subscribe="user", publish="user")
    hub.topic("token:{x}", subscribe="token", publish="token", presence=True)
    hub.topic("by:{answer}", subscribe=lambda ctx: ANSWERS[ctx.params["answer"]])
    hub.topic("async:{answer}", subscribe=ask)


async def ask(context):
    await asyncio.sleep(0)
    assert context.topic.startswith("async:")
    return context.user is not None and context.user.id == context.params["answer"]


ANSWERS = {
    "true": True,
    "grant": Grant(),
    "one": 1,
    "text": "yes",
    "none": None,
    "list": [True],
    "false": False,
}


@pytest.mark.parametrize(
    ("path", "topic", "allowed"),
    [
        ("ann", "user:ann", True),
        ("ann", "user:bob", False),
        ("", "user:ann", False),
        ("", "members", False),
        ("ann", "members", True),
        ("ann", "token:1", False),
        ("ann", "by:true", True),
        ("ann", "by:grant", True),
        ("ann", "by:one", False),
        ("ann", "by:text", False),
        ("ann", "by:none", False),
        ("ann", "by:list", False),
        ("ann", "by:false", False),
        ("ann", "async:ann", True),
        ("ann", "async:bob", False),
        ("", "async:ann", False),
    ],
)
async def test_only_what_is_expressly_allowed_is(path, topic, allowed):
    async with serving(guarded, identify=user_of_path) as it:
        client = await it.by_hand(path)

        answer = await client.call("hub.subscribe", topic=topic)

        assert ("position" in answer) is allowed
        if not allowed:
            assert answer["code"] == -32001
        rule = topic.partition(":")[0]
        if rule in ("user", "members"):
            answer = await client.call("hub.publish", topic=topic, data=1)
            assert ("position" in answer) is allowed


async def test_a_permission_that_fails_is_an_internal_error_and_refuses():
    def broken(context):
        raise RuntimeError("no database")

    async with serving(lambda hub: hub.topic("a", subscribe=broken)) as it:
        client = await it.by_hand()

        single = await client.call("hub.subscribe", topic="a")
        (several,) = await client.call("hub.subscribe", topics=["a"])

        assert single["code"] == several["error"]["code"] == -32603
        assert "database" not in json.dumps([single, several])


async def test_who_somebody_is_is_asked_once():
    asked = []

    async def identify(peer):
        asked.append(peer)
        await asyncio.sleep(0.05)

    async with serving(identify=identify) as it:
        client = await it.by_hand()
        for number in range(5):
            await client.send("hub.subscribe", {"topic": f"chat:{number}"})
        for _ in range(5):
            await client.frame()

    assert len(asked) == 1


async def test_identify_has_to_return_a_user():
    async with serving(identify=lambda peer: "ann") as it:
        client = await it.by_hand()

        error = await client.call("hub.subscribe", topic="chat:1")

        assert error["code"] == -32603


# --- tokens ----------------------------------------------------------------------


def token(*topics, user="ann", now=None, **claims):
    import time

    return Tokens(SECRET).make(user, topics, now=now or time.time(), **claims)


async def test_a_token_lets_in_and_says_what_else_may_be_done():
    async with serving(guarded, tokens=Tokens(SECRET)) as it:
        client = await it.by_hand()
        reader = token("token:{}")
        writer = token("token:2", may=["sub", "pub", "presence"])

        answer = await client.call("hub.subscribe", topic="token:1", token=reader)
        assert "position" in answer
        error = await client.call("hub.publish", topic="token:1", data=1)
        assert error["code"] == -32001
        error = await client.call("hub.presence", topic="token:1")
        assert error["code"] == -32001

        await client.call("hub.subscribe", topic="token:2", token=writer, presence=True)
        answer = await client.call("hub.publish", topic="token:2", data=1)
        assert answer["offset"] == 1
        params = await client.pushes_of("hub.message")
        assert params["entries"][0]["from"] == "ann"
        error = await client.call("hub.subscribe", topic="token:1", token=writer)
        assert error["message"] == "the token is for other topics"


async def test_a_token_of_another_user_is_refused():
    async with serving(guarded, tokens=Tokens(SECRET), identify=user_of_path) as it:
        client = await it.by_hand("bob")

        error = await client.call(
            "hub.subscribe", topic="token:1", token=token("token:1", user="ann")
        )

        assert error["message"] == "the token is another user's"


async def test_an_expired_token_has_a_code_of_its_own():
    async with serving(guarded, tokens=Tokens(SECRET)) as it:
        client = await it.by_hand()

        error = await client.call(
            "hub.subscribe", topic="token:1", token=token("token:1", now=1_000_000_000)
        )

        assert error["code"] == -32014


async def test_a_permission_that_ends_is_announced_can_be_renewed_and_ends():
    grants = iter([Grant(expires=0.3), Grant(expires=0.4), Grant(expires=0.2)])
    async with serving(
        lambda hub: hub.topic("a", subscribe=lambda ctx: next(grants))
    ) as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="a")

        params = await client.pushes_of("hub.expiring")
        assert 0 < params["in"] <= 0.3
        answer = await client.call("hub.refresh", topic="a")
        assert 0.3 < answer["expires"] <= 0.4
        params = await client.pushes_of("hub.expiring")
        assert params["topic"] == "a"
        params = await client.pushes_of("hub.unsubscribed")
        assert (params["code"], params["again"]) == ("expired", True)

        await it.hub.publish("a", 1)
        await client.call("hub.unsubscribe", topic="a")
        assert client.pushes.empty()
        error = await client.call("hub.refresh", topic="a")
        assert error["code"] == -32011


# --- the server's own doing ------------------------------------------------------


async def test_a_user_is_unsubscribed_or_disconnected_by_the_server():
    async with serving(identify=user_of_path) as it:
        ann, bob = await it.by_hand("ann"), await it.by_hand("bob")
        for client in (ann, bob):
            await client.call("hub.subscribe", topics=["chat:1", "chat:2"])

        await it.hub.unsubscribe("ann", "chat:1")
        params = await ann.pushes_of("hub.unsubscribed")
        assert params == {
            "topic": "chat:1",
            "code": "revoked",
            "reason": "ended by the server",
            "again": False,
        }
        await it.hub.publish("chat:1", 1)
        await it.hub.publish("chat:2", 2)
        assert (await ann.pushes_of("hub.message"))["topic"] == "chat:2"
        assert (await bob.pushes_of("hub.message"))["topic"] == "chat:1"

        await it.hub.disconnect("ann")
        await ann.websocket.wait_closed()
        assert ann.websocket.close_report.code == 1008
        await bob.call("hub.unsubscribe", topic="chat:1")


async def test_a_client_is_subscribed_by_the_server_and_learns_its_position():
    async with serving(
        lambda hub: hub.topic("private:{x}", subscribe="nobody", history=5)
    ) as it:
        client = await it.by_hand()
        await client.call("rpc.describe")
        (peer,) = it.server.peers

        await it.hub.subscribe_peer(peer, "private:1")
        published = await it.hub.publish("private:1", "x")

        first = await client.pushes_of("hub.message")
        assert first["entries"] == []
        second = await client.pushes_of("hub.message")
        assert second["position"] == published.position
        page = await client.call("hub.history", topic="private:1")
        assert data_of(page) == ["x"]


async def test_a_subscription_that_a_client_has_is_left_as_it_is_by_the_server():
    async with serving() as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")
        (peer,) = it.server.peers
        (link,) = it.hub._running.links.values()
        sub = link.subs["chat:1"]

        await it.hub.subscribe_peer(peer, ["chat:1", "chat:2"])

        assert link.subs["chat:1"] is sub
        assert (await client.pushes_of("hub.message"))["topic"] == "chat:2"


async def test_a_server_without_its_broker_lets_its_clients_go(monkeypatch):
    from longwire.hub import MemoryBroker
    from longwire.hub import service as module

    class Losing(MemoryBroker):
        lossless = False

        async def run(self, sink):
            self.sink = sink
            await super().run(sink)

    monkeypatch.setattr(module, "NO_BROKER", 0.3)
    monkeypatch.setattr(module, "WATCH_EVERY", 0.05)
    broker = Losing()
    async with serving(broker=broker) as it:
        client, idle = await it.by_hand(), await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")
        await idle.call("hub.unsubscribe", topic="chat:1")
        broker.sink.lost(None, "gone")
        await asyncio.sleep(0.15)
        broker.sink.ready(None)
        await asyncio.sleep(0.3)
        assert client.websocket.close_report is None

        broker.sink.lost(None, "gone")
        await client.websocket.wait_closed()
        assert client.websocket.close_report.code == 1013
        assert idle.websocket.close_report is None


async def test_a_hub_that_closes_while_clients_wait_leaves_nothing():
    from longwire.hub import BrokerUnavailable, MemoryBroker

    class Away(MemoryBroker):
        async def read(self, *args, **kwargs):
            raise BrokerUnavailable("away")

    async with serving(broker=Away()) as it:
        client = await it.by_hand()
        waiting = asyncio.create_task(client.call("hub.subscribe", topic="chat:1"))
        await asyncio.sleep(0.1)

        await it.hub.close()

        error = await waiting
        assert error["code"] in (-32011, -32013)


async def test_the_calls_are_described_as_those_of_any_routes():
    async with serving() as it:
        client = await it.by_hand()

        described = await client.call("rpc.describe")

        assert "hub.subscribe" in json.dumps(described)


async def test_clearing_a_topic_is_a_gap_for_the_reason_epoch():
    async with serving() as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")
        published = await it.hub.publish("chat:1", 1)
        await client.pushes_of("hub.message")

        position = await it.hub.clear("chat:1")

        params = await client.pushes_of("hub.gap")
        assert params == {
            "topic": "chat:1",
            "from": published.position,
            "position": position,
            "reason": "epoch",
        }
        await it.hub.publish("chat:1", 2)
        assert data_of(await client.pushes_of("hub.message")) == [2]


async def test_a_hub_that_closes_tells_its_subscribers_to_come_again():
    async with serving() as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")

        await it.hub.close()

        params = await client.pushes_of("hub.unsubscribed")
        assert (params["code"], params["again"]) == ("closing", True)
        error = await client.call("hub.subscribe", topic="chat:1")
        assert error["code"] == -32603


async def test_names_of_calls_and_notifications_follow_the_prefix():
    from longwire import rpc
    from longwire.hub import Hub
    from tests.hub.serving import Served

    hub, server = Hub(), rpc.Server()
    hub.topic("a", subscribe="anyone")
    hub.install(server, prefix="pubsub")
    async with hub, server.serve("localhost", 0) as listening:
        it = Served(hub, server, listening)
        async with it.stack:
            client = await it.by_hand()
            await client.call("pubsub.subscribe", topic="a")
            await hub.publish("a", 1)
            assert (await client.push())[0] == "pubsub.message"


# --- snapshots -------------------------------------------------------------------


async def test_a_snapshot_comes_where_entries_cannot_and_what_follows_it_after():
    taken = []

    async def snapshot(topic, params):
        taken.append((topic, params))
        await it.hub.publish("doc:1", "while it was taken")
        return {"text": "now", "raw": b"\x01"}

    async with serving(
        lambda hub: hub.topic(
            "doc:{id}", subscribe="anyone", history=5, snapshot=snapshot
        )
    ) as it:
        first = await it.hub.publish("doc:1", "before")
        client = await it.by_hand()

        answer = await client.call("hub.subscribe", topic="doc:1")
        assert answer["snapshot"] == {"text": "now", "raw": "AQ=="}
        assert answer["position"] == first.position
        params = await client.pushes_of("hub.message")
        assert data_of(params) == ["while it was taken"]

        other = await it.by_hand()
        answer = await other.call("hub.subscribe", topic="doc:1", since="x.5.5")
        assert answer["reason"] == "epoch"
        assert answer["snapshot"] == {"text": "now", "raw": "AQ=="}
        assert data_of(await other.pushes_of("hub.message")) == ["while it was taken"]
        assert taken == [("doc:1", {"id": "1"})]  # once a second

        again = await other.call("hub.subscribe", topic="doc:1", since=first.position)
        assert again["recovered"] is True
        assert "snapshot" not in again


async def test_a_snapshot_that_fails_is_an_error_and_no_subscription():
    async def snapshot(topic, params):
        raise RuntimeError("no database")

    async with serving(
        lambda hub: hub.topic("doc", subscribe="anyone", snapshot=snapshot)
    ) as it:
        client = await it.by_hand()

        error = await client.call("hub.subscribe", topic="doc")

        assert error["message"] == "the snapshot of the topic failed"
        await it.hub.publish("doc", 1)
        assert (await client.call("hub.history", topic="doc"))["code"] == -32011


# --- the latest ------------------------------------------------------------------


async def test_a_topic_that_keeps_the_latest_begins_with_it():
    async with serving(
        lambda hub: hub.topic("price:{s}", subscribe="anyone", latest=True, history=3)
    ) as it:
        old = await it.hub.publish("price:x", 0)
        for number in range(1, 10):
            await it.hub.publish("price:x", number, key=f"k{number % 2}")
        client = await it.by_hand()

        answer = await client.call("hub.subscribe", topic="price:x", since=old.position)
        assert (answer["recovered"], answer["reason"]) == (False, "trimmed")
        assert data_of(answer)[-1] == 9
        assert answer["entries"][-1]["key"] == "k1"
        await it.hub.publish("price:x", 10, key="k0")
        assert data_of(await client.pushes_of("hub.message")) == [10]


# --- entries that cannot be read -------------------------------------------------


async def test_an_entry_that_cannot_be_read_stops_nobody():
    async with serving() as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")
        declaration = it.hub._declarations.find("chat:1")[0]

        for stored in (b"", b"\x80\x04K\x01.", b"m\xc1"):
            await it.hub.broker.publish("chat:1", stored, 5, declaration.storage)
        await it.hub.publish("chat:1", "good")

        found = []
        while len(found) < 4:
            found += (await client.pushes_of("hub.message"))["entries"]
        assert [("error" in entry) for entry in found] == [True, True, True, False]
        assert found[3]["data"] == "good"


async def test_a_connection_that_ends_leaves_nothing_behind():
    async with serving(options={"presence": True}) as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1", presence=True)
        service = it.hub._running
        assert len(service.links) == 1

        await client.websocket.close()
        await eventually(lambda: not service.links)

        feed = service.driver.core.feeds["chat:1"]
        assert (feed.members, feed.live) == (0, {})
