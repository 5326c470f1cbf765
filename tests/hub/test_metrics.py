"""What an operator can see of a hub: metrics for Prometheus, and readiness."""

import asyncio
import re
import urllib.error
import urllib.request

import pytest

from tests.docs.programs import ROOT
from tests.hub.serving import eventually, serving
from tests.hub.test_driver import Lossy
from tests.support.needs import needs

needs("msgspec")

from longwire.hub import BrokerUnavailable, Hub, HubLimits

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]

LINE = re.compile(r'(longwire_hub_[a-z_]+)(?:\{([a-z]+)="([a-z-]+)"\})? (\d+)')


def metrics(hub):
    """All metrics by name, "name:label" for those with one; the format is checked."""
    found, known = {}, {}
    for line in hub.metrics().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in known
            known[name] = kind
        elif not line.startswith("# HELP "):
            name, _, label, value = LINE.fullmatch(line).groups()
            assert (known[name] == "counter") == name.endswith("_total")
            short = name.removeprefix("longwire_hub_")
            found[f"{short}:{label}" if label else short] = int(value)
    return found


async def test_what_there_is_and_what_was_done_is_counted():
    async with serving(options={"history": 3}) as it:
        client, other = await it.by_hand(), await it.by_hand()
        answer = await client.call("hub.subscribe", topic="chat:1")
        await other.call("hub.subscribe", topics=["chat:1", "chat:2"])
        await it.hub.publish("chat:1", 1, id="x")
        await it.hub.publish("chat:1", 1, id="x")
        place = (await client.pushes_of("hub.message"))["position"]
        await other.call("hub.subscribe", topic="chat:1", since=place)
        for n in range(5):
            await it.hub.publish("chat:1", n)
        await other.call("hub.subscribe", topic="chat:1", since=answer["position"])

        found = metrics(it.hub)
        assert found["feed_up"] == 1
        assert (found["connections"], found["subscriptions"]) == (2, 3)
        assert found["topics_attached"] >= 2
        assert found["published_total:stored"] >= 6
        assert found["published_total:duplicate"] == 1
        assert found["recoveries_total:complete"] == 1
        assert found["recoveries_total:trimmed"] == 1
        assert found["entries_received_total"] >= 6
        assert found["tail_bytes"] > 0
        assert found["publish_queue"] == found["behind"] == 0


async def test_losses_are_counted_and_readiness_is_gone_with_the_feed():
    broker = Lossy()
    async with serving(broker=broker) as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")
        assert it.hub.is_ready
        broker.losing = True
        await it.hub.publish("chat:1", 1)
        broker.losing = False
        await it.hub.publish("chat:1", 2)
        await eventually(lambda: metrics(it.hub)["gaps_total:repaired"] == 1)
        (sink,) = broker.sinks
        sink.lost(None, "a test")
        sink.lost(None, "again")

        assert not it.hub.is_ready
        found = metrics(it.hub)
        assert (found["feed_up"], found["feed_lost_total"]) == (0, 1)


async def test_messages_that_were_given_up_are_counted():
    class Away(Lossy):
        async def publish(self, *args, **kwargs):
            raise BrokerUnavailable("away", stored=False)

    limits = HubLimits(publish_timeout=0.1)
    async with serving(broker=Away(), limits=limits) as it:
        with pytest.raises(BrokerUnavailable):
            await it.hub.publish("chat:1", 1)

        assert metrics(it.hub)["published_total:failed"] >= 1


def test_a_hub_that_does_not_run_has_no_metrics():
    hub = Hub()
    assert not hub.is_ready
    with pytest.raises(RuntimeError, match="not running"):
        hub.metrics()


async def test_every_metric_is_on_its_page():
    async with serving() as it:
        names = {name.partition(":")[0] for name in metrics(it.hub)}
    text = (ROOT / "docs" / "hub" / "operating.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[^|]*`) \|", text, re.M)
    listed = {
        name for row in rows for name in re.findall(r"`([a-z_]+)(?:\{[a-z]+\})?`", row)
    }

    assert names <= listed


async def test_the_program_of_the_page_answers_http():
    text = (ROOT / "docs" / "hub" / "operating.md").read_text("utf-8")
    program = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)[0]
    names = {}
    exec(program.replace('"redis://localhost"', ""), names)
    hub, server = names["hub"], names["server"]

    def get(path):
        try:
            with urllib.request.urlopen(f"http://localhost:{port}{path}") as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, ""

    options = {"process_request": names["answer"]}
    async with server.serve("localhost", 0, **options) as listening:
        port = listening.sockets[0].getsockname()[1]
        assert (await asyncio.to_thread(get, "/readyz"))[0] == 503
        async with hub:
            await hub.ready()
            assert await asyncio.to_thread(get, "/readyz") == (200, "")
            status, body = await asyncio.to_thread(get, "/metrics")
            assert (status, body) == (200, hub.metrics())
            assert (await asyncio.to_thread(get, "/"))[0] == 426
