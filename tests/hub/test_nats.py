"""What the contract does not say: of NATS's addresses, protocol, streams and errors."""

import asyncio
import contextlib
import random
import re
import ssl

import pytest

from tests.hub.conftest import running
from tests.support.needs import needs

needs("msgspec")
needs("nats-server")

from longwire.hub import Hub, reconnecting
from longwire.hub.broker import Join, Member, Renew, Storage
from longwire.hub.errors import BrokerUnavailable, TooLarge
from longwire.hub.nats import NatsBroker, feed
from longwire.hub.nats.addresses import parse_url
from longwire.hub.nats.streams import Settings, Streams, encoded
from longwire.hub.nats.wire import Connection
from longwire.hub.publishing import new_tag
from tests.hub.chaos import Proxy
from tests.hub.contract import KEPT, SHORT, Sink, publish, read
from tests.hub.nats_servers import (
    Key,
    NatsServer,
    server_of_credentials,
    server_of_key,
)
from tests.hub.serving import eventually

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]


# --- addresses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "addresses", "who"),
    [
        ("nats://host", ["host:4222"], (None, None, None)),
        ("nats://host:1/", ["host:1"], (None, None, None)),
        ("nats://one,two:5", ["one:4222", "two:5"], (None, None, None)),
        ("nats://[::1]:5", ["[::1]:5"], (None, None, None)),
        ("nats://u:p%40@host", ["host:4222"], ("u", "p@", None)),
        ("nats://secret@host", ["host:4222"], (None, None, "secret")),
        ("tls://host", ["host:4222"], (None, None, None)),
    ],
)
def test_a_url_says_where_and_who(url, addresses, who):
    place = parse_url(url)

    assert [str(each) for each in place.addresses] == addresses
    assert (place.username, place.password, place.token) == who
    assert (place.tls is not None) == url.startswith("tls")


@pytest.mark.parametrize(
    "url",
    [
        "nats:/host",
        "redis://host",
        "nats://",
        "nats://:4222",
        "nats://host:0",
        "nats://host:65536",
        "nats://host:x",
        "nats://host:٣",
        "nats://one,,two",
        "nats://host/stream",
        "nats://host?a=1",
        "nats://[::1",
        "nats://u:secret@host:x",
        "nats://a b",
    ],
)
def test_a_url_that_cannot_be_used_is_said_without_its_password(url):
    with pytest.raises(ValueError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"namespace": "a.b"}, "namespace"),
        ({"namespace": ""}, "namespace"),
        ({"partitions": 0}, "partitions"),
        ({"partitions": 65}, "partitions"),
        ({"replicas": 6}, "replicas"),
        ({"storage": "disk"}, "storage"),
        ({"stream_bytes": 1000}, "stream_bytes"),
        ({"tls": ssl.create_default_context()}, "tls"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options, what):
    with pytest.raises(ValueError, match=what):
        NatsBroker("nats://localhost", **options)


def test_no_name_of_a_topic_is_more_than_one_token_of_a_subject():
    names = ["a", "a.b", "*", ">", "a b", "é\u2028", "%2E", "$x", "a:b", "~"]
    tokens = [encoded(name) for name in names]

    assert len(set(tokens)) == len(names)
    for token in tokens:
        assert token.isascii()
        assert not set(token) & set(".*> \r\n$~")


def test_long_names_of_declarations_make_names_of_streams_that_files_can_have():
    streams = Streams(Settings("lw", 4, 1, "file", None))
    layouts = {streams.layout_of("é" * n + ":1") for n in range(1, 65)}

    assert len({layout.name.rsplit("-", 2)[0] for layout in layouts}) == 64
    assert all(len(layout.name) < 200 for layout in layouts)


# --- the protocol ----------------------------------------------------------------

INFO = b'INFO {"version":"2.15.1","headers":true,"max_payload":1048576}\r\n'


