"""What the hub costs: a delivery, a publish, a subscription, a storm, one node more.

    python bench/hub.py [--only fanout,publish,latency,memory,storm,nodes]
                        [--broker memory,redis,nats] [--small]

Nodes are processes of their own, and so are the clients, which read bytes and count
messages in them. CPU is that of the node's process, kernel included, by /proc/PID/stat:
it holds on a busy machine, where times do not. Servers of Redis and
NATS are started for a run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import select
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: longwire.jsonrpc\r\n\r\n"
)
PUSH = b'"hub.message"'
ENTRY = b'"offset"'
DATA = "x" * 100


def masked(text: bytes) -> bytes:
    """A Text frame of a client, under a key of zeros."""
    size = len(text)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
    return head + bytes(4) + text


# --- a node ----------------------------------------------------------------------


async def node_main(pipe: Pipe, url: str | None) -> None:
    """Serve a hub, and do what the pipe says."""
    from longwire import rpc
    from longwire.hub import Hub, HubLimits

    limits = HubLimits(calls_per_second=None, calls_at_once=None)
    hub = Hub(url, limits=limits)
    hub.topic("t:{x}", subscribe="anyone", history=1000)
    server = rpc.Server()
    hub.install(server)
    options: dict[str, Any] = {"compression": None, "ping_interval": None}
    async with hub, server.serve("127.0.0.1", 0, backlog=4096, **options) as listening:
        await hub.ready()
        pipe.send(listening.sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        while True:
            order, *arguments = await loop.run_in_executor(None, pipe.recv)
            pipe.send(await ORDERS[order](hub, *arguments))


async def order_publish(hub: Any, topics: int, count: int, pause: float) -> float:
    began = time.perf_counter()
    for number in range(count):
        await hub.publish(f"t:{number % topics}", DATA)
        if pause:
            await asyncio.sleep(pause)
    return time.perf_counter() - began


async def order_broadcast(hub: Any, count: int, pause: float) -> None:
    """The floor: the same bytes to the same connections by ``longwire.broadcast``."""
    import longwire

    links = list(hub._running.links.values())
    connections = [link.peer.connection for link in links]
    entry = {"offset": 100, "data": DATA, "at": 1800000000.123}
    params = {"topic": "t:0", "entries": [entry], "position": "k3f9Zq1B.100.9c2a19c2a1"}
    for _ in range(count):
        frame = links[0].peer.wire.notification("hub.message", params)
        longwire.broadcast(connections, frame, text=True)
        await asyncio.sleep(pause)


async def order_burst(hub: Any, publishers: int, count: int) -> float:
    async def publish(number: int) -> None:
        for _ in range(count):
            await hub.publish(f"t:{number}", DATA)

    began = time.perf_counter()
    await asyncio.gather(*(publish(number) for number in range(publishers)))
    return time.perf_counter() - began


async def order_stamp(hub: Any, count: int, pause: float) -> None:
    for _ in range(count):
        await hub.publish("t:0", f"at {time.monotonic_ns()}.")
        await asyncio.sleep(pause)


async def order_memory(hub: Any) -> int:
    import gc

    gc.collect()
    with open("/proc/self/statm") as file:  # noqa: ASYNC230
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def order_position(hub: Any, topic: str) -> str:
    return str(await hub.position(topic))


ORDERS = {
    "publish": order_publish,
    "broadcast": order_broadcast,
    "burst": order_burst,
    "stamp": order_stamp,
    "memory": order_memory,
    "position": order_position,
}


class Node:
    """A process with a hub."""

    def __init__(self, url: str | None) -> None:
        self.pipe, other = multiprocessing.Pipe()
        target = _run_node
        self.process = multiprocessing.Process(target=target, args=(other, url))
        self.process.start()
        self.port: int = self.pipe.recv()

    def ask(self, *order: Any) -> Any:
        self.pipe.send(order)
        return self.pipe.recv()

    def tell(self, *order: Any) -> None:
        self.pipe.send(order)

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it took so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.process.kill()
        self.process.join()


def _run_node(pipe: Pipe, url: str | None) -> None:
    asyncio.run(node_main(pipe, url))


@contextlib.contextmanager
def nodes(url: str | None, count: int = 1) -> Iterator[list[Node]]:
    found = [Node(url) for _ in range(count)]
    try:
        yield found
    finally:
        for each in found:
            each.close()


@contextlib.contextmanager
def broker(name: str) -> Iterator[str | None]:
    if name == "memory":
        yield None
        return
    if name == "nats":
        from tests.hub.nats_servers import nats_server

        started: Any = nats_server()
    else:
        from tests.hub.redis_servers import redis_server

        started = redis_server()
    with started as server:
        yield server.url


# --- clients ---------------------------------------------------------------------


class Clients:
    """Many connections in this process, which count what comes by them."""

    def __init__(self) -> None:
        self.poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.entries = 0
        self.stamps: list[int] = []

    def connect(self, port: int, count: int) -> list[socket.socket]:
        """Open connections; returns when all handshakes are done."""
        made = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.sendall(UPGRADE)
            made.append(sock)
        for sock in made:
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(4096)
            sock.setblocking(False)
            self.sockets[sock.fileno()] = sock
            self.poll.register(sock, select.EPOLLIN)
        return made

    def subscribe(self, socks: list[socket.socket], params: Any) -> float:
        """Subscribe by each; return the seconds until all are answered."""
        began = time.perf_counter()
        frames = [
            masked(
                json.dumps(
                    {
                        "jsonrpc": "2.0",
                        "id": 1,
                        "method": "hub.subscribe",
                        "params": params(number),
                    }
                ).encode()
            )
            for number in range(len(socks))
        ]
        for sock, frame in zip(socks, frames, strict=True):
            sock.sendall(frame)
        answered = 0
        while answered < len(socks):
            for data in self.read():
                answered += data.count(b'"result"')
                assert b'"error":{' not in data, data[:300]
        return time.perf_counter() - began

    def read(self, timeout: float = 30.0) -> list[bytes]:
        """Return what came; all entries in it are counted."""
        found = []
        events = self.poll.poll(timeout)
        if not events:
            raise TimeoutError(f"nothing came; {self.entries} entries before")
        for number, _ in events:
            data = self.sockets[number].recv(1 << 20)
            self.entries += data.count(ENTRY)
            found.append(data)
        return found

    def until(self, entries: int) -> None:
        """Read until so many entries have come."""
        while self.entries < entries:
            self.read()

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()
        self.sockets.clear()


# --- what is measured ------------------------------------------------------------


def fanout(url: str | None, small: bool) -> Iterator[tuple[str, str]]:
    """CPU of a node per delivery, one topic."""
    for count in (100, 1000) if small else (1000, 9000):
        with nodes(url) as (node,):
            clients = Clients()
            made = clients.connect(node.port, count)
            clients.subscribe(made, lambda _: {"topic": "t:0"})
            messages = (20_000 if small else 200_000) // count
            orders = {
                "hub": ("publish", 1, messages, 0.005),
                "broadcast": ("broadcast", messages, 0.005),
            }
            times: dict[str, list[float]] = {name: [] for name in orders}
            for turn in range(10):
                name = ("hub", "broadcast")[turn % 2]
                before = node.cpu
                node.tell(*orders[name])
                clients.until((turn + 1) * messages * count)
                node.pipe.recv()
                times[name].append((node.cpu - before) / (messages * count))
            hub, floor = (statistics.median(times[name]) * 1e6 for name in orders)
            yield (
                f"delivery, 1 → {count:,}",
                f"{hub:.2f} µs CPU; longwire.broadcast {floor:.2f}",
            )
            clients.close()


def publish(url: str | None, small: bool) -> Iterator[tuple[str, str]]:
    """Publishes by one node: one after the other, and 64 topics at once."""
    count = 500 if small else 5000
    with nodes(url) as (node,):
        before = node.cpu
        seconds = node.ask("publish", 1, count, 0.0)
        cpu = (node.cpu - before) / count
        yield "publish, one by one", f"{count / seconds:,.0f}/s, {cpu * 1e6:.0f} µs CPU"
        before = node.cpu
        seconds = node.ask("burst", 64, count // 16)
        total = 64 * (count // 16)
        cpu = (node.cpu - before) / total
        yield "publish, 64 topics", f"{total / seconds:,.0f}/s, {cpu * 1e6:.0f} µs CPU"


def latency(url: str | None, small: bool) -> Iterator[tuple[str, str]]:
    """From before the publish to the client that reads it, on an idle node."""
    for count in (1, 100 if small else 1000):
        with nodes(url) as (node,):
            clients = Clients()
            made = clients.connect(node.port, count)
            clients.subscribe(made, lambda _: {"topic": "t:0"})
            messages = 50 if small else 300
            node.tell("stamp", messages, 0.02)
            took = []
            while len(took) < messages * count:
                for data in clients.read():
                    now = time.monotonic_ns()
                    for part in data.split(b'"at ')[1:]:
                        took.append(now - int(part.partition(b".")[0]))
            node.pipe.recv()
            took.sort()
            p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
            name = f"publish → delivered, {count:,} subscribers"
            yield name, f"p50 {p50 / 1e6:.2f} ms, p99 {p99 / 1e6:.2f} ms"
            clients.close()


def memory(url: str | None, small: bool) -> Iterator[tuple[str, str]]:
    """Memory of a node per connection, and per subscription."""
    count = 300 if small else 3000
    for topics in (1, 10):
        with nodes(url) as (node,):
            clients = Clients()
            warm = clients.connect(node.port, 50)
            full = {"topics": [f"t:{number}" for number in range(topics)]}
            clients.subscribe(warm, lambda _, full=full: full)
            start = node.ask("memory")
            made = clients.connect(node.port, count)
            connected = node.ask("memory")
            names = [f"t:{number}" for number in range(topics)]
            # As many at once as the warm ones were: what calls take while they run
            # stays with the allocator, and is shared by all calls to come.
            for at in range(0, count, len(warm)):
                batch = made[at : at + len(warm)]
                clients.subscribe(batch, lambda _, names=names: {"topics": names})
            subscribed = node.ask("memory")
            each = (subscribed - connected) / count
            yield (
                f"memory, {topics} subscriptions",
                f"connection {(connected - start) / count / 1024:.1f} KiB, "
                f"all of it {(subscribed - start) / count / 1024:.1f} KiB, "
                f"{each / topics:.0f} B a subscription",
            )
            clients.close()


def storm(url: str | None, small: bool) -> Iterator[tuple[str, str]]:
    """All clients at once come back and recover 20 messages each."""
    count = 500 if small else 9000
    with nodes(url) as (node,):
        clients = Clients()
        made = clients.connect(node.port, 1)
        clients.subscribe(made, lambda _: {"topic": "t:0"})
        node.ask("publish", 1, 10, 0.0)
        since = node.ask("position", "t:0")
        node.ask("publish", 1, 20, 0.0)
        clients.until(30)
        before, began = node.cpu, time.perf_counter()
        made = clients.connect(node.port, count)
        connected = node.cpu - before
        clients.subscribe(made, lambda _: {"topic": "t:0", "since": since})
        seconds = time.perf_counter() - began
        cpu = (node.cpu - before) / count
        entries = clients.entries - 30
        assert entries == 20 * count, entries
        yield (
            f"storm, {count:,} recover 20 each",
            f"{seconds:.1f} s, {cpu * 1e6:.0f} µs CPU each, "
            f"{(cpu - connected / count) * 1e6:.0f} of them the hub's",
        )
        clients.close()


def several(url: str | None, small: bool) -> Iterator[tuple[str, str]]:
    """CPU per delivery as there are more nodes, each with as many clients."""
    if url is None:
        return
    count = 100 if small else 500
    for number in (1, 2, 4):
        with nodes(url, number) as found:
            clients = Clients()
            for node in found:
                made = clients.connect(node.port, count)
                clients.subscribe(made, lambda _: {"topic": "t:0"})
            before = [node.cpu for node in found]
            messages = 100
            found[0].tell("publish", 1, messages, 0.01)
            clients.until(messages * count * number)
            found[0].pipe.recv()
            spent = [
                (node.cpu - cpu) / (messages * count)
                for node, cpu in zip(found, before, strict=True)
            ]
            text = ", ".join(f"{each * 1e6:.1f}" for each in spent)
            yield f"{number} nodes × {count} clients", f"{text} µs a delivery"
            clients.close()


MEASURES = {
    "fanout": fanout,
    "publish": publish,
    "latency": latency,
    "memory": memory,
    "storm": storm,
    "nodes": several,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(MEASURES))
    parser.add_argument("--broker", default="memory,redis,nats")
    parser.add_argument("--small", action="store_true", help="a few seconds in all")
    arguments = parser.parse_args()
    for name in arguments.broker.split(","):
        for measure in arguments.only.split(","):
            with broker(name) as url:
                for what, figure in MEASURES[measure](url, arguments.small):
                    print(f"{name:8} {what:44} {figure}", flush=True)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
