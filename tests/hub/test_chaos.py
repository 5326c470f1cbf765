"""Brokers killed, restarted, emptied, restored, stopped and cut off, under load.

No loss at the broker means that nobody hears of one; a loss means that exactly those
hear of it who had what was lost. `make chaos` runs all of it for minutes. What can
happen to one of the brokers alone is in test_redis_chaos.py and test_nats_chaos.py.
"""

import asyncio
import dataclasses
import importlib
import subprocess
import time
from pathlib import Path

import pytest

from tests.hub.namespaces import namespace
from tests.hub.serving import eventually
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")

from longwire.hub import Hub
from tests.hub import chaos
from tests.hub.chaos import LONG, Proxy, field, quick_probes, scaled
from tests.hub.listeners import Listener

pytestmark = [pytest.mark.once, pytest.mark.timeout(600 if LONG else 120)]


@dataclasses.dataclass
class Kind:
    """One kind of broker, and the class of its servers."""

    name: str
    durable: tuple[str, ...] = ()
    """Options of a server that has all on disk before it answers."""

    def server(self, *options):
        module = importlib.import_module(f"tests.hub.{self.name}_servers")
        return getattr(module, f"{self.name.title()}Server")(*options)

    @property
    def broker(self):
        module = importlib.import_module(f"longwire.hub.{self.name}")
        return getattr(module, f"{self.name.title()}Broker")


KINDS = {
    "redis": Kind("redis", ("--appendonly", "yes", "--appendfsync", "always")),
    "nats": Kind("nats"),
}


@pytest.fixture(params=[pytest.param("redis", marks=pytest.mark.long), "nats"])
def kind(request):
    needs({"redis": "hiredis", "nats": "nats-server"}[request.param])
    return KINDS[request.param]


# --- the connection --------------------------------------------------------------


async def test_connections_cut_again_and_again_lose_nothing(kind):
    with kind.server() as server:
        server.start()
        async with Proxy(server.port) as proxy:
            async with field(server.url_at(proxy.port)) as it:
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
                it.check_once()


@pytest.mark.long
async def test_a_server_that_says_nothing_is_found_out_by_a_probe(kind, monkeypatch):
    quick_probes(monkeypatch)
    with kind.server() as server:
        server.start()
        async with Proxy(server.port) as proxy:
            async with field(server.url_at(proxy.port), nodes=1) as it:
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
async def test_a_server_that_is_stopped_for_a_while_loses_nothing(kind, monkeypatch):
    quick_probes(monkeypatch)
    with kind.server() as server:
        server.start()
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
async def test_a_network_that_loses_all_packets_for_a_while_loses_no_message(
    kind, monkeypatch
):
    quick_probes(monkeypatch)
    # Without authentication Redis answers nobody else than this machine.
    options = ("--protected-mode", "no") if kind.name == "redis" else ()
    with namespace() as space, kind.server(*options) as server:
        server.move_to(space.address, space.command).start()
        async with field(server.url) as it:
            await it.listen(4)
            it.publish(4)
            for _ in range(2 if not LONG else 10):
                await asyncio.sleep(0.5)
                stored = len(it.publishers[0].stored)
                space.cut()
                await asyncio.sleep(scaled(4.0, 20.0))
                space.join()
            await asyncio.sleep(1.0)
            await it.stop_publishing()
            await it.settle()

            assert stored > 0
            it.check_complete()
            it.check_bounded()
            it.check_once()


# --- clocks ----------------------------------------------------------------------


