"""Error paths cannot fail: whatever a route raises, there is an answer."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

import longwire
from longwire import rpc
from longwire.rpc.errors import ErrorValue, Registry
from tests.rpc.links import Line

pytestmark = pytest.mark.once


class Odd(BaseException):
    pass


class Unsaid(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class UnsaidOddly(Exception):
    def __str__(self) -> str:
        raise Odd


class NoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307


class UnsaidDeclared(rpc.ApplicationError):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NoData(rpc.ApplicationError):
    @property
    def data(self) -> Any:
        raise RuntimeError("no data")

    @data.setter
    def data(self, value: Any) -> None:
        pass


class NoMessage(rpc.ApplicationError):
    @property
    def message(self) -> Any:
        raise Odd

    @message.setter
    def message(self, value: Any) -> None:
        pass


class OddCode(rpc.ApplicationError):
    code = "five"  # type: ignore[assignment]


class HugeCode(rpc.ApplicationError):
    code = 1 << 100


class OddType(rpc.ApplicationError):
    def __init__(self) -> None:
        super().__init__("odd type", type="\udce9")


class Uninitialised(rpc.ApplicationError):
    def __init__(self) -> None:
        pass


class Declared(Exception):
    """Among `errors` of the server."""

    data: Any = None


class DeclaredUnsaid(Declared):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def endless() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def with_cause() -> Exception:
    error = RuntimeError("outer")
    error.__cause__ = Unsaid()
    error.__context__ = error
    return error


def group() -> BaseException:
    return BaseExceptionGroup("all", [Odd(), asyncio.CancelledError(), Unsaid()])


def deep() -> BaseException:
    error: BaseException = ValueError("bottom")
    for _ in range(1000):
        error, inner = RuntimeError("level"), error
        error.__cause__ = inner
    return error


RAISED: dict[str, Callable[[], BaseException]] = {
    "an exception": lambda: RuntimeError("no"),
    "half a surrogate": lambda: rpc.ApplicationError("\udce9"),
    "half a surrogate, undeclared": lambda: RuntimeError("\udce9"),
    "a text that raises": Unsaid,
    "a text that raises oddly": UnsaidOddly,
    "a text that is none": NoText,
    "declared, a text that raises": UnsaidDeclared,
    "declared by errors, a text that raises": DeclaredUnsaid,
    "declared, data that raises": NoData,
    "declared, a message that raises": NoMessage,
    "declared, a message that is none": lambda: rpc.ApplicationError(5),  # type: ignore[arg-type]
    "declared, bytes as message": lambda: rpc.ApplicationError(b"\xff"),  # type: ignore[arg-type]
    "declared, an object as data": lambda: rpc.ApplicationError("no", object()),
    "declared, half a surrogate as data": lambda: rpc.ApplicationError("no", "\udce9"),
    "declared, data without end": lambda: rpc.ApplicationError("no", endless()),
    "declared, a huge number as data": lambda: rpc.ApplicationError("no", 1 << 100),
    "declared, large data": lambda: rpc.ApplicationError("no", "x" * 2_000_000),
    "declared, a long message": lambda: rpc.ApplicationError("x" * 2_000_000),
    "declared, an odd code": OddCode,
    "declared, a huge code": HugeCode,
    "declared, an odd type": OddType,
    "declared, not initialised": Uninitialised,
    "not authorised": lambda: rpc.NotAuthorised("\udce9", {"a": object()}),
    "a cancellation": asyncio.CancelledError,
    "another BaseException": Odd,
    "GeneratorExit": GeneratorExit,
    "StopIteration": lambda: StopIteration(5),
    "StopAsyncIteration": StopAsyncIteration,
    "TimeoutError": TimeoutError,
    "a lost connection": lambda: rpc.Disconnected(None, "elsewhere"),
    "a closed connection": lambda: longwire.ConnectionClosedError(None, None),
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "a cause that cannot be said": with_cause,
    "a group": group,
    "a chain of thousands": deep,
}


def plain_route(make: Callable[[], BaseException]) -> Any:
    def route() -> None:
        raise make()

    return route


def coroutine_route(make: Callable[[], BaseException]) -> Any:
    async def route() -> None:
        raise make()

    return route


def waiting_route(make: Callable[[], BaseException]) -> Any:
    async def route() -> None:
        await asyncio.sleep(0)
        raise make()

    return route


def returning_route(make: Callable[[], BaseException]) -> Any:
    return lambda: coroutine_route(make)()


def future_route(make: Callable[[], BaseException]) -> Any:
    def route() -> Any:
        future = asyncio.get_running_loop().create_future()
        error = make()
        if isinstance(error, StopIteration):
            raise error  # no future takes it
        future.set_exception(error)
        return future

    return route


def class_route(make: Callable[[], BaseException]) -> Any:
    class Broken(rpc.Service):
        def __init__(self, peer: rpc.Peer) -> None:
            raise make()

        def init(self) -> None: ...

    return Broken


def stream_route(make: Callable[[], BaseException]) -> Any:
    async def route() -> AsyncIterator[int]:
        yield 1
        raise make()

    return route


def iterator_route(make: Callable[[], BaseException]) -> Any:
    class Items:
        def __aiter__(self) -> Items:
            raise make()

        async def __anext__(self) -> int: ...

    def route() -> AsyncIterator[int]:
        return Items()  # type: ignore[return-value]

    return route


def closing_route(make: Callable[[], BaseException]) -> Any:
    class Items:
        def __aiter__(self) -> Items:
            return self

        async def __anext__(self) -> int:
            raise RuntimeError("first")

        async def aclose(self) -> None:
            raise make()

    def route() -> AsyncIterator[int]:
        return Items()  # type: ignore[return-value]

    return route


ROUTES = {
    "plain": plain_route,
    "in a thread": plain_route,
    "coroutine": coroutine_route,
    "later": waiting_route,
    "returned coroutine": returning_route,
    "returned future": future_route,
    "constructor": class_route,
    "stream": stream_route,
    "iterator": iterator_route,
    "closing of an iterator": closing_route,
}
STREAMS = {"stream", "iterator", "closing of an iterator"}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "shown": {"show_errors": True, "tracebacks": True},
    "tiny": {"limits": rpc.RpcLimits(message=10)},
}
WIRES = ["longwire.jsonrpc", "wsrpc", "wsrpc.1"]


def called(wire: str, id: int, method: str, stream: bool = False) -> dict[str, Any]:
    if wire == "wsrpc.1":
        return {"serial": id, "call": method, "arguments": []}
    frame = {"jsonrpc": "2.0", "id": id, "method": method, "params": []}
    return {**frame, "stream": 5} if stream else frame


async def answer_of(line: Line, id: int) -> Any:
    """The answer to a call, behind items of a stream."""
    while True:
        frame = await line.sent()
        if id in (frame.get("id"), frame.get("serial")):
            return frame


@pytest.fixture(autouse=True)
def broken_log() -> Iterator[None]:
    """What the log does with a text that raises is not our business here."""
    logging.raiseExceptions, before = False, logging.raiseExceptions
    yield
    logging.raiseExceptions = before


@pytest.fixture
def no_log() -> Iterator[None]:
    """Nobody reads the log: pytest takes longer to write it than the rest takes."""
    logger = logging.getLogger("longwire.rpc")
    handler = logging.NullHandler()
    logger.addHandler(handler)
    logger.propagate = False
    yield
    logger.propagate = True
    logger.removeHandler(handler)


CASES = [
    (name, kind)
    for name in RAISED
    for kind in ROUTES
    # The end of an iterator is no error.
    if (name != "StopAsyncIteration" or kind not in STREAMS - {"stream"})
    # It takes as long to log as all others, wherever it comes from.
    and (name != "a chain of thousands" or kind in ("plain", "coroutine", "stream"))
]


@pytest.mark.usefixtures("no_log")
@pytest.mark.parametrize(("name", "kind"), CASES)
async def test_whatever_a_route_raises_its_caller_gets_an_answer(name, kind):
    wires = WIRES if kind not in STREAMS else WIRES[:1]
    ways = [(wire, OPTIONS["default"]) for wire in wires]
    ways += [(WIRES[0], OPTIONS[name]) for name in ("shown", "tiny")]
    for wire, options in ways:
        routes = rpc.Routes({"after": lambda: 5})
        target = ROUTES[kind](RAISED[name])
        routes.add("x", target, threads=kind == "in a thread")
        line = Line(wire)
        async with rpc.Peer(line, routes, errors=[Declared], **options) as peer:
            line.put(called(wire, 3, "x", kind in STREAMS))
            answer = await answer_of(line, 3)
            line.put(called(wire, 5, "after"))
            after = await answer_of(line, 5)
            # The loop may need a turn to see the last task off.
            async with asyncio.timeout(5):
                while peer.table.theirs:
                    await asyncio.sleep(0)

            assert peer.is_open
        if wire == "wsrpc.1":
            assert answer["type"] == "error"
            assert set(answer["data"]) >= {"type", "message"}
            assert options or after["data"] == 5
        else:
            error = answer["error"]
            assert isinstance(error["message"], str)
            assert "result" not in answer
            if wire == "longwire.jsonrpc":
                assert type(error["code"]) is int
            assert "limits" in options or after["result"] == 5


@pytest.mark.parametrize("name", RAISED)
async def test_whatever_a_route_raises_a_batch_is_answered_whole(name):
    line = Line()
    routes = {"x": plain_route(RAISED[name]), "y": coroutine_route(RAISED[name])}
    async with rpc.Peer(line, {**routes, "z": lambda: 5}):
        line.put([called(line.subprotocol or "", n, "xyz"[n]) for n in range(3)])
        answers = await line.sent()

    assert sorted(answer["id"] for answer in answers) == [0, 1, 2]


@pytest.mark.parametrize("name", RAISED)
async def test_whatever_a_notification_raises_nothing_is_sent_and_all_goes_on(name):
    line = Line()
    routes = {"x": plain_route(RAISED[name]), "y": coroutine_route(RAISED[name])}
    async with rpc.Peer(line, {**routes, "after": lambda: 5}):
        for method in routes:
            line.put({"jsonrpc": "2.0", "method": method})
        line.put(called("", 5, "after"))

        assert (await line.sent())["result"] == 5
        assert await line.settled() == []


@pytest.mark.usefixtures("no_log")
@pytest.mark.parametrize("name", RAISED)
@pytest.mark.parametrize("make", [plain_route, coroutine_route, returning_route])
async def test_whatever_authorising_a_call_raises_it_is_not_carried_out(name, make):
    fail = make(RAISED[name])
    carried_out: list[Any] = []

    async def later() -> None:
        carried_out.append(1)

    line = Line()
    routes = {"x": lambda: carried_out.append(1), "later": later}
    async with rpc.Peer(line, routes, authorize_call=lambda call: fail()):
        for id, method in enumerate(routes):
            line.put(called("", id, method))
            assert "error" in await line.sent()

    assert carried_out == []


@pytest.mark.parametrize("allowed", [True, False, None])
async def test_a_verdict_that_has_to_be_awaited_is(allowed):
    """Also where the hook is no coroutine function but returns a coroutine."""

    async def verdict() -> Any:
        await asyncio.sleep(0)
        return allowed

    carried_out: list[Any] = []
    line = Line()
    async with rpc.Peer(
        line, {"x": carried_out.append}, authorize_call=lambda call: verdict()
    ):
        line.put({**called("", 3, "x"), "params": [1]})
        answer = await line.sent()

    assert bool(carried_out) is bool(allowed)
    assert ("result" in answer) is bool(allowed)


class Bool:
    def __bool__(self) -> bool:
        raise Odd


async def test_a_verdict_that_is_none_is_an_error():
    line = Line()
    async with rpc.Peer(line, {"x": lambda: 5}, authorize_call=lambda call: Bool()):  # type: ignore[arg-type,return-value]
        line.put(called("", 3, "x"))
        assert (await line.sent())["error"]["code"] == rpc.InternalError.code


RESULTS: dict[str, Any] = {
    "an object": object(),
    "half a surrogate": "\udce9",
    "a list without end": endless(),
    "too much": "x" * 2_000_000,
    "a class": int,
    "a generator": (n for n in range(3)),
    "keys that are none": {(1, 2): 3, object(): 4},
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", RESULTS)
async def test_a_result_that_cannot_be_written_is_an_error_of_ours(name, wire):
    value = RESULTS[name]

    async def later() -> Any:
        return value

    line = Line(wire)
    async with rpc.Peer(line, {"plain": lambda: value, "later": later}):
        for id, method in ((3, "plain"), (5, "later")):
            line.put(called(wire, id, method))
            answer = await answer_of(line, id)
            assert "error" in answer or answer["type"] == "error"


async def test_an_item_that_cannot_be_written_ends_its_stream_with_an_error():
    async def items() -> AsyncIterator[Any]:
        yield 1
        yield object()

    line = Line()
    async with rpc.Peer(line, {"x": items}):
        line.put(called("", 3, "x", stream=True))
        assert "error" in await answer_of(line, 3)


@pytest.mark.parametrize("raised", [RuntimeError, Odd, RecursionError])
async def test_a_hook_that_fails_is_an_error_of_ours(raised):
    class Money:
        pass

    def fail(*args: Any) -> Any:
        raise raised

    def takes(value: Any) -> Any:
        return value

    takes.__annotations__["value"] = Money
    line = Line()
    routes = {"takes": takes, "gives": Money}
    async with rpc.Peer(
        line, {"takes": takes, "gives": lambda: Money()}, enc_hook=fail, dec_hook=fail
    ):
        for id, method in enumerate(routes):
            params = {"params": [1]} if method == "takes" else {}
            line.put({**called("", id, method), **params})
            assert "error" in await line.sent()


# --- the log -------------------------------------------------------------------------


class Refuses(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise RuntimeError("the log is broken")


class Fails(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise Odd


@pytest.mark.parametrize("how", ["filter", "handler"])
async def test_a_log_that_fails_keeps_no_answer_back(how):
    logger = logging.getLogger("longwire.rpc")
    refuses, fails = Refuses(), Fails()
    if how == "filter":
        logger.addFilter(refuses)
    else:
        logger.addHandler(fails)
    try:
        line = Line()
        routes = {name: plain_route(make) for name, make in {"x": Unsaid}.items()}
        async with rpc.Peer(
            line, {**routes, "y": coroutine_route(Unsaid)}, tracebacks=True
        ) as peer:
            peer.on_close(plain_route(RuntimeError))
            for id, method in ((3, "x"), (4, "y")):
                line.put(called("", id, method))
                error = (await line.sent())["error"]
                assert error["code"] == rpc.InternalError.code
                assert error["data"]["id"]
    finally:
        logger.removeFilter(refuses)
        logger.removeHandler(fails)


WORDS = "red\x1b[31m\u202e\x07\r\n2030-01-01 ERROR forged\u2028forged\x85forged"


def failed_with(id: int, data: object, message: object = WORDS) -> Any:
    error = {"code": -32000, "message": message, "data": data}
    return {"jsonrpc": "2.0", "id": id, "error": error}


ANSWERS: dict[str, Callable[[int], Any]] = {
    "a message": lambda id: failed_with(id, None),
    "a type": lambda id: failed_with(id, {"type": WORDS}, "x"),
    "an id": lambda id: failed_with(id, {"type": "x", "id": WORDS}, "x"),
    "a traceback": lambda id: failed_with(id, {"type": "x", "traceback": WORDS}, "x"),
    "a class of ours": lambda id: failed_with(id, {"type": "ValueError"}),
    "a class of ours with a traceback": lambda id: failed_with(
        id, {"type": "Sold", "traceback": WORDS}
    ),
    "a result of another type": lambda id: {
        "jsonrpc": "2.0",
        "id": id,
        "result": {WORDS: WORDS},
    },
    "a result of a wrong choice": lambda id: {
        "jsonrpc": "2.0",
        "id": id,
        "result": WORDS,
    },
}


class Sold(rpc.ApplicationError):
    pass


class Choice(enum.Enum):
    ONE = "one"


@pytest.mark.parametrize("name", ANSWERS)
async def test_the_words_of_a_peer_are_escaped_in_our_log(name, caplog):
    line = Line()

    async def ask(peer: rpc.Peer) -> None:
        try:
            await peer.call_with("x", returns=dict[str, Choice] | Choice)
        except ValueError as exc:  # declared: it would be the answer
            raise RuntimeError("asking failed") from exc

    async with rpc.Peer(line, {"ask": ask}, errors=[ValueError, Sold]):
        line.put(called("", 1, "ask"))
        asked = await line.sent()
        line.put(ANSWERS[name](asked["id"]))
        await line.sent()

    lines = caplog.text.splitlines()
    assert "call of ask failed" in caplog.text
    for character in "\x1b\x07\r\u202e\u2028\x85":
        assert character not in caplog.text
    # A line of a traceback may begin with it, but not a line of the log.
    assert not [line for line in lines if line.startswith("2030")]
    assert name.startswith("a result") or "red\\x1b[31m" in caplog.text
    if "traceback" in name:
        assert "  | 2030-01-01 ERROR forged\\u2028forged\\x85forged" in caplog.text


# --- what we are told -----------------------------------------------------------------


@pytest.mark.usefixtures("no_log")
@pytest.mark.parametrize("name", RAISED)
async def test_whatever_callbacks_raise_everything_else_goes_on(name):
    """Of signals, of events, of the end: plain and async."""
    fail, later = plain_route(RAISED[name]), waiting_route(RAISED[name])
    told: list[str] = []
    signals = rpc.Signals()
    for signal in (
        *(signals.opened, signals.closed, signals.call_started),
        *(signals.call_ended, signals.call_failed),
    ):
        signal.connect(lambda *args: fail())
        signal.connect(lambda *args: later())
        signal.connect(lambda *args, name=signal.name: told.append(name))

    class Closing(rpc.Service):
        def init(self) -> int:
            return 5

        def on_close(self) -> Any:
            return later()

    class ClosingAtOnce(Closing):
        def on_close(self) -> Any:
            return fail()

    routes = {"one": Closing, "two": ClosingAtOnce, "bad": fail}
    line = Line("wsrpc")
    peer = rpc.Peer(line, routes, signals=signals)
    for function in (fail, later):
        peer.on_close(function)
        peer.on_event(lambda event, function=function: function())
    peer.on_close(lambda: told.append("on_close"))
    peer.on_event(lambda event: told.append("on_event"))
    async with peer:
        line.put({"hello": 1})
        for id, method in enumerate(routes):
            line.put({"id": id, "method": method})
            await line.sent()
        await line.settled()

    wanted = {"opened", "closed", "call_started", "call_ended", "call_failed"}
    assert set(told) == wanted | {"on_close", "on_event"}


class OneText(Exception):
    def __init__(self, one: str) -> None:
        raise Odd


class NoException(Exception):
    def __new__(cls, *args: Any) -> Any:
        return 5


class AsksMore(rpc.ApplicationError):
    def __new__(cls, one: int, two: int) -> Any:
        return super().__new__(cls)


class NoNotes(rpc.ApplicationError):
    def add_note(self, note: str) -> None:
        raise RuntimeError("no")


@pytest.mark.parametrize("kind", [NoException, AsksMore, NoNotes])
def test_a_class_that_cannot_be_revived_stays_the_other_sides(kind):
    registry = Registry([kind])
    value = ErrorValue(-32000, "no", kind.__name__, traceback="somewhere")

    error = registry.revive(value)

    assert isinstance(error, rpc.RemoteError)
    assert error.message == "no"


ERRORS: list[Any] = [
    *(5, "text", None, True, [], {}, [1e308], {"code": 1e400}, {"code": "9" * 5000}),
    *({"message": 5}, {"message": ["x"]}, {"code": 1.5, "message": None}),
    *({"code": 1, "message": "x", "data": {"type": 5}}, {"data": {"type": "x" * 9999}}),
    {"data": {"type": "x", "id": 5, "traceback": [1]}},
    {"data": {"type": "x", "traceback": "y" * 100_000}},
    {"type": 5, "message": {}, "traceback": 5},
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("error", ERRORS, ids=range(len(ERRORS)))
async def test_whatever_error_comes_the_call_ends_with_it(error, wire):
    line = Line(wire)
    async with rpc.Peer(line, errors=[ValueError]) as peer:
        task = asyncio.create_task(peer.call("x"))
        frame = await line.sent()
        if wire == "wsrpc.1":
            line.put({"serial": frame["serial"], "type": "error", "data": error})
        else:
            version = {} if wire == "wsrpc" else {"jsonrpc": "2.0"}
            line.put({**version, "id": frame["id"], "error": error})
        if error is None and wire != "wsrpc.1":
            await line.settled()
            task.cancel()
            return
        with pytest.raises(rpc.RemoteError) as raised:
            await task

    assert isinstance(raised.value.message, str)
    assert len(raised.value.traceback or "") <= 8192
    assert str(raised.value).isprintable()
