"""Every example does what its docstring says, with a peer that is a real one."""

from __future__ import annotations

import ast
import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets

import longwire
from tests.docs.programs import EXAMPLES, output_of, program, until_listening
from tests.support.browser import Browser
from tests.support.commands import Running, environment
from tests.support.ports import free_port

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]

FILES = sorted(EXAMPLES.glob("*.py"))
PEERS = pytest.mark.parametrize(
    "connect", [longwire.connect, websockets.connect], ids=["longwire", "websockets"]
)


@asynccontextmanager
async def served(
    name: str, *arguments: str, **environ: str
) -> AsyncIterator[tuple[int, Running]]:
    """Run an example that is a server; its port and its process."""
    port = free_port()
    with program(EXAMPLES / name, *arguments, PORT=str(port), **environ) as running:
        await until_listening(port, running)
        yield port, running


@asynccontextmanager
async def websockets_server(handler: Any, **keywords: Any) -> AsyncIterator[int]:
    """A server of the `websockets` package; its port."""
    async with websockets.serve(handler, "127.0.0.1", 0, **keywords) as server:
        yield server.sockets[0].getsockname()[1]


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_is_short_and_says_what_it_is(file):
    text = file.read_text("utf-8")
    module = ast.parse(text)

    assert ast.get_docstring(module)
    assert len(text.splitlines()) < 40
    assert text.rstrip().rpartition("\n\n\n")[2].startswith('if __name__ == "__main__"')


def test_every_example_is_run_by_a_test_here():
    called = ast.walk(ast.parse(Path(__file__).read_text("utf-8")))
    strings = {node.value for node in called if isinstance(node, ast.Constant)}

    assert [file.name for file in FILES if file.name not in strings] == []


@PEERS
async def test_the_echo_server_sends_every_message_back(connect):
    async with served("echo_server.py") as (port, _):
        async with connect(f"ws://localhost:{port}/") as websocket:
            for message in ("hello", b"\x00\xff", "", "x" * 100_000):
                await websocket.send(message)
                assert await websocket.recv() == message


async def test_the_hello_client_prints_the_answer():
    async with websockets_server(echo) as port:
        printed = await output_of(EXAMPLES / "hello_client.py", PORT=str(port))

    assert printed == "hello\n"


async def test_the_latency_client_prints_three_latencies():
    async with websockets_server(echo) as port:
        printed = await output_of(EXAMPLES / "latency.py", PORT=str(port))

    lines = printed.splitlines()
    assert len(lines) == 3
    assert all(float(line.removesuffix(" ms")) >= 0 for line in lines)


@PEERS
async def test_the_chat_server_gives_everybody_what_one_sends(connect):
    async with served("chat_server.py") as (port, _):
        uri = f"ws://localhost:{port}/"
        async with connect(uri) as first:
            assert await first.recv() == "guest 1 came"
            async with connect(uri) as second:
                assert await first.recv() == await second.recv() == "guest 2 came"

                await second.send("hello")

                assert await first.recv() == await second.recv() == "guest 2: hello"
            assert await first.recv() == "guest 2 left"


async def test_the_counter_is_shared_by_a_page_and_another_client(chromium):
    async with served("counter_server.py") as (port, _), Browser(chromium) as browser:
        tab = await browser.open(f"http://localhost:{port}/")
        await tab.until("document.querySelector('#value').value === '0'")
        async with websockets.connect(f"ws://localhost:{port}/") as websocket:
            assert json.loads(await websocket.recv()) == {"type": "state", "value": 0}

            await tab.click("#plus")
            assert json.loads(await websocket.recv()) == {"type": "state", "value": 1}
            await websocket.send('{"action": "minus"}')

            await tab.until("document.querySelector('#value').value === '0'")
        assert [error for error in tab.errors if "favicon" not in error] == []


async def test_the_tls_pair_talks_with_a_certificate_of_its_own_authority(certificates):
    files = str(certificates.cert_file), str(certificates.key_file)
    async with served("tls_server.py", *files) as (port, _):
        printed = await output_of(
            EXAMPLES / "tls_client.py", str(certificates.ca_file), PORT=str(port)
        )

    assert printed == "hello Ada, this is private\n"


