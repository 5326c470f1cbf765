"""Programs that the documents include or print whole, of all editions: S38 to S49.

Those that are shipped are run from ``examples/websockets``; older forms of the same
program stand here.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import types
import urllib.request

import pytest
import websockets as peer

from longwire import websockets
from longwire.websockets import compat26
from tests.docs.programs import until_listening
from tests.docs.test_exports import check_types
from tests.support.browser import Browser
from tests.websockets.snippets.harness import (
    EXAMPLES,
    block,
    connect,
    example,
    interactive,
    peer_serving,
    ran,
    serving,
    started,
    until,
    uri_of,
    written,
)

pytestmark = [
    pytest.mark.once,
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FOLDER = EXAMPLES / "websockets"


def shipped(folder, name, **ports):
    return example(folder, f"websockets/{name}", **ports)


def all_tests():
    """The text of all tests here."""
    files = EXAMPLES.parent.glob("tests/websockets/snippets/test_*.py")
    return "".join(file.read_text("utf-8") for file in files)


def test_every_snippet_has_a_test():
    numbers = {int(number) for number in re.findall(r"def test_s(\d\d)_", all_tests())}

    assert numbers == set(range(1, 55))


def test_every_shipped_program_is_run_by_a_test():
    tests = all_tests()
    names = {file.name for file in FOLDER.iterdir() if file.is_file()}

    assert {name for name in names if f'"{name}"' not in tests} == set()


def test_type_checkers_accept_the_shipped_programs():
    assert check_types(*FOLDER.glob("*.py")).startswith("Success")


async def get(url):
    with await asyncio.to_thread(urllib.request.urlopen, url, timeout=20) as response:
        return response.status, response.read()


async def test_s38_the_health_check_answers_beside_the_echo(tmp_path, unused_port):
    file = shipped(tmp_path, "health_check_server.py", p8765=unused_port)
    with started(file) as running:
        await until_listening(unused_port, running)
        url = f"http://localhost:{unused_port}/healthz"
        assert await get(url) == (200, b"OK\n")

        async with connect(f"ws://localhost:{unused_port}/") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"


async def test_s39_sigterm_ends_the_server_with_1001_and_status_0(
    tmp_path, unused_port
):
    file = shipped(tmp_path, "shutdown_server.py", p8765=unused_port)
    with started(file) as running:
        await until_listening(unused_port, running)
        async with connect(f"ws://localhost:{unused_port}/") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
            running.process.send_signal(signal.SIGTERM)
            await websocket.wait_closed()

        assert await asyncio.to_thread(running.wait) == 0
    assert websocket.close_code == 1001


async def test_s40_sigterm_ends_the_client_with_1000_and_status_0(
    tmp_path, unused_port
):
    connections = []

    async def handler(websocket):
        connections.append(websocket)
        await websocket.send("hello")
        await websocket.wait_closed()

    file = shipped(tmp_path, "shutdown_client.py", p8765=unused_port)
    async with peer.serve(handler, "localhost", unused_port):
        with started(file) as running:
            await asyncio.to_thread(running.line_with, "hello")
            running.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(running.wait) == 0
            assert running.output == "hello\n"

    assert connections[0].close_code == 1000


HELLO_SERVERS = {
    "8.1": """
        #!/usr/bin/env python

        # WS server example

        import asyncio
        import websockets

        async def hello(websocket, path):
            name = await websocket.recv()
            print(f"< {name}")

            greeting = f"Hello {name}!"

            await websocket.send(greeting)
            print(f"> {greeting}")

        start_server = websockets.serve(hello, "localhost", 8765)

        asyncio.get_event_loop().run_until_complete(start_server)
        asyncio.get_event_loop().run_forever()
        """,
    "3.x": """
        import asyncio
        import websockets

        async def hello(websocket, path):
            name = await websocket.recv()
            print("< {}".format(name))

            greeting = "Hello {}!".format(name)
            await websocket.send(greeting)
            print("> {}".format(greeting))

        start_server = websockets.serve(hello, 'localhost', 8765)

        asyncio.get_event_loop().run_until_complete(start_server)
        asyncio.get_event_loop().run_forever()
        """,
    "2.6": """
        import asyncio
        import types
        import websockets

        @types.coroutine
        def hello(websocket, path):
            name = yield from websocket.recv()
            print("< {}".format(name))
            greeting = "Hello {}!".format(name)
            yield from websocket.send(greeting)
            print("> {}".format(greeting))

        start_server = websockets.serve(hello, 'localhost', 8765)

        asyncio.get_event_loop().run_until_complete(start_server)
        asyncio.get_event_loop().run_forever()
        """,
}
HELLO_CLIENTS = {
    "8.1": """
        #!/usr/bin/env python

        # WS client example

        import asyncio
        import websockets

        async def hello():
            uri = "ws://localhost:8765"
            async with websockets.connect(uri) as websocket:
                name = input("What's your name? ")

                await websocket.send(name)
                print(f"> {name}")

                greeting = await websocket.recv()
                print(f"< {greeting}")

        asyncio.get_event_loop().run_until_complete(hello())
        """,
    "3.x": """
        import asyncio
        import websockets

        async def hello():
            async with websockets.connect('ws://localhost:8765') as websocket:

                name = input("What's your name? ")
                await websocket.send(name)
                print("> {}".format(name))

                greeting = await websocket.recv()
                print("< {}".format(greeting))

        asyncio.get_event_loop().run_until_complete(hello())
        """,
    "2.6": """
        import asyncio
        import types
        import websockets

        @types.coroutine
        def hello():
            websocket = yield from websockets.connect('ws://localhost:8765/')
            name = input("What's your name? ")
            yield from websocket.send(name)
            print("> {}".format(name))
            greeting = yield from websocket.recv()
            print("< {}".format(greeting))

        asyncio.get_event_loop().run_until_complete(hello())
        """,
}


async def greets(running, port):
    """Whether a server that was started greets a client of the peer, and ends."""
    await until_listening(port, running)
    async with connect(f"ws://localhost:{port}/") as websocket:
        await websocket.send("Ada")
        greeting = await websocket.recv()
        await websocket.wait_closed()
    await asyncio.to_thread(running.line_with, "> Hello Ada!")
    assert "< Ada\n" in running.output
    return greeting == "Hello Ada!" and websocket.close_code == 1000


async def greeter(websocket):
    await websocket.send(f"Hello {await websocket.recv()}!")


@pytest.mark.parametrize("edition", HELLO_SERVERS)
async def test_s41_the_hello_server(edition, tmp_path, unused_port):
    source = HELLO_SERVERS[edition]
    file = written(tmp_path, "server.py", source, p8765=unused_port)
    with started(file) as running:
        assert await greets(running, unused_port)


@pytest.mark.parametrize("edition", HELLO_CLIENTS)
async def test_s41_the_hello_client(edition, tmp_path, unused_port):
    source = HELLO_CLIENTS[edition]
    file = written(tmp_path, "client.py", source, p8765=unused_port)
    async with peer.serve(greeter, "localhost", unused_port):
        printed = await ran(file, stdin="Ada\n")

    assert "> Ada\n< Hello Ada!\n" in printed


async def test_s41_the_shipped_pair_talks(tmp_path, unused_port):
    server = shipped(tmp_path, "hello_server.py", p8765=unused_port)
    client = shipped(tmp_path, "hello_client.py", p8765=unused_port)
    with started(server) as running:
        await until_listening(unused_port, running)
        assert "> Ada\n< Hello Ada!\n" in await ran(client, stdin="Ada\n")
        await asyncio.to_thread(running.line_with, "> Hello Ada!")


async def test_s42_the_client_of_generators(tmp_path, unused_port):
    codes = []

    async def handler(websocket):
        await greeter(websocket)
        await websocket.wait_closed()
        codes.append(websocket.close_code)

    file = shipped(tmp_path, "old_client.py", p8765=unused_port)
    async with peer.serve(handler, "localhost", unused_port):
        printed = await ran(file, stdin="Ada\n")
        await until(lambda: codes)

    assert "> Ada\n< Hello Ada!\n" in printed
    assert codes == [1000]


def with_certificate(folder, certificates):
    """Put localhost.pem, key and certificate and who signed it, beside a program."""
    parts = (certificates.key_file, certificates.cert_file, certificates.ca_file)
    pem = b"".join(file.read_bytes() for file in parts)
    (folder / "localhost.pem").write_bytes(pem)
    return folder


async def test_s43_the_secure_server(tmp_path, unused_port, certificates):
    folder = with_certificate(tmp_path, certificates)
    file = shipped(folder, "secure_server.py", p8765=unused_port)
    with started(file) as running:
        await until_listening(unused_port, running)
        uri = f"wss://localhost:{unused_port}/"
        async with connect(uri, ssl=certificates.client) as websocket:
            await websocket.send("Ada")
            assert await websocket.recv() == "Hello Ada!"


async def test_s43_the_secure_client(tmp_path, unused_port, certificates):
    folder = with_certificate(tmp_path, certificates)
    file = shipped(folder, "secure_client.py", p8765=unused_port)
    async with peer.serve(greeter, "localhost", unused_port, ssl=certificates.server):
        assert "> Ada\n< Hello Ada!\n" in await ran(file, stdin="Ada\n")


async def test_s43_ssl_true_trusts_public_authorities_alone(
    tmp_path, unused_port, certificates
):
    source = """
        import asyncio
        import ssl
        import websockets

        async def hello():
            try:
                async with websockets.connect("wss://localhost:8765", ssl=True) as ws:
                    await ws.send("Ada")
                    print(await ws.recv())
            except ssl.SSLCertVerificationError:
                print("unknown authority")

        asyncio.run(hello())
        """
    file = written(tmp_path, "client.py", source, p8765=unused_port)
    async with peer.serve(greeter, "localhost", unused_port, ssl=certificates.server):
        assert await ran(file) == "unknown authority\n"
        known = await ran(file, SSL_CERT_FILE=str(certificates.ca_file))

    assert known == "Hello Ada!\n"


async def page(tab_url, port, printed):
    """The text of a shipped page that connects to another port."""
    text = (FOLDER / tab_url).read_text("utf-8")
    assert str(printed) in text
    return text.replace(str(printed), str(port))


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


async def test_s44_the_page_lists_the_times_that_the_server_sends(
    tmp_path, unused_port, chromium
):
    file = shipped(tmp_path, "show_time.py", p5678=unused_port)
    html = tmp_path / "show_time.html"
    html.write_text(await page("show_time.html", unused_port, 5678))
    with started(file) as running:
        await until_listening(unused_port, running)
        async with Browser(chromium) as browser:
            tab = await browser.open(html.as_uri())
            await tab.until("document.querySelectorAll('li').length >= 2")
            lines = (await tab.text("#times")).split()
            assert tab.errors == []

    assert all(TIME.fullmatch(line) for line in lines)
    assert lines == sorted(lines)


def state(value):
    return {"type": "state", "value": value}


def users(count):
    return {"type": "users", "count": count}


async def test_s45_a_page_and_a_client_share_the_counter(
    tmp_path, unused_port, chromium
):
    file = shipped(tmp_path, "counter.py", p6789=unused_port)
    html = tmp_path / "counter.html"
    html.write_text(await page("counter.html", unused_port, 6789))
    with started(file) as running:
        await until_listening(unused_port, running)
        async with Browser(chromium) as browser:
            tab = await browser.open(html.as_uri())
            await tab.until("document.querySelector('#users').value === '1'")
            async with connect(f"ws://localhost:{unused_port}/") as websocket:

                async def receive():
                    return json.loads(await websocket.recv())

                assert [await receive(), await receive()] == [users(2), state(0)]
                await tab.until("document.querySelector('#users').value === '2'")
                await tab.click("#plus")
                assert await receive() == state(1)
                await websocket.send('{"action": "minus"}')
                assert await receive() == state(0)
                await tab.until("document.querySelector('#value').value === '0'")
                await websocket.send('{"action": "jump"}')
                line = "unsupported event: {'action': 'jump'}"
                await asyncio.to_thread(running.line_with, line)
            await tab.until("document.querySelector('#users').value === '1'")
            assert tab.errors == []


BOTH_3 = """
    async def handler(websocket, path):
        while True:
            listener_task = asyncio.ensure_future(websocket.recv())
            producer_task = asyncio.ensure_future(producer())
            done, pending = await asyncio.wait(
                [listener_task, producer_task],
                return_when=asyncio.FIRST_COMPLETED)

            if listener_task in done:
                message = listener_task.result()
                await consumer(message)
            else:
                listener_task.cancel()

            if producer_task in done:
                message = producer_task.result()
                await websocket.send(message)
            else:
                producer_task.cancel()
    """
BOTH_26 = """
    @types.coroutine
    def handler(websocket, path):
        while True:
            listener_task = asyncio.ensure_future(websocket.recv())
            producer_task = asyncio.ensure_future(producer())
            done, pending = yield from asyncio.wait(
                [listener_task, producer_task],
                return_when=asyncio.FIRST_COMPLETED)

            if listener_task in done:
                message = listener_task.result()
                if message is None:
                    break
                yield from consumer(message)
            else:
                listener_task.cancel()

            if producer_task in done:
                message = producer_task.result()
                if not websocket.open:
                    break
                yield from websocket.send(message)
            else:
                producer_task.cancel()
    """


class Traffic:
    """Messages one way and the other, more than one loop turn each."""

    COUNT = 200

    def __init__(self):
        self.consumed = []
        self.products = iter(range(self.COUNT))
        self.over = asyncio.Event()

    async def consumer(self, message):
        self.consumed.append(message)

    async def producer(self):
        # A product taken by a producer that is cancelled would be the producer's loss.
        await asyncio.sleep(0)
        number = next(self.products, None)
        if number is None:
            await self.over.wait()
        return f"down {number}"


@pytest.mark.parametrize(
    ("source", "keywords"),
    [(BOTH_3, None), (BOTH_26, {"legacy_recv": True}), (BOTH_26, {})],
    ids=["3.x", "2.6", "2.6 compat26"],
)
async def test_s46_cancelling_recv_each_turn_loses_no_message(source, keywords):
    traffic = Traffic()
    handler = block(
        source, types=types, consumer=traffic.consumer, producer=traffic.producer
    ).handler
    ended = []

    async def watched(websocket, path):
        try:
            await handler(websocket, path)
        except websockets.ConnectionClosed as exc:
            ended.append(exc)
        else:
            ended.append(None)
        traffic.over.set()  # the program leaves its last producer running

    # Where nothing is said of the edition, its own functions are called.
    serve = compat26.serve if keywords == {} else websockets.serve
    async with serve(watched, "127.0.0.1", 0, **(keywords or {})) as server:
        async with connect(uri_of(server)) as websocket:

            async def send():
                for number in range(traffic.COUNT):
                    await websocket.send(f"up {number}")
                    if number % 7 == 0:
                        await asyncio.sleep(0.001)

            sending = asyncio.create_task(send())
            received = [await websocket.recv() for _ in range(traffic.COUNT)]
            await sending
            await until(lambda: len(traffic.consumed) == traffic.COUNT)
        await until(lambda: ended)

    assert received == [f"down {number}" for number in range(traffic.COUNT)]
    assert traffic.consumed == [f"up {number}" for number in range(traffic.COUNT)]
    if keywords is not None:
        assert ended == [None]  # recv() gave None at the end
    else:
        assert isinstance(ended[0], websockets.ConnectionClosedOK)


async def test_s47_registration_with_tasks_for_every_client():
    names = block(
        """
        connected = set()

        async def handler(websocket, path):
            # Register.
            connected.add(websocket)
            try:
                # Implement logic here.
                await asyncio.wait(
                    [asyncio.ensure_future(ws.send("Hello!")) for ws in connected])
                await websocket.recv()
            finally:
                # Unregister.
                connected.remove(websocket)
        """
    )
    async with serving(names.handler) as uri:
        async with connect(uri) as first:
            assert await first.recv() == "Hello!"
            async with connect(uri) as second:
                assert await first.recv() == await second.recv() == "Hello!"
                await second.send("bye")
                await second.wait_closed()
            assert len(names.connected) == 1
            await first.send("bye")
            await first.wait_closed()

    assert names.connected == set()


@pytest.mark.parametrize("level", ["ERROR", "INFO", "DEBUG"])
async def test_s48_a_stream_handler_shows_what_happens(level, tmp_path, unused_port):
    source = f"""
        import asyncio
        import logging
        import websockets

        logger = logging.getLogger('websockets.server')
        logger.setLevel(logging.{level})
        logger.addHandler(logging.StreamHandler())

        async def handler(websocket, path):
            await websocket.recv()
            raise ValueError("a slip of the handler")

        start_server = websockets.serve(handler, "localhost", 8765)
        asyncio.get_event_loop().run_until_complete(start_server)
        asyncio.get_event_loop().run_forever()
        """
    file = written(tmp_path, "logging_server.py", source, p8765=unused_port)
    with started(file) as running:
        await until_listening(unused_port, running)
        status, _ = await bad_request(unused_port)
        assert status.startswith("HTTP/1.1 400 ")
        async with connect(f"ws://localhost:{unused_port}/") as websocket:
            await websocket.send("a message to see")
            await websocket.wait_closed()
        await asyncio.to_thread(running.line_with, "ValueError: a slip of the handler")
        output = running.output

    assert websocket.close_code == 1011
    assert "connection handler failed" in output
    assert ("opening handshake failed" in output) == (level != "ERROR")
    assert ("a message to see" in output) == (level == "DEBUG")


async def bad_request(port):
    """The status line and the rest of the answer to a request that is none."""
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    status, _, rest = answer.partition("\r\n")
    return status, rest


async def test_s48_the_parent_logger_shows_a_clients_frames(tmp_path, unused_port):
    source = """
        import asyncio
        import logging
        import websockets

        logger = logging.getLogger('websockets')
        logger.setLevel(logging.DEBUG)
        logger.addHandler(logging.StreamHandler())

        async def client():
            async with websockets.connect("ws://localhost:8765") as websocket:
                await websocket.send("Ada")
                await websocket.recv()

        asyncio.run(client())
        """
    file = written(tmp_path, "logging_client.py", source, p8765=unused_port)
    async with peer.serve(greeter, "localhost", unused_port):
        printed = await ran(file)

    assert re.search("> TEXT .*Ada", printed)
    assert re.search("< TEXT .*Hello Ada!", printed)


async def test_s49_the_interactive_client_prints_what_is_documented(
    tmp_path, unused_port
):
    file = shipped(tmp_path, "echo_server.py", p8765=unused_port)
    with started(file) as running:
        await until_listening(unused_port, running)
        uri = f"ws://localhost:{unused_port}/"
        with interactive(uri) as client:
            await client.until(f"Connected to {uri}.")
            await client.until("\n>")
            client.press(b"hello\r")
            await client.until("< hello")
            client.press(b"\x04")
            await client.until("Connection closed: 1000 (OK).")


async def test_s49_the_interactive_client_says_why_a_server_closed():
    async def refuse(websocket):
        await websocket.recv()
        await websocket.close(1011, "authentication failed")

    async with peer_serving(refuse) as uri:
        with interactive(uri) as client:
            await client.until(f"Connected to {uri}.")
            client.press(b"token\r")
            await client.until(
                "Connection closed: 1011 (internal error) authentication failed."
            )
