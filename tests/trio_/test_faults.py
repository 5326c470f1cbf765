"""Streams that fail, verbs that are cancelled, handlers that do not end: on trio."""

from __future__ import annotations

import logging

import pytest
from tests.trio_.running import connect, echo, serving, trio, trio_test, until

import longwire.trio
from longwire import (
    Cause,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    Timeouts,
)


class Stream(trio.abc.HalfCloseableStream):
    """A tunnel that passes on, or raises ``error`` in the method called ``fails``."""

    def __init__(self, inner):
        self.inner = inner
        self.fails, self.error = "", None

    async def _pass(self, name, *arguments):
        await trio.lowlevel.checkpoint()
        if name == self.fails:
            raise self.error
        return await getattr(self.inner, name)(*arguments)

    async def send_all(self, data):
        await self._pass("send_all", data)

    async def wait_send_all_might_not_block(self):
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, most=None):
        return await self._pass("receive_some", most)

    async def send_eof(self):
        await self._pass("send_eof")

    async def aclose(self):
        await self.inner.aclose()
        await self._pass("aclose")


class Listener(trio.abc.Listener):
    def __init__(self, inner):
        self.inner = inner
        self.made = []

    async def accept(self):
        self.made.append(Stream(await self.inner.accept()))
        return self.made[-1]

    async def aclose(self):
        await self.inner.aclose()


ERRORS = [
    OSError(5, "I/O error in the tunnel"),
    trio.BrokenResourceError("torn"),
    trio.ClosedResourceError("closed"),
    trio.BusyResourceError("busy"),
    RuntimeError("a mistake in the tunnel"),
    ExceptionGroup("two", [ValueError("one"), OSError("other")]),
]
FAILING = ["send_all", "receive_some", "send_eof", "aclose"]
QUICK = Timeouts(fault_grace=0.05)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", FAILING)
@trio_test
async def test_a_clients_stream_that_fails_ends_its_connection_alone(name, error):
    async with serving() as (server, uri):
        port = server.listeners[0].socket.getsockname()[1]
        stream = Stream(await trio.open_tcp_stream("127.0.0.1", port))
        options = {"stream": stream, "timeouts": QUICK, "close_timeout": 0.2}
        async with connect(uri) as other:
            async with connect(uri, **options) as ws:
                await ws.send("before")
                assert await ws.recv() == "before"
                stream.fails, stream.error = name, error
                if name == "send_all":
                    # The peer sends nothing more, and does not end either.
                    with pytest.raises(ConnectionClosedError) as raised:
                        await ws.send("lost")
                        await ws.recv()
                    assert raised.value.report.cause is Cause.NETWORK
                    assert str(error) in raised.value.report.detail
                elif name == "receive_some":
                    await ws.send("wake")  # the read under way is not the next one
                    with pytest.raises(ConnectionClosedError):
                        while True:
                            await ws.recv()
            await other.send("unharmed")
            assert await other.recv() == "unharmed"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", FAILING)
