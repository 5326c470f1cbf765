"""The contract of brokers, on each of them: the table of verdicts row by row, and all
that ``longwire.hub.broker`` promises."""

import asyncio
import time

import pytest

from tests.hub.conftest import running
from tests.support.needs import needs

needs("msgspec")

from longwire.hub.broker import Join, Leave, Member, Renew, Storage
from longwire.hub.entries import Position, Verdict
from longwire.hub.publishing import new_tag
from tests.hub.contract import KEPT, NONE, SHORT, publish, read

pytestmark = pytest.mark.timeout(60)


# --- the table of verdicts -------------------------------------------------------


async def test_at_the_top_nothing_was_missed(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 5)

        page = await read(broker, "a:1", places[-1])

        assert page.verdict is Verdict.COMPLETE
        assert (page.entries, page.top, page.more) == ([], places[-1], False)


async def test_after_a_stored_entry_all_that_follow_come_in_order(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 5)

        page = await read(broker, "a:1", places[1])

        assert page.verdict is Verdict.COMPLETE
        assert [entry.position for entry in page.entries] == places[2:]
        assert [entry.data for entry in page.entries] == [b"j3", b"j4", b"j5"]
        assert page.top == places[-1]


async def test_another_epoch_is_said(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 5)

        page = await read(broker, "a:1", places[1]._replace(epoch="x0x0x0x0"))

        assert (page.verdict, page.entries) == (Verdict.EPOCH, [])
        assert page.top == places[-1]


async def test_what_was_trimmed_is_said(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 6, SHORT)

        assert (await read(broker, "a:1", places[2], SHORT)).verdict is Verdict.TRIMMED
        page = await read(broker, "a:1", places[3], SHORT)
        assert page.verdict is Verdict.COMPLETE
        assert len(page.entries) == 2


async def test_what_is_too_old_is_trimmed(make_broker):
    broker = make_broker()
    brief = Storage(history=20, ttl=0.3, meta_ttl=86400.0, idempotency=60.0)
    async with running(broker):
        places = await publish(broker, "a:1", 3, brief)
        await asyncio.sleep(0.4)
        places += await publish(broker, "a:1", 2, brief)

        assert (await read(broker, "a:1", places[1], brief)).verdict is Verdict.TRIMMED
        page = await read(broker, "a:1", places[3], brief)
        assert [entry.position for entry in page.entries] == places[4:]
        page = await broker.read("a:1", None, brief, 10, 1 << 20, reverse=True)
        assert len(page.entries) == 2
        await asyncio.sleep(0.4)
        assert (await read(broker, "a:1", places[4], brief)).verdict is Verdict.COMPLETE
        assert (await read(broker, "a:1", places[3], brief)).verdict is Verdict.TRIMMED


async def test_an_offset_above_the_top_is_ahead(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 3)

        page = await read(broker, "a:1", places[-1]._replace(offset=99))

        assert page.verdict is Verdict.AHEAD


async def test_another_tag_is_a_fork_at_the_top_and_below(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 3)

        for place in (places[2], places[1]):
            page = await read(broker, "a:1", place._replace(tag=place.tag ^ 1))
            assert (page.verdict, page.entries) == (Verdict.FORK, [])


async def test_the_beginning_is_complete_while_the_first_entry_is_stored(make_broker):
    broker = make_broker()
    async with running(broker):
        empty = (await read(broker, "a:1", None, SHORT)).top
        if broker.consecutive:
            assert (empty.offset, empty.tag) == (0, 0)
        assert (await read(broker, "a:1", empty, SHORT)).verdict is Verdict.COMPLETE

        places = await publish(broker, "a:1", 3, SHORT)
        assert places[0].epoch == empty.epoch
        page = await read(broker, "a:1", empty, SHORT)
        assert page.verdict is Verdict.COMPLETE
        assert [entry.position for entry in page.entries] == places

        await publish(broker, "a:1", 1, SHORT)
        assert (await read(broker, "a:1", empty, SHORT)).verdict is Verdict.TRIMMED


