"""The JavaScript client at a real hub: tests/interop/node/hub.js follows a topic."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from tests.hub.serving import serving
from tests.support.commands import environment
from tests.support.needs import needs

needs("msgspec")

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]

PAGE = Path(__file__).parents[1] / "interop" / "node" / "hub.js"


class Page:
    def __init__(self, process):
        self.process = process

    async def says(self, *event):
        """Assert that it says this next; None is for whatever it may say there."""
        async with asyncio.timeout(20):
            found = json.loads(await self.process.stdout.readline())
        wanted = [f if w is None else w for w, f in zip(event, found, strict=False)]
        assert found == wanted

    def publish(self, data):
        self.process.stdin.write(json.dumps(data).encode() + b"\n")

    def cut(self):
        """Lose the connection without a word; it comes back by itself."""
        self.process.stdin.write(b"\n")


@contextlib.asynccontextmanager
async def page(uri, topic="chat:1", **options):
    modules = needs("ws")
    said = json.dumps({"uri": uri, "topic": topic, "options": options})
    process = await asyncio.create_subprocess_exec(
        *(needs("node"), str(PAGE), said),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(NODE_PATH=modules),
    )
    try:
        yield Page(process)
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_page_gets_what_is_published_and_publishes():
    async with serving() as served, page(served.uri) as one:
        await one.says("subscribed", None)
        await served.hub.publish("chat:1", {"text": "héllo \u2028"})
        await one.says("message", {"text": "héllo \u2028"})
        one.publish([1, None, "x"])
        await one.says("message", [1, None, "x"])


async def test_a_page_gets_what_it_missed_after_its_connection_was_lost():
    async with serving() as served, page(served.uri) as one:
        await one.says("subscribed", None)
        await served.hub.publish("chat:1", 1)
        await one.says("message", 1)
        for turn in range(3):
            one.cut()
            for n in range(20):
                await served.hub.publish("chat:1", [turn, n])
            found = []
            while len(found) < 20:
                async with asyncio.timeout(20):
                    said = json.loads(await one.process.stdout.readline())
                assert said[0] != "gap"
                if said[0] == "message":
                    found.append(said[1])
                else:
                    assert said == ["subscribed", True]
            assert found == [[turn, n] for n in range(20)]


async def test_a_page_is_told_what_cannot_be_recovered():
    async with serving(options={"history": 5}) as served:
        await served.hub.publish("chat:1", 0)
        place = await served.hub.position("chat:1")
        for n in range(1, 9):
            await served.hub.publish("chat:1", n)

        async with page(served.uri, since=str(place)) as one:
            await one.says("subscribed", False)
            await one.says("gap", "trimmed", None)
            await served.hub.publish("chat:1", "on")
            await one.says("message", "on")


async def test_a_page_reads_the_newest_and_sees_who_is_there():
    async with serving(options={"presence": True}) as served:
        for n in range(5):
            await served.hub.publish("chat:1", n)
        async with page(served.uri, last=2, presence="watch") as one:
            await one.says("subscribed", None)
            await one.says("message", 3)
            await one.says("message", 4)
            async with page(served.uri, presence=True) as two:
                await two.says("subscribed", None)
                await one.says("presence", 1)


async def test_a_page_is_refused_by_name():
    async with serving() as served, page(served.uri, "nothing:1") as one:
        await one.says("unsubscribed", None)
