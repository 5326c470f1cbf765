"""Publishing without an event loop: from threads, and from forked processes."""

import asyncio
import concurrent.futures
import os
import secrets
import subprocess
import sys
import textwrap

import pytest

from tests.hub.serving import serving
from tests.support.commands import environment
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")
needs("hiredis")

from longwire.hub import (
    BrokerUnavailable,
    Hub,
    HubLimits,
    Publisher,
    UnknownTopic,
)
from longwire.hub.redis import RedisBroker

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]


@pytest.fixture
def make_hub(redis_url):
    """A function that makes hubs of one namespace, with topics ``chat:{room}``."""
    namespace = secrets.token_hex(6)

    def make():
        hub = Hub(RedisBroker(redis_url, namespace=namespace))
        hub.topic("chat:{room}", subscribe="anyone", history=1000)
        return hub

    return make


def declared(hub):
    hub.topic("chat:{room}", subscribe="anyone", history=1000)


async def in_thread(function, *args, **named):
    return await asyncio.to_thread(function, *args, **named)


async def test_a_message_of_a_thread_reaches_subscribers_in_order(make_hub):
    broker = make_hub().broker
    async with serving(declared, broker=broker) as served:
        client = await served.client()
        with Publisher(make_hub) as publisher:
            async with client.subscribe("chat:1") as chat:

                def publish():
                    return [publisher.publish("chat:1", n) for n in range(20)]

                stored = await in_thread(publish)
                found = [await anext(chat) for _ in range(20)]

        assert [message.data for message in found] == list(range(20))
        assert [m.position for m in found] == [str(s.position) for s in stored]


def test_many_threads_share_one_connection(make_hub, redis_url):
    with Publisher(make_hub) as publisher:
        publish = publisher.publish
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            stored = list(pool.map(lambda n: publish("chat:1", n), range(200)))

        assert sorted(each.offset for each in stored) == list(range(1, 201))


def test_a_message_with_an_id_is_stored_once(make_hub):
    with Publisher(make_hub) as publisher:
        first = publisher.publish("chat:1", 1, id="x")
        again = publisher.publish("chat:1", 1, id="x")

        assert (again.position, again.duplicate) == (first.position, True)


def test_what_cannot_be_published_is_refused_as_by_a_hub(make_hub):
    with Publisher(make_hub) as publisher:
        with pytest.raises(UnknownTopic):
            publisher.publish("no:1:2", 1)
        with pytest.raises(TypeError):
            publisher.publish("chat:1", object())
        assert publisher.publish("chat:1", 1).offset == 1


def test_without_a_broker_it_says_so_in_time():
    def make():
        hub = Hub(
            f"redis://127.0.0.1:{free_port()}", limits=HubLimits(publish_timeout=0.5)
        )
        declared(hub)
        return hub

    with Publisher(make) as publisher, pytest.raises(BrokerUnavailable):
        publisher.publish("chat:1", 1)


def test_what_make_hub_raises_is_raised_and_it_may_be_tried_again(make_hub):
    found = []

    def make():
        if not found:
            found.append(1)
            raise OSError("no settings yet")
        return make_hub()

    with Publisher(make) as publisher:
        with pytest.raises(OSError, match="no settings yet"):
            publisher.publish("chat:1", 1)
        assert publisher.publish("chat:1", 1).offset == 1


@pytest.mark.parametrize(
    ("make", "error"), [(lambda: Hub(), ValueError), (lambda: 5, TypeError)]
)
def test_only_a_hub_that_others_can_hear_will_do(make, error):
    with Publisher(make) as publisher, pytest.raises(error):
        publisher.publish("chat:1", 1)
    with pytest.raises(TypeError):
        Publisher(5)


async def test_a_thread_with_an_event_loop_is_refused(make_hub):
    with Publisher(make_hub) as publisher, pytest.raises(RuntimeError, match="await"):
        publisher.publish("chat:1", 1)


def test_a_closed_one_publishes_nothing(make_hub):
    publisher = Publisher(make_hub)
    publisher.close()
    with pytest.raises(RuntimeError, match="closed"):
        publisher.publish("chat:1", 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_that_was_forked_publishes_too(redis_url):
    program = f"""
        import os
        from longwire.hub import Hub, Publisher
        from longwire.hub.redis import RedisBroker

        def make_hub():
            hub = Hub(RedisBroker({redis_url!r}, namespace={secrets.token_hex(6)!r}))
            hub.topic("chat:{{room}}", subscribe="anyone")
            return hub

        publisher = Publisher(make_hub)
        print(publisher.publish("chat:1", 1).offset, flush=True)
        for _ in range(2):
            child = os.fork()
            if not child:
                print(publisher.publish("chat:1", 2).offset, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
        print(publisher.publish("chat:1", 3).offset, flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=40,
        env=environment(),
    )
    assert (done.stdout.split(), done.returncode) == (list("1234"), 0), done.stderr
    assert done.stderr == ""