@trio_test
async def test_a_servers_stream_that_fails_ends_its_connection_alone(name, error):
    (inner,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    uri = f"ws://127.0.0.1:{inner.socket.getsockname()[1]}/"
    listener = Listener(inner)
    async with trio.open_nursery() as nursery:

        async def serve(task_status):
            await longwire.trio.serve(
                echo,
                listeners=[listener],
                timeouts=QUICK,
                close_timeout=0.2,
                task_status=task_status,
            )

        server = await nursery.start(serve)
        async with connect(uri) as other:
            async with connect(uri, close_timeout=0.2) as ws:
                await ws.send("x")
                await ws.recv()
                listener.made[1].fails, listener.made[1].error = name, error
                try:
                    await ws.send("y")
                    await ws.send("z")
                    await ws.recv()
                except ConnectionClosed:
                    pass
            await until(lambda: len(server._runs) == 1)
            await other.send("unharmed")
            assert await other.recv() == "unharmed"
        await server.aclose()


# --- deadlines ---------------------------------------------------------------------


class Slow(Stream):
    """Loses what it has read where its read is cancelled, as a tunnel may."""

    async def receive_some(self, most=None):
        data = await self.inner.receive_some(most)
        await trio.sleep(0.002)
        return data


@trio_test
async def test_no_deadline_cancels_a_read_of_a_callers_stream():
    async def numbers(ws):
        for number in range(200):
            await ws.send(str(number))
            await trio.sleep(0.001)

    async with serving(numbers) as (server, uri):
        port = server.listeners[0].socket.getsockname()[1]
        stream = Slow(await trio.open_tcp_stream("127.0.0.1", port))
        async with connect(uri, stream=stream, ping_interval=0.005) as ws:
            got = [message async for message in ws]
    assert got == [str(number) for number in range(200)]


@trio_test
async def test_deadlines_are_kept_on_a_callers_stream():
    async with serving() as (server, uri):
        port = server.listeners[0].socket.getsockname()[1]
        stream = Stream(await trio.open_tcp_stream("127.0.0.1", port))
        options = {"ping_interval": 0.05, "ping_timeout": 0.05, "close_timeout": 0.05}
        ws = await connect(uri, stream=stream, **options).__aenter__()

        async def nothing(most=None):
            await trio.sleep_forever()

        await ws.send("x")
        await ws.recv()
        stream.receive_some = nothing
        with pytest.raises(ConnectionClosedError):
            while True:
                await ws.recv()
        await ws.wait_closed()
        assert ws.close_report.cause in (Cause.KEEPALIVE, Cause.CLOSE_TIMEOUT)


# --- cancelling --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["whole", "fragments"])
@trio_test
async def test_a_cancelled_send_is_not_sent_and_another_is(kind):
    go, got, outcomes = trio.Event(), [], []

    async def handler(ws):
        await go.wait()
        async for message in ws:
            got.append(message[:3])

    def message(number):
        text = f"{number:03d}" + "x" * 4_000_000
        return text if kind == "whole" else [text]

    async with serving(handler, max_queue=1, max_size=None, limits=None) as (_, uri):
        async with connect(uri, max_size=None, compression=None) as ws:
            for number in range(5):
                with trio.move_on_after(0.1) as scope:
                    await ws.send(message(number))
                outcomes.append(scope.cancelled_caught)
            go.set()
    assert outcomes[-1]
    assert got == [f"{n:03d}" for n, cancelled in enumerate(outcomes) if not cancelled]


@trio_test
async def test_a_send_that_is_cancelled_after_its_turn_ends_at_the_next_checkpoint():
    async with serving(lambda ws: trio.sleep_forever()) as (server, uri):
        async with connect(uri, compression=None) as ws:
            with trio.move_on_after(0.1) as scope:
                await ws.send(b"x" * (32 << 20))
                assert scope.cancel_called
                await trio.lowlevel.checkpoint()
                raise AssertionError("not reached")
            assert scope.cancelled_caught
            ws._abort("done")
        await server.drain(timeout=0)


# --- stuck handlers ----------------------------------------------------------------


@trio_test
async def test_a_handler_that_goes_on_is_named_with_its_place(caplog, monkeypatch):
    monkeypatch.setattr("longwire.trio.server.PATIENCE", 0.05)
    end = trio.Event()

    async def stubborn(ws):
        await ws.recv()
        await end.wait()  # the line that is named

    async with serving(stubborn) as (server, uri), connect(uri) as ws:
        await ws.send("x")
        await trio.sleep(0.05)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.aclose)
            await until(lambda: "server waits for handlers" in caplog.text)
            end.set()
    line = stubborn.__code__.co_firstlineno + 2
    assert f"stubborn at {__file__}:{line} (1)" in caplog.text
    assert "drain(), cuts them off" in caplog.text


