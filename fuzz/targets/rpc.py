"""RPC: one connection on any wire, in either role, and a peer that does as it likes.

A program of deeds plays both ends: it sends us calls, answers, items and any bytes,
calls and streams of ours begin, are given up and answered, the peer stops taking what
we send, time passes, the connection is drained or lost. What must hold:

* reading never raises, and nothing goes wrong in the loop but what routes raise;
* every call of the peer's is answered once while the connection lasts, never twice;
* every call of ours ends once; an answer goes to the call that it is for;
* what was taken is given back: places of calls, bytes, tasks;
* what waits, and what is kept, is bounded by the limits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fuzz.choices import Choices
from longwire import rpc
from longwire.errors import ConnectionClosedError
from longwire.messages import Cause, CloseReport

WIRES = ("longwire.jsonrpc", "longwire.msgpack", "wsrpc", "wsrpc.1")
LIMITS = (
    rpc.RpcLimits(calls=2, queued=3, streams=2, pending=4, calls_in_all=20),
    rpc.RpcLimits(calls=1, queued=0, streams=1, pending=2, memory=3000, unsent=400),
    rpc.RpcLimits(message=200, unsent=300, batch=3, memory_in_all=9000, strange=1000),
    rpc.RpcLimits(deadline=5.0, timeout=5.0, stream_idle=5.0, strange=1000),
)
LOST = CloseReport(cause=Cause.NETWORK, closed_by=None, code=1006, reason="")
OURS = 100_000
"""Calls that we make the peer send have ids from here on, to be told from others."""


class Odd(BaseException):
    """What no route should raise."""


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time is moved on by hand."""

    moved = 0.0

    def time(self) -> float:
        return 1000.0 + self.moved


