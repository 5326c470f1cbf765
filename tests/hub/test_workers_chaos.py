"""Workers of `longwire serve` killed, and storms of reconnects, under load.

What clients get is compared with what the publisher was told is stored: every message
after a client's first comes once and in order, or the client is told that some do not.
"""

import asyncio
import contextlib
import itertools
import random
import signal
import urllib.request

import psutil
import pytest

from tests.hub.chaos import LONG, field, scaled
from tests.hub.serving import eventually
from tests.hub.test_chaos import KINDS
from tests.support.commands import running
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")

from longwire import rpc
from longwire.hub import HubClient
from longwire.hub.entries import Position

PATIENCE = 60.0
"""Seconds for what takes a second or two where nobody else works."""

pytestmark = [
    pytest.mark.once,
    pytest.mark.stock_loop,
    pytest.mark.timeout(900 if LONG else 4 * PATIENCE),
]

SERVED = """
import os
from longwire.hub import Hub

app = Hub(os.environ["HUB_URL"])
app.topic("t:{x}", subscribe="anyone", ttl=3600, history=int(os.environ["HISTORY"]))
"""


@pytest.fixture(params=[pytest.param("redis", marks=pytest.mark.long), "nats"])
def kind(request):
    needs({"redis": "hiredis", "nats": "nats-server"}[request.param])
    return KINDS[request.param]


class Follower:
    """A client of the workers that follows a topic, and comes back when it is cut off.

    It has what a chaos field knows of a listener.
    """

    def __init__(self, hub, topic, uri, delay):
        self.hub = hub
        self.topic = topic
        self.log = []
        """Positions of messages, and texts that say why some are missing, in order."""
        self.data = []
        self.gaps = []
        self.subscribed = 0
        self.client = rpc.Client(
            uri,
            proxy=None,
            reconnect_delays=lambda: (
                delay * random.uniform(0.5, 1) for _ in itertools.count()
            ),
        )

    async def follow(self, stack):
        await stack.enter_async_context(self.client)
        hub = await stack.enter_async_context(HubClient(self.client))
        self.subscription = await stack.enter_async_context(
            hub.subscribe(
                self.topic, on_gap=self._missed, on_subscribed=self._subscribed
            )
        )
        task = asyncio.create_task(self._read())
        stack.callback(task.cancel)

    async def _read(self):
        async for message in self.subscription:
            self.log.append(Position.parse(message.position))
            self.data.append(b'j"%b"' % message.data.encode())

    def _missed(self, gap):
        self.gaps.append(gap)
        self.log.append(gap.reason)

    def _subscribed(self, answer):
        self.subscribed += 1

    @property
    def position(self):
        text = self.subscription.position
        return None if text is None else Position.parse(text)

    @property
    def offsets(self):
        return [tuple(place) for place in self.log if isinstance(place, Position)]

    @property
    def reasons(self):
        return [gap.reason for gap in self.gaps]

    def check_told(self, stored):
        """Whatever of ``stored`` did not come is where a gap was told of."""
        places = {place: number for number, place in enumerate(stored)}
        at, told = None, False
        for step in self.log:
            if isinstance(step, str):
                told = True
                continue
            number = places[tuple(step)]
            if at is not None:
                assert number > at, "repeated, or out of order"
                assert told or number == at + 1, "missing, and nobody said so"
            at, told = number, False
        assert told or at == len(stored) - 1

    def cut(self):
        """Lose the connection, if there is one."""
        peer = self.client.peer
        if peer is not None:
            peer.connection.transport.abort()


