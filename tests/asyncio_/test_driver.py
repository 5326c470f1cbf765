"""Plans carried out on asyncio: every step, and every way to end."""

from __future__ import annotations

import asyncio
import sys

import pytest
from tests.asyncio_.client_peers import nothing_left, raw_server, silence

from longwire import errors
from longwire.asyncio.driver import Stream, run
from longwire.asyncio.transport import Wire
from longwire.http.proxy import parse_proxy
from longwire.opening.steps import (
    Call,
    Hangup,
    OpenSocks,
    OpenTcp,
    OpenUnix,
    Read,
    Sleep,
    StartTls,
    Write,
)


class Nobody:
    """An owner that is told nothing that matters."""

    def wire_made(self):
        pass

    def peer_left(self):
        pass


def new_stream():
    return Stream(make_wire=lambda: Wire(Nobody()))


async def shout(reader, writer):
    """Answer whatever comes in capitals."""
    while data := await reader.read(100):
        writer.write(data.upper())
        await writer.drain()


def nothing():
    """A plan without steps."""
    return "done"
    yield


async def test_a_plan_without_steps_gives_its_result():
    assert await run(nothing(), Stream()) == "done"


async def test_a_plan_opens_writes_and_reads():
    def plan(port):
        yield OpenTcp("127.0.0.1", port)
        yield Write(b"hello")
        return (yield Read())

    async with raw_server(shout) as port, nothing_left():
        stream = new_stream()
        assert await run(plan(port), stream) == b"HELLO"
        stream.abort()


async def test_a_plan_opens_a_unix_socket(tmp_path):
    def plan(path):
        yield OpenUnix(path)
        yield Write(b"hello")
        return (yield Read())

    path = str(tmp_path / "s")
    async with raw_server(shout, path=path), nothing_left():
        stream = new_stream()
        assert await run(plan(path), stream) == b"HELLO"
        stream.abort()


async def test_the_end_of_the_stream_reads_as_no_bytes():
    async def hang_up(reader, writer):
        writer.write(b"bye")

    def plan(port):
        yield OpenTcp("127.0.0.1", port)
        data = b""
        while more := (yield Read()):
            data += more
        return data

    async with raw_server(hang_up) as port:
        stream = new_stream()
        assert await run(plan(port), stream) == b"bye"
        stream.abort()


async def test_after_a_hangup_another_connection_can_be_opened():
    def plan(port):
        for _ in range(3):
            yield OpenTcp("127.0.0.1", port)
            yield Hangup()
        yield OpenTcp("127.0.0.1", port)
        yield Write(b"again")
        return (yield Read())

    async with raw_server(shout) as port, nothing_left():
        stream = new_stream()
        assert await run(plan(port), stream) == b"AGAIN"
        stream.abort()


async def test_functions_are_called_and_coroutines_awaited():
    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    def plan():
        yield Sleep(0)
        four = yield Call(double, (2,))
        return (yield Call(max, (four, 3)))

    assert await run(plan(), Stream()) == 4


async def test_what_a_function_raises_is_thrown_into_the_plan():
    async def fail():
        raise ValueError("asynchronous")

    def plan():
        found = []
        for function in (lambda: 1 / 0, fail):
            try:
                yield Call(function)
            except (ZeroDivisionError, ValueError) as exc:
                found.append(str(exc))
        return found

    assert await run(plan(), Stream()) == ["division by zero", "asynchronous"]


async def test_what_a_plan_does_not_catch_comes_out_of_run():
    def plan():
        yield Call(lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        await run(plan(), Stream())


async def test_a_connection_that_cannot_be_opened_is_thrown_into_the_plan():
    def plan(port):
        try:
            yield OpenTcp("127.0.0.1", port)
        except ConnectionRefusedError:
            return "refused"

    async with raw_server(silence) as port:
        pass  # nobody listens there now

    async with nothing_left():
        stream = new_stream()
        assert await run(plan(port), stream) == "refused"
        stream.abort()


async def test_a_cancelled_plan_is_closed_at_its_step():
    seen = []

    def plan(port):
        try:
            yield OpenTcp("127.0.0.1", port)
            seen.append("open")
            yield Read()
        except GeneratorExit:
            seen.append("closed")
            raise
        finally:
            seen.append("finally")

    async with raw_server(silence) as port, nothing_left():
        stream = new_stream()
        task = asyncio.create_task(run(plan(port), stream))
        while not seen:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stream.abort()

    assert seen == ["open", "closed", "finally"]


async def test_aborting_a_stream_that_never_opened_does_nothing():
    Stream().abort()
    stream = Stream(Wire(Nobody()))
    stream.abort()

    assert stream.wire is None


async def test_reading_while_nothing_is_open_is_an_error_of_the_plan():
    def plan():
        yield Read()

    with pytest.raises(RuntimeError, match="while nothing is open"):
        await run(plan(), new_stream())


async def test_a_servers_stream_opens_no_connections():
    def plan():
        yield OpenTcp("127.0.0.1", 1)

    with pytest.raises(RuntimeError, match="cannot open connections"):
        await run(plan(), Stream())


async def test_plain_bytes_before_tls_are_not_taken_for_those_inside():
    async def inject(reader, writer):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
        await silence(reader, writer)

    def plan(port, arrived):
        yield OpenTcp("127.0.0.1", port)
        yield Call(arrived)
        yield StartTls(None, "localhost")

    async with raw_server(inject) as port, nothing_left():
        stream = new_stream()

        async def arrived():
            while not stream.wire.unread:
                await asyncio.sleep(0)

        with pytest.raises(errors.SecurityError, match="34 bytes in plain before TLS"):
            await run(plan(port, arrived), stream)
        stream.abort()


async def test_tls_options_that_make_no_sense_come_out_as_they_are():
    def plan(port):
        yield OpenTcp("127.0.0.1", port)
        yield StartTls(None, "localhost", {"ssl_handshake_timeout": "soon"})

    async with raw_server(silence) as port, nothing_left():
        stream = new_stream()
        with pytest.raises(TypeError):
            await run(plan(port), stream)
        stream.abort()


async def test_socks_without_python_socks_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "python_socks", None)

    def plan():
        yield OpenSocks(parse_proxy("socks5://127.0.0.1:1080"), "example.com", 80)

    with pytest.raises(ImportError, match=r"install '\.\[socks\]'"):
        await run(plan(), new_stream())


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (OpenTcp("127.0.0.1", 1), "connecting to 127.0.0.1 port 1"),
        (OpenUnix("/nowhere/at/all"), "connecting to /nowhere/at/all"),
    ],
)
async def test_a_stream_says_what_it_is_doing(step, words):
    stream = new_stream()

    with pytest.raises(OSError):
        await stream.carry_out(step)

    assert stream.doing == words
    stream.abort()