class Line:
    """Stands for the connection; see ``tests/rpc/links.py``."""

    request = None

    def __init__(self, subprotocol: str) -> None:
        self.subprotocol = subprotocol
        self.close_report: CloseReport | None = None
        self.closed = asyncio.Event()
        self.frames: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.sent: list[str | bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def recv(self) -> str | bytes:
        frame = None if self.close_report else await self.frames.get()
        if frame is None:
            self.lose()
            raise ConnectionClosedError(None, None, None, self.close_report)
        return frame

    async def send(self, frame: str | bytes, text: bool | None = None) -> None:
        await self.gate.wait()
        if self.close_report is not None:
            raise ConnectionClosedError(None, None, None, self.close_report)
        self.sent.append(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.lose()
        self.frames.put_nowait(None)

    async def wait_closed(self) -> None:
        await self.closed.wait()

    def lose(self) -> None:
        self.close_report = self.close_report or LOST
        self.closed.set()


class Player:
    """A peer of ours, what was done to it, and what is expected of it."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.line = Line(choices.pick(WIRES))
        self.limits = choices.pick(LIMITS)
        self.opened = asyncio.Event()  # what routes that wait are waiting for
        is_client = bool(choices.byte() & 1)
        self.server = rpc.Server(self.routes(), limits=self.limits, errors=[ValueError])
        settings = self.server.settings
        self.peer = rpc.Peer(self.line, settings=settings, client=is_client)
        self.codec = self.peer.wire.codec
        self.running = asyncio.ensure_future(self.peer.run())
        self.called: set[int] = set()  # calls of the peer's that want an answer
        self.never_sent: set[int] = set()
        self.own = 0  # bytes that calls of ours may take while they wait
        self.forged: set[Any] = set()  # ids that came in any bytes
        self.tasks: list[asyncio.Future[Any]] = []
        self.streams: list[rpc.Stream[Any]] = []
        self.asked: list[Any] = []  # ids of calls of ours, as they were sent
        self.looked_at = 0
        self.answered: dict[Any, int] = {}

    # --- routes ------------------------------------------------------------------

    def routes(self) -> dict[str, Any]:
        async def wait() -> int:
            await self.opened.wait()
            return 1

        async def turn(value: Any = None) -> Any:
            await asyncio.sleep(0)
            return value

        async def stubborn() -> int:
            try:
                await self.opened.wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)
            return 2

        async def back(peer: rpc.Peer) -> Any:
            return await peer.call("x")

        async def items(count: int = 3) -> AsyncIterator[int]:
            for number in range(min(count, 9)):
                yield number

        async def bad_items() -> AsyncIterator[Any]:
            yield 1
            yield object()

        return {
            "echo": lambda value=None: value,
            "large": lambda: "x" * 150,
            "wait": wait,
            "turn": turn,
            "stubborn": stubborn,
            "back": back,
            "later": lambda: turn(3),
            "items": items,
            "bad_items": bad_items,
            "odd": _raising(Odd),
            "cancelled": _raising(asyncio.CancelledError),
            "half": _raising(lambda: rpc.ApplicationError("\udce9", object())),
            "typed": _typed,
        }

    # --- what the peer does --------------------------------------------------------

    def put(self, value: Any) -> None:
        """Send a value as the wire has it."""
        data = self.codec.encode(value)
        self.line.frames.put_nowait(data.decode() if self.codec.is_text else data)

    def put_bytes(self, data: bytes) -> None:
        """Send any bytes, or the text that they are."""
        text = data.decode(
            "utf-8", "surrogateescape" if data[:1] == b"{" else "replace"
        )
        for id in _ids(data):
            self.forged.add(id)
        self.line.frames.put_nowait(text if self.codec.is_text else data)

    def frame_of(self, id: int | None, method: str, params: Any, stream: int) -> Any:
        name = self.peer.wire.name
        if name == "wsrpc.1":
            return {"serial": id, "call": method, "arguments": params}
        frame: dict[str, Any] = {"method": method, "params": params}
        if id is not None:
            frame["id"] = id
        if name != "wsrpc":
            frame["jsonrpc"] = "2.0"
            if stream:
                frame["stream"] = stream
        return frame

    def next_id(self) -> int:
        id = OURS + len(self.called)
        self.called.add(id)
        return id

    # --- looking -------------------------------------------------------------------

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)
        self.look()

    def look(self) -> None:
        """See what was sent, and that nothing is beyond its limits."""
        for frame in self.line.sent[self.looked_at :]:
            value = self.codec.decode(frame)
            for part in value if isinstance(value, list) else [value]:
                self.look_at(part)
        self.looked_at = len(self.line.sent)
        table, limits = self.peer.table, self.limits
        plain = [r for r in table.theirs.values() if not r.is_stream]
        assert len(plain) <= limits.calls + limits.queued
        assert len(table.theirs) - len(plain) <= limits.streams
        assert len(table.ours) <= limits.pending
        assert table.waiting_size <= limits.memory + 100 * 9000
        answers = 2 * limits.unsent + limits.calls * 3000 + 9000
        assert self.peer.outbox.size <= answers + self.own
        assert self.peer.incoming._batched <= limits.unsent + 100 * 600

    def look_at(self, frame: Any) -> None:
        id = frame.get("id", frame.get("serial"))
        if "method" in frame or "call" in frame:
            if id is not None:
                assert id not in self.asked, f"two calls of ours have the id {id}"
                self.asked.append(id)
            return
        if id is None:
            return  # to something that had none
        count = self.answered[id] = self.answered.get(id, 0) + 1
        if id in self.called and id not in self.forged:
            assert count == 1, f"the call {id} was answered {count} times"

    # --- the end -------------------------------------------------------------------

    async def ended(self, *tasks: asyncio.Future[Any]) -> None:
        """Wait until all of ``tasks`` have ended, however long they say that takes."""
        for _ in range(2000):
            if all(task.done() for task in tasks):
                return
            asyncio.get_running_loop().moved += 0.1  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        raise AssertionError("a call, or the peer itself, never ended")

    async def finish(self) -> None:
        """Let all end that can; then the connection ends, and nothing is left."""
        self.line.gate.set()
        self.opened.set()
        asyncio.get_running_loop().moved += 1000.0  # type: ignore[attr-defined]
        await self.turns(60)
        if self.line.close_report is None:
            # What waits for an answer of the peer's gets one.
            for id in list(self.asked):
                self.put(self.answer_to(id, 5))
            await self.turns(60)
        if self.line.close_report is None and not self.running.done():
            for id in sorted(self.called):
                if self.peer.wire.extended and not self.answered.get(id):
                    more = {
                        "jsonrpc": "2.0",
                        "method": "$/cancel",
                        "params": {"id": id},
                    }
                    self.put(more)
            await self.turns(60)
        alive = self.line.close_report is None
        if alive and not self.forged:
            missing = {id for id in self.called if not self.answered.get(id)}
            missing -= self.never_sent
            assert not missing, f"never answered: {sorted(missing)}"
        await self.line.close()
        await self.ended(self.running)
        if not self.running.cancelled():
            self.running.result()
        for stream in self.streams:
            stream.leave()
        await self.ended(*self.tasks)
        for task in self.tasks:
            if not task.cancelled():
                self.check_end(task.exception())
        await self.turns(5)
        self.check_nothing_left()

    def check_end(self, exc: BaseException | None) -> None:
        expected = (rpc.RpcError, ValueError, TypeError, StopAsyncIteration)
        assert exc is None or isinstance(exc, expected), f"a call ended with {exc!r}"

    def check_nothing_left(self) -> None:
        table, budget = self.peer.table, self.server.settings.budget
        assert not table.theirs and not table.ours and not table._waiting
        assert (table._running, table._lent, table._streams, table._starved) == (0,) * 4
        assert (table.waiting_size, table.read_size) == (0, 0)
        assert (table.holding.memory, table.holding.calls) == (0, 0), (
            table.holding.memory
        )
        assert budget.left == self.limits.calls_in_all
        assert budget.memory_left == self.limits.memory_in_all
        incoming = self.peer.incoming
        assert not incoming.deferred
        assert incoming._batched == 0 and self.peer.outbox.size == 0

    def answer_to(self, id: Any, value: Any) -> Any:
        name = self.peer.wire.name
        if name == "wsrpc.1":
            return {"serial": id, "type": "callback", "data": value}
        version = {} if name == "wsrpc" else {"jsonrpc": "2.0"}
        return {**version, "id": id, "result": value}


def _raising(make: Callable[[], BaseException]) -> Any:
    async def route() -> None:
        raise make()

    return route


def _typed(number: int, texts: list[str] | None = None, *, rate: float = 1.0) -> int:
    return number


def _ids(data: bytes) -> list[Any]:
    """Return what any bytes may have as an id, so that nothing is expected of it."""
    found: list[Any] = []
    digits = b""
    for byte in data + b" ":
        if 48 <= byte <= 57:
            digits += bytes([byte])
        elif digits:
            found.append(int(digits[-18:]))
            digits = b""
    return found


# --- deeds -----------------------------------------------------------------------

METHODS = (
    *("echo", "turn", "wait", "items", "back", "large", "odd", "cancelled", "half"),
    *("stubborn", "later", "bad_items", "typed", "none", "$/ping", "rpc.describe", ""),
)
PARAMS: tuple[Any, ...] = (
    [],
    None,
    [1],
    [5, ["a"]],
    {"value": 2},
    {"count": 4},
    "x",
    0,
)
PARAMS += ([1, 2, 3, 4], [[[]]], {"number": "five"}, {"x": 1e308}, [True], ["\u00e9"])
ERRORS: tuple[Any, ...] = (
    {"code": -32000, "message": "no", "data": {"type": "ValueError"}},
    *("text", 5, None, {}, {"message": []}, {"data": {"type": "x", "traceback": "y"}}),
)


async def call(player: Player) -> None:
    choices = player.choices
    method, params = choices.pick(METHODS), choices.pick(PARAMS)
    stream = choices.pick((0, 0, 1, 3, 1024))
    player.put(player.frame_of(player.next_id(), method, params, stream))


async def notify(player: Player) -> None:
    choices = player.choices
    frame = player.frame_of(None, choices.pick(METHODS), choices.pick(PARAMS), 0)
    player.put(frame)


async def batch(player: Player) -> None:
    choices = player.choices
    parts = []
    for _ in range(choices.byte() % 5):
        # Only the wires that have batches answer what is in one.
        id = player.next_id() if player.peer.wire.extended else -1
        parts.append(
            player.frame_of(id, choices.pick(METHODS), choices.pick(PARAMS), 0)
        )
    if len(parts) <= player.limits.batch:
        player.put(parts)
    elif player.peer.wire.extended:
        player.never_sent |= {part["id"] for part in parts}


async def cancel(player: Player) -> None:
    _refer(player, player.choices.pick(("$/cancel", "$/cancelRequest")), {})


async def more(player: Player) -> None:
    count = player.choices.pick((1, 2, 1000, 0, -1, 1 << 62))
    _refer(player, "$/more", {"count": count})


def _refer(player: Player, method: str, more: dict[str, Any]) -> None:
    id = OURS + player.choices.byte() % (len(player.called) + 1)
    params = {"id": id, **more}
    player.put({"jsonrpc": "2.0", "method": method, "params": params})


def _asked(player: Player) -> Any:
    """Return the id of a call of ours, or of none."""
    ids = [*player.asked, 1, 2, 99, -5, "1", "x"]
    return ids[player.choices.byte() % len(ids)]


async def answer(player: Player) -> None:
    value = player.choices.pick((5, None, "text", [1, {"a": 2}], 1e300))
    player.put(player.answer_to(_asked(player), value))


async def fail(player: Player) -> None:
    id, error = _asked(player), player.choices.pick(ERRORS)
    if player.peer.wire.name == "wsrpc.1":
        player.put({"serial": id, "type": "error", "data": error})
    else:
        player.put({"jsonrpc": "2.0", "id": id, "error": error})


async def item(player: Player) -> None:
    params = {"id": _asked(player), "value": player.choices.byte()}
    player.put({"jsonrpc": "2.0", "method": "$/item", "params": params})


async def raw(player: Player) -> None:
    choices = player.choices
    player.put_bytes(choices.take(choices.byte()))


async def odd_members(player: Player) -> None:
    """A frame with members that are anything."""
    choices = player.choices
    values: tuple[Any, ...] = (None, 1, -1, 1 << 63, 1.5, True, "x", [], {}, [1e308])
    values += ("2.0", "call", "error", "y" * 300, {"id": 1}, "$/item", "callback")
    names = ("jsonrpc", "id", "serial", "method", "call", "params", "arguments")
    names += ("result", "data", "error", "stream", "type")
    frame = {
        choices.pick(names): choices.pick(values) for _ in range(choices.byte() % 7)
    }
    player.put(frame)


async def limits(player: Player) -> None:
    size = player.choices.pick((50, 500, 1 << 40, 0, -1))
    player.put({"jsonrpc": "2.0", "method": "$/limits", "params": {"message": size}})


async def ask(player: Player) -> None:
    choices = player.choices
    timeout = choices.pick((None, 0.5, rpc.calling.DEFAULT))
    returns = choices.pick((Any, int, list[str]))
    argument = choices.pick((1, "x" * 300, "y" * 20_000, None))
    player.own += 32_000
    asking = player.peer.call("x", argument, timeout=timeout, returns=returns)
    player.tasks.append(asyncio.ensure_future(asking))


async def tell(player: Player) -> None:
    telling = player.peer.notify("x", player.choices.byte())
    player.tasks.append(asyncio.ensure_future(telling))


async def stream(player: Player) -> None:
    try:
        window = player.choices.pick((None, 1, 1024))
        player.streams.append(player.peer.stream("x", window=window))
    except (TypeError, ValueError, rpc.RpcError):
        return  # no streams here, too many calls, too large, or all is over


async def take(player: Player) -> None:
    for found in player.streams[-1:]:
        taking: Coroutine[Any, Any, Any] = _next(found)
        player.tasks.append(asyncio.ensure_future(taking))


async def _next(stream: rpc.Stream[Any]) -> Any:
    try:
        async with asyncio.timeout(100):
            return await stream.__anext__()
    except (TimeoutError, RuntimeError):
        return None  # another one waits for it already


async def give_up(player: Player) -> None:
    choices = player.choices
    if choices.byte() & 1 and player.streams:
        player.streams.pop().leave()
    elif player.tasks:
        player.tasks[choices.byte() % len(player.tasks)].cancel()


async def wait(player: Player) -> None:
    await player.turns(1 + player.choices.byte() % 8)


async def hold(player: Player) -> None:
    """The peer takes nothing, or takes again."""
    gate = player.line.gate
    gate.clear() if gate.is_set() else gate.set()


async def open_routes(player: Player) -> None:
    player.opened.set()
    await player.turns(2)
    player.opened.clear()


async def pass_time(player: Player) -> None:
    loop: Any = asyncio.get_running_loop()
    loop.moved += player.choices.pick((0.1, 3.0, 60.0, 3600.0))
    await player.turns(3)


async def lose(player: Player) -> None:
    player.line.lose()
    player.line.frames.put_nowait(None)


async def end(player: Player) -> None:
    player.line.frames.put_nowait(None)


async def drain(player: Player) -> None:
    player.peer.drain()


async def leave(player: Player) -> None:
    player.running.cancel()
    await player.ended(player.running)
    player.running = asyncio.ensure_future(player.peer._end())
    player.line.lose()


DEEDS = (
    *(call, notify, batch, cancel, more, answer, fail, item, raw, odd_members, limits),
    *(ask, tell, stream, take, give_up, wait, hold, open_routes, pass_time),
    *(lose, end, drain, leave),
)
COMMON = len(DEEDS) - 4
"""The last ones end the connection: they come once in a while."""


class _Complaints(logging.Handler):
    """Remembers what our own code said to be impossible."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(("a call could not", "an error could not be", "sending f")):
            self.found.append(text)


async def play(choices: Choices) -> list[Any]:
    """Decisions: wire, limits, role; then deeds to the end."""
    player = Player(choices)
    while choices:
        byte = choices.byte()
        index = byte % COMMON if byte < 240 else COMMON + byte % 4
        await DEEDS[index](player)
    await player.turns(3)
    await player.finish()
    return [len(player.line.sent), sorted(map(str, player.answered))]


async def _end_all() -> None:
    """End the tasks that a broken contract has left.

    Python would close their coroutines later, in the middle of anything, and without
    the loop that they need to end.
    """
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for _ in range(50):
        for task in left:
            task.cancel()  # some routes catch it once
        await asyncio.sleep(0)


def check(data: bytes) -> list[Any]:
    """Play the program that ``data`` is on a loop of its own."""
    loop = Loop()
    complaints, errors = _Complaints(), []
    logger = logging.getLogger("longwire.rpc")
    logger.addHandler(complaints)
    propagate, logger.propagate = logger.propagate, False
    loop.set_exception_handler(lambda loop, context: errors.append(context))
    try:
        trace = loop.run_until_complete(play(Choices(data)))
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        assert not left, f"tasks are left: {left}"
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.run_until_complete(_end_all())
        logger.propagate = propagate
        logger.removeHandler(complaints)
        loop.close()
    assert not errors, f"the loop was told of {errors}"
    assert not complaints.found, complaints.found
    return trace
