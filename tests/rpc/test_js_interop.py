"""With JSON-RPC of others on Node: vscode-jsonrpc, json-rpc-2.0, rpc-websockets.

tests/interop/node/jsonrpc.js is the other side, as a client of our server or as a
server for our client; the tests drive it line by line.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import environment
from tests.support.needs import needs

needs("msgspec")

from longwire import rpc

ROOT = Path(__file__).parent.parent.parent
AGENT = ROOT / "tests" / "interop" / "node" / "jsonrpc.js"
LIBRARIES = ("vscode-jsonrpc", "json-rpc-2.0", "rpc-websockets")
CALLABLE = ("vscode-jsonrpc", "json-rpc-2.0")  # their clients answer calls, too

pytestmark = [pytest.mark.once, pytest.mark.timeout(90)]

every_library = pytest.mark.parametrize("library", LIBRARIES)
every_callable = pytest.mark.parametrize("library", CALLABLE)

FALSY: list[Any] = [0, False, "", None, [], {}]


class AgentError(Exception):
    """What the other side says of a call that failed."""

    def __init__(self, code: int | None, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class Agent:
    """The process of the other side; ``notified`` has what it was notified of."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.opened = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.notified: asyncio.Queue[list[Any]] = asyncio.Queue()
        self._numbers = itertools.count(1)
        self._outcomes: dict[int, asyncio.Future[Any]] = {}

    async def read(self) -> None:
        """Take the lines that it prints, to the end."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self._take(json.loads(line))

    def _take(self, said: dict[str, Any]) -> None:
        if "listening" in said:
            self.port.set_result(said["listening"])
        elif "open" in said:
            self.opened.set()
        elif "cancelled" in said:
            self.cancelled.set()
        elif "notified" in said:
            self.notified.put_nowait(said["notified"])
        elif "n" in said:
            outcome = self._outcomes.pop(said["n"])
            if "error" in said:
                outcome.set_exception(AgentError(**said["error"]))
            else:
                outcome.set_result(said["result"])

    def _tell(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    async def do(self, verb: str, method: str | None = None, params: Any = None) -> Any:
        """Return the result of what it is told to do; raise its error."""
        n = next(self._numbers)
        self._outcomes[n] = asyncio.get_running_loop().create_future()
        command = {"n": n, "verb": verb, "method": method}
        self._tell(**command, **({} if params is None else {"params": params}))
        async with asyncio.timeout(20):
            return await self._outcomes[n]

    async def call(self, method: str, params: Any = None) -> Any:
        """Return the result of a call that it makes."""
        return await self.do("call", method, params)


@contextlib.asynccontextmanager
async def agent(library: str, role: str, **options: Any) -> AsyncIterator[Agent]:
    """Run the other side."""
    modules = needs("json-rpc")
    said = json.dumps({"library": library, "role": role, **options})
    process = await asyncio.create_subprocess_exec(
        *(needs("node"), str(AGENT), said),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
        env=environment(NODE_PATH=modules),
    )
    found = Agent(process)
    reading = asyncio.create_task(found.read())
    try:
        yield found
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reading


# --- their clients at our server --------------------------------------------------


class Oops(rpc.ApplicationError):
    pass


class Site:
    """A server of ours, and what its routes have seen."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.notes: asyncio.Queue[Any] = asyncio.Queue()
        self.server = rpc.Server(
            {
                "add": self.add,
                "echo": self.echo,
                "fail": self.fail,
                "wait": self.wait,
                "note": self.notes.put_nowait,
            }
        )

    def add(self, a: int, b: int) -> int:
        return a + b

    def echo(self, value: Any) -> Any:
        return value

    def fail(self, message: str) -> None:
        raise Oops(message, {"why": "asked"})

    async def wait(self) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            self.cancelled.set()

    @contextlib.asynccontextmanager
    async def visited(self, library: str, **options: Any) -> AsyncIterator[Agent]:
        """Have a client of a library connect to the server."""
        async with self.server.serve("127.0.0.1", 0) as listening:
            uri = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
            async with agent(library, "client", uri=uri, **options) as found:
                async with asyncio.timeout(20):
                    await found.opened.wait()
                yield found


@every_library
async def test_their_client_calls_our_server(library: str) -> None:
    site = Site()
    async with site.visited(library) as client:
        assert await client.call("add", [1, 2]) == 3
        assert await client.call("add", {"a": 1, "b": 2}) == 3
        for value in FALSY:
            assert await client.call("echo", [value]) == value
        with pytest.raises(AgentError) as failed:
            await client.call("fail", ["no"])
        with pytest.raises(AgentError) as wrong:
            await client.call("add", ["1", 2])
        with pytest.raises(AgentError) as unknown:
            await client.call("none")
        await client.do("notify", "note", ["hello"])
        async with asyncio.timeout(5):
            assert await site.notes.get() == "hello"
        large = "ü" * 50_000
        assert await client.call("echo", [large]) == large

    assert (failed.value.code, failed.value.message) == (-32000, "no")
    assert failed.value.data == {"type": "Oops", "data": {"why": "asked"}}
    assert wrong.value.code == -32602
    assert unknown.value.code == -32601


