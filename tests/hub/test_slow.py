"""Clients that read too slowly: nothing is queued for them, nothing is lost unsaid."""

import asyncio

import pytest

from tests.hub.serving import eventually, serving
from tests.support.needs import needs

needs("msgspec")

from longwire.hub import HubLimits
from longwire.hub.subscriptions import BEHIND, LIVE

BIG = "x" * 20_000


async def stalled(it, topic="chat:1"):
    """A client that has subscribed and reads nothing; the server knows it is behind."""
    client = await it.by_hand(max_queue=1, compression=None)
    await client.call("hub.subscribe", topic=topic)
    sub = None
    for link in it.hub._running.links.values():
        if topic in link.subs:
            sub = link.subs[topic]
    number = 0
    while sub.state == LIVE:
        await it.hub.publish(topic, [number, BIG])
        number += 1
        await asyncio.sleep(0)
        assert number < 5000
    return client, sub, number


async def numbers(client, until):
    """What came, up to the message ``until``, and gaps as ("gap", params)."""
    found = []
    while not found or found[-1] != until:
        method, params = await client.push()
        if method == "hub.gap":
            found.append(("gap", params))
        else:
            found += [entry["data"][0] for entry in params["entries"]]
    return found


async def test_one_that_is_behind_is_fed_from_history_when_it_reads():
    async with serving(options={"history": 5000}) as it:
        client, sub, count = await stalled(it)
        for _ in range(20):
            await it.hub.publish("chat:1", [count, BIG])
            count += 1
        assert sub.state == BEHIND
        await it.hub.publish("chat:1", [count, "end"])

        assert await numbers(client, count) == list(range(count + 1))
        await eventually(lambda: sub.state == LIVE)
        await it.hub.publish("chat:1", [count + 1, "live"])
        assert await numbers(client, count + 1) == [count + 1]


async def test_memory_is_flat_while_one_is_behind_and_the_others_are_served():
    async with serving(options={"history": 10}) as it:
        client, sub, _ = await stalled(it)
        other = await it.client()
        got = []
        async with other.subscribe("chat:1") as chat:

            async def read():
                async for message in chat:
                    got.append(message.data[0])

            reading = asyncio.create_task(read())
            session = client_session(it, sub)
            for number in range(1000, 1300):
                await it.hub.publish("chat:1", [number, BIG])
                if number % 10 == 0:
                    await asyncio.sleep(0.001)
            await eventually(lambda: got and got[-1] == 1299)
            reading.cancel()

            assert got == list(range(1000, 1300))
            assert session.protocol.output_size == 0
            assert session.outbox is None
            core = it.hub._running.driver.core
            assert core.node.tails.size < 500_000

        gap = await client.pushes_of("hub.gap")
        assert gap["reason"] == "trimmed"
        await it.hub.publish("chat:1", [9999, "after"])
        assert await numbers(client, 9999) == [9999]


def client_session(it, sub):
    return sub.link.peer.connection._session


async def test_without_history_a_slow_one_is_told_how_many_it_missed():
    async with serving(options={"history": 0}) as it:
        client, _, count = await stalled(it)
        for number in range(count, count + 7):
            await it.hub.publish("chat:1", [number, BIG])

        found = []
        while not (found and type(found[-1]) is tuple):
            method, params = await client.push()
            if method == "hub.gap":
                found.append(("gap", params))
            else:
                found += [entry["data"][0] for entry in params["entries"]]

        params = found[-1][1]
        assert params["reason"] == "slow"
        assert found[:-1] == list(range(len(found) - 1))
        assert params["missed"] == count + 7 - (len(found) - 1)
        await it.hub.publish("chat:1", [5000, "live"])
        assert await numbers(client, 5000) == [5000]


async def test_of_the_latest_only_the_newest_waits():
    async with serving(options={"latest": True, "history": 1}) as it:
        client, _, count = await stalled(it)
        for number in range(count, count + 50):
            await it.hub.publish("chat:1", [number, BIG])

        skipped, last = None, -1
        while last != count + 49:
            method, params = await client.push()
            assert method == "hub.message"
            skipped = params.get("skipped", skipped)
            last = params["entries"][-1]["data"][0]

        assert skipped >= 49


async def test_a_policy_of_disconnecting_queues_up_to_the_connections_limit():
    import longwire

    limits = longwire.Limits(unsent_bytes=300_000)
    async with serving(options={"slow": "disconnect"}, serve={"limits": limits}) as it:
        client = await it.by_hand(max_queue=1, compression=None)
        await client.call("hub.subscribe", topic="chat:1")
        (peer,) = it.server.peers
        for number in range(5000):
            await it.hub.publish("chat:1", [number, BIG])
            await asyncio.sleep(0)
            if not peer.is_open:
                break

        assert peer.close_report.limit == "unsent_bytes"
        assert peer.close_report.sent.code == 1008


async def test_one_that_stays_behind_is_closed_and_its_report_says_why():
    limits = HubLimits(behind=0.3)
    async with serving(options={"history": 5000}, limits=limits) as it:
        await stalled(it)
        (peer,) = it.server.peers

        await eventually(lambda: not peer.is_open)

        report = peer.close_report
        assert (report.limit, report.limit_value) == ("behind", 0.3)
        assert report.sent.code == 1008
        assert "behind for 0.3 seconds" in str(report)


async def test_answers_of_calls_and_messages_keep_their_order_for_a_slow_client():
    async with serving(options={"history": 5000}) as it:
        client, sub, count = await stalled(it)
        for number in range(5):
            await client.send("hub.history", {"topic": "chat:1", "limit": 20})
            await it.hub.publish("chat:1", [count + number, BIG])
        await asyncio.sleep(0.1)
        await it.hub.publish("chat:1", [count + 5, "end"])

        assert await numbers(client, count + 5) == list(range(count + 6))
        answers = [event for event in client.log if event[0] == "answer"]
        assert len(answers) <= 6
        assert sub.state in (LIVE, BEHIND)


@pytest.mark.timeout(60)
async def test_many_slow_and_fast_clients_all_get_everything():
    async with serving(options={"history": 2000}, limits=HubLimits(behind=None)) as it:
        clients = [await it.by_hand(max_queue=1, compression=None) for _ in range(20)]
        for client in clients:
            await client.call("hub.subscribe", topic="chat:1")

        async def read(client, pause):
            found = []
            while not found or found[-1] != 599:
                _, params = await client.push()
                found += [entry["data"][0] for entry in params["entries"]]
                await asyncio.sleep(pause)
            return found

        reading = [
            asyncio.create_task(read(client, 0.004 * (index % 4)))
            for index, client in enumerate(clients)
        ]
        for number in range(600):
            await it.hub.publish("chat:1", [number, BIG[:5000]])
            if number % 5 == 0:
                await asyncio.sleep(0.001)

        for found in await asyncio.gather(*reading):
            assert found == list(range(600))
