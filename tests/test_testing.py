"""longwire.testing: what programs that use longwire are tested with."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import longwire
from longwire import Cause, connect, sync
from longwire.testing import Clock, connected, pair, serving
from tests.support.certificates import Certificates
from tests.support.commands import environment


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


async def fail(websocket: Any) -> None:
    await websocket.recv()
    raise ValueError("of the handler")


# --- a server on a free port -----------------------------------------------------


def test_a_plain_test_has_a_server_in_a_thread() -> None:
    with serving(echo, subprotocols=["chat"]) as server:
        with sync.connect(server.uri, subprotocols=["chat"]) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=10) == "hello"
            assert websocket.subprotocol == "chat"
        assert server.uri == f"ws://127.0.0.1:{server.port}/"


async def test_a_coroutine_has_a_server_on_its_loop() -> None:
    async with serving(echo) as server:
        async with connect(server.uri) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
        assert server.server.get_loop() is asyncio.get_running_loop()


def caused_by(exc: BaseException | None) -> list[type[BaseException]]:
    """The kinds of an exception and of its causes."""
    kinds: list[type[BaseException]] = []
    while exc is not None:
        kinds.append(type(exc))
        exc = exc.__cause__
    return kinds


def test_a_client_that_fails_first_shows_what_the_handler_raised() -> None:
    with pytest.raises(longwire.ConnectionClosedError) as caught:
        with serving(fail) as server, sync.connect(server.uri) as websocket:
            websocket.send("x")
            websocket.recv(timeout=10)
    assert caused_by(caught.value)[-1] is ValueError


async def test_the_same_on_a_loop_and_without_sockets() -> None:
    with pytest.raises(longwire.ConnectionClosedError) as caught:
        async with serving(fail) as server, connect(server.uri) as websocket:
            await websocket.send("x")
            await websocket.recv()
    assert caused_by(caught.value)[-1] is ValueError
    with pytest.raises(longwire.ConnectionClosedError) as caught:
        async with connected(fail) as websocket:
            await websocket.send("x")
            await websocket.recv()
    assert caused_by(caught.value)[-1] is ValueError


def test_another_exception_of_the_block_is_left_as_it_is() -> None:
    with pytest.raises(AssertionError, match="mine") as caught:
        with serving(fail) as server:
            with sync.connect(server.uri) as websocket:
                websocket.send("x")
            raise AssertionError("mine")
    assert caused_by(caught.value) == [AssertionError]


async def test_with_tls_the_uri_says_so(certificates: Certificates) -> None:
    async with serving(echo, ssl=certificates.server) as server:
        assert server.uri.startswith("wss://127.0.0.1:")


def test_what_a_handler_raises_fails_the_test() -> None:
    with pytest.raises(ValueError, match="of the handler"):
        with serving(fail) as server:
            with sync.connect(server.uri) as websocket:
                websocket.send("x")
                websocket.wait_closed(timeout=10)
    assert [str(exc) for exc in server.errors] == ["of the handler"]


async def test_what_a_handler_raises_fails_the_coroutine() -> None:
    with pytest.raises(ValueError, match="of the handler"):
        async with serving(fail) as server, connect(server.uri) as websocket:
            await websocket.send("x")
            await websocket.wait_closed()


async def test_an_error_that_was_expected_is_cleared() -> None:
    async with serving(fail) as server:
        async with connect(server.uri) as websocket:
            await websocket.send("x")
            await websocket.wait_closed()
        server.errors.clear()


async def test_the_failure_of_the_test_itself_comes_first() -> None:
    with pytest.raises(KeyError):
        async with serving(fail) as server:
            async with connect(server.uri) as websocket:
                await websocket.send("x")
                await websocket.wait_closed()
            raise KeyError


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        with serving(echo, max_connections=1):
            pass


def test_the_log_of_a_handler_has_its_own_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def leaves_early(websocket: Any) -> None:
        await websocket.recv()

    with serving(leaves_early) as server, sync.connect(server.uri) as websocket:
        websocket.send("x")
        websocket.wait_closed(timeout=10)
    assert "leaves_early returned after one message" in caplog.text


# --- the fixture -----------------------------------------------------------------

FIXTURE = """
import asyncio
import longwire
from longwire import sync

async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)

async def fail(websocket):
    raise ValueError("of the handler")

def test_plain(websocket_server):
    with sync.connect(websocket_server(echo).uri) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello"

def test_coroutines(websocket_server):
    async def main():
        async with longwire.connect(websocket_server(echo).uri) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"

    asyncio.run(main())

def test_failing(websocket_server):
    with sync.connect(websocket_server(fail).uri) as websocket:
        websocket.wait_closed()