async def test_a_topic_without_history_says_so(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 3, NONE)

        for place, verdict in (
            (places[2], Verdict.COMPLETE),
            (places[1], Verdict.NO_HISTORY),
            (places[2]._replace(tag=5), Verdict.FORK),
            (places[2]._replace(offset=7), Verdict.AHEAD),
            (places[1]._replace(epoch="x"), Verdict.EPOCH),
            (Position(places[0].epoch, 0, 0), Verdict.NO_HISTORY),
        ):
            page = await read(broker, "a:1", place, NONE)
            assert (page.verdict, page.entries) == (verdict, []), place
        page = await broker.read("a:1", None, NONE, 10, 1 << 20, reverse=True)
        assert (page.entries, page.top) == ([], places[2])


def forgotten(broker):
    """The verdict on a position before a clear, or before all was forgotten.

    On NATS the epoch is the stream's, which has other topics too.
    """
    return Verdict.EPOCH if broker.consecutive else Verdict.TRIMMED


async def test_clearing_begins_anew(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 3)

        first = await broker.clear("a:1", KEPT)
        after = await publish(broker, "a:1", 2)

        if broker.consecutive:
            assert first.epoch != places[0].epoch
            assert (first.offset, first.tag) == (0, 0)
            assert [place.offset for place in after] == [1, 2]
        for place in places:
            page = await read(broker, "a:1", place)
            assert (page.verdict, page.entries) == (forgotten(broker), [])
        page = await read(broker, "a:1", first)
        assert [entry.position for entry in page.entries] == after


async def test_meta_that_was_forgotten_is_said_and_brings_no_old_entries(make_broker):
    broker = make_broker()
    brief = Storage(history=20, ttl=300.0, meta_ttl=0.3, idempotency=60.0)
    async with running(broker):
        places = await publish(broker, "a:1", 3, brief)
        async with asyncio.timeout(5):
            # NATS looks for what is too old about once a second.
            while await broker.tops(["a:1"]) != [None]:
                await asyncio.sleep(0.05)

        page = await read(broker, "a:1", places[2], brief)
        assert page.verdict is forgotten(broker)
        (after,) = await publish(broker, "a:1", 1, brief)
        assert after.offset == 1 or not broker.consecutive
        page = await broker.read("a:1", None, brief, 10, 1 << 20, reverse=True)
        assert [entry.position for entry in page.entries] == [after]


# --- publishing ------------------------------------------------------------------


async def test_offsets_grow_and_each_entry_names_the_one_before(make_broker):
    broker = make_broker()
    async with running(broker) as sink:
        await broker.attach(["a:1"])
        places = await publish(broker, "a:1", 5)

        entries = await sink.until(5)
        assert [entry.position for entry in entries] == places
        assert [e.prev for e in entries] == [0, *(p.offset for p in places[:-1])]
        if broker.consecutive:
            assert [entry.offset for entry in entries] == [1, 2, 3, 4, 5]
            assert [e.prev_tag for e in entries] == [0, *(p.tag for p in places[:-1])]
        assert [entry.data for entry in entries] == [b"j%d" % n for n in range(1, 6)]
        assert all(abs(entry.at - entries[0].at) < 10 for entry in entries)
        assert sink.losses == []


async def test_a_repeated_attempt_is_stored_once(make_broker):
    broker = make_broker()
    async with running(broker):
        tag = new_tag()
        first = await broker.publish("a:1", b"j1", tag, KEPT)
        await publish(broker, "a:1", 3)
        if broker.name == "memory":
            pytest.skip("memory loses no answer, so nothing is tried again")

        again = await broker.publish("a:1", b"j1", tag, KEPT, again=True)
        new = await broker.publish("a:1", b"j1", new_tag(), KEPT, again=True)

        assert again.position == first.position
        assert again.duplicate
        assert new.position.offset == 5
        assert not new.duplicate


async def test_an_id_is_stored_once_for_each_topic_while_it_is_remembered(make_broker):
    broker = make_broker()
    brief = Storage(history=20, ttl=300.0, meta_ttl=86400.0, idempotency=0.4)
    async with running(broker):

        async def put(topic, id):
            return await broker.publish(topic, b"j1", new_tag(), brief, id=id)

        first = await put("a:1", "x")
        second = await put("a:1", "x")
        assert (second.position, second.duplicate) == (first.position, True)
        for topic, id in (("a:1", "y"), ("a:2", "x"), ("a", "1:x"), ("a:1:x", "")):
            assert not (await put(topic, id or "e")).duplicate
        await asyncio.sleep(0.5)
        assert not (await put("a:1", "x")).duplicate


