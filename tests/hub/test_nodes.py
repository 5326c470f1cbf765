"""Nodes in processes of their own, killed while clients are at work."""

import asyncio
import contextlib
import hashlib
import subprocess
import sys

import pytest

from tests.hub.chaos import LONG, Proxy
from tests.hub.redis_servers import redis_server
from tests.hub.serving import eventually
from tests.support.commands import environment
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")
needs("hiredis")

from longwire import rpc
from longwire.hub import HubClient

pytestmark = [
    pytest.mark.long,
    pytest.mark.once,
    pytest.mark.timeout(600 if LONG else 120),
]

CLIENTS = 1000 if LONG else 20


class Node:
    """A process that is a node."""

    def __init__(self, url, name):
        self.port = free_port()
        self.name = name
        command = [sys.executable, "-m", "tests.hub.node", url, str(self.port), name]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env=environment()
        )

    async def ready(self):
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line == b"READY\n"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@contextlib.asynccontextmanager
async def nodes(url, count):
    found = [Node(url, f"node{number}") for number in range(count)]
    try:
        for node in found:
            await node.ready()
        yield found
    finally:
        for node in found:
            node.kill()


async def test_clients_of_a_node_that_is_killed_go_on_at_another():
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(redis_server())
        first, second = await stack.enter_async_context(nodes(server.url, 2))
        front = await stack.enter_async_context(Proxy(first.port))
        uri = f"ws://127.0.0.1:{front.port}/"
        results, stored = {}, []
        total = 3 * 200

        async def listen(number):
            client = await stack.enter_async_context(rpc.Client(uri))
            hub = await stack.enter_async_context(HubClient(client))
            chat = await stack.enter_async_context(hub.subscribe("t:1"))
            seen = results[number] = []

            async def read():
                async for message in chat:
                    seen.append((message.offset, message.data))

            return asyncio.create_task(read())

        readers = [await listen(number) for number in range(CLIENTS)]

        async def publish(name):
            client = await stack.enter_async_context(rpc.Client(uri))
            hub = await stack.enter_async_context(HubClient(client))
            for number in range(200):
                data = f"{name} {number}"
                while True:
                    try:
                        # With an id it is stored once, however often it is tried.
                        await hub.publish("t:1", data, id=data)
                        break
                    except rpc.RpcError:
                        await asyncio.sleep(0.05)
                stored.append(data)
                await asyncio.sleep(0.005)

        publishing = [asyncio.create_task(publish(f"p{n}")) for n in range(3)]
        await asyncio.sleep(0.7)
        first.kill()
        front.target = second.port
        front.cut()
        await asyncio.gather(*publishing)
        await eventually(
            lambda: all(len(seen) >= total for seen in results.values()), 60
        )
        for reader in readers:
            assert not reader.done()
            reader.cancel()
        await asyncio.wait(readers)

        assert sorted(stored) == sorted(data for _, data in results[0])
        sums = {
            hashlib.sha256(repr(seen).encode()).hexdigest() for seen in results.values()
        }
        assert len(sums) == 1
        offsets = [offset for offset, _ in results[0]]
        assert offsets == list(range(offsets[0], offsets[0] + total))


async def test_members_of_a_node_that_is_killed_leave_once_each():
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(redis_server())
        first, second = await stack.enter_async_context(nodes(server.url, 2))
        watcher = await stack.enter_async_context(
            rpc.Client(f"ws://127.0.0.1:{second.port}/")
        )
        hub = await stack.enter_async_context(HubClient(watcher))
        joined, left = [], []

        def note(diff):
            joined.extend(each["client"] for each in diff.get("joined", ()))
            left.extend(each["client"] for each in diff.get("left", ()))

        await stack.enter_async_context(
            hub.subscribe("t:1", presence="watch", on_presence=note)
        )
        for number in range(CLIENTS):
            client = await stack.enter_async_context(
                rpc.Client(f"ws://127.0.0.1:{first.port}/user{number}")
            )
            other = await stack.enter_async_context(HubClient(client))
            await stack.enter_async_context(other.subscribe("t:1", presence=True))
        if CLIENTS <= 500:
            await eventually(lambda: len(joined) == CLIENTS, 10)

        first.kill()

        async def clients():
            return (await hub.call("presence", topic="t:1"))["clients"]

        async with asyncio.timeout(60):
            while await clients():
                await asyncio.sleep(0.5)
        if CLIENTS <= 500:
            await eventually(lambda: len(left) >= CLIENTS, 10)
            assert sorted(left) == sorted(joined)
