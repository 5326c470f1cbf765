"""The server of a soak test: takes orders on stdin, answers them on stdout, as JSON.

    serve        listen anew on a port of its own choosing -> {"port": ...}
    close        close the server and wait                 -> {}
    drain        drain it, in small batches                -> {}
    count        what lives, when nobody is connected      -> {"descriptors": ..., ...}

Ends with its input. Every limit in time is short, so that the peers that want to be
thrown out are thrown out within the test.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ctypes
import gc
import json
import logging
import ssl
import sys
from typing import Any

import psutil

import longwire
from longwire import Limits, Timeouts

TICK = 0.05  # seconds between two broadcasts
ALIVE = ("ServerConnection", "Session", "Protocol", "Inflater", "Wire", "Socket")
MESSAGES: collections.Counter[str] = collections.Counter()


class Complaints(logging.Handler):
    """Keeps what a log would show that no peer should be able to put there."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: collections.Counter[str] = collections.Counter()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text == "connection handler failed" and _is_on_purpose(record):
            return
        if "returned after one message" in text:
            return  # a hint to who wrote the handler
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {record.exc_info[1]!r}"
        self.seen[f"{record.name}: {text}"] += 1


def _is_on_purpose(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and isinstance(record.exc_info[1], OnPurpose)


class OnPurpose(Exception):
    """A handler's mistake, as a peer can bring one about."""


async def handle(ws: Any) -> None:
    """Do what the path says."""
    MESSAGES["connections"] += 1
    path = ws.request.path
    if path == "/push":
        while True:
            await ws.send("x" * 5000)
    elif path == "/fail":
        raise OnPurpose(await ws.recv())
    elif path == "/once":
        await ws.send(await ws.recv())
    elif path == "/tasks":
        await _with_tasks(ws)
    elif path == "/deaf":
        await ws.wait_closed()
    else:
        async for message in ws:
            MESSAGES["messages"] += 1
            await ws.send(message)


async def _with_tasks(ws: Any) -> None:
    """Receive in one task and send in another, with timeouts and cancellation."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.02)
            await ws.ping()
            await ws.send(iter([b"in ", b"frag", b"ments"]))

    async with asyncio.TaskGroup() as group:
        beating = group.create_task(beat())
        with contextlib.suppress(longwire.ConnectionClosed):
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ws.recv(), 0.01)
        beating.cancel()


class Soaked:
    """The server under test and its broadcasts."""

    def __init__(self, certificate: str | None) -> None:
        self.server: longwire.Server
        self.broadcasting: Any = None
        self.tls = None
        if certificate is not None:
            self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.tls.load_cert_chain(certificate)

    async def serve(self) -> dict[str, Any]:
        self.server = await longwire.serve(
            handle,
            "127.0.0.1",
            0,
            ssl=self.tls,
            open_timeout=1,
            close_timeout=1,
            ping_interval=1,
            ping_timeout=1,
            limits=Limits(unsent_bytes=1 << 20, pings_per_second=50),
            timeouts=Timeouts(write=1),
        )
        self.broadcasting = asyncio.create_task(self._broadcast())
        return {"port": self.server.sockets[0].getsockname()[1]}

    async def _broadcast(self) -> None:
        payload = "news " * 20
        while True:
            await asyncio.sleep(TICK)
            longwire.broadcast(self.server.connections, payload)

    async def close(self) -> dict[str, Any]:
        await self._stop_broadcasting()
        self.server.close()
        await self.server.wait_closed()
        return {}

    async def drain(self) -> dict[str, Any]:
        await self.server.drain(batch=10, interval=0.05, timeout=5)
        await self._stop_broadcasting()
        return {}

    async def _stop_broadcasting(self) -> None:
        self.broadcasting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.broadcasting
        self.broadcasting = None

    async def count(self) -> dict[str, Any]:
        """Wait until nobody is connected, at most ten seconds, and count."""
        for _ in range(200):
            if not self.server._runs:
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        for _ in range(3):
            gc.collect()
        _trim()
        return {
            "descriptors": psutil.Process().num_fds(),
            "tasks": len(asyncio.all_tasks()),
            "objects": alive(),
            "memory": memory(),
            "complaints": dict(COMPLAINTS.seen),
            "handled": dict(MESSAGES),
            "engine": "native" if _native() else "transport",
        }


def alive() -> dict[str, int]:
    """Return how many objects there are that a connection is made of."""
    kinds = collections.Counter(type(thing).__name__ for thing in gc.get_objects())
    return {name: kinds[name] for name in ALIVE}


def memory() -> int:
    """Return the resident memory of this process, in KiB."""
    return int(psutil.Process().memory_info().rss) // 1024


def _trim() -> None:
    """Give back what malloc keeps, where it can be asked to: it is no leak."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _native() -> bool:
    from longwire.asyncio import native

    return native.is_available(asyncio.get_running_loop())


async def main() -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(orders)
    await loop.connect_read_pipe(lambda: protocol, sys.stdin)
    soaked = Soaked(sys.argv[1] if len(sys.argv) > 1 else None)
    while order := (await orders.readline()).decode().strip():
        answer = await getattr(soaked, order)()
        print(json.dumps(answer), flush=True)


COMPLAINTS = Complaints()

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, handlers=[COMPLAINTS])
    sys.unraisablehook = lambda args: COMPLAINTS.seen.update([f"lost: {args}"])
    asyncio.run(main())
