"""Publishing: once each, in order, bounded, and honest about what is not known."""

import asyncio
import logging
import threading

import pytest

from tests.support.needs import needs

needs("msgspec")

from longwire import ConcurrencyError, rpc
from longwire.hub import (
    BrokerUnavailable,
    Hub,
    HubLimits,
    MemoryBroker,
    Overloaded,
    TooLarge,
    UnknownTopic,
)
from longwire.hub.broker import Stored


class Flaky(MemoryBroker):
    """A broker whose answers are lost, before or after it has stored."""

    def __init__(self):
        super().__init__()
        self.before = self.after = 0
        self.calls = []
        self.slow = 0.0

    async def publish(self, topic, data, tag, storage, *, id=None, again=False):
        self.calls.append((topic, data, tag, again))
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.before:
            self.before -= 1
            raise BrokerUnavailable("not reached", stored=False)
        stored = self.found(topic, tag) if again else None
        if stored is None:
            stored = await super().publish(topic, data, tag, storage, id=id)
        if self.after:
            self.after -= 1
            raise BrokerUnavailable("the answer was lost")
        return stored

    def found(self, topic, tag):
        for entry in self._topics[topic].entries if topic in self._topics else ():
            if entry.tag == tag:
                return Stored(entry.position, True)
        return None


def hub_on(broker, **limits):
    hub = Hub(broker, limits=HubLimits(**limits))
    hub.topic("a:{x}", subscribe="anyone", history=100)
    return hub


async def stored(hub, topic="a:1"):
    service = hub._running
    declaration, _ = service.find(topic)
    page = await service.driver.broker.read(
        topic, None, declaration.storage, 1000, 1 << 30, reverse=True
    )
    return [entry.data[1:] for entry in reversed(page.entries)]


async def test_an_answer_that_was_lost_does_not_store_twice():
    broker = Flaky()
    async with hub_on(broker) as hub:
        broker.after = 2

        published = await hub.publish("a:1", 1)
        again = await hub.publish("a:1", 2)

        assert (published.offset, published.duplicate) == (1, False)
        assert again.offset == 2
        assert await stored(hub) == [b"1", b"2"]
        tags = {tag for _, data, tag, _ in broker.calls if data == b"j1"}
        assert len(tags) == 1
        assert [again for *_, again in broker.calls] == [False, True, True, False]


async def test_an_id_of_our_own_earlier_attempt_is_no_duplicate():
    broker = Flaky()
    async with hub_on(broker) as hub:
        broker.after = 1

        first = await hub.publish("a:1", 1, id="x")
        second = await hub.publish("a:1", 1, id="x")

        assert (first.offset, first.duplicate) == (1, False)
        assert (second.offset, second.duplicate) == (1, True)
        assert second.position == first.position


@pytest.mark.parametrize(("failure", "known"), [("before", False), ("after", None)])
async def test_a_broker_that_stays_away_says_what_is_known(failure, known):
    broker = Flaky()
    async with hub_on(broker, publish_timeout=0.3) as hub:
        setattr(broker, failure, 1000)

        with pytest.raises(
            BrokerUnavailable, match="a:1: not published after"
        ) as caught:
            await hub.publish("a:1", 1)

        # One attempt that may have been stored makes it uncertain.
        assert caught.value.stored is known
        setattr(broker, failure, 0)


async def test_a_broker_that_does_not_answer_is_given_up_in_time():
    broker = Flaky()
    async with hub_on(broker, publish_timeout=0.2) as hub:
        broker.slow = 30.0
        with pytest.raises(BrokerUnavailable) as caught:
            async with asyncio.timeout(5):
                await hub.publish("a:1", 1)

        assert caught.value.stored is None