@trio_test
async def test_a_server_that_ends_in_time_says_nothing_of_it(caplog):
    caplog.set_level(logging.INFO)
    async with serving() as (_, uri), connect(uri) as ws:
        await ws.send("x")
    assert "waits for handlers" not in caplog.text


@trio_test
async def test_health_may_be_a_mapping():
    async with serving(health={"/ready": lambda: True}) as (_, uri):
        async with connect(uri) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"


class Odd(BaseException):
    """What a program derives from BaseException to go through `except Exception`."""


async def raise_in_a_nursery(exc):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        raise exc


async def raise_beside_a_cancellation(exc):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.cancel_scope.cancel()
        raise exc


async def raise_at_once(exc):
    raise exc


WAYS = [raise_at_once, raise_in_a_nursery, raise_beside_a_cancellation]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("error", [Odd("mine"), GeneratorExit("mine")], ids=repr)
@trio_test
async def test_whatever_a_handler_raises_it_ends_its_connection_alone(
    how, error, caplog
):
    served = []

    async def handler(ws):
        served.append(ws)
        async for message in ws:
            if message == "fail":
                await how(error)
            await ws.send(message)

    async with serving(handler) as (_, uri), connect(uri) as other:
        async with connect(uri) as ws:
            await ws.send("fail")
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
        await until(lambda: served[1].close_report is not None)
        await other.send("still here")
        assert await other.recv() == "still here"

    assert caught.value.rcvd.code == 1011
    assert served[1].close_report.cause is Cause.HANDLER
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.getMessage() == "connection handler failed"


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("where", ["handler", "process_request"])
def test_what_ends_a_program_ends_its_server(where, how, error, caplog):
    async def handler(ws, request=None):
        await how(error)

    options = {"process_request": handler} if where == "process_request" else {}

    async def main():
        async with serving(handler, **options) as (_, uri), connect(uri) as ws:
            await ws.recv()

    with pytest.raises(BaseException) as caught:
        trio.run(main)
    raised = caught.value
    while isinstance(raised, BaseExceptionGroup):
        of_kind = raised.subgroup(type(error))
        raised = of_kind.exceptions[0]
    assert raised is error
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


@trio_test
async def test_a_failure_beside_a_cancellation_is_logged_and_ends_nothing_else(caplog):
    async def handler(ws):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            await trio.sleep_forever()

    async def fail_when_cancelled():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in its cleanup")

    async with trio.open_nursery() as nursery:
        server = await nursery.start(longwire.trio.serve, handler, 0)
        port = server.listeners[0].socket.getsockname()[1]
        async with connect(f"ws://localhost:{port}/") as ws:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await ws.wait_closed()

    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "in its cleanup" in caplog.text
    assert record.getMessage() == "connection handler failed"


@trio_test
async def test_a_callback_cancelled_in_its_own_nursery_has_not_failed(caplog):
    async def process_request(ws, request):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)

    async with serving(process_request=process_request, open_timeout=0.2) as (_, uri):
        with pytest.raises(longwire.InvalidHandshake):
            async with connect(uri):
                pass
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


@trio_test
async def test_one_connect_is_not_for_two_blocks_that_begin_at_once():
    outcomes = []

    async def enter(client):
        try:
            async with client as ws:
                await ws.send("hi")
                outcomes.append(await ws.recv())
        except ConcurrencyError as exc:
            outcomes.append(str(exc))

    async with serving() as (server, uri):
        client = connect(uri)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter, client)
            nursery.start_soon(enter, client)
        await until(lambda: not server.connections)
        await enter(client)  # it is free again

    refusal = "this connect() is in use by another 'async with'; make one for each"
    assert sorted(outcomes) == ["hi", "hi", refusal]


@trio_test
async def test_a_connect_that_failed_may_be_entered_again():
    client = connect("ws://localhost:1/")
    for _ in range(2):
        with pytest.raises(OSError):
            async with client:
                pass
