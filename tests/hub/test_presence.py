"""Presence: by lease, with grace, in batches; the table alone, and end to end."""

import asyncio
import itertools

import pytest

from tests.hub.serving import eventually, serving, user_of_path
from tests.support.needs import needs

needs("msgspec")

from longwire.hub import MemoryBroker, User
from longwire.hub import presence as presence_module
from longwire.hub.broker import Join, Leave, Member, Presence, Renew
from longwire.hub.presence import (
    GRACE,
    LEASE,
    MANY,
    Announce,
    Diff,
    PresenceTable,
    Tell,
)
from longwire.hub.presences import public_name


def member(name, user=None, node="n1"):
    return Member(name, user, b"", node)


class Nodes:
    """Tables of several nodes on one broker, and a clock; announcements at once."""

    def __init__(self, count=2):
        self.now = 1000.0
        self.broker = MemoryBroker()
        self.broker._clock = lambda: self.now
        self.tables = [PresenceTable(f"n{n}", lambda: 0.5) for n in range(count)]
        self.told = [[] for _ in self.tables]
        self.announced = []
        self.dead = set()
        self.down = False

    def join(self, node, name, topic="t", user=None):
        found = Member(name, user, b"", f"n{node}")
        self.tables[node].join(topic, found, self.now)

    def pass_time(self, seconds, step=0.25):
        until = self.now + seconds
        while self.now < until:
            self.now += step
            for node, table in enumerate(self.tables):
                if node in self.dead or table.next_deadline() > self.now:
                    continue
                for effect in table.tick(self.now):
                    if isinstance(effect, Tell):
                        self.told[node].append((self.now, effect))
                    else:
                        self._announce(table, effect)

    def _announce(self, table, announce):
        self.announced.append(announce)
        if self.down:
            table.failed(announce, self.now)
            return
        results = asyncio.run(self.broker.presence(announce.topics, announce.changes))
        for result in results:
            diff = table.changed(result, self.now)
            if diff is not None:
                for other in self.tables:
                    other.heard(result.topic, diff, self.now)

    def events(self, node):
        return [
            (
                sorted(m.client for m in t.diff.joined),
                sorted(m.client for m in t.diff.left),
            )
            for _, t in self.told[node]
        ]

    def present(self):
        found = asyncio.run(self.broker.members("t", 1000))
        return sorted(each.client for each in found.members)


# --- the table -------------------------------------------------------------------


def test_joins_and_leaves_of_a_second_are_one_diff_on_every_node():
    nodes = Nodes()
    nodes.tables[1].watch("t", nodes.now)

    for name in "abc":
        nodes.join(0, name)
    nodes.tables[0].leave("t", "c", nodes.now, at_once=True)
    nodes.pass_time(3.0)

    assert nodes.events(1) == [(["a", "b"], [])]
    diff = nodes.told[1][0][1].diff
    assert (diff.clients, diff.users) == (2, 2)
    assert len([a for a in nodes.announced if a.changes]) == 1


def test_who_comes_back_in_time_never_left():
    nodes = Nodes()
    nodes.tables[1].watch("t", nodes.now)
    nodes.join(0, "a")
    nodes.pass_time(3.0)
    nodes.told[1].clear()

    nodes.tables[0].leave("t", "a", nodes.now, at_once=False)
    nodes.pass_time(GRACE - 3)
    nodes.join(1, "a")
    nodes.pass_time(60.0)

    assert nodes.events(1) == []
    assert nodes.present() == ["a"]


def test_who_does_not_come_back_has_left_after_the_grace_and_once():
    nodes = Nodes(3)
    for table in nodes.tables:
        table.watch("t", nodes.now)
    nodes.join(0, "a")
    nodes.pass_time(3.0)
    for told in nodes.told:
        told.clear()

    nodes.tables[0].leave("t", "a", nodes.now, at_once=False)
    nodes.pass_time(GRACE - 1)
    assert nodes.present() == ["a"]
    nodes.pass_time(8.0)

    assert [nodes.events(node) for node in range(3)] == [[([], ["a"])]] * 3


