"""The wire examples of tests/vectors/rpc; the suite of js/ replays the same ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from tests.rpc.links import Line

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "rpc"
CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in sorted(VECTORS.glob("*.json"))
    for case in json.loads(file.read_text("utf-8"))
    if case.get("only") != "js" and case.get("side") != "client"
]


class Oops(rpc.ApplicationError):
    """The declared error of the examples."""


class Box(rpc.Service):
    """The class of the examples."""

    value: Any = None

    def init(self) -> str:
        return "box"

    def put(self, value: Any) -> None:
        self.value = value

    def get(self) -> Any:
        return self.value

    def _hidden(self) -> str:
        return "hidden"


def add(a: int, b: int) -> int:
    return a + b


def greet(name: str, greeting: str = "hello") -> str:
    return f"{greeting} {name}"


def oops(message: str) -> None:
    raise Oops(message, {"why": "asked"})


def crash() -> None:
    raise RuntimeError("secret")


async def wait() -> None:
    await asyncio.Event().wait()


async def count(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


async def breaks(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number
    oops("broken")


ROUTES = {
    "echo": lambda value: value,
    "add": add,
    "greet": greet,
    "nothing": lambda: None,
    "oops": oops,
    "crash": crash,
    "wait": wait,
    "count": count,
    "breaks": breaks,
    "box": Box,
    "a": {"b": {"c": lambda: "deep"}},
}


class Player:
    """Replays the steps of one example."""

    def __init__(self, line: Line, peer: rpc.Peer) -> None:
        self.line = line
        self.peer = peer
        self.tasks: dict[str, asyncio.Task[Any]] = {}
        self.streams: dict[str, rpc.Stream[Any]] = {}
        self.ids: dict[str, Any] = {}

    async def play(self, step: dict[str, Any]) -> None:
        (kind, value), *_ = step.items()
        if kind == "in":
            self.line.put(self.filled(value))
        elif kind == "in_text":
            self.line.put(value)
        elif kind == "out":
            self.compare(value, await self.line.sent())
        elif kind == "silence":
            assert await self.line.settled() == []
        elif kind == "do":
            await self.do(value)
        elif kind == "outcome":
            await self.check(value, step)
        else:
            raise AssertionError(f"unknown step {kind}")

    async def do(self, action: dict[str, Any]) -> None:
        (verb, name), *_ = action.items()
        args = action.get("args")
        if verb == "call":
            self.start(action["as"], self.peer.call_with(name, args))
        elif verb == "notify":
            await self.peer.notify(name, *args)
        elif verb == "stream":
            window = action.get("window")
            stream = self.peer.stream(name, *args, window=window)
            self.streams[action["as"]] = stream
        elif verb == "next":
            self.start(name, self.streams[name].__anext__())
        elif verb == "cancel" and name in self.streams:
            await self.streams[name].aclose()
        elif verb == "cancel":
            await asyncio.sleep(0)
            self.tasks[name].cancel()
        elif verb == "lose":
            self.line.lose()

    def start(self, ref: str, coroutine: Any) -> None:
        self.tasks[ref] = asyncio.ensure_future(coroutine)

    async def check(self, ref: str, wanted: dict[str, Any]) -> None:
        (result,) = await asyncio.gather(self.tasks[ref], return_exceptions=True)
        if "result" in wanted:
            assert result == wanted["result"]
            assert type(result) is type(wanted["result"])
        elif "done" in wanted:
            assert isinstance(result, StopAsyncIteration)
        elif "cancelled" in wanted:
            assert isinstance(result, asyncio.CancelledError)
        else:
            assert isinstance(result, rpc.RpcError)
            found = {key: getattr(result, key) for key in wanted["error"]}
            assert found == wanted["error"]

    def filled(self, frame: Any) -> Any:
        if not isinstance(frame, dict):
            return frame
        return {
            key: self.ids.get(value, value) if isinstance(value, str) else value
            for key, value in frame.items()
        }

    def compare(self, wanted: Any, found: Any) -> None:
        if isinstance(wanted, dict):
            for key in ("id", "serial"):
                value = wanted.get(key)
                if isinstance(value, str) and value.startswith("$"):
                    wanted = {**wanted, key: self.ids.setdefault(value, found[key])}
        assert matches(wanted, found), f"wanted {wanted}, found {found}"


def matches(wanted: Any, found: Any, loose: bool = False) -> bool:
    """Whether a frame is as the example has it; loosely inside of errors."""
    if loose and wanted == "*":
        return True
    if isinstance(wanted, list):
        return isinstance(found, list) and all(
            len(wanted) == len(found) and matches(a, b, loose)
            for a, b in zip(wanted, found, strict=False)
        )
    if isinstance(wanted, dict):
        if not isinstance(found, dict) or not wanted.keys() <= found.keys():
            return False
        if not loose and wanted.keys() != found.keys():
            return False
        is_error = wanted.get("type") == "error"
        return all(
            matches(
                value,
                found[key],
                loose or key == "error" or (key == "data" and is_error),
            )
            for key, value in wanted.items()
        )
    return type(wanted) is type(found) and bool(wanted == found)


@pytest.mark.parametrize("case", CASES)
async def test_an_example_goes_over_the_wire_as_written(case):
    line = Line(case["wire"])

    async with rpc.Peer(line, ROUTES) as peer:
        player = Player(line, peer)
        for step in case["steps"]:
            await player.play(step)
        for task in player.tasks.values():
            task.cancel()
        await asyncio.gather(*player.tasks.values(), return_exceptions=True)


def test_a_difference_is_seen():
    assert matches(
        {"id": 1, "error": {"message": "*"}}, {"id": 1, "error": {"message": 2, "x": 1}}
    )
    assert not matches({"id": 1, "result": 0}, {"id": 1, "result": False})
    assert not matches({"id": 1, "result": "*"}, {"id": 1, "result": "x"})
    assert not matches({"id": 1}, {"id": 1, "result": None})
    assert not matches([1, 2], [1])