@contextlib.asynccontextmanager
async def server_that_says(*lines, after=0, info=INFO):
    """A server that answers CONNECT's PING, and then says something."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError):
            if after == 0:
                writer.write(b"".join(lines))
            else:
                writer.write(info)
                while line := await reader.readline():
                    if line == b"PING\r\n":
                        writer.write(b"PONG\r\n" + b"".join(lines))
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def connect(port, lost=None, **options):
    place = parse_url(f"nats://127.0.0.1:{port}")
    found = {"on_info": print, "on_error": print, **options}
    return await Connection.open(
        place.addresses[0],
        place,
        5.0,
        "test",
        on_lost=(lost if lost is not None else []).append,
        **found,
    )


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"INFO {\r\n",
        b"INFO []\r\n",
        b"INFO\r\n",
        b"\r\n",
        b"\xff\xfe\r\n",
        INFO + b"-ERR 'Authorization Violation'\r\n",
        INFO + b"MSG\r\n",
        b"x" * (1 << 21),
    ],
)
async def test_what_is_no_nats_server_is_said_to_be_none(said):
    async with server_that_says(said) as port:
        with pytest.raises(BrokerUnavailable) as caught:
            await connect(port)
        assert caught.value.stored is False
        assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "said",
    [
        b"MSG x 1 -1\r\n",
        b"MSG x 1 99999999999\r\n",
        b"MSG x 1 a\r\n",
        b"HMSG x 1 5 5\r\nabcde\r\n",
        b"NOPE\r\n",
        b"-ERR 'Stale Connection'\r\n",
        b"INFO x\r\n",
        b"x" * (1 << 21),
    ],
)
async def test_nonsense_ends_the_connection_and_all_that_waits(said):
    lost = []
    async with server_that_says(said, after=1) as port:
        connection = await connect(port, lost)
        with pytest.raises(BrokerUnavailable):
            await connection.request("x", b"")
        assert len(lost) == 1
        with pytest.raises(BrokerUnavailable):
            await connection.flush()


async def test_errors_that_end_nothing_are_told():
    told = []
    said = b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n"
    async with server_that_says(said, after=1) as port:
        connection = await connect(port, on_error=told.append)
        await connection.flush()
        assert connection.closed is None
        assert told
        connection.close("done")


async def test_a_message_is_read_however_it_is_cut():
    data = b"HMSG a 2 12 17\r\nNATS/1.0\r\n\r\nab\r\nc\r\nMSG a 2 0\r\n\r\nPING\r\n"
    async with server_that_says(after=1) as port:
        connection = await connect(port)
        got = []
        connection.subscribe("a", lambda *each: got.append(each))
        for size in (1, 2, 3, 7, len(data)):
            got.clear()
            for start in range(0, len(data), size):
                connection.data_received(data[start : start + size])
            assert got == [("a", {}, b"ab\r\nc"), ("a", {}, b"")], size
        connection.close("done")


# --- who may, and which servers --------------------------------------------------


async def refusal_of(broker, caplog):
    """What is said of a server that cannot be used, by the log."""
    task = asyncio.create_task(broker.run(None))
    await eventually(lambda: "cannot be reached" in caplog.text, 10)
    task.cancel()
    await asyncio.wait([task])
    assert "Traceback" not in caplog.text
    return caplog.text


async def test_wrong_credentials_are_said(caplog):
    with NatsServer("--user", "ann", "--pass", "right") as server:
        server.launch().wait_for_port()
        host = f"127.0.0.1:{server.port}"

        said = await refusal_of(NatsBroker(f"nats://ann:wrong@{host}"), caplog)
        assert "Authorization Violation" in said
        assert "wrong" not in said
        async with running(NatsBroker(f"nats://ann:right@{host}")) as sink:
            assert sink.is_ready.is_set()


async def test_a_server_without_jetstream_is_said(caplog):
    with NatsServer() as server:
        server.launch("-a", "127.0.0.1", "-p", str(server.port)).wait_for_port()
        said = await refusal_of(NatsBroker(server.url), caplog)
        assert "JetStream is off" in said


async def test_a_server_that_is_too_old_is_said(caplog):
    old = INFO.replace(b"2.15.1", b"2.9.10")
    async with server_that_says(after=1, info=old) as port:
        said = await refusal_of(NatsBroker(f"nats://127.0.0.1:{port}"), caplog)
        assert "2.9.10" in said
        assert "2.11 or newer is needed" in said


async def test_tls_from_the_first_info_on(tmp_path):
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    options = ("--tls", "--tlscert", str(tmp_path / "cert"))
    options += ("--tlskey", str(tmp_path / "key"))
    with NatsServer(*options) as server:
        server.launch().wait_for_port()
        broker = NatsBroker(f"tls://localhost:{server.port}", tls=context)
        async with running(broker) as sink:
            await broker.attach(["a:1"])
            await publish(broker, "a:1", 1)
            await sink.until(1)


# --- streams ---------------------------------------------------------------------


def streams_of(url, broker):
    server = NatsServer(port=int(url.rpartition(":")[2]))
    found = [n for n in server.streams() if n.startswith(broker.namespace + "-")]
    return server, found


@pytest.fixture
def broker_on(nats_url):
    import secrets

    namespace = secrets.token_hex(6)

    def make(**options):
        return NatsBroker(nats_url, namespace=namespace, **options)

    return make


async def test_topics_attached_while_the_connection_is_made_are_probed_too(
    broker_on, monkeypatch
):
    monkeypatch.setattr(reconnecting, "QUIET", 0.1)
    monkeypatch.setattr(reconnecting, "PROBE", 2.0)
    broker = broker_on()
    async with running(broker):
        for topic in ("a:1", "b:1"):
            await publish(broker, topic, 1)
    attaching, heard = [], []
    flush, probe_came = Connection.flush, feed.Feed._probe_came

    async def flush_and_attach(connection):
        if connection._is_introduced and not attaching:
            attaching.append(asyncio.create_task(broker.attach(["b:1"])))
            await asyncio.sleep(0)
        await flush(connection)

    def note(self, line):
        heard.append(line.layout.name)
        probe_came(self, line)

    monkeypatch.setattr(Connection, "flush", flush_and_attach)
    monkeypatch.setattr(feed.Feed, "_probe_came", note)
    task = asyncio.create_task(broker.run(Sink()))
    await asyncio.sleep(0)

    await broker.attach(["a:1"])
    await asyncio.gather(*attaching)

    layouts = map(Streams(broker._settings).layout_of, ("a:1", "b:1"))
    wanted = {layout.name for layout in layouts}
    await eventually(lambda: wanted <= set(heard), 10)
    task.cancel()
    await asyncio.wait([task])


async def test_a_changed_declaration_changes_the_stream_and_loses_nothing(
    broker_on, nats_url
):
    broker = broker_on()
    async with running(broker):
        places = await publish(broker, "a:1", 3, SHORT)
        page = await read(broker, "a:1", places[0], KEPT)
        assert [each.position for each in page.entries] == places[1:]
        places += await publish(broker, "a:1", 10, KEPT)

        page = await read(broker, "a:1", places[0], KEPT)

        assert [each.position for each in page.entries] == places[1:]
        server, (name,) = streams_of(nats_url, broker)
        config = server.ask(f"STREAM.INFO.{name}")["config"]
        assert config["max_msgs_per_subject"] == KEPT.history + 1
        assert config["max_age"] == KEPT.meta_ttl * 10**9
        server.close()


async def test_a_copy_of_another_stream_is_refused(broker_on, nats_url, caplog):
    broker = broker_on()
    async with running(broker):
        layout = Streams(broker._settings).layout_of("a:1")
        server, _ = streams_of(nats_url, broker)
        other = f"x{broker.namespace}"
        for name, more in (
            (other, {"subjects": [f"{other}.>"]}),
            (layout.name, {"mirror": {"name": other}}),
        ):
            config = {"name": name, "storage": "memory", **more}
            assert "error" not in server.ask(f"STREAM.CREATE.{name}", config)

        with pytest.raises(BrokerUnavailable, match="a copy of another stream"):
            await publish(broker, "a:1", 1)
        assert "a copy of another stream" in caplog.text
        server.close()


async def test_subjects_that_are_another_streams_are_said(broker_on, nats_url):
    broker = broker_on()
    async with running(broker):
        server, _ = streams_of(nats_url, broker)
        config = {"name": f"x{broker.namespace}", "subjects": [broker.namespace + ".>"]}
        assert "error" not in server.ask(f"STREAM.CREATE.{config['name']}", config)

        with pytest.raises(BrokerUnavailable, match="subjects of another stream"):
            await publish(broker, "a:1", 1)
        server.close()


async def test_nodes_that_start_together_make_each_stream_once(broker_on, nats_url):
    brokers = [broker_on() for _ in range(5)]
    async with contextlib.AsyncExitStack() as stack:
        for broker in brokers:
            await stack.enter_async_context(running(broker))
        found = await asyncio.gather(*(publish(broker, "a:1", 3) for broker in brokers))

        assert len({place.epoch for places in found for place in places}) == 1
        server, names = streams_of(nats_url, brokers[0])
        assert len(names) == 1
        server.close()


async def test_a_stream_that_was_deleted_is_made_anew_with_another_epoch(
    broker_on, nats_url
):
    broker = broker_on()
    async with running(broker) as sink:
        await broker.attach(["a:1"])
        places = await publish(broker, "a:1", 3)
        server, (name,) = streams_of(nats_url, broker)
        server.ask(f"STREAM.DELETE.{name}")

        (after,) = await publish(broker, "a:1", 1)

        assert after.epoch != places[0].epoch
        assert (await read(broker, "a:1", places[2])).verdict.value == "epoch"
        entries = await sink.until(4)
        assert entries[-1].position == after
        server.close()


async def test_messages_that_others_put_there_are_given_to_nobody(broker_on, nats_url):
    broker = broker_on()
    async with running(broker) as sink:
        await broker.attach(["a:1"])
        places = await publish(broker, "a:1", 2)
        server, _ = streams_of(nats_url, broker)
        layout = Streams(broker._settings).layout_of("a:1")
        subject = f"{layout.stored}{places[0].epoch}.{encoded('a:1')}"
        server.request(subject, {"by": "hand"})
        places += await publish(broker, "a:1", 2)

        page = await read(broker, "a:1", places[0])
        assert [each.position for each in page.entries] == places[1:]
        page = await broker.read("a:1", None, KEPT, 10, 1 << 20, reverse=True)
        assert [each.position for each in page.entries][:2] == places[:1:-1]
        assert [each.position for each in await sink.until(4)] == places
        server.close()


async def test_more_than_the_server_takes_is_too_large(broker_on):
    broker = broker_on()
    async with running(broker) as sink:
        for size in (1_048_576, 5_000_000):
            with pytest.raises(TooLarge, match=str(size)):
                await broker.publish("a:1", b"x" * size, new_tag(), KEPT)
        await publish(broker, "a:1", 1)
        assert sink.losses == []


async def test_an_id_is_remembered_for_longer_only_where_ids_are_used(
    broker_on, nats_url
):
    broker = broker_on()
    long = Storage(history=20, ttl=300.0, meta_ttl=86400.0, idempotency=300.0)

    def window():
        server, (name,) = streams_of(nats_url, broker)
        server.close()
        return server.ask(f"STREAM.INFO.{name}")["config"]["duplicate_window"] / 1e9

    async with running(broker):
        await publish(broker, "a:1", 1, long)
        assert window() == 30
        first = await broker.publish("a:1", b"j1", new_tag(), long, id="x")
        assert window() == 300
        again = await broker.publish("a:1", b"j1", new_tag(), long, id="x")
        assert again == first._replace(duplicate=True)


# --- reading ---------------------------------------------------------------------


@pytest.mark.long
async def test_the_newest_are_found_among_those_of_many_other_topics(broker_on):
    broker = broker_on(partitions=1)
    storage = Storage(history=300, ttl=300.0, meta_ttl=86400.0, idempotency=60.0)
    dice = random.Random(7)
    async with running(broker):
        places = {f"a:{n}": [] for n in range(5)}
        # All of one topic at first, then it is rare, then alone again.
        for topic, count in (("a:0", 150), (None, 300), ("a:0", 30), ("a:1", 200)):
            names = [topic or f"a:{dice.choice('012234')}" for _ in range(count)]
            for start in range(0, count, 50):
                part = names[start : start + 50]
                found = await asyncio.gather(
                    *(broker.publish(n, b"j1", new_tag(), storage) for n in part)
                )
                for name, stored in zip(part, found, strict=True):
                    places[name].append(stored.position)
        for topic, own in places.items():
            own.sort()
            for limit in (1, 40, 1000):
                for before in (None, own[0], own[len(own) // 2]):
                    page = await broker.read(
                        topic, before, storage, limit, 1 << 20, reverse=True
                    )
                    expected = own[: None if before is None else own.index(before)]
                    expected = expected[::-1][:limit]
                    assert [e.position for e in page.entries] == expected
                    first = not expected or expected[-1] == own[0]
                    assert page.more == (not first), (topic, limit, before)


async def test_a_page_is_bounded_by_bytes_though_entries_are_large(broker_on):
    broker = broker_on()
    async with running(broker):
        places = [
            (await broker.publish("a:1", b"x" * 300_000, new_tag(), KEPT)).position
            for _ in range(8)
        ]
        page = await broker.read("a:1", places[0], KEPT, 100, 1_000_000)
        assert [each.position for each in page.entries] == places[1:4]
        assert page.more
        page = await broker.read("a:1", None, KEPT, 100, 1_000_000, reverse=True)
        assert [each.position for each in page.entries] == places[:-4:-1]
        assert page.more


# --- presence --------------------------------------------------------------------


@pytest.mark.long
async def test_more_members_than_fit_in_one_answer_are_counted(broker_on):
    broker = broker_on()
    changes = [
        Join("a:1", Member(f"c{n}", f"u{n % 100}", b"", "n1"), 60.0)
        for n in range(1100)
    ]
    async with running(broker):
        (result,) = await broker.presence([], changes)
        assert (result.clients, result.users) == (1100, 100)
        found = await broker.members("a:1", 1000)
        assert (len(found.members), found.clients, found.users) == (1000, 1100, 100)
        (result,) = await broker.presence(["a:1"], [], ["n1"])
        assert len(result.left) == 1100
        assert result.clients == 0


async def test_joins_at_the_same_time_are_told_once(broker_on):
    first, second = broker_on(), broker_on()
    async with running(first), running(second):
        changes = [Join("a:1", Member("c1", None, b"", n), 60.0) for n in ("n1", "n2")]
        results = await asyncio.gather(
            *(
                broker.presence([], [change])
                for broker, change in zip((first, second) * 5, changes * 5, strict=True)
            )
        )
        assert sum(len(result.joined) for (result,) in results) == 1


# --- the hub ---------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_a_url_of_nats_makes_a_broker_of_it(scheme):
    hub = Hub(f"{scheme}://user:secret@one,two")

    assert isinstance(hub.broker, NatsBroker)
    assert "secret" not in repr(hub) + repr(hub.broker)


async def test_calls_before_the_server_is_there_say_so():
    broker = NatsBroker("nats://127.0.0.1:1", timeout=0.1)
    with pytest.raises(BrokerUnavailable, match="not running"):
        await broker.tops(["a:1"])
    running_task = asyncio.create_task(broker.run(None))
    await asyncio.sleep(0.05)
    try:
        for call in (
            broker.tops(["a:1"]),
            broker.members("a:1", 1),
            broker.publish("a:1", b"j1", 1, KEPT),
            broker.clear("a:1", KEPT),
        ):
            with pytest.raises(BrokerUnavailable) as caught:
                await call
            assert caught.value.stored is False
    finally:
        running_task.cancel()
        await asyncio.wait([running_task])


# --- logins by key ---------------------------------------------------------------


async def check_it_works(broker):
    async with running(broker):
        await broker.attach(["a:1"])
        (place,) = await publish(broker, "a:1", 1)
        page = await broker.read("a:1", None, KEPT, 10, 1000, reverse=True)
        assert [entry.position for entry in page.entries] == [place]


async def test_a_user_with_an_nkey_is_let_in():
    needs("cryptography")
    key = Key("U")
    with server_of_key(key.public) as server:
        server.start()
        await check_it_works(NatsBroker(server.url, nkey_seed=key.seed))


async def test_answers_come_by_the_inbox_that_a_user_may_subscribe_to():
    needs("cryptography")
    key = Key("U")
    allowed = 'subscribe: ["app.in.>", "lw.>"]'
    with server_of_key(key.public, allowed) as server:
        server.start()
        broker = NatsBroker(server.url, nkey_seed=key.seed, inbox="app.in")
        await check_it_works(broker)


async def test_a_user_with_credentials_is_let_in_and_their_file_is_read_anew(tmp_path):
    needs("cryptography")
    path = tmp_path / "user.creds"
    with server_of_credentials(path) as server:
        server.start()
        right = path.read_text()
        # The JWT of one user with the seed of another.
        path.write_text(re.sub(r"\bSU\w+", Key("U").seed, right))
        broker = NatsBroker(server.url, credentials=path)
        sink = Sink()
        feeding = asyncio.create_task(broker.run(sink))
        try:
            await asyncio.sleep(0.5)
            assert not sink.is_ready.is_set()
            path.unlink()
            await asyncio.sleep(0.5)
            path.write_text(right)
            await asyncio.wait_for(sink.is_ready.wait(), 20)
            await publish(broker, "a:1", 1)
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])


async def test_a_user_with_another_key_is_not_let_in(caplog):
    needs("cryptography")
    stranger = Key("U")
    with server_of_key(Key("U").public) as server:
        server.start()
        broker = NatsBroker(server.url, nkey_seed=stranger.seed)
        sink = Sink()
        feeding = asyncio.create_task(broker.run(sink))
        await eventually(lambda: "Authorization Violation" in caplog.text, 10)
        feeding.cancel()
        await asyncio.wait([feeding])
        assert not sink.is_ready.is_set()
        assert stranger.seed not in caplog.text


def test_what_is_no_login_is_refused_at_once(tmp_path):
    needs("cryptography")
    seed, account = Key("U").seed, Key("A").seed
    for wrong in (
        "",
        "SU",
        account,
        seed[:-1],
        seed[:9] + "A2"[seed[9] == "A"] + seed[10:],
        "é",
    ):
        with pytest.raises(ValueError, match="not the seed of a NATS user"):
            NatsBroker("nats://host", nkey_seed=wrong)
    empty = tmp_path / "empty"
    empty.write_text(f"-----BEGIN USER NKEY SEED-----\n{seed}\n")
    with pytest.raises(ValueError, match="no JWT and seed"):
        NatsBroker("nats://host", credentials=empty)
    with pytest.raises(FileNotFoundError):
        NatsBroker("nats://host", credentials=tmp_path / "none")
    for url, more in (("nats://u:p@host", {}), ("nats://host", {"credentials": empty})):
        with pytest.raises(ValueError, match="give one of"):
            NatsBroker(url, nkey_seed=seed, **more)
    for inbox in ("", "a b", "a.>", "a..b", "é"):
        with pytest.raises(ValueError, match="inbox is"):
            NatsBroker("nats://host", inbox=inbox)
    assert seed not in repr(NatsBroker("nats://host", nkey_seed=seed).place)


# --- the server's clock ----------------------------------------------------------


@pytest.mark.parametrize("hours", [1, -1, 48, -48])
async def test_a_server_whose_clock_is_set_is_believed(nats_url, monkeypatch, hours):
    monkeypatch.setattr(Streams.look_at_clock, "__defaults__", (0.0,))
    port = int(nats_url.rpartition(":")[2])
    member = Member("c1", None, b"", "n1")
    async with Proxy(port) as proxy:
        url = f"nats://127.0.0.1:{proxy.port}"
        broker = NatsBroker(url, namespace=f"clock{hours + 50}")
        proxy.clock = hours
        async with running(broker):
            await broker.attach(["a:1"])
            await broker.publish("a:1", b"j0", new_tag(), KEPT, id="w")
            await broker.presence([], [Join("a:1", member, 60.0)])

            proxy.clock = 0
            first = await broker.publish("a:1", b"j1", new_tag(), KEPT, id="x")
            await publish(broker, "a:1", 3)
            again = await broker.publish("a:1", b"j1", new_tag(), KEPT, id="x")
            page = await read(broker, "a:1", first.position)
            (renewed,) = await broker.presence([], [Renew("a:1", "c1", "n1", 60.0)])
            found = await broker.members("a:1", 10)

    assert again.duplicate
    assert again.position == first.position
    assert (page.verdict, len(page.entries)) == ("complete", 3)
    assert (renewed.left, renewed.unknown) == ([], [])
    assert [each.client for each in found.members] == ["c1"]
