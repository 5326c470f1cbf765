"""What is Redis's own: URLs, names of keys, the connection, and what servers say."""

import asyncio
import contextlib
import dataclasses
import logging
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.needs import needs

needs("msgspec")
needs("hiredis")

import hiredis

from longwire.hub import BrokerUnavailable, Hub
from longwire.hub.addresses import Address
from longwire.hub.entries import MAX_TAG, Position
from longwire.hub.publishing import new_tag
from longwire.hub.redis import RedisBroker, appending
from longwire.hub.redis.addresses import parse_url
from longwire.hub.redis.appending import Appends, append_arguments
from longwire.hub.redis.broker import _problems
from longwire.hub.redis.feed import parse_message
from longwire.hub.redis.keys import Keys, key_slot, partition_of, tags
from longwire.hub.redis.resp import Connection, ServerError
from longwire.hub.redis.scripts import APPEND
from tests.hub.conftest import running
from tests.hub.contract import KEPT, publish
from tests.hub.redis_servers import redis_cluster, redis_server
from tests.hub.serving import eventually

# --- URLs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kind", "addresses", "rest"),
    [
        ("redis://localhost", "redis", ["localhost:6379"], (None, None, 0, "")),
        ("redis://h:1/3", "redis", ["h:1"], (None, None, 3, "")),
        ("redis://a,b:7", "redis", ["a:6379", "b:7"], (None, None, 0, "")),
        ("redis://u:p@h", "redis", ["h:6379"], ("u", "p", 0, "")),
        ("redis://:p%40x@h", "redis", ["h:6379"], (None, "p@x", 0, "")),
        ("redis://secret@h", "redis", ["h:6379"], (None, "secret", 0, "")),
        ("redis://[::1]:7", "redis", ["[::1]:7"], (None, None, 0, "")),
        ("redis://[::1]", "redis", ["[::1]:6379"], (None, None, 0, "")),
        ("redis+cluster://a:1,b:2", "cluster", ["a:1", "b:2"], (None, None, 0, "")),
        ("redis+sentinel://s/m", "sentinel", ["s:26379"], (None, None, 0, "m")),
        ("redis+sentinel://s/m/2", "sentinel", ["s:26379"], (None, None, 2, "m")),
    ],
)
def test_a_url_says_where_redis_is(url, kind, addresses, rest):
    place = parse_url(url)

    assert place.kind == kind
    assert [str(address) for address in place.addresses] == addresses
    found = (place.username, place.password, place.database, place.service)
    assert found == rest
    assert place.tls is None


def test_rediss_is_tls_with_a_context_of_the_programs_or_the_default():
    context = ssl.create_default_context()

    assert isinstance(parse_url("rediss://h").tls, ssl.SSLContext)
    assert parse_url("rediss+cluster://h", context).tls is context


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("localhost", "begin with redis://"),
        ("http://localhost", "begin with redis://"),
        ("redis+carrier://h", "redis, redis\\+sentinel and redis\\+cluster"),
        ("redis://", "a host is empty"),
        ("redis://a,,b", "a host is empty"),
        ("redis://h:x", "'x' is not a port"),
        ("redis://h:0", "'0' is not a port"),
        ("redis://h:65536", "not a port"),
        ("redis://h:٣", "not a port"),
        ("redis://h/x", "'x' is not the number of a database"),
        ("redis://h/0/1", "not the number of a database"),
        ("redis://[::1", "not a host"),
        ("redis://h?db=1", "no options"),
        ("redis+cluster://h/1", "no databases but 0"),
        ("redis+sentinel://h", "name of the service"),
    ],
)
def test_a_url_that_says_nothing_of_use_is_refused(url, text):
    with pytest.raises(ValueError, match=text):
        parse_url(url)
    with pytest.raises(ValueError, match=r"cannot be used|no broker"):
        Hub(url)


def test_passwords_are_in_no_message():
    with pytest.raises(ValueError, match="cannot be used") as caught:
        parse_url("redis://user:hunter2@h:x")
    assert "hunter2" not in str(caught.value)
    broker = RedisBroker("redis://user:hunter2@h:1")
    assert "hunter2" not in repr(broker) + repr(broker.place)
    with pytest.raises(TypeError, match="must be str, not int"):
        parse_url(7)
    with pytest.raises(ValueError, match="with tls= it begins with rediss"):
        parse_url("redis://h", ssl.create_default_context())


@pytest.mark.parametrize("namespace", ["", "a b", "a:b", "{a}", "a\n"])
def test_a_namespace_is_a_plain_word(namespace):
    with pytest.raises(ValueError, match="namespace is"):
        RedisBroker("redis://h", namespace=namespace)


