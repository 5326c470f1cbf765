"""What follows a block that used a connection: one rule for handlers and clients.

Every way to leave, in every state of the connection, with every sort of peer: the close
frame on the wire, the report's cause, detail and error, and the log.
"""

from __future__ import annotations

import asyncio
import dataclasses
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.asyncio_.client_peers import read_head
from tests.asyncio_.serving import UPGRADE, connected, listen, raw, traces, until
from tests.support.rawpeer import CLOSE, TEXT, answer, close_payload, frame

import longwire
from longwire import Cause, CloseReport, ConnectionClosedError, connect
from longwire.asyncio.server import ServerConnection

Leave = Callable[[Any], Awaitable[None]]
"""What a block does with its connection; it raises as a rule."""


@pytest.fixture(params=["native", "transport"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return str(request.param)


class Odd(BaseException):
    """Neither an Exception nor one of Python's own ends."""


# --- ways to leave ---------------------------------------------------------------


async def returns(ws: Any) -> None:
    pass


async def raises_an_exception(ws: Any) -> None:
    raise ZeroDivisionError("mine")


async def raises_a_base_exception(ws: Any) -> None:
    raise Odd("mine")


async def raises_after_a_wait(ws: Any) -> None:
    await asyncio.sleep(0)
    raise Odd("mine")


async def raises_a_group(ws: Any) -> None:
    async def fail() -> None:
        raise ZeroDivisionError("mine")

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())


async def raises_a_base_group(ws: Any) -> None:
    raise BaseExceptionGroup("all", [Odd("mine"), ValueError("too")])


async def raises_cancelled(ws: Any) -> None:
    raise asyncio.CancelledError("mine")


async def awaits_something_cancelled(ws: Any) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def lets_the_end_of_another_through(ws: Any) -> None:
    await _use_of_an_ended_one()


async def lets_the_end_of_another_through_in_a_group(ws: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_use_of_an_ended_one())


async def raises_one_of_its_own_making(ws: Any) -> None:
    raise longwire.ConnectionClosedOK(None, None)


async def is_cancelled(ws: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(10)


async def _use_of_an_ended_one() -> None:
    """Use a connection to elsewhere that the server there has closed."""

    async def close(ws: ServerConnection) -> None:
        await ws.close(4001, "elsewhere")

    async with listen(close) as elsewhere:
        other = await connect(
            f"ws://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}/", proxy=None
        )
        await other.recv()


@dataclasses.dataclass
class Way:
    """A way to leave an open connection, and what has to come of it."""

    leave: Leave
    code: int
    cause: Cause
    error: type[BaseException] | None = None
    logged: bool = False
    raised: type[BaseException] | None = None
    """What leaves ``async with``; None for what is raised in ``error``."""


FAILED = {"code": 1011, "cause": Cause.HANDLER, "logged": True}
WAYS = {
    way.leave.__name__: way  # type: ignore[attr-defined]
    for way in (
        Way(returns, 1000, Cause.LOCAL),
        Way(is_cancelled, 1001, Cause.LOCAL, raised=asyncio.CancelledError),
        Way(raises_an_exception, error=ZeroDivisionError, **FAILED),
        Way(raises_a_base_exception, error=Odd, **FAILED),
        Way(raises_after_a_wait, error=Odd, **FAILED),
        Way(raises_a_group, error=ExceptionGroup, **FAILED),
        Way(raises_a_base_group, error=BaseExceptionGroup, **FAILED),
        Way(raises_cancelled, error=asyncio.CancelledError, **FAILED),
        Way(awaits_something_cancelled, error=asyncio.CancelledError, **FAILED),
        Way(lets_the_end_of_another_through, error=ConnectionClosedError, **FAILED),
        Way(
            lets_the_end_of_another_through_in_a_group,
            error=ExceptionGroup,
            **FAILED,
        ),
        Way(raises_one_of_its_own_making, error=longwire.ConnectionClosedOK, **FAILED),
    )
}


# --- peers -----------------------------------------------------------------------

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def read_close(reader: asyncio.StreamReader) -> int:
    """Return the code of the next frame, which is our close frame."""
    first, size = await reader.readexactly(2)
    assert first == 0x80 | CLOSE
    mask = await reader.readexactly(4) if size & 0x80 else bytes(4)
    payload = await reader.readexactly(size & 0x7F)
    plain = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return int(struct.unpack("!H", plain[:2])[0])


async def answers(reader: Any, writer: Any, code: int, client: bool) -> None:
    writer.write(frame(CLOSE, close_payload(code), mask=client))
    writer.close()


async def says_nothing(reader: Any, writer: Any, code: int, client: bool) -> None:
    await reader.read()


async def resets(reader: Any, writer: Any, code: int, client: bool) -> None:
    writer.transport.abort()


async def closes_tcp(reader: Any, writer: Any, code: int, client: bool) -> None:
    writer.close()


async def talks_nonsense(reader: Any, writer: Any, code: int, client: bool) -> None:
    writer.write(b"\xff" * 20)
    await reader.read()


async def sends_too_much(reader: Any, writer: Any, code: int, client: bool) -> None:
    writer.write(frame(TEXT, b"x" * 2000, mask=client))
    await reader.read()


PEERS = {
    f.__name__: f
    for f in (
        *(answers, says_nothing, resets, closes_tcp, talks_nonsense, sends_too_much),
    )
}
WHAT_FOLLOWS = {
    "answers": "",
    "says_nothing": "the peer did not close within 0.1 seconds",
    "resets": "TCP was ",
    "closes_tcp": "TCP was closed without a closing handshake",
    "talks_nonsense": "reserved bits",
    "sends_too_much": "exceeds the limit of 1000 bytes",
}
OPTIONS: dict[str, Any] = {"close_timeout": 0.1, "max_size": 1000, "compression": None}


@dataclasses.dataclass
class Seen:
    """What there was to see of one connection's end."""

    code: int = 0
    report: CloseReport | None = None
    raised: BaseException | None = None


async def leave_a_handler(leave: Leave, peer: Any) -> Seen:
    """Leave the handler of a server's connection so."""
    connections: list[ServerConnection] = []

    async def handler(ws: ServerConnection) -> None:
        connections.append(ws)
        await leave(ws)

    seen = Seen()
    async with listen(handler, **OPTIONS) as server, raw(server) as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        seen.code = await read_close(reader)
        await peer(reader, writer, seen.code, True)
        await until(lambda: not server._runs and connections[0].state == 3)
    seen.report = connections[0].close_report
    return seen


@asynccontextmanager
async def raw_server(serve: Any) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def leave_a_client(leave: Leave, peer: Any) -> Seen:
    """Leave ``async with connect()`` so."""
    seen, over = Seen(), asyncio.Event()

    async def serve(reader: Any, writer: Any) -> None:
        writer.write(answer(await read_head(reader)))
        try:
            seen.code = await read_close(reader)
            await peer(reader, writer, seen.code, False)
        except ConnectionError:
            pass  # the client is gone
        finally:
            writer.close()
            over.set()

    async def use() -> None:
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None, **OPTIONS) as ws:
            connections.append(ws)
            await leave(ws)

    connections: list[Any] = []
    async with raw_server(serve) as port:
        using = asyncio.create_task(use())
        await asyncio.wait({using}, timeout=10)
        seen.raised = (
            asyncio.CancelledError() if using.cancelled() else using.exception()
        )
        await asyncio.wait_for(over.wait(), 10)
    seen.report = connections[0].close_report
    assert connections[0].state == longwire.State.CLOSED
    return seen


LEAVING = {"handler": leave_a_handler, "client": leave_a_client}


# Each way with a peer that behaves and a silent one; all peers with two ways.
CASES = [
    (way, peer)
    for way in WAYS
    for peer in PEERS
    if peer in ("answers", "says_nothing")
    or way in ("raises_an_exception", "raises_a_base_exception")
]


@pytest.mark.parametrize(("way", "peer"), CASES)
@pytest.mark.parametrize("side", list(LEAVING))
async def test_how_the_block_ended_decides_whatever_the_peer_does(
    side: str, way: str, peer: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = WAYS[way]

    seen = await LEAVING[side](expected.leave, PEERS[peer])

    report = seen.report
    assert report is not None
    assert seen.code == expected.code
    assert report.sent is not None and report.sent.code == expected.code
    failed = expected.cause is Cause.HANDLER
    if failed or peer == "answers":
        assert report.cause is expected.cause
    if failed:
        assert isinstance(report.error, expected.error)
        assert WHAT_FOLLOWS[peer] in report.detail
        assert report.limit is None
    if side == "client":
        assert isinstance(seen.raised, expected.raised or expected.error or type(None))
    else:
        logged = ["connection handler failed"] if expected.logged else []
        assert traces(caplog) == logged


# --- the connection has ended, or is about to ------------------------------------


async def peer_closed_first(ws: Any, reader: Any, writer: Any) -> None:
    writer.write(frame(CLOSE, close_payload(4000), mask=not ws._client))
    await until(lambda: ws.close_report is not None)


async def peer_lost(ws: Any, reader: Any, writer: Any) -> None:
    writer.transport.abort()
    await until(lambda: ws.state == longwire.State.CLOSED)


async def closed_by_us(ws: Any, reader: Any, writer: Any) -> None:
    closing = asyncio.ensure_future(ws.close(4002))
    await read_close(reader)
    writer.write(frame(CLOSE, close_payload(4002), mask=not ws._client))
    if ws._client:
        writer.close()
    await closing


STATES = {
    "peer closed": (peer_closed_first, Cause.PEER),
    "lost": (peer_lost, Cause.NETWORK),
    "closed by us": (closed_by_us, Cause.LOCAL),
}


async def lets_its_own_end_through(ws: Any) -> None:
    await ws.recv()


async def lets_its_own_end_through_in_a_group(ws: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(lets_its_own_end_through(ws))


async def lets_both_ends_through(ws: Any) -> None:
    found: list[Exception] = []
    for use in (lets_its_own_end_through(ws), _use_of_an_ended_one()):
        try:
            await use
        except longwire.ConnectionClosed as exc:
            found.append(exc)
    raise ExceptionGroup("two", found)


async def wraps_its_own_end(ws: Any) -> None:
    try:
        await ws.recv()
    except longwire.ConnectionClosed as exc:
        raise LookupError("no answer") from exc


AFTER = {
    **{name: (way.leave, way.logged) for name, way in WAYS.items()},
    "raises_one_of_its_own_making": (raises_one_of_its_own_making, False),
    "lets_its_own_end_through": (lets_its_own_end_through, False),
    "lets_its_own_end_through_in_a_group": (lets_its_own_end_through_in_a_group, False),
    "lets_both_ends_through": (lets_both_ends_through, True),
    "wraps_its_own_end": (wraps_its_own_end, True),
}


@pytest.mark.parametrize("state", list(STATES))
@pytest.mark.parametrize("way", list(AFTER))
async def test_a_block_left_after_the_end_changes_nothing_of_it(
    way: str, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    leave, logged = AFTER[way]
    end, cause = STATES[state]
    connections: list[ServerConnection] = []
    peer: list[Any] = []
    before: list[CloseReport | None] = []

    async def handler(ws: ServerConnection) -> None:
        connections.append(ws)
        await until(lambda: peer)
        await end(ws, *peer)
        before.append(ws.close_report)
        await leave(ws)

    async with listen(handler, close_timeout=0.1) as server:
        async with raw(server) as (reader, writer):
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            peer += [reader, writer]
            await until(lambda: connections and not server._runs)

    report = connections[0].close_report
    assert report is before[0]
    assert report is not None and report.cause is cause
    assert traces(caplog) == (["connection handler failed"] if logged else [])


async def test_a_handler_that_fails_while_it_closes_is_logged_and_closes_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(ws: ServerConnection) -> None:
        closing = asyncio.create_task(ws.close(4003))
        await asyncio.sleep(0)
        assert not closing.done()
        raise Odd

    async with listen(handler, close_timeout=0.1) as server:
        async with raw(server) as (reader, writer):
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.read() == b"\x88\x02" + close_payload(4003)
            await until(lambda: not server._runs)

    assert traces(caplog) == ["connection handler failed"]


# --- where there is no coroutine yet, or none any more ---------------------------


async def test_a_handler_whose_call_raises_fails_as_its_coroutine_would(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(ws: ServerConnection) -> Any:
        raise Odd("before there is a coroutine")

    async with listen(handler) as server, connected(server) as client:
        await client.wait_closed()

    assert client.close_code == 1011
    assert traces(caplog) == ["connection handler failed"]


async def test_a_handler_may_raise_even_generator_exit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(ws: ServerConnection) -> None:
        raise GeneratorExit

    async with listen(handler) as server, connected(server) as client:
        await client.wait_closed()

    assert client.close_code == 1011
    assert traces(caplog) == ["connection handler failed"]


CALLBACKS = ["process_request", "process_response", "select_subprotocol"]


@pytest.mark.parametrize("callback", CALLBACKS)
@pytest.mark.parametrize("kind", [ValueError, Odd, asyncio.CancelledError])
async def test_a_callback_of_the_opening_that_raises_is_logged_and_answered(
    callback: str, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> Any:
        raise kind("mine")

    async with listen(**{callback: fail}) as server, raw(server) as (reader, writer):
        writer.write(UPGRADE)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 ")

    assert traces(caplog) == ["opening handshake failed"]


@pytest.mark.parametrize("callback", ["process_request", "process_response"])
@pytest.mark.parametrize("kind", [Odd, asyncio.CancelledError])
async def test_a_callback_that_raises_later_is_logged_and_answered(
    callback: str, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*args: Any) -> Any:
        await asyncio.sleep(0)
        raise kind("mine")

    async with listen(**{callback: fail}) as server, raw(server) as (reader, writer):
        writer.write(UPGRADE)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 ")

    assert traces(caplog) == ["opening handshake failed"]


async def test_where_two_callbacks_raise_the_log_has_both(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def first(*args: Any) -> None:
        raise Odd("the request's")

    def second(*args: Any) -> None:
        raise Odd("the response's")

    callbacks: Any = {"process_request": first, "process_response": second}
    async with listen(**callbacks) as server, raw(server) as (reader, writer):
        writer.write(UPGRADE)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 ")

    (record,) = (each for each in caplog.records if each.exc_info)
    assert record.exc_info is not None
    exc = record.exc_info[1]
    assert exc is not None and str(exc) == "the response's"
    assert str(exc.__context__) == "the request's"


def test_a_block_that_is_collected_after_its_loop_ends_in_silence() -> None:
    async def begin() -> Any:
        server = await listen(hold)
        port = server.sockets[0].getsockname()[1]
        return server, await connect(f"ws://127.0.0.1:{port}/", proxy=None)

    async def hold(ws: ServerConnection) -> None:
        await ws.wait_closed()

    async def finish(server: Any, ws: Any) -> None:
        await ws.close()
        server.close()
        await server.wait_closed()

    loop = asyncio.new_event_loop()
    server, ws = loop.run_until_complete(begin())

    # What a coroutine that is closed, and not finished, does with its block.
    leaving = ws.__aexit__(GeneratorExit, GeneratorExit(), None)
    with pytest.raises(StopIteration):
        leaving.send(None)

    assert ws.state == longwire.State.OPEN
    loop.run_until_complete(finish(server, ws))
    loop.close()