class Workers:
    """`longwire serve` with two workers, and their followers."""

    def __init__(self, server, admin):
        self.server = server
        self.admin = admin
        self.followers = []

    @property
    def processes(self):
        return psutil.Process(self.server.process.pid).children()

    async def until_two(self, *gone):
        """Wait until there are two workers that serve, none of them of ``gone``."""

        def two():
            found = {process.pid for process in self.processes}
            return len(found) == 2 and not found & set(gone)

        await eventually(two, PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while await self.sum_of("longwire_worker_up") != 2:
                await asyncio.sleep(0.1)

    async def sum_of(self, metric):
        text = await asyncio.to_thread(get, f"http://127.0.0.1:{self.admin}/metrics")
        lines = [line for line in text.splitlines() if line.startswith(metric + "{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def memory(self):
        return sum(process.memory_info().rss for process in self.processes)


def get(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


@contextlib.asynccontextmanager
async def workers(folder, it, url, count, history, delay):
    """Two workers on a broker, with followers that are all subscribed."""
    (folder / "served.py").write_text(SERVED)
    admin = free_port()
    with running(
        *("serve", "served:app", "--app-dir", str(folder), "--workers", "2"),
        *("--host", "127.0.0.1", "--port", "0", "--admin", f"127.0.0.1:{admin}"),
        *("--start-timeout", "50", "--drain-timeout", "1", "--metrics", "-v"),
        HUB_URL=url,
        HISTORY=str(history),
        PYTHONDONTWRITEBYTECODE="1",
    ) as server:
        line = await asyncio.to_thread(
            server.line_with, "longwire serve listening on ", PATIENCE
        )
        made = Workers(server, admin)
        await made.until_two()
        async with contextlib.AsyncExitStack() as stack:
            uri = line.split()[-1]
            for _ in range(count):
                follower = Follower(it.hubs[0], "t:0", uri, delay)
                await follower.follow(stack)
                made.followers.append(follower)
            it.listeners += made.followers
            await eventually(
                lambda: all(each.subscribed for each in made.followers), PATIENCE
            )
            yield made


@pytest.mark.parametrize("history", [5000, pytest.param(5, marks=pytest.mark.long)])
async def test_followers_of_workers_that_are_killed_get_all_or_are_told(
    kind, history, tmp_path
):
    count = 100 if LONG else 30
    with kind.server() as server:
        server.start()
        async with field(server.url, nodes=1, history=history) as it:
            # With little history they come back when it has gone.
            delay = 0.1 if history > 100 else 1.0
            async with workers(
                tmp_path, it, server.url, count, history, delay
            ) as serving:
                it.publish(2, pause=0.02)
                killed = []
                for _ in range(1 if not LONG else 5):
                    for process in serving.processes:
                        await asyncio.sleep(scaled(0.3, 8.0))
                        killed.append(process.pid)
                        process.send_signal(signal.SIGKILL)
                        await serving.until_two(*killed)
                await asyncio.sleep(0.3)
                await it.stop_publishing()
                await it.settle(PATIENCE)

                # Each has been at a worker that was killed.
                assert all(each.subscribed >= 2 for each in serving.followers)
                if history > 100:
                    it.check_complete()
                else:
                    assert {r for each in it.listeners for r in each.reasons} == {
                        "trimmed"
                    }
                it.check_once()
                # A publisher that is stopped may have had one more stored.
                stored = {p for each in it.publishers for p in each.stored}
                stored.update(p for each in serving.followers for p in each.offsets)
                for follower in serving.followers:
                    follower.check_told(sorted(stored))


async def test_storms_of_reconnects_lose_nothing_and_leave_nothing(kind, tmp_path):
    count = 500 if LONG else 200
    with kind.server() as server:
        server.start()
        async with field(server.url, nodes=1) as it:
            async with workers(tmp_path, it, server.url, count, 5000, 0.1) as serving:
                it.publish(2, pause=0.1)
                sizes = []
                for storm in range(2 if not LONG else 30):
                    await asyncio.sleep(scaled(0.1, 1.0))
                    for follower in serving.followers:
                        follower.cut()
                    await eventually(
                        lambda least=storm + 2: all(
                            each.subscribed >= least for each in serving.followers
                        ),
                        PATIENCE,
                    )
                    sizes.append(serving.memory())
                await it.stop_publishing()
                await it.settle(PATIENCE)

                it.check_complete()
                it.check_once()
                # What was cut off is gone, and what is there is there once.
                async with asyncio.timeout(PATIENCE):
                    while await serving.sum_of("longwire_hub_subscriptions") != count:
                        await asyncio.sleep(0.1)
                # A connection left at each storm, of 8 KiB, would be 120 MB in the end.
                assert sizes[-1] < sizes[0] + (32 << 20)
