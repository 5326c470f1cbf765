"""What `Hub.inspect()` says of a hub, and `longwire hub inspect` of a server's."""

import asyncio
import json
import re

import pytest
from click.testing import CliRunner

from tests.hub.serving import eventually, serving, user_of_path
from tests.support.needs import needs

needs("msgspec")

from longwire import rpc
from longwire.cli.hub import longwire
from longwire.hub import Hub, UnknownTopic
from tests.docs.programs import ROOT

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]


async def test_the_broker_and_the_largest_topics_are_there():
    async with serving() as it:
        for topics in (["chat:1"], ["chat:1", "chat:2"]):
            client = await it.by_hand()
            for topic in topics:
                await client.call("hub.subscribe", topic=topic)
        stored = await it.hub.publish("chat:1", "secret")

        await eventually(lambda: it.hub._running.driver.received == 1)
        found = await it.hub.inspect()

        assert found["broker"] | {"received": 1, "up": True} == found["broker"]
        assert (found["connections"], found["subscriptions"]) == (2, 3)
        assert found["publishing"]["stored"] == 1
        own = [each for each in found["topics"] if each["topic"].startswith("chat")]
        assert [(each["topic"], each["subscribers"]) for each in own] == [
            ("chat:1", 2),
            ("chat:2", 1),
        ]
        assert own[0]["position"] == stored.position
        assert own[0]["state"] == "settled"
        assert len((await it.hub.inspect(limit=1))["topics"]) == 1
        assert "secret" not in json.dumps(found)


async def test_a_topic_is_there_with_who_subscribes_and_what_is_stored():
    async with serving(identify=user_of_path) as it:
        client = await it.by_hand()
        await client.call("hub.subscribe", topic="chat:1")
        stored = [await it.hub.publish("chat:1", n) for n in range(3)]

        found = await it.hub.inspect("chat:1", limit=2)

        assert found["declared"]["params"] == {"room": "1"}
        assert found["stored"]["position"] == stored[-1].position
        assert [e["offset"] for e in found["stored"]["entries"]] == [3, 2]
        assert found["stored"]["more"]
        (subscriber,) = found["subscribers"]
        assert subscriber["state"] == "live"
        assert found["subscribers_total"] == 1
        json.dumps(found)
        with pytest.raises(UnknownTopic):
            await it.hub.inspect("nothing:1")
        for limit in (0, 1001):
            with pytest.raises(ValueError, match="limit"):
                await it.hub.inspect(limit=limit)


async def test_a_broker_that_cannot_be_asked_is_said():
    hub = Hub("nats://127.0.0.1:1")
    hub.topic("chat:{room}", subscribe="anyone", history=5)
    async with hub:
        found = await hub.inspect()
        assert not found["broker"]["up"]
        found = await hub.inspect("chat:1")
        assert "error" in found["stored"]
        assert found["here"] is None


async def test_the_program_of_the_page_answers_the_command():
    text = (ROOT / "docs" / "hub" / "operating.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(import hmac\n.*?)```", text, re.S)
    code = code.replace('Hub("redis://localhost")', "Hub()")
    names = {}
    exec(code, names)
    server = rpc.Server()
    names["hub"].install(server)
    listening = server.serve("localhost", 0, process_request=names["inspect"])
    async with names["hub"], listening as running:
        port = running.sockets[0].getsockname()[1]
        url = f"http://localhost:{port}/inspect"

        async def inspect(*arguments):
            command = ["hub", "inspect", *arguments]
            return await asyncio.to_thread(CliRunner().invoke, longwire, command)

        allowed = ("-H", f"Authorization: Bearer {names['SECRET']}")
        done = await inspect(url, "chat:1", *allowed)
        assert (done.exit_code, done.stderr) == (0, "")
        assert json.loads(done.stdout)["topic"] == "chat:1"
        done = await inspect(url, *allowed)
        assert json.loads(done.stdout)["broker"]["name"] == "memory"
        for arguments in ((url,), (url, "nothing:1", *allowed), (url + "/x", *allowed)):
            done = await inspect(*arguments)
            assert done.exit_code == 1
            assert len(done.stderr.splitlines()) == 1
            assert "Traceback" not in done.stderr
        assert (await inspect(f"ws://localhost:{port}/")).exit_code == 2
