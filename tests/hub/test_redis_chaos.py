"""What can happen to Redis alone, beside what test_chaos.py does to every broker."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.hub.serving import eventually
from tests.support.needs import needs

needs("msgspec")
needs("hiredis")

from longwire.hub.entries import Position, Verdict
from longwire.hub.redis.keys import Keys, key_slot
from tests.hub.chaos import LONG, field, quick_probes, scaled
from tests.hub.listeners import Listener
from tests.hub.redis_servers import RedisServer, redis_cluster, redis_server

pytestmark = [
    pytest.mark.long,
    pytest.mark.once,
    pytest.mark.timeout(600 if LONG else 90),
]


# --- the feed --------------------------------------------------------------------


async def test_feeds_killed_again_and_again_lose_nothing():
    with redis_server() as server:
        async with field(server.url, nodes=3) as it:
            await it.listen(9, topics=3)
            it.publish(3, topics=3)
            until = time.monotonic() + scaled(3.0, 60.0)
            kills = 0
            while time.monotonic() < until:
                await asyncio.sleep(0.15)
                kills += server.call("CLIENT", "KILL", "TYPE", "pubsub")
            await it.stop_publishing()
            await it.settle()

            it.check_complete()
            it.check_bounded()
            assert kills > 20
            repaired = sum(h._running.driver.core.node.repaired for h in it.hubs)
            assert repaired > 0


def append(server, keys, data):
    """Publish as another node would."""
    from longwire.hub.publishing import new_tag
    from longwire.hub.redis.scripts import APPEND

    return server.call(
        *("EVAL", APPEND.text, 3, keys.meta, keys.stream, keys.meta, data),
        *(new_tag(), 5000, 3_600_000, 86_400_000, keys.channel, "newepoch", 0, 0),
        "PUBLISH",
    )


async def test_a_server_that_pauses_its_clients_loses_nothing():
    with redis_server() as server:
        async with field(server.url, nodes=2) as it:
            await it.listen(4)
            it.publish(4)
            await asyncio.sleep(0.3)
            server.call("CLIENT", "PAUSE", 1500, "WRITE")
            await asyncio.sleep(2.5)
            await it.stop_publishing()
            await it.settle()

            it.check_complete()
            assert all(publisher.unknown == 0 for publisher in it.publishers)


# --- a server that loses what it had ---------------------------------------------


async def test_a_replica_promoted_without_the_newest_is_told_of_where_it_matters():
    with redis_server() as primary, redis_server() as replica:
        replica.replicate(primary)
        url = f"redis://127.0.0.1:{primary.port},127.0.0.1:{replica.port}"
        async with field(url, nodes=2) as it:
            await it.listen(2)
            for number in range(100):
                await it.hubs[0].publish("t:0", number)
            await it.settle()
            behind = Listener(it.hubs[1], "t:0")
            await behind.subscribe()
            behind.has_room = False
            # From here on the replica hears nothing.
            replica.call("REPLICAOF", "127.0.0.1", 1)
            for number in range(5):
                await it.hubs[0].publish("t:0", ["lost", number])
            await it.settle()

            primary.kill()
            replica.promote()
            await eventually(lambda: all(e.gaps for e in it.listeners), 30)
            for number in range(10):
                await it.hubs[1].publish("t:0", ["new", number])
            await it.settle()

            for listener in it.listeners:
                assert listener.reasons[0] in ("ahead", "fork")
                assert len(listener.reasons) == 1
            behind.open()
            await eventually(lambda: behind.position == it.listeners[0].position, 20)
            assert behind.reasons == []
            assert behind.data == [b'j["new",%d]' % number for number in range(10)]
            # One who was at 105, and comes back now that there are 110.
            top = it.listeners[0].position
            assert top.offset == 110
            lost = Listener(it.hubs[0], "t:0")
            outcome = await lost.subscribe(Position(top.epoch, 105, 4242))
            assert outcome.verdict is Verdict.FORK


async def test_a_failover_that_loses_nothing_is_heard_of_by_nobody():
    with redis_server() as primary, redis_server() as replica:
        replica.replicate(primary)
        url = f"redis://127.0.0.1:{primary.port},127.0.0.1:{replica.port}"
        async with field(url, nodes=2, durability="replica") as it:
            await it.listen(4)
            it.publish(4)
            await asyncio.sleep(1.0)
            await it.stop_publishing()
            await it.settle()

            primary.kill()
            replica.promote()
            it.publish(4)
            await asyncio.sleep(1.0)
            await it.stop_publishing()
            await it.settle()

            it.check_complete()


async def test_a_primary_that_was_demoted_is_left_though_it_answers(monkeypatch):
    quick_probes(monkeypatch)
    with redis_server() as old, redis_server() as new:
        new.replicate(old)
        url = f"redis://127.0.0.1:{old.port},127.0.0.1:{new.port}"
        async with field(url, nodes=1) as it:
            await it.listen(2)
            await it.hubs[0].publish("t:0", 1)
            await it.settle()

            new.promote()
            old.call("REPLICAOF", "127.0.0.1", 1)  # of nobody
            append(new, Keys("lw", "t:0"), b"j2")
            await it.settle()
            await it.hubs[0].publish("t:0", 3)
            await it.settle()

            assert [each.data for each in it.listeners] == [[b"j1", b"j2", b"j3"]] * 2
            assert [each.reasons for each in it.listeners] == [[], []]


async def test_sentinels_say_who_the_primary_is():
    with redis_server() as primary, redis_server() as replica:
        replica.replicate(primary)
        sentinel = RedisServer()
        config = Path(sentinel.folder, "sentinel.conf")
        config.write_text(
            f"sentinel monitor mymaster 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds mymaster 1000\n"
            "sentinel failover-timeout mymaster 3000\n"
        )
        where = ("--port", str(sentinel.port), "--bind", "127.0.0.1")
        try:
            sentinel.launch(str(config), "--sentinel", *where).wait()
            url = f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster"
            async with field(url, nodes=1, durability="replica") as it:
                await it.listen(2)
                it.publish(2)
                await asyncio.sleep(1.0)
                await it.stop_publishing()
                await it.settle()

                primary.kill()
                await eventually(lambda: replica.is_primary, 30)
                it.publish(2)
                await asyncio.sleep(1.0)
                await it.stop_publishing()
                await it.settle()

                it.check_complete()
        finally:
            sentinel.close()


async def test_a_top_that_was_evicted_is_a_new_epoch_and_publishing_goes_on():
    with redis_server() as server:
        async with field(server.url, nodes=1) as it:
            await it.listen(2)
            for number in range(5):
                await it.hubs[0].publish("t:0", number)
            await it.settle()

            server.call("DEL", Keys("lw", "t:0").meta)
            await it.hubs[0].publish("t:0", "after")
            await it.settle()

            assert [each.reasons for each in it.listeners] == [["epoch"], ["epoch"]]
            assert server.call("XLEN", Keys("lw", "t:0").stream) == 1


async def test_a_stream_that_was_evicted_is_trimmed_history():
    with redis_server() as server:
        async with field(server.url, nodes=1) as it:
            listener = Listener(it.hubs[0], "t:0")
            await listener.subscribe()
            it.listeners.append(listener)
            await it.hubs[0].publish("t:0", 1)
            await it.settle()
            first = listener.position
            await it.hubs[0].publish("t:0", 2)
            await it.settle()

            server.call("DEL", Keys("lw", "t:0").stream)
            await it.hubs[0].publish("t:0", 3)
            await it.settle()
            core = it.hubs[0]._running.driver.core
            tail = core.feeds["t:0"].tail
            tail.drop(len(tail.entries))

            assert listener.reasons == []
            late = Listener(it.hubs[0], "t:0")
            outcome = await late.subscribe(first)
            assert outcome.verdict is Verdict.TRIMMED


async def test_a_server_without_room_refuses_and_nothing_else_breaks():
    with redis_server("--maxmemory", "20mb") as server:
        async with field(server.url, nodes=1) as it:
            await it.listen(1)
            server.call("CONFIG", "SET", "maxmemory", "1mb")
            publishing = asyncio.create_task(it.hubs[0].publish("t:0", "x"))
            await asyncio.sleep(1.0)
            assert not publishing.done()
            server.call("CONFIG", "SET", "maxmemory", "100mb")
            await publishing
            await it.settle()

            assert [listener.reasons for listener in it.listeners] == [[]]


# --- a cluster -------------------------------------------------------------------


async def test_slots_that_move_under_load_lose_nothing():
    with redis_cluster() as cluster:
        async with field(cluster.url, nodes=2) as it:
            await it.listen(8, topics=4)
            it.publish(4, topics=4)
            tags = {Keys("lw", f"t:{n}").tag for n in range(4)}
            slots = [key_slot(tag.encode()) for tag in tags]
            for turn in range(2 if not LONG else 20):
                for slot in slots:
                    await asyncio.sleep(0.2)
                    owner = cluster.owner_of(slot)
                    others = [s for s in cluster.primaries if s is not owner]
                    target = others[turn % 2]
                    await asyncio.to_thread(cluster.migrate, slot, target)
            await asyncio.sleep(0.5)
            await it.stop_publishing()
            await it.settle()

            it.check_complete()


async def test_a_primary_of_a_cluster_that_dies_is_replaced():
    with redis_cluster(3, replicas=3) as cluster:
        async with field(cluster.url, nodes=2, durability="replica") as it:
            await it.listen(8, topics=4)
            it.publish(4, topics=4)
            await asyncio.sleep(1.0)
            await it.stop_publishing()
            await it.settle()
            slot = key_slot(Keys("lw", "t:0").tag.encode())

            cluster.owner_of(slot).kill()
            it.publish(4, topics=4)
            await asyncio.sleep(8.0)
            await it.stop_publishing()
            await it.settle()

            it.check_complete()


async def test_feeds_of_a_cluster_killed_again_and_again_lose_nothing():
    with redis_cluster() as cluster:
        async with field(cluster.url, nodes=2) as it:
            await it.listen(8, topics=4)
            it.publish(4, topics=4)
            until = time.monotonic() + scaled(3.0, 60.0)
            while time.monotonic() < until:
                for server in cluster.servers:
                    await asyncio.sleep(0.1)
                    server.call("CLIENT", "KILL", "TYPE", "pubsub")
            await it.stop_publishing()
            await it.settle()

            it.check_complete()
