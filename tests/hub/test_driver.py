"""The driver: what the core decides is carried out, in time and in order."""

import asyncio
import logging

import pytest

from tests.hub.serving import eventually, serving
from tests.support.needs import needs

needs("msgspec")

from longwire.hub import BrokerUnavailable, HubLimits, MemoryBroker
from longwire.hub import core as core_module
from tests.hub.listeners import Listener


class Lossy(MemoryBroker):
    """A broker whose feed loses what it is told to."""

    lossless = False

    def __init__(self):
        super().__init__()
        self.losing = False
        self.reads = self.attaches = self.detaches = 0
        self.failing = 0
        self.sinks = []

    async def run(self, sink):
        lossy = self

        class Losing:
            lost, ready = staticmethod(sink.lost), staticmethod(sink.ready)

            def entry(self, topic, entry):
                if not lossy.losing:
                    sink.entry(topic, entry)

        self.sinks.append(sink)
        await super().run(Losing())

    async def read(self, *args, **kwargs):
        self.reads += 1
        await asyncio.sleep(0)
        if self.failing:
            self.failing -= 1
            raise BrokerUnavailable("failing")
        return await super().read(*args, **kwargs)

    async def attach(self, topics):
        self.attaches += 1
        await asyncio.sleep(0.01)
        await super().attach(topics)

    async def detach(self, topics):
        self.detaches += 1
        await super().detach(topics)


def data_of(params):
    return [entry["data"] for entry in params["entries"]]


async def test_what_a_read_repairs_is_sent_though_nothing_else_happens():
    broker = Lossy()
    async with serving(broker=broker) as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")
        broker.losing = True
        await it.hub.publish("chat:1", 1)
        broker.losing = False
        await it.hub.publish("chat:1", 2)

        async with asyncio.timeout(2):
            found = []
            while len(found) < 2:
                found += data_of(await client.pushes_of("hub.message"))
        assert found == [1, 2]


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_names_that_come_and_go_without_a_broker_leave_nothing(how, monkeypatch):
    monkeypatch.setattr("longwire.hub.driver.RETRY", 0.05)

    class Away(Lossy):
        is_away = True

        async def attach(self, topics):
            if self.is_away and how == "hangs":
                await asyncio.sleep(0.2)
            if self.is_away:
                raise BrokerUnavailable("away")
            await super().attach(topics)

        async def detach(self, topics):
            if self.is_away:
                raise BrokerUnavailable("away")
            await super().detach(topics)

    broker = Away()
    limits = HubLimits(subscribe_timeout=0.02, linger=0.02, calls_per_second=None)
    async with serving(broker=broker, limits=limits) as it:
        driver = it.hub._running.driver
        client = await it.by_hand()
        for turn in range(30):
            names = [f"chat:{turn}.{n}" for n in range(20)]
            answers = await client.call("hub.subscribe", topics=names)
            assert {answer["error"]["code"] for answer in answers} == {-32013}
            assert len(driver._wishes) + len(driver._told) <= 200
        broker.is_away = False
        async with asyncio.timeout(10):
            while "position" not in await client.call("hub.subscribe", topic="chat:on"):
                await asyncio.sleep(0.05)
        # Names of the last turn linger before they are taken back.
        await eventually(lambda: driver._told == {"chat:on"} == broker._attached)

        assert not driver._wishes


async def test_a_feed_that_was_lost_is_looked_at_at_once():
    broker = Lossy()
    async with serving(broker=broker) as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")
        (sink,) = broker.sinks
        broker.losing = True
        await it.hub.publish("chat:1", 1)
        sink.lost(None, "a test")
        assert not it.hub._running.driver.is_up.is_set()
        broker.losing = False
        sink.ready(None)

        async with asyncio.timeout(2):
            assert data_of(await client.pushes_of("hub.message")) == [1]


async def test_a_loss_nobody_told_of_is_found_by_looking(monkeypatch):
    monkeypatch.setattr("longwire.hub.node.CHECK_EVERY", 0.3)
    monkeypatch.setattr(core_module, "CHECK_AGAIN", 0.1)
    broker = Lossy()
    async with serving(broker=broker) as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")
        await asyncio.sleep(0.3)
        broker.losing = True
        await it.hub.publish("chat:1", 1)
        broker.losing = False

        async with asyncio.timeout(4):
            assert data_of(await client.pushes_of("hub.message")) == [1]