async def test_one_message_is_published_to_many_topics_or_to_none():
    broker = Flaky()
    async with hub_on(broker, publish_timeout=0.2) as hub:
        found = await hub.publish_many([f"a:{n}" for n in range(5)], "x")
        assert [each.offset for each in found.values()] == [1] * 5
        assert list(found) == [f"a:{n}" for n in range(5)]

        with pytest.raises(UnknownTopic):
            await hub.publish_many(["a:1", "nope"], "y")
        assert await stored(hub) == [b'"x"']
        broker.before = 10**6
        found = await hub.publish_many(["a:1", "a:2"], "z")
        assert [type(each) for each in found.values()] == [BrokerUnavailable] * 2


async def test_messages_published_without_waiting_keep_their_order():
    broker = Flaky()
    async with hub_on(broker) as hub:
        broker.before = 3
        broker.after = 0
        for number in range(50):
            hub.publish_nowait("a:1", number)
            hub.publish_nowait("a:2", number)
        await hub._running.publishing.drained()

        expected = [str(number).encode() for number in range(50)]
        assert await stored(hub, "a:1") == expected
        assert await stored(hub, "a:2") == expected


async def test_the_queue_of_messages_has_limits_and_gives_back_its_places():
    broker = Flaky()
    async with hub_on(broker, queued=3, publish_timeout=0.2) as hub:
        broker.slow = 0.05
        for number in range(3):
            hub.publish_nowait("a:1", number)
        with pytest.raises(Overloaded, match="3 messages wait"):
            hub.publish_nowait("a:2", 4)
        await hub._running.publishing.drained()
        publishing = hub._running.publishing
        assert (publishing.queued, publishing.queued_bytes) == (0, 0)
        hub.publish_nowait("a:1", 5)

    async with hub_on(Flaky(), queued_bytes=2000) as hub:
        with pytest.raises(Overloaded, match="bytes wait"):
            for _ in range(10):
                hub.publish_nowait("a:1", "x" * 300)


async def test_failures_of_the_queue_are_counted_and_logged_but_not_each(caplog):
    broker = Flaky()
    async with hub_on(broker, publish_timeout=0.01) as hub:
        broker.before = 10**6
        with caplog.at_level(logging.ERROR, "longwire.hub"):
            for number in range(30):
                hub.publish_nowait("a:1", number)
            await hub._running.publishing.drained()
        broker.before = 0

        assert hub._running.publishing.failed == 30
        assert len([r for r in caplog.records if "publishing to" in r.message]) == 2


async def test_what_waits_is_published_before_the_hub_closes():
    broker = Flaky()
    hub = hub_on(broker)
    async with hub:
        broker.slow = 0.01
        for number in range(10):
            hub.publish_nowait("a:1", number)

    assert len(broker._topics["a:1"].entries) == 10


async def test_the_program_reads_history_by_pages():
    from longwire.hub import Gap

    async with hub_on(None) as hub:
        places = [await hub.publish("a:1", n, headers={"n": str(n)}) for n in range(9)]
        await hub.publish("a:1", b"\xff")

        oldest = await hub.history("a:1", limit=3)
        newest = await hub.history("a:1", limit=2, reverse=True)
        after = await hub.history("a:1", since=places[6].position)
        before = await hub.history("a:1", since=places[2].position, reverse=True)

        assert [message.data for message in oldest] == [0, 1, 2]
        assert [message.data for message in newest] == [b"\xff", 8]
        assert [message.data for message in after] == [7, 8, b"\xff"]
        assert [message.data for message in before] == [1, 0]
        assert oldest[1].position == places[1].position
        assert oldest[1].headers == {"n": "1"}
        await hub.clear("a:1")
        with pytest.raises(Gap, match="epoch"):
            await hub.history("a:1", since=places[6].position)
        with pytest.raises(ValueError, match="not a position"):
            await hub.history("a:1", since="x")


async def test_presence_that_is_off_is_said_to_the_program_as_well():
    from longwire.hub import OptionOff

    async with hub_on(None) as hub:
        with pytest.raises(OptionOff, match="no presence"):
            await hub.presence("a:1")