@every_library
async def test_many_calls_of_their_client_are_under_way_at_once(library: str) -> None:
    async with Site().visited(library) as client:
        calls = [client.call("add", [i, 1]) for i in range(300)]

        assert await asyncio.gather(*calls) == list(range(1, 301))


async def test_a_call_cancelled_by_vscode_jsonrpc_is_cancelled_here() -> None:
    site = Site()
    async with site.visited("vscode-jsonrpc") as client:
        with pytest.raises(AgentError) as raised:
            await client.do("cancel", "wait")

        async with asyncio.timeout(5):
            await site.cancelled.wait()
        assert raised.value.code == -32800
        assert await client.call("add", [1, 2]) == 3


async def test_a_batch_of_json_rpc_2_0_is_answered() -> None:
    async with Site().visited("json-rpc-2.0") as client:
        calls = [["add", [1, 2]], ["echo", ["x"]], ["fail", ["no"]], ["none", []]]

        answers = await client.do("batch", params=calls)

    found = {answer["id"]: answer for answer in answers}
    assert found["batch-0"]["result"] == 3
    assert found["batch-1"]["result"] == "x"
    assert found["batch-2"]["error"]["code"] == -32000
    assert found["batch-3"]["error"]["code"] == -32601


@every_callable
async def test_our_server_calls_their_client(library: str) -> None:
    site = Site()
    async with site.visited(library) as client:
        (peer,) = site.server.peers
        assert await peer.call("whoAreYou") == library
        assert await peer.call("add", 1, 2) == 3
        assert await peer.call("add", a=1, b=2) == 3
        for value in FALSY:
            assert await peer.call("echo", value) == value
        with pytest.raises(rpc.RemoteError) as failed:
            await peer.call("fail")
        with pytest.raises(rpc.RemoteError) as unknown:
            await peer.call("none")
        await peer.notify("note", "hello")
        async with asyncio.timeout(5):
            assert (await client.notified.get())[0] == "note"

    assert (failed.value.code, failed.value.message) == (7, "no")
    assert failed.value.data == {"why": "asked"}
    assert unknown.value.code == -32601


@every_callable
async def test_a_call_that_we_give_up_disturbs_nothing(library: str) -> None:
    site = Site()
    async with site.visited(library):
        (peer,) = site.server.peers
        for method in ("wait", "none"):
            with contextlib.suppress(rpc.RemoteError, TimeoutError):
                await peer.call_with(method, timeout=0.1)
        assert await peer.call("whoAreYou") == library


@every_library
async def test_their_client_offers_our_subprotocol(library: str) -> None:
    async with Site().visited(library, subprotocols="longwire.jsonrpc") as client:
        assert await client.call("add", [1, 2]) == 3


# --- our client at their servers --------------------------------------------------


@contextlib.asynccontextmanager
async def visiting(library: str, routes: Any = None) -> AsyncIterator[Any]:
    """Yield our client, connected to a server of a library, and that."""
    async with agent(library, "server") as server:
        async with asyncio.timeout(20):
            port = await server.port
        async with rpc.Client(f"ws://127.0.0.1:{port}/", routes) as client:
            yield client, server


@every_library
async def test_our_client_calls_their_server(library: str) -> None:
    async with visiting(library) as (client, server):
        assert await client.call("whoAreYou") == library
        assert await client.call("add", 1, 2) == 3
        assert await client.call("add", a=1, b=2) == 3
        for value in FALSY:
            assert await client.call("echo", value) == value
        with pytest.raises(rpc.RemoteError) as failed:
            await client.call("fail")
        with pytest.raises(rpc.RemoteError) as unknown:
            await client.call("none")
        await client.notify("note", "hello")
        async with asyncio.timeout(5):
            assert (await server.notified.get())[0] == "note"
        assert await client.call("whoAreYou") == library

    assert failed.value.message == "no"
    assert unknown.value.code == -32601
    if library != "rpc-websockets":  # whose errors have a code of its own
        assert (failed.value.code, failed.value.data) == (7, {"why": "asked"})


@every_callable
async def test_their_server_calls_our_client(library: str) -> None:
    site = Site()
    routes = {"add": site.add, "echo": site.echo, "fail": site.fail, "wait": site.wait}
    async with visiting(library, routes) as (client, server):
        assert await client.call("whoAreYou") == library
        assert await server.call("add", [1, 2]) == 3
        assert await server.call("add", {"a": 1, "b": 2}) == 3
        with pytest.raises(AgentError) as failed:
            await server.call("fail", ["no"])
        with pytest.raises(AgentError) as unknown:
            await server.call("none")
        if library == "vscode-jsonrpc":
            with pytest.raises(AgentError) as cancelled:
                await server.do("cancel", "wait")
            assert cancelled.value.code == -32800

    assert (failed.value.code, failed.value.message) == (-32000, "no")
    assert unknown.value.code == -32601


async def test_events_of_rpc_websockets_disturb_nothing() -> None:
    async with visiting("rpc-websockets") as (client, server):
        assert await client.call("rpc.on", "news") == {"news": "ok"}
        for i in range(20):
            await server.call("news", [i])

        assert await client.call("add", 1, 2) == 3