def test_a_leave_is_noticed_though_nobody_watches_on_that_node():
    nodes = Nodes(1)
    nodes.join(0, "a")
    nodes.pass_time(3.0)

    nodes.tables[0].leave("t", "a", nodes.now, at_once=False)
    nodes.pass_time(GRACE + 4)

    assert nodes.present() == []
    assert nodes.tables[0].topics == []


def test_leases_are_renewed_and_those_of_a_dead_node_end():
    nodes = Nodes()
    nodes.tables[1].watch("t", nodes.now)
    for name in ("a", "b"):
        nodes.join(0, name)
    nodes.join(1, "c")
    nodes.pass_time(200.0)
    assert nodes.present() == ["a", "b", "c"]
    nodes.told[1].clear()

    nodes.dead.add(0)
    nodes.pass_time(LEASE + 10)

    assert nodes.present() == ["c"]
    assert nodes.events(1) == [([], ["a", "b"])]


def test_the_leases_of_a_node_known_to_be_dead_end_at_once():
    broker = MemoryBroker()
    members = [Member(f"m{n}", None, b"", f"n{n % 2}") for n in range(6)]
    changes = [Join("t", each, 60.0) for each in members]

    async def run():
        await broker.presence([], changes)
        (first,) = await broker.presence(["t"], [], ["n0"])
        (second,) = await broker.presence(["t"], [], ["n0"])
        return first, second

    first, second = asyncio.run(run())
    assert sorted(each.client for each in first.left) == ["m0", "m2", "m4"]
    assert first.clients == 3
    assert second.left == []


def test_a_second_connection_of_a_client_keeps_it_present():
    nodes = Nodes(1)
    nodes.join(0, "a")
    nodes.join(0, "a")
    nodes.pass_time(2.0)

    nodes.tables[0].leave("t", "a", nodes.now, at_once=True)
    nodes.pass_time(2.0)
    assert nodes.present() == ["a"]
    nodes.tables[0].leave("t", "a", nodes.now, at_once=True)
    nodes.pass_time(2.0)

    assert nodes.present() == []


def test_a_leave_does_not_touch_what_is_another_nodes_now():
    nodes = Nodes()
    nodes.join(0, "a")
    nodes.pass_time(2.0)
    nodes.join(1, "a")
    nodes.pass_time(2.0)

    nodes.tables[0].leave("t", "a", nodes.now, at_once=True)
    nodes.pass_time(3.0)

    assert nodes.present() == ["a"]


def test_a_broker_that_was_away_is_told_again():
    nodes = Nodes(1)
    nodes.tables[0].watch("t", nodes.now)
    nodes.down = True
    nodes.join(0, "a")
    nodes.pass_time(5.0)
    assert nodes.present() == []

    nodes.down = False
    nodes.pass_time(3.0)

    assert nodes.present() == ["a"]
    assert nodes.events(0) == [(["a"], [])]


def test_a_broker_that_has_forgotten_is_told_again_at_the_renewal():
    nodes = Nodes(1)
    nodes.join(0, "a")
    nodes.pass_time(3.0)
    nodes.broker._members.clear()

    nodes.pass_time(30.0)

    assert nodes.present() == ["a"]


def test_above_500_only_the_number_is_told():
    table = PresenceTable("n", lambda: 0.5)
    many = [member(str(n)) for n in range(MANY + 1)]

    few = table.changed(Presence("t", many[:2], [], 2, 2, []), 0.0)
    crowd = table.changed(Presence("t", many[:1], [], MANY + 1, 7, []), 0.0)
    exodus = table.changed(Presence("t", [], many, 3, 3, []), 0.0)
    nothing = table.changed(Presence("t", [], [], 3, 3, []), 0.0)

    assert few == Diff(many[:2], [], 2, 2)
    assert crowd == Diff([], [], MANY + 1, 7)
    assert exodus == Diff([], [], 3, 3)
    assert nothing is None


def test_a_node_that_ends_lets_leases_end_in_time():
    table = PresenceTable("n", lambda: 0.5)
    for name in ("a", "b"):
        table.join("t", member(name), 0.0)
    table.leave("t", "b", 0.0, at_once=True)

    changes = table.leave_all()

    assert set(changes) == {Leave("t", "a", "n", GRACE), Leave("t", "b", "n", 0.0)}
    assert len(table) == 0