async def test_other_threads_publish_by_a_future():
    async with hub_on(None) as hub:
        found = []

        def work():
            for number in range(5):
                found.append(hub.publish_threadsafe("a:1", number).result(10))
            with pytest.raises(UnknownTopic):
                hub.publish_threadsafe("nope", 1)

        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.01)

        assert [each.offset for each in found] == [1, 2, 3, 4, 5]


async def test_a_hub_belongs_to_one_loop():
    async with hub_on(None) as hub:
        caught = []

        def work():
            try:
                asyncio.run(hub.publish("a:1", 1))
            except ConcurrencyError as exc:
                caught.append(str(exc))

        await asyncio.to_thread(work)
        assert "publish_threadsafe()" in caught[0]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (("nope", 1), {}, UnknownTopic, "'nope' is declared"),
        (("$control", 1), {}, UnknownTopic, "hub's own"),
        ((7, 1), {}, UnknownTopic, "is a text"),
        (("a:1", object()), {}, TypeError, "object"),
        (("a:1", 1 << 70), {}, ValueError, "64 bits"),
        (("a:1", "x" * 70_000), {}, TooLarge, "65536"),
        (("a:1", 1), {"id": ""}, ValueError, "1 to 256"),
        (("a:1", 1), {"id": 5}, ValueError, "1 to 256"),
        (("a:1", 1), {"headers": {"a": 1}}, TypeError, "str to str"),
        (("a:1", 1), {"headers": {"a": "x" * 2000}}, TooLarge, "1024"),
        (("a:1", 1), {"key": "k"}, ValueError, "latest=True"),
    ],
)
async def test_what_cannot_be_published_is_refused_at_once(
    arguments, options, error, text
):
    async with hub_on(None) as hub:
        with pytest.raises(error, match=text):
            await hub.publish(*arguments, **options)
        with pytest.raises(error, match=text):
            hub.publish_nowait(*arguments, **options)


async def test_a_hub_that_is_closed_or_not_running_says_so():
    hub = hub_on(None)
    with pytest.raises(RuntimeError, match="start it on its event loop"):
        hub.publish_threadsafe("a:1", 1)
    async with hub:
        pass
    with pytest.raises(RuntimeError, match="closed; make another"):
        await hub.publish("a:1", 1)
    await hub.close()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"broker": "carrier-pigeon://x"}, ValueError, "carrier-pigeon"),
        ({"broker": 7}, TypeError, "a URL, a Broker or None, not int"),
        ({"identify": "ann"}, TypeError, "identify must be a function"),
        ({"tokens": "secret"}, TypeError, r"Tokens\(secret\), not str"),
        ({"limits": {}}, TypeError, "HubLimits, not dict"),
    ],
)
def test_options_of_a_hub_are_checked(arguments, error, text):
    with pytest.raises(error, match=text):
        Hub(**arguments)


def test_install_takes_an_rpc_server_and_a_name_that_is_free():
    hub, server = Hub(), rpc.Server()
    with pytest.raises(TypeError, match=r"rpc.Server, not str"):
        hub.install("server")
    hub.install(server)
    with pytest.raises(ValueError, match="there is a route"):
        Hub().install(server)


async def test_a_broker_that_breaks_is_run_again(caplog):
    class Breaking(MemoryBroker):
        lossless = False
        runs = 0

        async def run(self, sink):
            self.runs += 1
            if self.runs == 1:
                raise RuntimeError("broken")
            await super().run(sink)

    broker = Breaking()
    async with hub_on(broker) as hub:
        await hub.ready()
        assert broker.runs == 2
    assert "the broker memory failed" in caplog.text


async def test_a_hub_without_its_broker_is_not_ready():
    class Away(MemoryBroker):
        async def run(self, sink):
            await asyncio.sleep(100)

    async with hub_on(Away()) as hub:
        with pytest.raises(TimeoutError):
            await hub.ready(timeout=0.05)
