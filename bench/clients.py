"""A client of one library against a server, measured by itself.

    python bench/clients.py LIBRARY[@uvloop] mode=roundtrip port=8765 [seconds=0.5]

Prints one line of JSON for each of `repeat` measurements, with the names that c/load.c
uses. ``load_cpu`` is this process's. Modes:

    roundtrip  one message of 32 bytes is sent when the answer to the last one came
    pipelined  64 at a time are sent, then their answers are read
    firehose   the server sends messages of 64 bytes as fast as it can
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

FLIGHT = 64
PAYLOAD = b"0123456789abcdef" * 2
FIREHOSE = b"x" * 64

Clock = Callable[[], float]


def wrong(message: object) -> AssertionError:
    return AssertionError(f"another answer than expected: {message!r:.60}")


# --- coroutines: recv() and send() ---


class Coroutines:
    """What longwire, websockets and picows.websockets have in common."""

    def __init__(self, library: str, port: int) -> None:
        self.library = library
        self.url = f"ws://127.0.0.1:{port}/"

    async def open(self) -> None:
        if self.library == "websockets":
            from websockets.asyncio.client import connect
        elif self.library == "picows.websockets":
            from picows.websockets import connect  # type: ignore[assignment]
        else:
            from longwire import connect  # type: ignore[assignment]
        self.websocket: Any = await connect(self.url)

    async def close(self) -> None:
        await self.websocket.close()

    async def exchange(self, flight: int, end: float) -> int:
        websocket, done = self.websocket, 0
        while not done or time.perf_counter() < end:
            for _ in range(flight):
                await websocket.send(PAYLOAD)
            for _ in range(flight):
                message = await websocket.recv()
                if message != PAYLOAD:
                    raise wrong(message)
            done += flight
        return done

    async def receive(self, count: int) -> None:
        websocket = self.websocket
        await websocket.send(str(count))
        for _ in range(count):
            message = await websocket.recv()
            if message != FIREHOSE:
                raise wrong(message)


class Aiohttp:
    def __init__(self, library: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"

    async def open(self) -> None:
        import aiohttp

        self.session = aiohttp.ClientSession()
        self.websocket = await self.session.ws_connect(self.url)

    async def close(self) -> None:
        await self.websocket.close()
        await self.session.close()

    async def exchange(self, flight: int, end: float) -> int:
        websocket, done = self.websocket, 0
        while not done or time.perf_counter() < end:
            for _ in range(flight):
                await websocket.send_bytes(PAYLOAD)
            for _ in range(flight):
                message = await websocket.receive_bytes()
                if message != PAYLOAD:
                    raise wrong(message)
            done += flight
        return done

    async def receive(self, count: int) -> None:
        websocket = self.websocket
        await websocket.send_str(str(count))
        for _ in range(count):
            message = await websocket.receive_bytes()
            if message != FIREHOSE:
                raise wrong(message)


# --- callbacks ---


class Picows:
    def __init__(self, library: str, port: int) -> None:
        self.url = f"ws://127.0.0.1:{port}/"

    async def open(self) -> None:
        import picows

        self.kinds = picows.WSMsgType
        outer = self

        class Listener(picows.WSListener):  # type: ignore[misc]
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                if frame.msg_type is outer.kinds.CLOSE:
                    transport.disconnect()
                elif frame.get_payload_as_bytes() != outer.expected:
                    outer.finished.set_exception(wrong(frame.get_payload_as_bytes()))
                else:
                    outer.left -= 1
                    if not outer.left:
                        outer.on_all()

        self.transport, _ = await picows.ws_connect(Listener, self.url)

    async def close(self) -> None:
        self.transport.send_close(1000)
        await self.transport.wait_disconnected()

    def on_all(self) -> None:
        self.done += self.flight
        if time.perf_counter() >= self.end:
            self.finished.set_result(None)
        else:
            self.send_all()

    def send_all(self) -> None:
        self.left = self.flight
        for _ in range(self.flight):
            self.transport.send(self.kinds.BINARY, PAYLOAD)

    async def exchange(self, flight: int, end: float) -> int:
        self.expected, self.flight, self.end, self.done = PAYLOAD, flight, end, 0
        self.finished = asyncio.get_running_loop().create_future()
        self.send_all()
        await self.finished
        return self.done

    async def receive(self, count: int) -> None:
        self.expected, self.flight, self.end, self.done = FIREHOSE, count, 0.0, 0
        self.finished = asyncio.get_running_loop().create_future()
        self.left = count
        self.transport.send(self.kinds.TEXT, str(count).encode())
        await self.finished


Client = Coroutines | Aiohttp | Picows


# --- measuring ---


async def timed(work: Callable[[], Awaitable[int]]) -> dict[str, float]:
    cpu, start = time.process_time(), time.perf_counter()
    messages = await work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"messages": messages, "seconds": seconds, "load_cpu": cpu}


async def firehose(client: Client, seconds: float, repeat: int) -> None:
    count = 1024

    async def receive() -> int:
        await client.receive(count)
        return count

    while (took := (await timed(receive))["seconds"]) < seconds / 4:
        count *= 2
    count = int(count * seconds / took) + 1
    for _ in range(repeat):
        print(json.dumps(await timed(receive)))


async def exchanges(client: Client, flight: int, seconds: float, repeat: int) -> None:
    await client.exchange(flight, time.perf_counter() + seconds / 5)
    for _ in range(repeat):
        end = time.perf_counter() + seconds
        print(json.dumps(await timed(lambda end=end: client.exchange(flight, end))))


async def run(library: str, options: dict[str, str]) -> None:
    kinds: dict[str, type[Client]] = {"aiohttp": Aiohttp, "picows": Picows}
    client = kinds.get(library, Coroutines)(library, int(options["port"]))
    seconds, repeat = float(options.get("seconds", 0.5)), int(options.get("repeat", 1))
    await client.open()
    if options["mode"] == "firehose":
        await firehose(client, seconds, repeat)
    else:
        flight = FLIGHT if options["mode"] == "pipelined" else 1
        await exchanges(client, flight, seconds, repeat)
    await client.close()


def main() -> None:
    logging.disable()
    library, _, loop = sys.argv[1].partition("@")
    options = dict(argument.split("=", 1) for argument in sys.argv[2:])
    if loop == "uvloop":
        import uvloop

        uvloop.run(run(library, options))
    else:
        asyncio.run(run(library, options))


if __name__ == "__main__":
    main()