# --- keys ------------------------------------------------------------------------


def test_slots_are_those_of_the_specification():
    # The cluster specification's own example, and what redis-cli says of others.
    assert key_slot(b"123456789") == 0x31C3
    assert key_slot(b"foo") == 12182
    assert key_slot(b"") == 0


def test_tags_never_change_for_keys_in_use_have_them():
    assert tags()[:8] == ("14", "10", "100", "18", "113", "117", "346", "342")
    assert tags()[-3:] == ("150", "40", "44")
    assert len(set(tags())) == 128
    assert [partition_of(topic) for topic in ("chat:1", "$control")] == [114, 112]


@pytest.mark.parametrize("servers", [1, 2, 3, 5, 6, 7, 12])
def test_tags_are_spread_evenly_over_however_many_servers(servers):
    counts = [0] * servers
    for tag in tags():
        counts[key_slot(tag.encode()) * servers // 16384] += 1

    assert max(counts) - min(counts) <= 2


@given(st.text(), st.text(), st.text(), st.text())
def test_two_ids_have_two_keys(topic, id, other_topic, other_id):
    first = Keys("lw", topic, "0").id(id)
    second = Keys("lw", other_topic, "0").id(other_id)

    assert (first == second) == ((topic, id) == (other_topic, other_id))


@pytest.mark.parametrize("verb", ["PUBLISH", "SPUBLISH"])
@pytest.mark.parametrize("data", [b"", b'j"x"', b"m\r\n$1\r\n", bytes(70_000)])
@pytest.mark.parametrize("topic", ["t", "chat:42", "é:" + "x" * 120])
def test_a_publish_is_the_same_bytes_in_pieces_and_packed_at_once(
    monkeypatch, topic, data, verb
):
    monkeypatch.setattr(appending, "new_epoch", lambda: "AbC-_123")
    for storage in (KEPT, dataclasses.replace(KEPT, history=0)):
        for tag in (1, MAX_TAG):
            append = Appends("lw", verb).of(topic, storage)
            keys, arguments = append_arguments(
                Keys("lw", topic), data, tag, storage, verb
            )
            wanted = hiredis.pack_command(
                ("EVALSHA", APPEND.sha, len(keys), *keys, *arguments)
            )
            assert append.command(data, tag) == wanted


def test_only_so_many_topics_have_their_commands_kept(monkeypatch):
    monkeypatch.setattr(appending, "MOST", 3)
    appends = Appends("lw", "PUBLISH")
    for number in range(100):
        appends.of(f"t:{number}", KEPT)
        assert len(appends._known) <= 3
    kept = appends.of("t:99", KEPT)
    assert appends.of("t:99", KEPT) is kept
    # A topic that is stored another way is published another way.
    other = dataclasses.replace(KEPT, history=7)
    assert appends.of("t:99", other).command(b"j1", 1) != kept.command(b"j1", 1)


def test_all_keys_of_a_topic_have_one_tag():
    keys = Keys("lw", "chat:42")
    names = [keys.meta, keys.stream, keys.channel, keys.id("x"), *keys.presence]

    assert len(set(names)) == 7
    assert {name.split("}")[0] for name in names} == {f"lw:{{{keys.tag}}}"[:-1]}


# --- what comes by the feed ------------------------------------------------------


def test_a_message_of_the_feed_is_an_entry_or_word_of_a_clearing():
    entry = parse_message(b"epoch123.7.99.88.1800000000123\nj1")

    assert entry.position == Position("epoch123", 7, 99)
    assert (entry.prev, entry.prev_tag, entry.at) == (6, 88, 1800000000.123)
    assert entry.data == b"j1"
    assert parse_message(b"e.0.0.0.5\n") is None


@given(st.binary())
def test_any_message_is_read_or_refused(payload):
    try:
        parse_message(payload)
    except ValueError:
        pass


async def test_what_is_no_message_of_ours_is_a_doubt_and_no_crash(redis_url, caplog):
    broker = RedisBroker(redis_url, namespace="junk")
    async with running(broker) as sink:
        await broker.attach(["a:1"])
        channel = Keys("junk", "a:1").channel
        for junk in (b"", b"x", b"a.b.c.d.e\nx", b"e.1.2.3.4\n", b"\x80\x04K\x01."):
            await broker._command(Keys("junk", "a:1").tag, "PUBLISH", channel, junk)
        await publish(broker, "a:1", 1)

        await sink.until(1)
        assert len(sink.losses) == 5
    assert "no message of ours" in caplog.text


# --- the connection --------------------------------------------------------------


@contextlib.asynccontextmanager
async def server_that(behaves):
    """A server that does to each connection what ``behaves(reader, writer)`` does."""
    server = await asyncio.start_server(behaves, "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await asyncio.sleep(0.05)


async def connected(address, timeout=0.3, url="redis://h", **options):
    return await Connection.open(address, parse_url(url), timeout, "test", **options)


def answering(*answers):
    """A server that answers OK to who comes, then these, whatever is asked."""

    async def behave(reader, writer):
        await reader.read(1000)
        writer.write(b"+OK\r\n")
        for answer in answers:
            await reader.read(1000)
            writer.write(answer)
        await reader.read(1000)
        writer.close()

    return behave


async def test_answers_come_in_the_order_of_the_commands():
    async with server_that(answering(b"+a\r\n:5\r\n-ERR no\r\n$-1\r\n")) as address:
        connection = await connected(address)
        futures = [connection.send("X") for _ in range(4)]

        assert await futures[0] == b"a"
        assert await futures[1] == 5
        with pytest.raises(ServerError, match="ERR no") as caught:
            await futures[2]
        assert caught.value.kind == "ERR"
        assert await futures[3] is None
        connection.close("done")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "no answer within"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not RESP"),
        (b"\x00\x01\x02", "not RESP"),
        (b"$5\r\nab", "no answer within"),
        (b"*2\r\n$1\r\na\r\n", "no answer within"),
        (b"+a\r\n+b\r\n", "an answer to nothing"),
    ],
)
async def test_a_server_that_makes_no_sense_ends_the_connection(answer, why):
    lost = []
    async with server_that(answering(answer)) as address:
        connection = await connected(address, on_lost=lost.append)
        first, second = connection.send("X"), None
        if why != "an answer to nothing":
            second = connection.send("Y")
        with contextlib.suppress(BrokerUnavailable):
            await first
        if second is not None:
            with pytest.raises(BrokerUnavailable) as caught:
                await second
            assert caught.value.stored is None
        await eventually(lambda: bool(lost))

        assert why in lost[0]
        with pytest.raises(BrokerUnavailable) as caught:
            connection.send("Z")
        assert caught.value.stored is False


