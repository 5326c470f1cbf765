"""NATS killed, restarted, emptied, restored, purged, stopped and cut off, under load.

No loss at the broker means that nobody hears of one; a loss means that exactly those
hear of it who had what was lost. `make chaos` runs all of it for minutes.
"""

import asyncio
import time

import pytest

from tests.hub.serving import eventually
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")
needs("nats-server")

from longwire.hub import Hub
from longwire.hub.entries import Verdict
from longwire.hub.nats import NatsBroker, feed
from tests.hub import chaos
from tests.hub.chaos import LONG, Proxy, scaled
from tests.hub.listeners import Listener
from tests.hub.nats_servers import NatsServer, nats_cluster, nats_server

pytestmark = [pytest.mark.once, pytest.mark.timeout(600 if LONG else 120)]


def quick_probes(monkeypatch):
    monkeypatch.setattr(feed, "QUIET", 1.0)
    monkeypatch.setattr(feed, "PROBE", 1.0)


def field(url, nodes=2, *, broker=None, **options):
    return chaos.field(url, nodes, make_broker=broker or NatsBroker, **options)


# --- the connection --------------------------------------------------------------


async def test_connections_cut_again_and_again_lose_nothing():
    with nats_server() as server:
        async with Proxy(server.port) as proxy:
            async with field(f"nats://127.0.0.1:{proxy.port}") as it:
                await it.listen(4, topics=2)
                it.publish(4, topics=2)
                until = time.monotonic() + scaled(2.0, 60.0)
                while time.monotonic() < until:
                    await asyncio.sleep(0.3)
                    proxy.cut()
                await it.stop_publishing()
                await it.settle()

                it.check_complete()
                it.check_bounded()
                assert all(publisher.unknown == 0 for publisher in it.publishers)
                # What was tried twice was stored once.
                for listener in it.listeners:
                    assert len(set(listener.data)) == len(listener.data)


@pytest.mark.long
async def test_a_server_that_says_nothing_is_found_out_by_a_probe(monkeypatch):
    quick_probes(monkeypatch)
    with nats_server() as server:
        async with Proxy(server.port) as proxy:
            async with field(f"nats://127.0.0.1:{proxy.port}", nodes=1) as it:
                await it.listen(2)
                await it.hubs[0].publish("t:0", 1)
                await it.settle()
                driver = it.hubs[0]._running.driver

                proxy.swallow_down = True
                began = time.monotonic()
                await eventually(lambda: not driver.is_up.is_set(), 10)
                assert time.monotonic() - began < 6
                async with field(server.url, nodes=1) as other:
                    # Somebody else publishes meanwhile, on the same topic.
                    await other.hubs[0].publish("t:0", 2)
                proxy.swallow_down = False
                proxy.cut()
                await it.settle()

                assert [listener.reasons for listener in it.listeners] == [[], []]
                assert [listener.data for listener in it.listeners] == [
                    [b"j1", b"j2"]
                ] * 2


@pytest.mark.long
async def test_a_server_that_is_stopped_for_a_while_loses_nothing(monkeypatch):
    quick_probes(monkeypatch)
    with nats_server() as server:
        async with field(server.url) as it:
            await it.listen(4)
            it.publish(4)
            for _ in range(2 if not LONG else 10):
                await asyncio.sleep(0.5)
                server.stop()
                await asyncio.sleep(scaled(3.0, 20.0))
                server.resume()
            await asyncio.sleep(1.0)
            await it.stop_publishing()
            await it.settle()

            it.check_complete()


@pytest.mark.long
async def test_settings_that_somebody_takes_away_are_missed_and_put_back(monkeypatch):
    quick_probes(monkeypatch)
    with nats_server() as server:
        async with field(server.url, nodes=1) as it:
            await it.listen(1)
            await it.hubs[0].publish("t:0", 1)
            await it.settle()
            (name,) = [n for n in server.streams() if n.startswith("lw-t-2-")]
            config = server.ask(f"STREAM.INFO.{name}")["config"]
            del config["republish"]
            server.ask(f"STREAM.UPDATE.{name}", config)

            await it.hubs[0].publish("t:0", 2)
            await it.settle()

            config = server.ask(f"STREAM.INFO.{name}")["config"]
            assert config["republish"]["src"] == config["subjects"][0]
            assert it.listeners[0].data == [b"j1", b"j2"]
            assert it.listeners[0].reasons == []