@pytest.mark.parametrize("size", [1, 1000, 70_000, 1_000_000])
async def test_any_bytes_are_stored_and_fed_as_they_are(make_broker, size):
    broker = make_broker()
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with running(broker) as sink:
        await broker.attach(["a:1"])
        stored = await broker.publish("a:1", data, new_tag(), KEPT)

        (entry,) = await sink.until(1)
        assert entry.data == data
        page = await broker.read("a:1", None, KEPT, 10, 1 << 30, reverse=True)
        if broker.name == "memory" and size == 1_000_000:
            assert page.top == stored.position  # it keeps 1 MiB of a topic
        assert all(entry.data == data for entry in page.entries)


@pytest.mark.parametrize("topic", ["a", "a:b:c", "κόσμος:1", "a.b/c-d_e", "x" * 128])
async def test_any_name_is_a_topic_of_its_own(make_broker, topic):
    broker = make_broker()
    async with running(broker) as sink:
        await broker.attach([topic])
        await publish(broker, topic, 1)
        await publish(broker, topic + "x", 1)

        await sink.until(1)
        assert [name for name, _ in sink.entries] == [topic]


async def test_publishers_at_the_same_time_get_places_of_their_own(make_broker):
    broker = make_broker()
    async with running(broker) as sink:
        await broker.attach(["a:1"])

        found = await asyncio.gather(*(publish(broker, "a:1", 20) for _ in range(10)))

        offsets = sorted(place.offset for places in found for place in places)
        assert len(set(offsets)) == 200
        assert offsets == list(range(1, 201)) or not broker.consecutive
        entries = await sink.until(200)
        assert [entry.offset for entry in entries] == offsets
        for places in found:
            assert places == sorted(places)


# --- reading ---------------------------------------------------------------------


async def test_pages_have_limits_and_say_whether_there_is_more(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 10)
        page = await broker.read("a:1", places[0], KEPT, 4, 1 << 20)
        assert [e.position for e in page.entries] == places[1:5]
        assert page.more
        page = await broker.read("a:1", places[5], KEPT, 4, 1 << 20)
        assert [e.position for e in page.entries] == places[6:]
        assert not page.more
        page = await broker.read("a:1", places[5], KEPT, 10, 5)
        assert [e.position for e in page.entries] == places[6:8]
        assert page.more
        page = await broker.read("a:1", places[5], KEPT, 10, 1)
        assert [e.position for e in page.entries] == places[6:7]
        page = await broker.read("a:1", None, KEPT, 0, 0)
        assert (page.entries, page.top) == ([], places[-1])


async def test_in_reverse_come_the_newest_or_those_before_a_position(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 10)

        async def back(since, limit=3):
            return await broker.read("a:1", since, KEPT, limit, 1 << 20, reverse=True)

        page = await back(None)
        assert [e.position for e in page.entries] == places[:-4:-1]
        assert page.more
        page = await back(places[4])
        assert [e.position for e in page.entries] == [places[3], places[2], places[1]]
        page = await back(places[1], 5)
        assert [e.position for e in page.entries] == [places[0]]
        assert not page.more
        page = await back(Position(places[0].epoch, 0, 0))
        assert page.entries == []
        page = await back(places[4]._replace(epoch="x"))
        assert page.entries == []


async def test_a_page_chains_from_the_position(make_broker):
    broker = make_broker()
    async with running(broker):
        places = await publish(broker, "a:1", 5)

        page = await read(broker, "a:1", places[0])

        before = places[0]
        for entry in page.entries:
            assert entry.prev == before.offset
            assert entry.prev_tag in (None, before.tag)
            before = entry.position


async def test_a_page_has_the_brokers_time(make_broker):
    broker = make_broker()
    async with running(broker):
        await publish(broker, "a:1", 1)
        page = await broker.read("a:1", None, KEPT, 1, 1 << 20, reverse=True)

        assert 0 <= page.now - page.entries[0].at < 10