async def test_a_server_that_hangs_up_ends_what_waits():
    async def behave(reader, writer):
        await reader.read(1000)
        writer.write(b"+OK\r\n")
        await reader.read(1000)
        writer.close()

    async with server_that(behave) as address:
        connection = await connected(address)
        with pytest.raises(BrokerUnavailable, match="closed by the server"):
            await connection.call("X")


async def test_a_server_that_is_not_there_is_said_with_its_address():
    from tests.support.ports import free_port

    address = Address("127.0.0.1", free_port())
    with pytest.raises(BrokerUnavailable, match=str(address)) as caught:
        await connected(address)
    assert caught.value.stored is False


async def test_a_server_that_does_not_accept_is_given_up_in_time():
    async def behave(reader, writer):
        await reader.read(1000)
        await reader.read(1000)
        writer.close()

    async with server_that(behave) as address:
        with pytest.raises(BrokerUnavailable, match="no answer"):
            await connected(address, timeout=0.1)


# --- servers ---------------------------------------------------------------------


async def test_a_password_is_given_and_a_wrong_one_is_said():
    with redis_server("--requirepass", "hunter2") as server:
        good = RedisBroker(f"redis://:hunter2@127.0.0.1:{server.port}/3")
        async with running(good) as sink:
            await good.attach(["a:1"])
            await publish(good, "a:1", 1)
            await sink.until(1)
        place = parse_url(f"redis://:wrong@127.0.0.1:{server.port}")
        with pytest.raises(BrokerUnavailable, match="WRONGPASS") as caught:
            await Connection.open(place.addresses[0], place, 1.0, "test")
        assert "wrong@" not in str(caught.value)


async def test_tls_is_spoken(certificates, tmp_path):
    from tests.support.ports import free_port

    port = free_port()
    options = (
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(certificates.cert_file)),
        *("--tls-key-file", str(certificates.key_file)),
        *("--tls-ca-cert-file", str(certificates.ca_file)),
    )
    with redis_server(*options):
        context = certificates.client
        broker = RedisBroker(f"rediss://localhost:{port}", tls=context)
        async with running(broker) as sink:
            await broker.attach(["a:1"])
            await publish(broker, "a:1", 1)
            await sink.until(1)


