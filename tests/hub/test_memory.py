"""What the broker in memory may take: bytes, whatever is published and asked for."""

import gc
import tracemalloc

import pytest

from tests.support.needs import needs

needs("msgspec")

from longwire.hub import MemoryBroker
from longwire.hub.publishing import new_tag
from tests.hub.contract import KEPT, NONE, publish, read

pytestmark = pytest.mark.once

MIB = 1 << 20


async def many_names(broker, storage, count):
    for n in range(count):
        await broker.publish(f"chat:{n:0120d}", b"j1", new_tag(), storage)


async def read_names(broker, storage, count):
    for n in range(count):
        await read(broker, f"chat:{n:0100d}é", None, storage)


async def many_ids(broker, storage, count):
    for n in range(count):
        await broker.publish("chat:1", b"j1", new_tag(), storage, id=f"c::{n:0125d}")


async def wide_ids(broker, storage, count):
    for n in range(count):
        await broker.publish("chat:1", b"j1", new_tag(), storage, id=f"😀{n:0125d}")


async def one_topic(broker, storage, count):
    for _ in range(count):
        await broker.publish("chat:1", b"j" + b"1" * 5000, new_tag(), storage)


@pytest.mark.parametrize("storage", [KEPT, NONE], ids=["kept", "not-kept"])
@pytest.mark.parametrize(
    "hurt", [many_names, read_names, many_ids, wide_ids, one_topic]
)
async def test_what_a_broker_takes_is_bounded_in_bytes(hurt, storage):
    broker = MemoryBroker(all_bytes=MIB, topics_bytes=MIB, ids_bytes=MIB)
    await hurt(broker, storage, 100)
    gc.collect()
    tracemalloc.start()
    try:
        await hurt(broker, storage, 8000)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert taken < 3.3 * MIB


async def test_the_longest_unused_topics_go_first():
    broker = MemoryBroker(topics_bytes=100_000)
    first = await publish(broker, "old:1", 2)
    kept = await publish(broker, "new:1", 2)
    for n in range(300):
        await publish(broker, f"chat:{n}", 1)
        assert (await read(broker, "new:1", kept[0])).verdict == "complete"

    assert (await read(broker, "old:1", first[0])).verdict == "epoch"


async def test_an_entry_that_is_larger_than_a_topic_is_stored_by_none():
    broker = MemoryBroker(topic_bytes=10_000, all_bytes=20_000)
    large = await broker.publish("a:1", b"j" * 20_000, new_tag(), KEPT)
    for n in range(100):
        await broker.publish(f"b:{n}", b"j" * 1000, new_tag(), KEPT)

    assert broker.size <= 20_000
    assert (await read(broker, "a:1", large.position)).verdict == "complete"
    assert (await broker.read("a:1", None, KEPT, 9, 9, reverse=True)).entries == []


async def test_nothing_is_counted_of_what_has_gone():
    broker = MemoryBroker()
    now = [1000.0]
    broker._clock = lambda: now[0]
    for n in range(50):
        await publish(broker, f"a:{n}", 3)
        await broker.publish(f"a:{n}", b"j1", new_tag(), KEPT, id=f"x{n}")
        await broker.publish(f"b:{n}", b"j1", new_tag(), NONE)
    for n in range(0, 50, 2):
        await broker.clear(f"a:{n}", KEPT)
    now[0] += 1e9
    broker._sweep(now[0])

    assert (broker.size, broker._topics_size, broker._ids_size) == (0, 0, 0)