async def test_the_reconnecting_client_comes_back():
    visits = 0

    async def greet(websocket: Any) -> None:
        nonlocal visits
        visits += 1
        await websocket.send(f"visit {visits}")
        await websocket.close(1011 if visits == 1 else 1001)

    async with websockets_server(greet) as port:
        file = EXAMPLES / "reconnecting_client.py"
        with program(file, PORT=str(port)) as running:
            await asyncio.to_thread(running.line_with, "visit 3")
            printed = running.output

    assert "ended: peer: 1011 (internal error)" in printed
    assert "ended: peer: 1001 (going away)" in printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_graceful_server_says_goodbye_and_exits_with_0(number):
    async with served("graceful_shutdown.py") as (port, running):
        async with websockets.connect(f"ws://localhost:{port}/") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
            running.process.send_signal(number)
            with pytest.raises(websockets.ConnectionClosedOK) as closed:
                await websocket.recv()

        assert await asyncio.to_thread(running.wait) == 0

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        1001,
        "back in a moment",
    )
    assert running.output == "closing 1 connections\n"


@PEERS
async def test_the_server_with_a_password_lets_in_who_knows_it(connect):
    async with served("basic_auth.py", PASSWORD="s3cret") as (port, _):
        async with connect(f"ws://ada:s3cret@localhost:{port}/") as websocket:
            assert await websocket.recv() == "hello ada"

        with pytest.raises(Exception, match="HTTP 401"):
            await connect(f"ws://ada:secret@localhost:{port}/")


async def test_the_server_with_a_health_check_answers_200():
    async with served("health_check.py") as (port, _):
        reader, writer = await asyncio.open_connection("localhost", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nOK\n")


async def test_the_streamed_message_arrives_whole():
    assert await output_of(EXAMPLES / "streaming.py") == "67108864 bytes\n"


async def test_the_pair_on_a_unix_socket_talks():
    assert await output_of(EXAMPLES / "unix_socket.py") == "hello\n"


async def test_the_subprotocol_decides_what_is_spoken():
    printed = await output_of(EXAMPLES / "subprotocol.py")

    assert printed == 'greeting.v1 hello\ngreeting.v2 {"text": "hello"}\n'


# --- threads ------------------------------------------------------------------------


@PEERS
async def test_the_server_in_threads_answers(connect):
    async with served("threads_server.py") as (port, running):
        async with connect(f"ws://localhost:{port}/") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
            running.process.send_signal(signal.SIGINT)
            await websocket.wait_closed()
            assert websocket.close_code == 1001
        assert await asyncio.to_thread(running.wait) == 0


async def test_the_client_in_threads_sends_what_is_typed():
    async with websockets_server(echo) as port:
        command = [sys.executable, str(EXAMPLES / "threads.py")]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(URI=f"ws://localhost:{port}/"),
        )
        process.stdin.write(b"one\ntwo\n")
        assert await process.stdout.readline() == b"one\n"
        output, _ = await process.communicate(b"")
        assert output == b"two\n"
        assert process.returncode == 0


# --- trio ---------------------------------------------------------------------------


@PEERS
async def test_the_server_on_trio_answers(connect):
    pytest.importorskip("trio")
    async with served("trio_server.py") as (port, running):
        async with connect(f"ws://localhost:{port}/") as websocket:
            await websocket.send("hello")
            assert {await websocket.recv() for _ in range(2)} == {"hello", "1 here"}
            running.process.send_signal(signal.SIGINT)
            await websocket.wait_closed()
            assert websocket.close_code == 1001
        assert await asyncio.to_thread(running.wait) == 0


async def test_the_client_on_trio_prints_the_answer():
    pytest.importorskip("trio")
    async with websockets_server(echo) as port:
        uri = f"ws://localhost:{port}/"
        printed = await output_of(EXAMPLES / "trio_client.py", "a", "b", URI=uri)

    assert printed == "a b\n"