def test_what_is_known_of_topics_nobody_needs_is_forgotten():
    table = PresenceTable("n", lambda: 0.5)
    for n in range(100):
        table.watch(f"t{n}", 0.0)
        table.join(f"t{n}", member("a"), 0.0)
        table.leave(f"t{n}", "a", 0.0, at_once=True)
        table.unwatch(f"t{n}")
    for second in range(1, 20):
        table.tick(float(second))

    assert table.topics == []


def test_renewals_are_spread_and_batched():
    jitter = itertools.cycle([0.0, 0.25, 0.5, 0.75, 1.0]).__next__
    table = PresenceTable("n", jitter)
    for n in range(100):
        table.join("t", member(str(n)), 0.0)
    counts = []
    for second in range(1, 61):
        for effect in table.tick(float(second)):
            assert isinstance(effect, Announce)
            counts.append(sum(isinstance(c, Renew) for c in effect.changes))

    assert sum(counts) in range(200, 400)
    assert max(counts) < 60


def test_public_names_hide_the_client_and_tell_users_apart():
    names = {
        public_name(None, "x"),
        public_name("", "x"),
        public_name("ann", "x"),
        public_name("bob", "x"),
        public_name(None, "y"),
    }

    assert len(names) == 5
    assert all(len(name) == 24 and "x" not in name for name in names)


# --- end to end ------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Presence in tenths of its seconds."""
    for name in ("LEASE", "RENEW_EVERY", "GRACE", "BATCH", "SWEEP_EVERY"):
        value = getattr(presence_module, name)
        monkeypatch.setattr(presence_module, name, value / 10)


PRESENT = {"presence": True}


async def test_who_subscribes_with_presence_is_seen_by_the_others(quick):
    identify = {"identify": lambda peer: User("ann", {"name": "Ann"})}
    async with serving(options=PRESENT, **identify) as it:
        first = await it.by_hand()
        answer = await first.call("hub.subscribe", topic="chat:1", presence=True)
        you = answer["presence"]["you"]
        params = await first.pushes_of("hub.presence")
        assert params == {
            "topic": "chat:1",
            "clients": 1,
            "users": 1,
            "joined": [{"client": you, "user": "ann", "info": {"name": "Ann"}}],
        }

        second = await it.by_hand()
        answer = await second.call("hub.subscribe", topic="chat:1", presence=True)
        assert [each["client"] for each in answer["presence"]["members"]] == [you]
        params = await first.pushes_of("hub.presence")
        assert (params["clients"], params["users"]) == (2, 1)

        await second.call("hub.unsubscribe", topic="chat:1")
        params = await first.pushes_of("hub.presence")
        assert [each["client"] for each in params["left"]] == [
            answer["presence"]["you"]
        ]
        found = await it.hub.presence("chat:1")
        assert (found.clients, found.users) == (1, 1)
        assert found.members[0].client == you


async def test_who_only_watches_is_not_there(quick):
    async with serving(options=PRESENT) as it:
        client = await it.by_hand()
        answer = await client.call(
            "hub.subscribe", topic="chat:1", presence={"watch": True}
        )

        assert answer["presence"] == {"clients": 0, "users": 0, "members": []}
        await asyncio.sleep(0.5)
        assert (await client.call("hub.presence", topic="chat:1"))["clients"] == 0


async def test_a_page_that_reconnects_is_the_same_member_and_never_left(quick):
    async with serving(options=PRESENT) as it:
        watcher = await it.by_hand()
        await watcher.call("hub.subscribe", topic="chat:1", presence={"watch": True})
        presence = {"client": "c" * 32}
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1", presence=presence)
        joined = (await watcher.pushes_of("hub.presence"))["joined"]

        for _ in range(3):
            client.websocket.transport.abort()
            client = await it.by_hand()
            answer = await client.call(
                "hub.subscribe", topic="chat:1", presence=presence
            )
            assert answer["presence"]["you"] == joined[0]["client"]
            await asyncio.sleep(0.4)

        await watcher.call("hub.unsubscribe", topic="x")
        assert watcher.pushes.empty()
        client.websocket.transport.abort()
        params = await watcher.pushes_of("hub.presence")
        assert (params["clients"], params["left"]) == (0, joined)


