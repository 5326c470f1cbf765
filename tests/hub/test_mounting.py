"""hub.asgi under a real uvicorn, alone and in an application; the how-to's programs."""

import asyncio
import contextlib
import json

import pytest

from tests.hub.serving import ByHand, eventually
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")
pytest.importorskip("uvicorn")

from longwire import connect, rpc
from longwire.hub import Hub, HubClient, HubLimits, User, asgi
from tests.asgi.serving import serving
from tests.docs.programs import EXAMPLES, program, until_listening

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]

STOCK = "websockets-sansio"


def chat(**options):
    hub = Hub(identify=lambda peer: User(peer.request.path.rpartition("?")[2]))
    declared = {"subscribe": "anyone", "publish": "anyone", "history": 100}
    hub.topic("chat:{room}", **{**declared, **options})
    return hub


@contextlib.asynccontextmanager
async def client_of(uri):
    async with rpc.Client(uri) as client, HubClient(client) as hub:
        yield hub


@pytest.fixture(params=["longwire", "uvicorn's own"])
def under(request):
    """The WebSocket class of uvicorn, as settings."""
    return {} if request.param == "longwire" else {"ws": STOCK}


async def test_what_was_missed_comes_when_a_client_is_back(under):
    hub = chat(presence=True)
    async with serving(asgi(hub), lifespan="on", **under) as server:
        assert hub.is_ready  # the application has started it
        async with client_of(server.uri + "/?ann") as client:
            async with client.subscribe("chat:1", last=10, presence=True) as room:
                await room.publish("one")
                one = await anext(room)
                assert one.data == "one"
                await eventually_present(room, ["ann"])
        for text in ("two", "three"):
            await hub.publish("chat:1", text)
        async with client_of(server.uri + "/?ann") as client:
            async with client.subscribe("chat:1", since=one.position) as room:
                assert [(await anext(room)).data for _ in range(2)] == ["two", "three"]
    with pytest.raises(RuntimeError, match="closed"):
        await hub.publish("chat:1", "late")


async def eventually_present(room, users):
    async with asyncio.timeout(10):
        while True:
            found = await room.presence()
            if [each["user"] for each in found["members"]] == users:
                return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def stalled(server):
    """A client that has subscribed and reads nothing more."""
    options = {"max_queue": 1, "compression": None, "ping_interval": None}
    uri, spoken = server.uri, ["longwire.jsonrpc"]
    async with connect(uri, subprotocols=spoken, **options) as websocket:
        client = ByHand(websocket)
        await client.call("hub.subscribe", topic="chat:1")
        yield client


async def publish_until(hub, application, condition, pause=0.0):
    """Publish large messages; what waits for the client is bounded all the time."""
    (peer,) = application.peers
    for number in range(5000):
        await hub.publish("chat:1", [number, "x" * 30_000])
        await asyncio.sleep(pause)
        assert peer.outbox.size + peer.connection._size < 3 << 20
        if condition():
            return number + 1
    raise AssertionError("it has room for everything")


async def test_a_client_without_room_is_caught_up_from_history(under):
    hub = chat(history=5000)
    application = asgi(hub)
    async with hub, serving(application, **under) as server:
        async with stalled(server) as client:
            driver = hub._running.driver
            count = await publish_until(
                hub, application, lambda: driver.without_room > 0
            )
            for number in range(count, count + 20):
                await hub.publish("chat:1", [number, ""])
            numbers = []
            while len(numbers) < count + 20:
                pushed = await client.pushes_of("hub.message")
                numbers += [entry["data"][0] for entry in pushed["entries"]]
            assert numbers == list(range(count + 20))


@pytest.mark.long
@pytest.mark.parametrize("slow", ["catch_up", "disconnect"])
async def test_a_client_that_stays_without_room_is_closed(under, slow):
    hub = Hub(limits=HubLimits(behind=0.5))
    hub.topic("chat:{room}", subscribe="anyone", history=5000, slow=slow)
    application = asgi(hub)
    async with hub, serving(application, **under) as server:
        async with stalled(server):
            (peer,) = application.peers

            def is_closing():
                return peer.connection._sent_close is not None

            # The kernel takes some megabytes first.
            await publish_until(hub, application, is_closing, pause=0.004)
            await eventually(lambda: not application.peers, 25)
            assert peer.connection._sent_close.code == 1008


async def test_calls_of_the_program_are_beside_those_of_the_hub():
    server = rpc.Server({"add": lambda a, b: a + b})
    hub = chat()
    async with hub, serving(asgi(hub, server)) as running:
        async with rpc.Client(running.uri) as client:
            assert await client.call("add", 1, 2) == 3
            assert await client.call("hub.subscribe", topic="chat:1")


@pytest.mark.parametrize("what", [None, "redis://localhost", rpc.Server()])
def test_what_is_no_hub_is_refused(what):
    with pytest.raises(TypeError, match="takes a Hub"):
        asgi(what)


# --- the programs of the how-to pages --------------------------------------------


async def http(port, method, path, body=None):
    """What a server answers: the status and the JSON."""
    data = b"" if body is None else json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n".encode()
        + data
    )
    answer = await reader.read()
    writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    return status, json.loads(rest) if status == 200 else rest


async def test_the_chat_of_the_fastapi_page(tmp_path):
    pytest.importorskip("fastapi")
    from tests.asgi.serving import program as uvicorn_program

    text = (EXAMPLES / "hub" / "chat_fastapi.py").read_text()
    with uvicorn_program(tmp_path, text) as running:
        async with client_of(f"{running.uri}/hub/") as client:
            async with client.subscribe("chat:kitchen") as room:
                status, answer = await http(
                    running.port, "POST", "/rooms/kitchen", {"text": "tea"}
                )
                assert (status, answer) == (200, {"offset": 1})
                assert (await anext(room)).data == {"text": "tea"}
        _, said = await http(running.port, "GET", "/rooms/kitchen")
        assert said == ["tea"]


async def test_the_orders_of_the_django_page(nats_url):
    pytest.importorskip("django")
    folder = EXAMPLES / "hub" / "orders"
    site, port = free_port(), free_port()
    with (
        program(folder / "server.py", PORT=str(port), BROKER=nats_url) as server,
        program(
            *(folder / "shop.py", "runserver", "--noreload", f"localhost:{site}"),
            BROKER=nats_url,
        ) as shop,
    ):
        await until_listening(port, server)
        await until_listening(site, shop)
        _, answer = await http(site, "GET", "/users/ann/token")
        async with client_of(f"ws://localhost:{port}/") as client:
            async with client.subscribe("orders:ann", token=answer["token"]) as orders:
                for number in (7, 7, 0, 8):  # once more, and one that is rolled back
                    status, _ = await http(
                        site, "POST", f"/users/ann/orders/{number}/pay"
                    )
                    assert status == (200 if number else 500)
                assert (await anext(orders)).data == {"paid": 7}
                assert (await anext(orders)).data == {"paid": 8}