# --- a server that loses what it had ---------------------------------------------


async def test_a_server_that_is_killed_loses_nothing_of_its_files():
    with nats_server() as server:
        async with field(server.url) as it:
            await it.listen(4)
            it.publish(4)
            for _ in range(1 if not LONG else 20):
                await asyncio.sleep(0.4)
                await asyncio.to_thread(server.restart)
            await asyncio.sleep(0.5)
            await it.stop_publishing()
            await it.settle()

            it.check_complete()
            for listener in it.listeners:
                assert len(set(listener.data)) == len(listener.data)


@pytest.mark.parametrize("storage", ["memory", "file"])
async def test_a_server_restarted_empty_is_a_new_epoch_for_everybody(storage):
    def broker(url):
        return NatsBroker(url, storage=storage)

    with nats_server() as server:
        async with field(server.url, broker=broker) as it:
            await it.listen(4)
            for number in range(20):
                await it.hubs[0].publish("t:0", number)
            await it.settle()
            before = it.listeners[0].position

            await asyncio.to_thread(server.restart, empty=storage == "file")
            for hub in it.hubs:
                await hub.publish("t:0", "after")
            await it.settle()

            for listener in it.listeners:
                assert listener.reasons == ["epoch"]
                assert listener.position.epoch != before.epoch
            late = Listener(it.hubs[0], "t:0")
            outcome = await late.subscribe(before)
            assert outcome.verdict is Verdict.EPOCH


@pytest.mark.long
@pytest.mark.parametrize("more", [0, 3, 30])
async def test_an_old_copy_restored_is_told_of_where_it_matters(more):
    with nats_server() as server:
        async with field(server.url, nodes=1) as it:
            hub = it.hubs[0]
            await it.listen(1)
            for number in range(10):
                await hub.publish("t:0", number)
            await it.settle()
            old = Listener(hub, "t:0")
            await old.subscribe()
            old.has_room = False
            await asyncio.to_thread(server.process.terminate)
            await asyncio.to_thread(server.process.wait)
            copy = server.save()
            await asyncio.to_thread(server.restart)
            for number in range(10, 20):
                await hub.publish("t:0", number)
            await it.settle()

            server.kill()
            server.restore(copy)
            # First where the node does not look for it.
            port, server.port = server.port, free_port()
            await asyncio.to_thread(server.restart)
            async with field(server.url, nodes=1) as other:
                for number in range(more):
                    await other.hubs[0].publish("t:0", 100 + number)
            server.port = port
            await asyncio.to_thread(server.restart)
            await eventually(lambda: bool(it.listeners[0].gaps), 30)
            await hub.publish("t:0", "after")
            await it.settle()

            # It had twenty. There are ten now, or thirteen, or forty.
            (reason,) = it.listeners[0].reasons
            assert reason in (("ahead", "fork") if more < 10 else ("fork",))
            old.open()
            await eventually(lambda: old.position == it.listeners[0].position, 20)
            assert old.reasons == []
            assert old.data == [
                *(b"j%d" % (100 + number) for number in range(more)),
                b'j"after"',
            ]


async def test_a_stream_that_was_purged_is_trimmed_history():
    with nats_server() as server:
        async with field(server.url, nodes=1) as it:
            await it.listen(1)
            for number in range(5):
                await it.hubs[0].publish("t:0", number)
            await it.settle()
            first = it.listeners[0].position
            (name,) = [n for n in server.streams() if n.startswith("lw-t-2-")]
            server.ask(f"STREAM.PURGE.{name}")
            await it.hubs[0].publish("t:0", "after")
            await it.settle()

            # Whether something else was lost nobody can tell any more.
            assert it.listeners[0].reasons == ["trimmed"]
            late = Listener(it.hubs[0], "t:0")
            outcome = await late.subscribe(first)
            assert outcome.verdict is Verdict.TRIMMED