async def test_many_topics_are_attached_to_in_few_requests():
    broker = Lossy()
    async with serving(broker=broker) as it:
        client = await it.by_hand()
        before = broker.attaches
        await client.call(
            "hub.subscribe", topics=[f"chat:{number}" for number in range(300)]
        )

        assert broker.attaches - before <= 3


async def test_equal_reads_of_many_clients_are_one():
    broker = Lossy()
    async with serving(broker=broker) as it:
        first = await it.hub.publish("chat:1", 0)
        for number in range(10):
            await it.hub.publish("chat:1", number)
        clients = [await it.by_hand() for _ in range(30)]
        before = broker.reads

        answers = await asyncio.gather(
            *(
                client.call("hub.subscribe", topic="chat:1", since=first.position)
                for client in clients
            )
        )

        assert all(len(answer["entries"]) == 10 for answer in answers)
        assert broker.reads - before <= 2


async def test_topics_nobody_listens_to_are_left_and_taken_up_again():
    broker = Lossy()
    async with serving(broker=broker, limits=HubLimits(linger=0.05)) as it:
        client = await it.by_hand()
        for _ in range(3):
            await client.call("hub.subscribe", topic="chat:1")
            await client.call("hub.unsubscribe", topic="chat:1")
            await eventually(lambda: "chat:1" not in broker._attached)
        await client.call("hub.subscribe", topic="chat:1")
        await it.hub.publish("chat:1", 1)

        assert data_of(await client.pushes_of("hub.message")) == [1]


async def test_reads_that_fail_are_made_again(caplog):
    broker = Lossy()
    async with serving(broker=broker) as it:
        client = await it.by_hand()
        broker.failing = 3
        with caplog.at_level(logging.INFO, "longwire.hub"):
            answer = await client.call("hub.subscribe", topic="chat:1")

        assert "position" in answer
        assert "reading chat:1: failing" in caplog.text


async def test_a_defect_of_a_broker_is_logged_and_survived(caplog):
    class Broken(Lossy):
        broken = True

        async def attach(self, topics):
            if self.broken:
                raise KeyError("a defect")
            await super().attach(topics)

    broker = Broken()
    async with serving(broker=broker) as it:
        client = await it.by_hand()
        subscribing = asyncio.create_task(client.call("hub.subscribe", topic="chat:1"))
        await asyncio.sleep(0.1)
        broker.broken = False

        assert "position" in await subscribing
    assert "attaching to topics failed" in caplog.text


async def test_a_large_audience_keeps_nobody_else_waiting():
    async with serving() as it:
        service = it.hub._running
        crowd = [Listener(it.hub, "chat:big") for _ in range(3000)]
        for listener in crowd:
            await listener.subscribe()
        other = Listener(it.hub, "chat:small")
        await other.subscribe()
        order = []
        crowd[-1].deliver = lambda message: order.append("crowd") or True
        other.deliver = lambda message: order.append("other") or True

        await it.hub.publish("chat:big", 1)
        await it.hub.publish("chat:small", 1)
        await eventually(lambda: len(order) == 2)

        assert order == ["other", "crowd"]
        assert not service.driver._fanout


async def test_compressed_messages_in_slices_are_read_by_everybody():
    async with serving(options={"history": 200}) as it:
        clients = [await it.by_hand() for _ in range(150)]
        for client in clients:
            await client.call("hub.subscribe", topic="chat:1")

        text = "the quick brown fox jumps over the lazy dog " * 40
        for number in range(20):
            await it.hub.publish("chat:1", [number, text])
            if number % 3 == 0:
                await it.hub.publish("chat:1", [number, "short"])
            await asyncio.sleep(0.001)

        async def read(client):
            found = []
            while len(found) < 27:
                found += data_of(await client.pushes_of("hub.message"))
            return found

        results = await asyncio.gather(*(read(client) for client in clients))
        assert [number for number, _ in results[0]][:3] == [0, 0, 1]
        assert all(found == results[0] for found in results)


async def test_one_connection_that_fails_keeps_the_message_from_nobody(caplog):
    async with serving() as it:
        good, bad = Listener(it.hub, "chat:1"), Listener(it.hub, "chat:1")
        await bad.subscribe()
        await good.subscribe()
        hung_up = []

        def fail(message):
            raise RuntimeError("an extension failed")

        bad.deliver = fail
        bad.hang_up = lambda *args: hung_up.append(args)
        await it.hub.publish("chat:1", 1)
        await eventually(lambda: len(good.data) == 1)

        assert len(hung_up) == 1
    assert "sending to" in caplog.text