"""


@pytest.mark.once
def test_the_fixture_needs_one_line_and_no_plugin(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        'pytest_plugins = ["longwire.testing.fixtures"]\n'
    )
    (tmp_path / "test_it.py").write_text(FIXTURE)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:anyio",
            "-p",
            "no:cacheprovider",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert "3 passed, 1 error" in done.stdout
    assert "ValueError: of the handler" in done.stdout


# --- without sockets -------------------------------------------------------------


async def test_a_pair_talks_both_ways() -> None:
    async with pair() as (client, server):
        for message in ("hello", b"\x00" * 1_000_000, "\u263a" * 100):
            await client.send(message)
            assert await server.recv() == message
            await server.send(message)
            assert await client.recv() == message
        assert client.transport.get_extra_info("socket") is None
    assert client.close_code == server.close_code == 1000


async def test_a_pair_agrees_as_real_connections_do() -> None:
    async with pair(
        "ws://host/path?a=1",
        subprotocols=["b", "a"],
        additional_headers={"X-Token": "t"},
        server={"subprotocols": ["a"], "compression": None},
    ) as (client, server):
        assert client.subprotocol == server.subprotocol == "a"
        assert server.request.path == "/path?a=1"
        assert server.request.headers["X-Token"] == "t"
        assert "Sec-WebSocket-Extensions" not in client.response.headers


async def test_the_server_of_a_pair_may_close() -> None:
    async with pair() as (client, server):
        await server.close(4000, "bye")
        with pytest.raises(longwire.ConnectionClosedError):
            await client.recv()
    assert (client.close_code, client.close_reason) == (4000, "bye")


async def test_a_cut_connection_is_seen_by_the_other_end() -> None:
    async with pair() as (client, server):
        server.transport.abort()
        with pytest.raises(longwire.ConnectionClosedError):
            await client.recv()
        assert client.close_report.cause is Cause.NETWORK
        assert client.close_code == 1006


async def test_a_pair_keeps_to_its_limits() -> None:
    async with pair(server={"max_size": 10}) as (client, server):
        await client.send("x" * 11)
        with pytest.raises(longwire.ConnectionClosedError):
            await server.recv()
        await client.wait_closed()
    assert client.close_code == 1009


async def test_a_reader_that_pauses_holds_up_its_writer() -> None:
    async with pair(compression=None) as (client, server):
        sending = asyncio.create_task(_send_many(client, 100))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not sending.done()
        for _ in range(100):
            assert len(await server.recv()) == 100_000
        await sending


async def _send_many(websocket: Any, count: int) -> None:
    for _ in range(count):
        await websocket.send(b"x" * 100_000)


async def test_a_handler_is_connected_without_sockets() -> None:
    async with connected(echo) as websocket:
        await websocket.send("hello")
        assert await websocket.recv() == "hello"


async def test_a_refused_handshake_is_raised() -> None:
    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(403, "members only")

    with pytest.raises(longwire.InvalidStatus, match="members only"):
        async with connected(echo, server={"process_request": refuse}):
            pass


async def test_a_handler_that_fails_closes_with_1011(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    async with connected(fail) as websocket:
        await websocket.send("x")
        await websocket.wait_closed()
        assert websocket.close_code == 1011
    assert "of the handler" in caplog.text


async def test_pairs_leave_nothing_behind() -> None:
    for _ in range(20):
        async with pair() as (client, server):
            await client.send("x")
            await server.recv()
    assert len(asyncio.all_tasks()) == 1


# --- time ------------------------------------------------------------------------


async def test_the_clock_gives_up_a_silent_peer() -> None:
    with Clock() as clock:
        async with pair() as (client, server):
            server.transport.pause_reading()
            await clock.advance(39)
            assert client.close_report is None
            await clock.advance(2 + 10)  # the time to close is over, too
            assert client.close_report is not None
            assert client.close_report.cause is Cause.KEEPALIVE


async def test_hours_of_keepalive_pass_in_a_moment() -> None:
    with Clock() as clock:
        async with pair(server={"ping_interval": None}) as (client, server):
            await clock.advance(3600)
            assert client.state is longwire.State.OPEN
            await client.send("x")
            assert await server.recv() == "x"
        assert client.close_report.duration == pytest.approx(3600, abs=1)


async def test_timeouts_and_sleep_go_by_the_clock() -> None:
    done: list[str] = []

    async def sleep(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        done.append(name)

    with Clock() as clock:
        before = clock.time()
        tasks = [asyncio.create_task(sleep(s, n)) for s, n in ((20, "b"), (10, "a"))]
        await clock.advance(9)
        assert done == []
        await clock.advance(11)
        assert done == ["a", "b"]
        assert clock.time() == before + 20
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await clock.advance(6)
        await asyncio.gather(*tasks)
    assert asyncio.get_running_loop().time() < before + 20


@pytest.mark.stock_loop
@pytest.mark.parametrize("engine", ["native", "transport"])
async def test_connections_with_sockets_go_by_the_clock_too(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWIRE_ENGINE", engine)

    peers = []

    async def deaf(websocket: Any) -> None:
        peers.append(websocket)
        websocket.transport.pause_reading()
        await websocket.wait_closed()

    with Clock() as clock:
        async with serving(deaf, ping_interval=None) as server:
            async with connect(server.uri) as websocket:
                await clock.advance(39)
                assert websocket.close_report is None
                await clock.advance(2 + 10)
                assert websocket.close_report is not None
                assert websocket.close_report.cause is Cause.KEEPALIVE
                peers[0].transport.resume_reading()  # it sees the end, at once


def test_the_clock_is_told_apart_from_its_misuse() -> None:
    async def main() -> None:
        clock = Clock()
        with pytest.raises(RuntimeError, match="with Clock"):
            await clock.advance(1)
        with clock:
            with pytest.raises(RuntimeError, match="has a Clock already"):
                Clock().__enter__()
            with pytest.raises(ValueError, match="0 or more are allowed"):
                await clock.advance(-1)

    asyncio.run(main())