async def test_tops_come_for_many_topics_in_one_request(make_broker):
    broker = make_broker()
    async with running(broker):
        places = {}
        for number in range(0, 200, 2):
            (places[f"a:{number}"],) = await publish(broker, f"a:{number}", 1)
        names = [f"a:{number}" for number in range(200)]

        tops = await broker.tops(names)

        assert tops == [places.get(name) for name in names]


# --- the feed --------------------------------------------------------------------


async def test_only_what_is_attached_is_fed(make_broker):
    broker = make_broker()
    async with running(broker) as sink:
        await broker.attach(["a:1", "a:2"])
        await broker.detach(["a:2"])
        await broker.attach(["a:1"])  # again: nothing changes

        await publish(broker, "a:2", 1)
        await publish(broker, "a:3", 1)
        await publish(broker, "a:1", 2)

        await sink.until(2)
        assert [name for name, _ in sink.entries] == ["a:1", "a:1"]


async def test_attached_means_that_all_published_later_is_fed(make_broker):
    broker = make_broker()
    async with running(broker) as sink:
        count = 0
        for number in range(50):
            await broker.attach([f"a:{number}"])
            await broker.publish(f"a:{number}", b"j1", new_tag(), KEPT)
            count += 1
            if number % 3 == 0:
                await sink.until(count)
                count += 1
                await broker.detach([f"a:{number}"])
                await broker.attach([f"a:{number}"])
                await broker.publish(f"a:{number}", b"j2", new_tag(), KEPT)

        await sink.until(50 + 17)
        assert sink.losses == []


async def test_a_topic_that_is_cleared_is_in_doubt(make_broker):
    broker = make_broker()
    async with running(broker) as sink:
        await broker.attach(["a:1"])
        await publish(broker, "a:1", 1)
        await sink.until(1)

        await broker.clear("a:1", KEPT)

        async with asyncio.timeout(5):
            while ("ready", ["a:1"]) not in sink.log:
                await asyncio.sleep(0.01)
        assert sink.log[-2:] == [("lost", ["a:1"]), ("ready", ["a:1"])]


async def test_nodes_feed_each_other(make_broker):
    first, second = make_broker(), make_broker()
    if first.name == "memory":
        pytest.skip("memory is one process's own")
    async with running(first) as one, running(second) as two:
        await first.attach(["a:1"])
        await second.attach(["a:1"])
        places = await publish(first, "a:1", 3)
        places += await publish(second, "a:1", 3)

        for sink in (one, two):
            assert [entry.position for entry in await sink.until(6)] == places
            assert sink.losses == []


# --- presence --------------------------------------------------------------------


def member(client, user=None, node="n1", info=b""):
    return Member(client, user, info, node)


async def test_members_join_once_are_counted_and_leave_once(make_broker):
    broker = make_broker()
    ann = member("c1", "ann", info=b'{"name":"Ann\\n"}')
    other, nobody = member("c2", "ann"), member("c3")
    async with running(broker):
        changes = [Join("a:1", each, 60.0) for each in (ann, other, nobody)]

        (first,) = await broker.presence([], changes)
        (again,) = await broker.presence([], changes[:1])

        assert sorted(first.joined) == sorted([ann, other, nobody])
        assert (first.clients, first.users) == (3, 2)
        assert (again.joined, again.left) == ([], [])
        found = await broker.members("a:1", 10)
        assert sorted(found.members) == sorted([ann, other, nobody])
        assert (found.clients, found.users) == (3, 2)
        assert len((await broker.members("a:1", 2)).members) == 2

        (left,) = await broker.presence([], [Leave("a:1", "c2", "n1", 0.0)])
        assert (left.left, left.clients, left.users) == ([other], 2, 2)
        (left,) = await broker.presence(
            [], [Leave("a:1", "c1", "n1", 0.0), Leave("a:1", "c3", "n1", 0.0)]
        )
        assert (left.clients, left.users) == (0, 0)
        (left,) = await broker.presence([], [Leave("a:1", "c1", "n1", 0.0)])
        assert left.left == []


