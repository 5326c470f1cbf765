"""What can happen to NATS alone, beside what test_chaos.py does to every broker."""

import asyncio

import pytest

from tests.support.needs import needs

needs("msgspec")
needs("nats-server")

from longwire.hub.entries import Verdict
from longwire.hub.nats import NatsBroker
from tests.hub.chaos import LONG, field, quick_probes
from tests.hub.listeners import Listener
from tests.hub.nats_servers import nats_cluster, nats_server

pytestmark = [pytest.mark.once, pytest.mark.timeout(600 if LONG else 120)]


# --- the connection --------------------------------------------------------------


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


async def test_a_server_that_had_all_in_memory_is_a_new_epoch_for_everybody():
    def broker(url):
        return NatsBroker(url, storage="memory")

    with nats_server() as server:
        async with field(server.url, broker=broker) as it:
            await it.check_new_epoch(server.restart)


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
                leader.launch()
                await asyncio.to_thread(leader.wait, 60)
            await asyncio.sleep(2.0)
            await it.stop_publishing()
            await it.settle(60)

            it.check_complete()
            it.check_once()
