"""`longwire rpc`: calls from a shell, and declarations that TypeScript accepts."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.commands import run
from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from longwire.rpc.describing import described
from longwire.rpc.typescript import declarations
from tests.rpc import shop

pytestmark = pytest.mark.once


async def call(port: int, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """What `longwire rpc call` does with the server at ``port``."""
    options = [argument for argument in arguments if argument.startswith("--")]
    rest = [argument for argument in arguments if not argument.startswith("--")]
    uri = f"ws://localhost:{port}/"
    return await asyncio.to_thread(run, "rpc", "call", *options, uri, *rest)


async def printed(arguments: tuple[str, ...], **options: Any) -> list[Any]:
    """The lines that a call prints, as values; it must not complain."""
    server = rpc.Server(shop.routes, **options)
    async with server.serve("localhost", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        done = await call(port, *arguments)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (("buy", '{"item": "tea"}'), [[1, "tea"]]),
        (("buy", '{"item": "tea"}', "2"), [[2, "tea"]]),
        (("buy", 'order={"item":"tea"}', "gift=true"), [[1, "tea, wrapped"]]),
        (("anything", "ß", "2", "3"), [["ß", [2, 3], {}]]),
        (("anything", '"a=b"'), [["a=b", [], {}]]),
        (("nothing",), [None]),
        (("--stream", "prices.of", "tea"), [0.0, 0.5, 1.0]),
        (("--notify", "nothing"), []),
        (("--wire=msgpack", "anything", "x"), [["x", [], {}]]),
    ],
)
async def test_a_call_prints_its_result_as_json(arguments, lines):
    assert await printed(arguments) == lines


async def test_a_call_speaks_the_old_wires_too():
    assert await printed(("--wire=wsrpc", "anything", "x"), wire="wsrpc") == [
        ["x", [], {}]
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("sold_out", "tea"), rb"call of sold_out failed: SoldOut: no \x1b[31mtea"),
        (("buy", "5"), b"call of buy failed: parameter 'order': expected object"),
        (("none",), b"call of none failed: no such method: 'none'"),
        (("--timeout=0.2", "wait"), b"call of wait failed: no answer within 0.2 sec"),
        (("--stream", "nothing"), b"nothing gives no stream; it was called as one"),
    ],
)
async def test_a_call_that_fails_is_one_line_and_status_1(arguments, line):
    async with rpc.Server(shop.routes).serve("localhost", 0) as listening:
        done = await call(listening.sockets[0].getsockname()[1], *arguments)

    assert done.returncode == 1
    assert done.stdout == b""
    assert line in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_server_that_is_not_there_is_one_line():
    done = run("rpc", "call", "ws://localhost:1/", "x")

    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: call of x failed: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("call", "ws://localhost:1/", "x", "a=1", "2"), b"by position or by name"),
        (("call", "--stream", "--notify", "ws://localhost:1/", "x"), b"exclude each"),
        (("types", "tests.rpc.shop"), b"'tests.rpc.shop' is not MODULE:ROUTES"),
        (("types", "--name", "1x", "tests.rpc.shop:routes"), b"'1x' is not a name"),
    ],
)
def test_what_is_not_understood_ends_with_status_2(arguments, text):
    done = run("rpc", *arguments)

    assert done.returncode == 2
    assert text in done.stderr


# --- types -----------------------------------------------------------------------

DECLARED = """\
/** What somebody wants. */
export interface Order {
  item: string;
  color?: Color | null;
  tags?: (string | number)[];
  size?: [number, number];
}

export type Color = "blue" | "red";

export interface Routes {
  /**
   * Buy something.
   *
   * As a gift, too.
   */
  buy: { params: [order: Order, count?: number] | { order: Order; count?: number; \
gift?: boolean }; result: [number, string] };
  /** Prices of one thing, one after the other. */
  "prices.of": { params: [item: string] | { item: string }; items: number };
  anything: { params: [a: unknown, ...rest: number[]]; result: unknown };
  named: { params: ({ a: number } & Record<string, unknown>); result: unknown };
  nothing: { params: []; result: null };
  sold_out: { params: [item: string] | { item: string }; result: null };
  wait: { params: []; result: null };
}
"""


@pytest.mark.parametrize("path", ["routes", "server", "Handler"])
def test_the_types_of_routes_are_written(path):
    done = run("rpc", "types", f"tests.rpc.shop:{path}", PYTHONPATH=".")

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == DECLARED


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tests.rpc.shop:none", b"module tests.rpc.shop has no none"),
        ("tests.rpc.nowhere:x", b"No module named"),
        ("tests.rpc.shop:Order", b"routes must be Routes or a mapping"),
    ],
)
def test_what_has_no_routes_is_one_line_and_status_1(path, text):
    done = run("rpc", "types", path, PYTHONPATH=".")

    assert done.returncode == 1
    assert text in done.stderr
    assert done.stderr.count(b"\n") == 1


async def test_the_types_come_from_what_a_server_describes_as_well():
    async with rpc.Server(shop.routes).serve("localhost", 0) as listening:
        uri = f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"
        async with rpc.Client(uri) as client:
            remote = await client.call("rpc.describe")

    assert declarations(remote) == declarations(described(shop.routes))


PROGRAM = """
import { Rpc } from "longwire";
import type { Routes, Order } from "./routes.js";

const rpc = new Rpc<Routes>("/rpc");
const order: Order = { item: "tea", color: "red", tags: ["a", 1], size: [1, 2] };
const [count, item]: [number, string] = await rpc.call("buy", [order, 2]);
await rpc.call("buy", { order, gift: true });
await rpc.call("anything", [{}, 1, 2]);
await rpc.call("named", { a: 1, other: "x" });
for await (const price of rpc.stream("prices.of", ["tea"])) price.toFixed(count);
// @ts-expect-error: not a color
await rpc.call("buy", [{ item, color: "green" }]);
// @ts-expect-error: not a number
await rpc.call("anything", [1, "2"]);
// @ts-expect-error: no such route
await rpc.call("sell", []);
export {};
"""


def test_tsc_accepts_what_is_written_and_what_uses_it(tmp_path):
    tsc = needs("tsc")
    root = shop.ROOT
    (tmp_path / "routes.ts").write_text(declarations(described(shop.routes)))
    (tmp_path / "program.ts").write_text(PROGRAM)
    types = root / "src" / "longwire" / "rpc" / "static" / "longwire.d.ts"
    settings = {
        "compilerOptions": {
            "strict": True,
            "noEmit": True,
            "module": "nodenext",
            "target": "es2022",
            "lib": ["es2022", "dom"],
            "types": [],
            "paths": {"longwire": [str(types)]},
        },
        "files": ["program.ts"],
    }
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings))

    done = subprocess.run([tsc, "-p", tmp_path], capture_output=True, text=True)

    assert done.stdout == ""


async def unnamed() -> AsyncIterator[int]:
    yield 1


def odd(*, a: int) -> None: ...


def positional(a: int, /) -> None: ...


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (unnamed, "x: { params: []; items: number };"),
        (odd, "x: { params: { a: number }; result: null };"),
        (positional, "x: { params: [a: number]; result: null };"),
    ],
)
def test_arguments_are_declared_as_they_can_be_given(function, line):
    assert line in declarations(described(rpc.Routes({"x": function})))


async def test_a_call_to_a_server_that_says_nothing_was_not_sent():
    async def say_nothing(reader: Any, writer: Any) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "localhost", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        done = await call(port, "--timeout=0.3", "add", "1")

    assert done.returncode == 1
    text = b"call of add failed: add was not sent: no connection within 0.3 seconds"
    assert text in done.stderr