async def test_a_server_without_room_refuses_and_nothing_else_breaks(caplog):
    def broker(url):
        return NatsBroker(url, storage="memory")

    with nats_server() as server:
        server.kill()
        config = f"{server.folder}/conf"
        with open(config, "w") as file:
            file.write("jetstream { max_memory_store: 1MB }\n")
        server.options = ("-c", config)
        await asyncio.to_thread(server.restart)
        async with field(server.url, nodes=1, broker=broker) as it:
            await it.listen(1)
            hub = it.hubs[0]
            refused = 0
            for _ in range(40):
                publishing = asyncio.create_task(hub.publish("t:0", "x" * 50_000))
                done, _ = await asyncio.wait([publishing], timeout=0.5)
                if not done:
                    refused += 1
                    (name,) = [n for n in server.streams() if n.startswith("lw-t-2-")]
                    server.ask(f"STREAM.PURGE.{name}")
                    await publishing
                    break
            await it.settle()

            assert refused == 1
            assert "Traceback" not in caplog.text


# --- a cluster -------------------------------------------------------------------


@pytest.mark.long
async def test_leaders_that_die_are_replaced_and_nothing_is_lost():
    def broker(url):
        return NatsBroker(url, replicas=3)

    with nats_cluster() as servers:
        url = "nats://" + ",".join(f"127.0.0.1:{each.port}" for each in servers)
        async with field(url, broker=broker) as it:
            await it.listen(4, topics=2)
            it.publish(4, topics=2, pause=0.01)
            for turn in range(1 if not LONG else 10):
                await asyncio.sleep(2.0)
                (name, *_) = [
                    n for n in servers[turn % 3].streams() if n.startswith("lw-t-2-")
                ]
                info = servers[turn % 3].ask(f"STREAM.INFO.{name}")
                leader = servers[int(info["cluster"]["leader"][1:])]
                leader.kill()
                await asyncio.sleep(8.0)
                leader.start()
                await asyncio.to_thread(leader.wait, 60)
            await asyncio.sleep(2.0)
            await it.stop_publishing()
            await it.settle(60)

            it.check_complete()
            for listener in it.listeners:
                assert len(set(listener.data)) == len(listener.data)


# --- a feed that lies ------------------------------------------------------------


async def test_repeats_losses_and_disorder_of_the_feed_are_seen_by_nobody():
    dice = chaos.dice(1)

    class Lying(NatsBroker):
        async def run(self, sink):
            held = []

            class Disordered:
                lost, ready = staticmethod(sink.lost), staticmethod(sink.ready)

                def entry(self, topic, entry):
                    if dice.random() < 0.05:
                        return
                    held.append((topic, entry))
                    if dice.random() < 0.2:
                        held.append((topic, entry))
                    if dice.random() < 0.6:
                        dice.shuffle(held)
                        for each in held:
                            sink.entry(*each)
                        held.clear()

            await super().run(Disordered())

    with nats_server() as server:
        async with field(server.url, nodes=1, broker=Lying) as it:
            await it.listen(3)
            it.publish(3)
            await asyncio.sleep(scaled(1.0, 30.0))
            await it.stop_publishing()
            # One more that comes: what was lost at the end is seen by it.
            it.publish(1)
            await asyncio.sleep(0.3)
            await it.stop_publishing()
            await it.settle()

            it.check_complete()


# --- start -----------------------------------------------------------------------


async def test_a_hub_starts_without_its_server_and_is_there_when_that_is(caplog):
    server = NatsServer()
    try:
        hub = Hub(server.url)
        hub.topic("t:{x}", subscribe="anyone", history=50)
        async with hub:
            publishing = asyncio.create_task(hub.publish("t:0", 1))
            await asyncio.sleep(0.5)
            assert not hub.is_ready
            server.start()
            await publishing
            await hub.ready(10)
            listener = Listener(hub, "t:0")
            await listener.subscribe()
            await hub.publish("t:0", 2)
            await eventually(lambda: listener.data == [b"j2"], 10)
    finally:
        server.close()
    assert "Traceback" not in caplog.text
    # Once, though it is tried again and again.
    warned = [r for r in caplog.records if "cannot be reached" in r.message]
    assert len([r for r in warned if r.levelname == "WARNING"]) == 1
