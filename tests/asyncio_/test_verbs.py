"""Every verb against every rule: who may call it, where, when, and with what.

Each cell of the tables below says what is raised, at once: no call hangs, and none of
them disturbs the connection for those who use it as they should.
"""

from __future__ import annotations

import array
import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.asyncio_.serving import UPGRADE, listen
from tests.support.rawpeer import CLOSE, TEXT, close_payload, frame, knock

import longwire
from longwire import (
    BroadcastResult,
    ConcurrencyError,
    ConnectionClosed,
    InvalidClose,
    InvalidState,
    Server,
    broadcast,
    broadcast_wait,
)

SECONDS = 5.0
FINE = None
"""What a cell says of a call that raises nothing."""


@pytest.fixture(params=["native", "transport"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return str(request.param)


class Home:
    """A loop in a thread of its own, with a server and one connection of it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self.server: Server = self.do(self._serve())
        self.port = self.server.sockets[0].getsockname()[1]
        self.peer = knock(self.port).ask()
        self.ws: Any = self.do(self._arrived.get())

    async def _serve(self) -> Server:
        async def handler(ws: Any) -> None:
            self._arrived.put_nowait(ws)
            await ws.wait_closed()

        return await listen(handler, close_timeout=0.2, compression=None)

    def do(self, work: Any, seconds: float = SECONDS) -> Any:
        """Do ``work`` on the loop; TimeoutError if it hangs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call ``function`` on the loop, and await what it returns."""

        async def go() -> Any:
            result = function()
            return await result if inspect.isawaitable(result) else result

        return self.do(go())

    async def _end(self) -> None:
        self.server.close()
        await self.server.wait_closed()

    def end(self) -> None:
        self.peer.close()
        self.do(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(SECONDS)
        self.loop.close()


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.end()


# --- the verbs -------------------------------------------------------------------


async def items(*fragments: Any) -> AsyncIterator[Any]:
    for fragment in fragments:
        yield fragment


async def leave(ws: Any) -> None:
    async with ws:
        pass


async def leave_failing(ws: Any) -> None:
    async with ws:
        raise ZeroDivisionError


AWAITED: dict[str, Callable[[Any], Any]] = {
    "recv": lambda ws: ws.recv(),
    "recv as text": lambda ws: ws.recv(True),
    "recv_streaming": lambda ws: anext(ws.recv_streaming()),
    "async for": lambda ws: anext(aiter(ws)),
    "send str": lambda ws: ws.send("text"),
    "send bytes": lambda ws: ws.send(b"bytes"),
    "send bytearray": lambda ws: ws.send(bytearray(b"bytes")),
    "send memoryview": lambda ws: ws.send(memoryview(b"bytes")),
    "send list": lambda ws: ws.send(["one", "two"]),
    "send generator": lambda ws: ws.send(iter([b"one", b"two"])),
    "send async iterable": lambda ws: ws.send(items("one", "two")),
    "ping": lambda ws: ws.ping(),
    "ping data": lambda ws: ws.ping("data"),
    "pong": lambda ws: ws.pong(b"data"),
    "close": lambda ws: ws.close(),
    "close code": lambda ws: ws.close(4000, "reason"),
    "wait_closed": lambda ws: ws.wait_closed(),
    "leave": leave,
    "broadcast_wait": lambda ws: broadcast_wait([ws], "text"),
}
ANYWHERE: dict[str, Callable[[Any], Any]] = {
    "send_threadsafe": lambda ws: ws.send_threadsafe("text"),
    "broadcast": lambda ws: broadcast([ws], "text"),
    "state": lambda ws: ws.state,
    "latency": lambda ws: ws.latency,
    "close_report": lambda ws: ws.close_report,
    "close_code": lambda ws: ws.close_code,
    "id": lambda ws: ws.id,
    "request": lambda ws: ws.request.headers["Host"],
    "remote_address": lambda ws: ws.remote_address,
    "local_address": lambda ws: ws.local_address,
    "repr": repr,
}
SERVER: dict[str, Callable[[Server], Any]] = {
    "wait_closed": lambda server: server.wait_closed(),
    "drain": lambda server: server.drain(timeout=0.1),
    "serve_forever": lambda server: server.serve_forever(),
    "start_serving": lambda server: server.start_serving(),
    "await": lambda server: server._start(),
    "enter": lambda server: server.__aenter__(),
    "leave": lambda server: server.__aexit__(None, None, None),
    "close": lambda server: server.close(),
    "close some": lambda server: server.close(close_connections=False),
}
TRANSPORT: dict[str, Callable[[Any], Any]] = {
    "abort": lambda transport: transport.abort(),
    "close": lambda transport: transport.close(),
    "write": lambda transport: transport.write(b"x"),
    "write_eof": lambda transport: transport.write_eof(),
    "pause_reading": lambda transport: transport.pause_reading(),
    "resume_reading": lambda transport: transport.resume_reading(),
}


# --- where -----------------------------------------------------------------------


def on_another_loop(function: Callable[[], Any]) -> Any:
    """Call it where another event loop runs, and await what it returns."""

    async def go() -> Any:
        result = function()
        return await result if inspect.isawaitable(result) else result

    return asyncio.run(asyncio.wait_for(go(), SECONDS))


def without_a_loop(function: Callable[[], Any]) -> Any:
    """Call it where no event loop runs; a coroutine that waits there hangs."""
    result = function()
    if not inspect.isawaitable(result):
        return result
    steps = result.__await__()
    try:
        steps.send(None) if hasattr(steps, "send") else next(steps)
    except StopIteration as stop:
        return stop.value
    finally:
        getattr(steps, "close", lambda: None)()
    raise AssertionError("it waits, where nothing can end that")


def in_a_thread(where: Callable[..., Any], function: Callable[[], Any]) -> Any:
    """Do so in a thread of its own, which must not hang."""
    done: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def go() -> None:
        try:
            done.set_result(where(function))
        except BaseException as exc:
            done.set_exception(exc)

    threading.Thread(target=go, daemon=True).start()
    return done.result(SECONDS)


PLACES = {"another loop": on_another_loop, "no loop": without_a_loop}


@pytest.fixture(params=list(PLACES))
def elsewhere(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    place = PLACES[request.param]
    return lambda function: in_a_thread(place, function)


def still_works(home: Home) -> None:
    """Check that nobody else notices what was refused."""
    receiving = asyncio.run_coroutine_threadsafe(_recv(home.ws), home.loop)
    home.peer.send(TEXT, b"hello")
    assert receiving.result(SECONDS) == "hello"
    home.do(_send(home.ws, "answer"))
    assert home.peer.read() == (TEXT, b"answer", True, 0)
    closing = asyncio.run_coroutine_threadsafe(_close(home.ws), home.loop)
    assert home.peer.read_close() == (1000, "")
    home.peer.send_close(1000)
    home.peer.close()
    closing.result(SECONDS)
    assert home.ws.state == longwire.State.CLOSED


async def _recv(ws: Any) -> Any:
    return await ws.recv()


async def _send(ws: Any, message: Any) -> None:
    await ws.send(message)


async def _close(ws: Any) -> None:
    await ws.close()


@pytest.mark.parametrize("verb", list(AWAITED))
def test_a_verb_that_waits_belongs_to_the_connections_loop(
    verb: str, elsewhere: Any, home: Home
) -> None:
    with pytest.raises(ConcurrencyError, match="belongs to another event loop"):
        elsewhere(lambda: AWAITED[verb](home.ws))

    still_works(home)


@pytest.mark.parametrize("verb", list(AWAITED))
def test_it_does_so_after_the_end_of_the_connection_too(
    verb: str, elsewhere: Any, home: Home
) -> None:
    home.peer.close()
    home.call(home.ws.wait_closed)

    with pytest.raises(ConcurrencyError):
        elsewhere(lambda: AWAITED[verb](home.ws))


@pytest.mark.parametrize("verb", list(ANYWHERE))
def test_what_waits_for_nothing_may_be_asked_anywhere(
    verb: str, elsewhere: Any, home: Home
) -> None:
    result = elsewhere(lambda: ANYWHERE[verb](home.ws))

    if isinstance(result, concurrent.futures.Future):
        assert result.result(SECONDS) is None
    if verb in ("broadcast", "send_threadsafe"):
        assert home.peer.read() == (TEXT, b"text", True, 0)
    still_works(home)


@pytest.mark.parametrize("verb", list(SERVER))
def test_a_servers_verbs_belong_to_its_loop(
    verb: str, elsewhere: Any, home: Home
) -> None:
    with pytest.raises(ConcurrencyError, match="belongs to another event loop"):
        elsewhere(lambda: SERVER[verb](home.server))

    assert home.server.is_serving()
    still_works(home)


@pytest.mark.parametrize("verb", list(TRANSPORT))
def test_so_do_those_of_the_native_transport(
    verb: str, elsewhere: Any, home: Home
) -> None:
    if str(home.ws.wire) != "native":
        return  # asyncio's own transports do not look

    with pytest.raises(ConcurrencyError):
        elsewhere(lambda: TRANSPORT[verb](home.ws.transport))

    still_works(home)


# --- when ------------------------------------------------------------------------

CLOSED = {
    **dict.fromkeys(AWAITED, ConnectionClosed),
    "close": FINE,
    "close code": FINE,
    "wait_closed": FINE,
    "leave": FINE,
    "broadcast_wait": FINE,
}


@pytest.mark.parametrize("code", [1000, 4000, None])
@pytest.mark.parametrize("verb", list(AWAITED))
def test_a_verb_after_the_end(verb: str, code: int | None, home: Home) -> None:
    if code is not None:
        home.peer.send_close(code)
        home.peer.read_close()
    home.peer.close()
    home.call(home.ws.wait_closed)

    for _ in range(2):
        _expect(CLOSED[verb], verb, home, ended_well=code == 1000)


def _expect(kind: Any, verb: str, home: Home, ended_well: bool = False) -> None:
    if verb == "async for" and ended_well:
        kind = StopAsyncIteration
    if kind is FINE:
        home.call(lambda: AWAITED[verb](home.ws))
    elif kind is StopAsyncIteration:
        assert home.call(lambda: _last(home.ws)) == "the end"
    else:
        with pytest.raises(kind):
            home.call(lambda: AWAITED[verb](home.ws))


async def _last(ws: Any) -> Any:
    return await anext(aiter(ws), "the end")


@pytest.mark.parametrize("verb", list(ANYWHERE))
def test_a_question_after_the_end(verb: str, home: Home) -> None:
    home.peer.close()
    home.call(home.ws.wait_closed)

    result = ANYWHERE[verb](home.ws)

    if verb == "send_threadsafe":
        with pytest.raises(ConnectionClosed):
            result.result(SECONDS)
    elif verb == "broadcast":
        assert result == BroadcastResult(skipped=1)


WHILE_CLOSING = {
    # Who sends has to be told how it ended, so these wait for that, no longer.
    **{verb: ConnectionClosed for verb in AWAITED if verb.startswith(("send", "p"))},
    "close": FINE,
    "close code": FINE,
    "wait_closed": FINE,
    "leave": FINE,
    "broadcast_wait": FINE,
}


@pytest.mark.parametrize("verb", list(WHILE_CLOSING))
def test_a_verb_while_the_connection_closes_ends_with_it(verb: str, home: Home) -> None:
    closing = asyncio.run_coroutine_threadsafe(_close(home.ws), home.loop)
    assert home.peer.read_close() == (1000, "")

    _expect(WHILE_CLOSING[verb], verb, home)  # the peer does not answer: 0.2 seconds

    closing.result(SECONDS)


BEFORE = {
    **dict.fromkeys(AWAITED, InvalidState),
    "broadcast_wait": FINE,
}


@pytest.mark.parametrize("verb", [verb for verb in AWAITED if verb != "wait_closed"])
def test_a_verb_before_the_connection_is_open(verb: str) -> None:
    raised: list[Any] = []

    async def ask(ws: Any, request: Any) -> Any:
        try:
            await asyncio.wait_for(AWAITED[verb](ws), SECONDS)
        except Exception as exc:
            raised.append(type(exc))
        else:
            raised.append(FINE)
        return ws.respond(403, "no\n")

    assert _refused_by(ask).startswith(b"HTTP/1.1 403 ")
    assert raised == [BEFORE[verb]]


@pytest.mark.parametrize("verb", list(AWAITED))
def test_a_verb_on_one_that_never_opened(verb: str) -> None:
    refused: list[Any] = []
    raised: list[Any] = []

    def ask(ws: Any, request: Any) -> Any:
        refused.append(ws)
        return ws.respond(403, "no\n")

    async def after() -> None:
        async with asyncio.timeout(SECONDS):
            while refused[0].state != longwire.State.CLOSED:
                await asyncio.sleep(0.01)
            try:
                await AWAITED[verb](refused[0])
            except Exception as exc:
                raised.append(type(exc))
            else:
                raised.append(FINE)

    _refused_by(ask, after)
    assert raised == [FINE if verb == "wait_closed" else BEFORE[verb]]


def _refused_by(process_request: Any, after: Any = None) -> bytes:
    """Return what a server answers to a request, having done ``after``."""

    async def main() -> bytes:
        async with listen(process_request=process_request) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(UPGRADE)
            answer = await asyncio.wait_for(reader.read(), SECONDS)
            writer.close()
            if after is not None:
                await after()
            return answer

    return asyncio.run(main())


@pytest.mark.parametrize("verb", ["wait_closed", "drain"])
async def test_a_server_that_was_never_started_has_nothing_to_wait_for(
    verb: str,
) -> None:
    server = listen()

    with pytest.raises(RuntimeError, match="was not started"):
        await asyncio.wait_for(SERVER[verb](server), SECONDS)

    server.close()
    await asyncio.wait_for(server.wait_closed(), SECONDS)


async def test_a_server_may_be_waited_for_while_it_starts() -> None:
    server = listen()
    starting = asyncio.ensure_future(server.start_serving())
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(server.wait_closed())
    await starting
    assert server.is_serving()

    server.close()

    await asyncio.wait_for(waiting, SECONDS)


@pytest.mark.parametrize("verb", ["await", "enter", "start_serving", "serve_forever"])
async def test_a_server_that_was_closed_does_not_start_again(verb: str) -> None:
    server = await listen()
    server.close()
    await server.wait_closed()

    with pytest.raises(RuntimeError, match="was closed"):
        await asyncio.wait_for(SERVER[verb](server), SECONDS)
    for verb in ("close", "wait_closed", "drain", "leave"):
        result = SERVER[verb](server)
        await asyncio.wait_for(result, SECONDS)


def test_a_server_may_be_closed_between_two_runs_of_its_loop() -> None:
    async def begin() -> Any:
        server = await listen(open_timeout=5)
        port = server.sockets[0].getsockname()[1]
        silent = await asyncio.open_connection("127.0.0.1", port)
        open_ = await asyncio.open_connection("127.0.0.1", port)
        open_[1].write(UPGRADE)
        await open_[0].readuntil(b"\r\n\r\n")
        silent[1].write(UPGRADE[:20])
        while len(server._runs) < 2 or not server.connections:
            await asyncio.sleep(0.01)
        return server, silent, open_

    async def finish(server: Any, silent: Any, open_: Any) -> Any:
        heard = await silent[0].read(), await open_[0].readexactly(4)
        open_[1].write(frame(CLOSE, close_payload(1001)))
        open_[1].close()
        silent[1].close()
        await server.wait_closed()
        return heard

    loop = asyncio.new_event_loop()
    server, silent, open_ = loop.run_until_complete(begin())
    server.close()
    heard = loop.run_until_complete(
        asyncio.wait_for(finish(server, silent, open_), SECONDS)
    )
    loop.close()

    assert heard[0].startswith(b"HTTP/1.1 503 ")
    assert heard[1] == b"\x88\x02" + close_payload(1001)


# --- with what -------------------------------------------------------------------

WORDS = memoryview(array.array("I", range(60)))  # 60 items, 240 bytes
FEW = memoryview(array.array("I", range(31)))  # 124 bytes
SPREAD = memoryview(bytes(range(20)))[::2]  # not contiguous
WRONG: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "send None": (lambda ws: ws.send(None), TypeError),
    "send int": (lambda ws: ws.send(5), TypeError),
    "send dict": (lambda ws: ws.send({"a": 1}), TypeError),
    "send list of int": (lambda ws: ws.send([1, 2]), TypeError),
    "send list of list": (lambda ws: ws.send([["a"]]), TypeError),
    "send future": (lambda ws: ws.send(ws._loop.create_future()), TypeError),
    "send surrogate": (lambda ws: ws.send("\ud800"), UnicodeEncodeError),
    "ping int": (lambda ws: ws.ping(5), TypeError),
    "ping list": (lambda ws: ws.ping([b"x"]), TypeError),
    "ping long": (lambda ws: ws.ping(b"x" * 126), ValueError),
    "ping long text": (lambda ws: ws.ping("\u00e9" * 63), ValueError),
    "ping words": (lambda ws: ws.ping(WORDS), ValueError),
    "pong int": (lambda ws: ws.pong(5), TypeError),
    "pong long": (lambda ws: ws.pong(bytearray(126)), ValueError),
    "pong words": (lambda ws: ws.pong(WORDS), ValueError),
    "close str": (lambda ws: ws.close("1000"), TypeError),
    "close float": (lambda ws: ws.close(1000.0), TypeError),
    "close bytes reason": (lambda ws: ws.close(1000, b"x"), TypeError),
    "close None reason": (lambda ws: ws.close(1000, None), TypeError),
    "close 999": (lambda ws: ws.close(999), InvalidClose),
    "close 1005": (lambda ws: ws.close(1005), InvalidClose),
    "close 1006": (lambda ws: ws.close(1006), InvalidClose),
    "close 5000": (lambda ws: ws.close(5000), InvalidClose),
    "close -1": (lambda ws: ws.close(-1), InvalidClose),
    "close long": (lambda ws: ws.close(1000, "x" * 124), InvalidClose),
    "close long text": (lambda ws: ws.close(1000, "\u00e9" * 62), InvalidClose),
    "close reason alone": (lambda ws: ws.close(None, "x"), InvalidClose),
    "close surrogate": (lambda ws: ws.close(1000, "\ud800"), InvalidClose),
    "broadcast int": (lambda ws: broadcast([ws], 5), TypeError),
    "broadcast list": (lambda ws: broadcast([ws], ["a"]), TypeError),
    "broadcast one": (lambda ws: broadcast(ws, "a"), TypeError),
    "broadcast strings": (lambda ws: broadcast(["a"], "a"), TypeError),
    "broadcast slow": (lambda ws: broadcast([ws], "a", slow="no"), ValueError),
    "broadcast key": (lambda ws: broadcast([ws], "a", key=[]), TypeError),
    "broadcast_wait int": (lambda ws: broadcast_wait([ws], 5), TypeError),
    "broadcast_wait one": (lambda ws: broadcast_wait(ws, "a"), TypeError),
    "broadcast_wait strings": (lambda ws: broadcast_wait(["a"], "a"), TypeError),
    "server close code": (lambda ws: ws.server.close(code=999), InvalidClose),
    "server close type": (lambda ws: ws.server.close(code="x"), TypeError),
    "drain batch": (lambda ws: ws.server.drain(batch=0), ValueError),
    "drain code": (lambda ws: ws.server.drain(code=999), InvalidClose),
}


@pytest.mark.parametrize("call", list(WRONG))
def test_a_wrong_argument_is_refused_and_changes_nothing(call: str, home: Home) -> None:
    function, kind = WRONG[call]

    for _ in range(2):
        with pytest.raises(kind):
            home.call(lambda: function(home.ws))

    assert home.server.is_serving()
    still_works(home)


@pytest.mark.parametrize("call", [name for name in WRONG if "surrogate" not in name])
def test_a_wrong_argument_is_refused_after_the_end_too(call: str, home: Home) -> None:
    home.peer.close()
    home.call(home.ws.wait_closed)
    function, kind = WRONG[call]

    with pytest.raises(kind):
        home.call(lambda: function(home.ws))


RIGHT: dict[str, tuple[Callable[[Any], Any], bytes]] = {
    "send words": (lambda ws: ws.send(WORDS), b"\x82\x7e\x00\xf0" + bytes(WORDS)),
    "send few": (lambda ws: ws.send(FEW), b"\x82\x7c" + bytes(FEW)),
    "send spread": (lambda ws: ws.send(SPREAD), b"\x82\x0a" + bytes(SPREAD)),
    "send empty": (lambda ws: ws.send(memoryview(b"")), b"\x82\x00"),
    "send words as text": (
        lambda ws: ws.send(memoryview(array.array("H", b"ab")), text=True),
        b"\x81\x02ab",
    ),
    "send list of words": (
        lambda ws: ws.send([WORDS, FEW]),
        b"\x02\x7e\x00\xf0" + bytes(WORDS) + b"\x80\x7c" + bytes(FEW),
    ),
    "send empty list": (lambda ws: ws.send([]), b""),
    "ping few": (lambda ws: ws.ping(FEW), b"\x89\x7c" + bytes(FEW)),
    "ping spread": (lambda ws: ws.ping(SPREAD), b"\x89\x0a" + bytes(SPREAD)),
    "ping 125": (lambda ws: ws.ping(bytearray(125)), b"\x89\x7d" + bytes(125)),
    "pong few": (lambda ws: ws.pong(FEW), b"\x8a\x7c" + bytes(FEW)),
    "broadcast words": (
        lambda ws: broadcast([ws], WORDS),
        b"\x82\x7e\x00\xf0" + bytes(WORDS),
    ),
    "broadcast_wait few": (
        lambda ws: broadcast_wait([ws], FEW),
        b"\x82\x7c" + bytes(FEW),
    ),
    "close without code": (lambda ws: _begin_close(ws, None), b"\x88\x00"),
}


async def _begin_close(ws: Any, code: Any) -> None:
    closing = asyncio.ensure_future(ws.close(code))
    await asyncio.sleep(0)
    assert not closing.done()


@pytest.mark.parametrize("call", list(RIGHT))
def test_sizes_are_in_bytes_whatever_the_items_are(call: str, home: Home) -> None:
    function, wire = RIGHT[call]

    home.call(lambda: function(home.ws))

    assert home.peer.read_bytes(len(wire)) == wire


# --- at the same time ------------------------------------------------------------

RECEIVING = ("recv", "recv as text", "recv_streaming", "async for")


@pytest.mark.parametrize("second", RECEIVING)
@pytest.mark.parametrize("first", RECEIVING)
def test_two_cannot_receive_at_the_same_time(
    first: str, second: str, home: Home
) -> None:
    async def go() -> Any:
        waiting = asyncio.ensure_future(_await(AWAITED[first](home.ws)))
        await asyncio.sleep(0)
        for _ in range(2):
            with pytest.raises(ConcurrencyError, match="already running recv"):
                await asyncio.wait_for(_await(AWAITED[second](home.ws)), SECONDS)
        home.peer.send(TEXT, b"for the first")
        return await waiting

    assert home.do(go()) == "for the first"
    still_works(home)


@pytest.mark.parametrize("verb", RECEIVING)
def test_who_receives_elsewhere_is_told_of_that_first(
    verb: str, elsewhere: Any, home: Home
) -> None:
    waiting = asyncio.run_coroutine_threadsafe(_recv(home.ws), home.loop)
    home.do(asyncio.sleep(0))

    with pytest.raises(ConcurrencyError, match="belongs to another event loop"):
        elsewhere(lambda: AWAITED[verb](home.ws))

    home.peer.send(TEXT, b"hello")
    assert waiting.result(SECONDS) == "hello"
    still_works(home)


@pytest.mark.parametrize("verb", list(AWAITED))
def test_another_loop_of_the_same_thread_is_another_loop(verb: str) -> None:
    async def begin() -> Any:
        arrived: asyncio.Queue[Any] = asyncio.Queue()

        async def handler(ws: Any) -> None:
            arrived.put_nowait(ws)
            await ws.wait_closed()

        server = await listen(handler)
        peer = await asyncio.open_connection(
            "127.0.0.1", server.sockets[0].getsockname()[1]
        )
        peer[1].write(UPGRADE + frame(TEXT, b"one") + frame(TEXT, b"two"))
        await peer[0].readuntil(b"\r\n\r\n")
        ws = await arrived.get()
        while ws._session.inbox.whole < 2:
            await asyncio.sleep(0.01)
        return server, ws, peer

    async def finish(server: Any, ws: Any, peer: Any) -> Any:
        heard = [await ws.recv(), await ws.recv()]
        peer[1].close()
        server.close()
        await server.wait_closed()
        return heard

    loop = asyncio.new_event_loop()
    server, ws, peer = loop.run_until_complete(begin())
    with pytest.raises(ConcurrencyError):
        on_another_loop(lambda: AWAITED[verb](ws))
    heard = loop.run_until_complete(asyncio.wait_for(finish(server, ws, peer), SECONDS))
    loop.close()

    assert heard == ["one", "two"]


async def _await(what: Any) -> Any:
    return await what


def test_two_pings_with_the_same_data_cannot_wait(home: Home) -> None:
    home.call(lambda: home.ws.ping("same"))

    with pytest.raises(ConcurrencyError, match="same data"):
        home.call(lambda: home.ws.ping(b"same"))
    assert home.peer.read().payload == b"same"
    still_works(home)


@pytest.mark.parametrize("verb", ["recv", "send str", "ping", "close"])
def test_what_a_verb_returns_can_be_awaited_once(verb: str, home: Home) -> None:
    home.peer.send(TEXT, b"hello")
    home.peer.send_close(1000)

    async def go() -> None:
        operation = AWAITED[verb](home.ws)
        await operation
        with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
            await operation

    home.do(go())