@pytest.mark.parametrize(
    ("user", "info"),
    [("", b""), ("a\nb", b"{}"), ("-1", b"\n\n"), ("é", b'"\xc3\xa9"'), (None, b"x\n")],
)
async def test_a_member_comes_back_as_it_is(make_broker, user, info):
    broker = make_broker()
    async with running(broker):
        found = member("c1", user, info=info)
        await broker.presence([], [Join("a:1", found, 60.0)])

        assert (await broker.members("a:1", 10)).members == [found]


async def test_leases_end_are_renewed_and_are_told_to_one_caller(make_broker):
    broker = make_broker()
    async with running(broker):
        await broker.presence(
            [], [Join("a:1", member(c), 0.3) for c in ("c1", "c2", "c3")]
        )
        (renewed,) = await broker.presence([], [Renew("a:1", "c1", "n1", 60.0)])
        assert renewed.unknown == []
        await broker.presence([], [Leave("a:1", "c2", "n1", 60.0)])
        await asyncio.sleep(0.5)

        found = await broker.members("a:1", 10)
        assert sorted(each.client for each in found.members) == ["c1", "c2"]
        results = await asyncio.gather(
            *(broker.presence(["a:1"], []) for _ in range(5))
        )

        left = [each for (result,) in results for each in result.left]
        assert [each.client for each in left] == ["c3"]
        (late,) = await broker.presence([], [Renew("a:1", "c3", "n1", 60.0)])
        assert late.unknown == ["c3"]


async def test_a_member_that_is_another_nodes_is_left_alone(make_broker):
    broker = make_broker()
    async with running(broker):
        await broker.presence([], [Join("a:1", member("c1", node="n1"), 60.0)])
        (moved,) = await broker.presence(
            [], [Join("a:1", member("c1", node="n2"), 60.0)]
        )
        assert moved.joined == []

        (result,) = await broker.presence([], [Leave("a:1", "c1", "n1", 0.0)])
        assert (result.left, result.clients) == ([], 1)
        (result,) = await broker.presence([], [Renew("a:1", "c1", "n1", 60.0)])
        assert result.unknown == []
        (result,) = await broker.presence(["a:1"], [], ["n1"])
        assert result.left == []
        (result,) = await broker.presence(["a:1"], [], ["n2"])
        assert [each.client for each in result.left] == ["c1"]


async def test_presence_of_many_topics_is_one_call(make_broker):
    broker = make_broker()
    async with running(broker):
        changes = [Join(f"a:{n}", member("c1"), 60.0) for n in range(50)]

        results = await broker.presence(["b:1"], changes)

        assert sorted(result.topic for result in results) == sorted(
            ["b:1", *(f"a:{n}" for n in range(50))]
        )
        counts = {result.topic: result.clients for result in results}
        assert counts["b:1"] == 0
        assert counts["a:7"] == 1


# --- clocks ----------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 4e6, -4e6])
async def test_no_clock_of_a_node_decides_what_is_stored(
    make_broker, monkeypatch, seconds
):
    real, moved = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + moved[0])
    broker = make_broker()
    async with running(broker):
        await broker.attach(["a:1"])
        places = await publish(broker, "a:1", 3)
        first = await broker.publish("a:1", b"j4", new_tag(), KEPT, id="x")
        await broker.presence([], [Join("a:1", member("c1"), 60.0)])
        await broker.presence([], [Join("a:1", member("c2"), 0.5)])

        moved[0] = seconds

        page = await read(broker, "a:1", places[0])
        assert page.verdict is Verdict.COMPLETE
        assert [entry.position for entry in page.entries] == [
            *places[1:],
            first.position,
        ]
        again = await broker.publish("a:1", b"j4", new_tag(), KEPT, id="x")
        assert (again.position, again.duplicate) == (first.position, True)
        (renewed,) = await broker.presence([], [Renew("a:1", "c1", "n1", 60.0)])
        assert "c1" not in [each.client for each in renewed.left]
        assert renewed.unknown == []
        await asyncio.sleep(0.7)
        found = await broker.members("a:1", 10)
        assert [each.client for each in found.members] == ["c1"]
        (at_last,) = await publish(broker, "a:1", 1)
        page = await read(broker, "a:1", first.position)
        assert [entry.position for entry in page.entries] == [at_last]
        assert page.now - page.entries[0].at < 60
