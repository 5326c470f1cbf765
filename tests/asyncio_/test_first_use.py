"""What is made at its first use is made once, and whole, however many threads ask."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.asyncio_.serving import UPGRADE, listen, raw

from longwire.asyncio.server import ServerConnection
from longwire.http.headers import Headers
from longwire.opening import client_settings

THREADS = 6
ROUNDS = 60

TOKEN = UPGRADE[:-2] + b"X-Token: secret\r\nX-Many: 1\r\nX-Many: 2\r\n\r\n"


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Threads take turns after every few steps, not after 5 milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="module")
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        yield pool


def at_once(
    pool: concurrent.futures.ThreadPoolExecutor, work: Callable[[], Any]
) -> list[Any]:
    """Have all threads do ``work`` at the same time; return what came of it."""
    barrier = threading.Barrier(THREADS)

    def begin() -> Any:
        barrier.wait(10)
        return work()

    return [f.result(20) for f in [pool.submit(begin) for _ in range(THREADS)]]


def packed() -> Headers:
    headers = Headers()
    for number in range(20):
        headers[f"X-{number}"] = str(number)
    headers["X-Many"] = "1"
    headers["X-Many"] = "2"
    headers["X-Token"] = "secret"
    headers.pack()
    return headers


READINGS: dict[str, tuple[Callable[[Headers], Any], Any]] = {
    "get": (lambda headers: headers.get("X-Token"), "secret"),
    "in": (lambda headers: "x-token" in headers, True),
    "get_all": (lambda headers: headers.get_all("x-many"), ["1", "2"]),
    "len": (len, 22),
    "raw_items": (lambda headers: len(list(headers.raw_items())), 23),
    "iterate": (lambda headers: len(list(headers)), 22),
    "copy": (lambda headers: headers.copy()["X-Token"], "secret"),
    "equal": (lambda headers: headers == packed(), True),
    "text": (lambda headers: str(headers).count("secret"), 1),
    "serialize": (lambda headers: headers.serialize().count(b"secret"), 1),
}


@pytest.mark.parametrize("reading", list(READINGS))
def test_packed_headers_are_whole_for_every_thread(
    pool: concurrent.futures.ThreadPoolExecutor, reading: str
) -> None:
    read, expected = READINGS[reading]

    for _ in range(ROUNDS):
        headers = packed()
        assert at_once(pool, lambda h=headers: read(h)) == [expected] * THREADS


def test_headers_are_whole_while_they_are_packed(
    pool: concurrent.futures.ThreadPoolExecutor,
) -> None:
    for _ in range(ROUNDS):
        headers = packed()
        assert headers["X-Token"] == "secret"
        turns = iter(range(THREADS))

        def read_or_pack(headers: Headers = headers, turns: Any = turns) -> Any:
            if next(turns) == THREADS // 2:
                headers.pack()
            return headers.get("X-Token")

        assert at_once(pool, read_or_pack) == ["secret"] * THREADS


def test_a_field_that_one_thread_sets_is_not_lost_by_another_that_reads(
    pool: concurrent.futures.ThreadPoolExecutor,
) -> None:
    for _ in range(ROUNDS):
        headers = packed()
        names = iter(range(THREADS))

        def add(headers: Headers = headers, names: Any = names) -> None:
            headers[f"X-New-{next(names)}"] = "new"

        at_once(pool, add)

        assert [headers[f"X-New-{n}"] for n in range(THREADS)] == ["new"] * THREADS


# What a thread may look at, and whether all of them have to find the same object.
OBJECTS: dict[str, tuple[Callable[[ServerConnection], Any], bool]] = {
    "request": (lambda ws: ws.request.headers.get("X-Token"), False),  # type: ignore[union-attr]
    "response": (lambda ws: ws.response.headers.get("Upgrade"), False),  # type: ignore[union-attr]
    "id": (lambda ws: ws.id, True),
    "logger": (lambda ws: ws.logger, True),
    "transport": (lambda ws: ws.transport, True),
    "local address": (lambda ws: ws.local_address, False),
    "remote address": (lambda ws: ws.remote_address, False),
    "socket": (lambda ws: ws.transport.get_extra_info("socket").fileno(), False),
    "repr": (repr, False),
    "report": (lambda ws: ws.close_report, False),
}


@pytest.mark.parametrize("engine", ["native", "transport"])
async def test_every_thread_finds_the_same_on_a_fresh_connection(
    pool: concurrent.futures.ThreadPoolExecutor,
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LONGWIRE_ENGINE", engine)
    loop = asyncio.get_running_loop()
    wrong: list[str] = []

    async def handler(ws: ServerConnection) -> None:
        for name, (look, same) in OBJECTS.items():
            found = await loop.run_in_executor(
                None, at_once, pool, functools.partial(look, ws)
            )
            first = found[0]
            if not all(each is first if same else each == first for each in found):
                wrong.append(f"{name}: {found}")
            if first is None and name != "report":
                wrong.append(f"{name} is None")
        # A socket object that went away would have taken the descriptor with it.
        await ws.send("still open")

    async with listen(handler, close_timeout=5) as server:
        for _ in range(20):
            async with raw(server) as (reader, writer):
                writer.write(TOKEN)
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(12) == b"\x81\x0astill open"

    assert wrong == []


def test_the_process_has_one_tls_context_for_clients(
    pool: concurrent.futures.ThreadPoolExecutor,
) -> None:
    for _ in range(3):
        client_settings._default_tls_context.cache_clear()
        contexts = at_once(pool, client_settings.default_tls_context)

        assert len({id(context) for context in contexts}) == 1


def test_threads_that_open_connections_at_once_each_on_a_loop_of_its_own_all_do(
    pool: concurrent.futures.ThreadPoolExecutor,
) -> None:
    async def talk() -> Any:
        async def echo(ws: ServerConnection) -> None:
            async for message in ws:
                await ws.send(message)

        from longwire import connect

        async with listen(echo) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as ws:
                await ws.send("x" * 2000)
                return await ws.recv()

    for _ in range(3):
        assert at_once(pool, lambda: asyncio.run(talk())) == ["x" * 2000] * THREADS


@pytest.mark.once
@pytest.mark.parametrize("package", ["longwire", "longwire.websockets", "longwire.rpc"])
def test_names_of_a_package_can_be_imported_by_many_threads_at_once(
    package: str,
) -> None:
    program = f"""
import importlib, sys, threading
sys.setswitchinterval(1e-6)
package = importlib.import_module({package!r})
names = list(package.__all__)
failures = []
def look(start):
    for name in names[start:] + names[:start]:
        try:
            getattr(package, name)
        except Exception as exc:
            failures.append((name, repr(exc)))
threads = [threading.Thread(target=look, args=(n * len(names) // 8,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(failures)
"""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stdout.strip(), done.stderr) == ("[]", "")