async def test_two_namespaces_share_a_server(redis_url):
    one = RedisBroker(redis_url, namespace="one")
    two = RedisBroker(redis_url, namespace="two")
    async with running(one) as first, running(two) as second:
        await one.attach(["a:1"])
        await two.attach(["a:1"])
        await publish(one, "a:1", 2)
        await first.until(2)

        assert second.entries == []
        assert (await two.tops(["a:1"])) == [None]


async def test_scripts_that_a_server_has_forgotten_are_sent_again():
    with redis_server() as server:
        broker = RedisBroker(server.url)
        async with running(broker):
            await publish(broker, "a:1", 1)
            server.call("SCRIPT", "FLUSH")
            await publish(broker, "a:1", 1)

            assert [top.offset for top in await broker.tops(["a:1"])] == [2]


async def test_how_many_replicas_have_a_message_is_said(monkeypatch):
    import dataclasses

    from longwire.hub.redis import broker as module

    monkeypatch.setattr(module, "REPLICA_WAIT", 1500)
    durable = dataclasses.replace(KEPT, durability="replica")
    with redis_server() as primary, redis_server() as replica:
        broker = RedisBroker(primary.url)
        async with running(broker):
            alone = await broker.publish("a:1", b"j1", new_tag(), durable)
            replica.replicate(primary)
            shared = await broker.publish("a:1", b"j1", new_tag(), durable)

            assert (alone.replicas, shared.replicas) == (0, 1)
        hub = Hub(primary.url)
        hub.topic("a:{x}", subscribe="anyone", durability="replica")
        async with hub:
            assert (await hub.publish("a:1", 1)).replicas == 1


async def test_a_url_of_a_cluster_says_so():
    with redis_cluster() as cluster:
        broker = RedisBroker(f"redis://127.0.0.1:{cluster.primaries[0].port}")
        async with running(broker):
            with pytest.raises(BrokerUnavailable, match=r"redis\+cluster://"):
                for number in range(20):
                    await broker.publish(f"a:{number}", b"j1", new_tag(), KEPT)


async def test_policies_that_evict_what_is_needed_are_reported(caplog):
    with redis_server("--maxmemory-policy", "allkeys-lru") as server:
        broker = RedisBroker(server.url)
        async with running(broker):
            await publish(broker, "a:1", 1)
    assert "maxmemory-policy is allkeys-lru" in caplog.text


def test_versions_that_are_too_old_are_reported():
    assert _problems({"redis_version": "7.0.15"}, True) == []
    assert _problems({"redis_version": "6.2.0"}, False) == []
    assert "6.2 or newer" in _problems({"redis_version": "5.0.14"}, False)[0]
    assert "7.0 or newer" in _problems({"redis_version": "6.2.9"}, True)[0]
    assert _problems({"redis_version": "8.0.1-rc1"}, True) == []


async def test_clocks_that_differ_are_reported(redis_url, monkeypatch, caplog):
    from longwire.hub.redis import broker as module

    real = module.time.time
    monkeypatch.setattr(module.time, "time", lambda: real() + 3600)
    broker = RedisBroker(redis_url, namespace="clock")
    with caplog.at_level(logging.WARNING):
        async with running(broker):
            await publish(broker, "a:1", 1)
    assert "the clock of" in caplog.text
    assert "behind ours" in caplog.text


async def test_a_topic_that_is_only_heard_keeps_its_epoch(monkeypatch):
    import dataclasses

    from longwire.hub.redis import broker as module

    monkeypatch.setattr(module, "REFRESH_META", 0.1)
    brief = dataclasses.replace(KEPT, meta_ttl=0.6)
    with redis_server() as server:
        broker = RedisBroker(server.url)
        async with running(broker):
            (place,) = await publish(broker, "a:1", 1, brief)
            await broker.attach(["a:1"])
            await broker.read("a:1", None, brief, 1, 1000, reverse=True)
            for _ in range(10):
                await asyncio.sleep(0.15)
                assert await broker.tops(["a:1"]) == [place]


async def test_nothing_is_left_when_a_broker_is_stopped(redis_url):
    broker = RedisBroker(redis_url, namespace="stop")
    for _ in range(3):
        async with running(broker):
            await broker.attach(["a:1"])
            await publish(broker, "a:1", 1)
        with pytest.raises(BrokerUnavailable, match="not running"):
            await broker.publish("a:1", b"j1", new_tag(), KEPT)


def test_without_hiredis_it_says_what_to_install(monkeypatch):
    import sys

    for name in list(sys.modules):
        if name.startswith(("hiredis", "longwire.hub.redis")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hiredis", None)

    with pytest.raises(ImportError, match=r"install '\.\[redis\]'"):
        Hub("redis://localhost")