async def test_who_subscribes_anew_without_presence_has_left(quick):
    async with serving(options=PRESENT) as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1", presence=True)
        await asyncio.sleep(0.3)
        assert (await it.hub.presence("chat:1")).clients == 1

        await client.call("hub.subscribe", topic="chat:1")
        await asyncio.sleep(0.3)

        assert (await it.hub.presence("chat:1")).clients == 0


async def test_a_connection_is_one_page_under_one_name(quick):
    async with serving(options=PRESENT) as it:
        client = await it.by_hand()
        first = await client.call(
            "hub.subscribe", topic="chat:1", presence={"client": "a" * 32}
        )
        second = await client.call("hub.subscribe", topic="chat:2", presence=True)
        other = await client.call(
            "hub.subscribe", topic="chat:3", presence={"client": "b" * 32}
        )
        long = await client.call(
            "hub.subscribe", topic="chat:3", presence={"client": "b" * 100}
        )

        assert first["presence"]["you"] == second["presence"]["you"]
        assert "another one already" in other["message"]
        assert "1 to 64" in long["message"]


async def test_nobody_takes_anothers_place_by_its_public_name(quick):
    async with serving(options=PRESENT) as it:
        victim, thief = await it.by_hand(), await it.by_hand()
        answer = await victim.call("hub.subscribe", topic="chat:1", presence=True)
        you = answer["presence"]["you"]
        await asyncio.sleep(0.3)

        answer = await thief.call(
            "hub.subscribe", topic="chat:1", presence={"client": you}
        )
        assert answer["presence"]["you"] != you
        await thief.call("hub.unsubscribe", topic="chat:1")
        await asyncio.sleep(0.3)

        found = await it.hub.presence("chat:1")
        assert [each.client for each in found.members] == [you]


async def test_lists_are_cut_and_counts_are_not(quick):
    async with serving(options=PRESENT) as it:
        members = [Member(f"m{n}", None, b"", "other") for n in range(50)]
        await it.hub.broker.presence([], [Join("chat:1", each, 60) for each in members])
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")

        found = await client.call("hub.presence", topic="chat:1", limit=7)
        assert (found["clients"], len(found["members"])) == (50, 7)
        found = await client.call("hub.presence", topic="chat:1", limit=0)
        assert (found["clients"], found["members"]) == (50, [])


async def test_info_of_a_member_has_a_limit():
    identify = {"identify": lambda peer: User("ann", "x" * 2000)}
    async with serving(options=PRESENT, **identify) as it:
        client = await it.by_hand()

        error = await client.call("hub.subscribe", topic="chat:1", presence=True)

        assert "1024 bytes" in error["message"]
        assert (await client.call("hub.history", topic="chat:1"))["code"] == -32011


async def test_a_watcher_without_room_is_told_the_whole_when_it_has_some(quick):
    async with serving(options={**PRESENT, "history": 5000}) as it:
        client = await it.by_hand(max_queue=1, compression=None)
        await client.call("hub.subscribe", topic="chat:1", presence={"watch": True})
        (link,) = it.hub._running.links.values()
        number = 0
        while link.has_room:
            await it.hub.publish("chat:1", [number, "x" * 20_000])
            number += 1
            await asyncio.sleep(0)
        other = await it.by_hand("", subprotocols=["longwire.msgpack"])
        service = it.hub._running
        (peer,) = [p for p in it.server.peers if p.wire.name == "longwire.msgpack"]
        other_link = service.link_of(peer, "hub.")
        other_link.client = "x"
        service.presences.join(other_link, "chat:1", "bob", b"")
        await eventually(lambda: "chat:1" in (link.stale or ()))

        params = await client.pushes_of("hub.presence")

        assert params["clients"] == 1
        assert [each["user"] for each in params["members"]] == ["bob"]
        assert other is not None


async def test_a_node_says_that_it_lives(quick):
    async with serving(identify=user_of_path) as it:

        async def nodes():
            found = await it.hub.broker.members("$nodes", 10)
            return [each.client for each in found.members]

        async with asyncio.timeout(5):
            while await nodes() != [it.hub.node]:
                await asyncio.sleep(0.01)