@pytest.mark.long
async def test_clocks_that_are_set_at_a_node_and_at_the_broker_lose_nothing(
    kind, monkeypatch, tmp_path
):
    real, hours = time.time, [0]
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * hours[0])
    with kind.server() as server:
        is_redis = kind.name == "redis"
        set_clock = move_clock_of(server, tmp_path) if is_redis else None
        server.start()
        async with Proxy(server.port) as proxy:
            url = server.url_at(proxy.port)
            # History is kept for longer than any clock is set.
            async with field(url, ttl=1e6) as it:
                await it.listen(4, topics=2)
                it.publish(4, topics=2)
                for moved in (1, -1, 48, 0) * (1 if not LONG else 10):
                    await asyncio.sleep(0.3)
                    hours[0] = -moved
                    if set_clock is None:
                        # NATS asks for the time without the C library.
                        proxy.clock = moved
                    else:
                        set_clock(moved)
                        shown = int(server.call("TIME")[0]) - real()
                        assert shown == pytest.approx(3600 * moved, abs=60)
                    await asyncio.sleep(0.3)
                    proxy.cut()
                await it.stop_publishing()
                await it.settle()

                it.check_complete()
                it.check_once()
                it.check_bounded()


def move_clock_of(server, folder):
    """Have a server read a clock of ours; return what sets it by hours."""
    library, file = folder / "moved_clock.so", folder / "clock"
    source = Path(__file__).with_name("moved_clock.c")
    subprocess.run(
        [needs("cc"), "-shared", "-fPIC", "-O1", "-o", library, source], check=True
    )

    def set_clock(hours):
        file.with_suffix(".new").write_text(str(hours))
        file.with_suffix(".new").replace(file)

    set_clock(0)
    prefix = ("env", f"LD_PRELOAD={library}", f"MOVED_CLOCK={file}")
    server.move_to(server.host, prefix)
    return set_clock


# --- a server that loses what it had ---------------------------------------------


async def test_a_server_that_is_killed_loses_nothing_of_its_files(kind):
    with kind.server(*kind.durable) as server:
        server.start()
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
            it.check_once()


async def test_a_server_restarted_empty_is_a_new_epoch_for_everybody(kind):
    with kind.server(*kind.durable) as server:
        server.start()
        async with field(server.url) as it:
            await it.check_new_epoch(lambda: server.restart(empty=True))


@pytest.mark.long
@pytest.mark.parametrize("more", [0, 3, 30])
async def test_an_old_copy_restored_is_told_of_where_it_matters(kind, more):
    with kind.server() as server:
        server.start()
        async with field(server.url, nodes=1) as it:
            hub = it.hubs[0]
            await it.listen(1)
            for number in range(10):
                await hub.publish("t:0", number)
            await it.settle()
            old = Listener(hub, "t:0")
            await old.subscribe()
            old.has_room = False
            await asyncio.to_thread(server.halt)
            copy = server.save()
            await asyncio.to_thread(server.start)
            for number in range(10, 20):
                await hub.publish("t:0", number)
            await it.settle()

            server.kill()
            server.restore(copy)
            # First where the node does not look for it.
            port, server.port = server.port, free_port()
            await asyncio.to_thread(server.start)
            async with field(server.url, nodes=1) as other:
                for number in range(more):
                    await other.hubs[0].publish("t:0", 100 + number)
            await asyncio.to_thread(server.halt)
            server.port = port
            await asyncio.to_thread(server.start)
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


# --- a feed that lies ------------------------------------------------------------


async def test_repeats_losses_and_disorder_of_the_feed_are_seen_by_nobody(kind):
    dice = chaos.dice(1)

    class Lying(kind.broker):
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

    with kind.server() as server:
        server.start()
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


async def test_a_hub_starts_without_its_server_and_is_there_when_that_is(kind, caplog):
    with kind.server() as server:
        hub = Hub(server.url)
        hub.topic("t:{x}", subscribe="anyone", history=50)
        async with hub:
            publishing = asyncio.create_task(hub.publish("t:0", 1))
            await asyncio.sleep(0.5)
            assert not hub.is_ready
            await asyncio.to_thread(server.start)
            await publishing
            await hub.ready(10)
            listener = Listener(hub, "t:0")
            await listener.subscribe()
            await hub.publish("t:0", 2)
            await eventually(lambda: listener.data == [b"j2"], 10)
    assert "Traceback" not in caplog.text
    # Once, though it is tried again and again.
    warned = [r for r in caplog.records if "cannot be reached" in r.message]
    assert len([r for r in warned if r.levelname == "WARNING"]) == 1
