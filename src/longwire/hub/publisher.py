"""Publisher: messages from programs without an event loop.

Views of Django, tasks of Celery, scripts: they publish with an ordinary call, by a hub
that runs in a thread of its own. Nobody subscribes there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from ..once import MAKING
from .hub import Hub, Published

__all__ = ["Publisher"]

LEAVING = 10.0
"""Seconds that the hub gets to end."""


class Publisher:
    """Publishes from programs without an event loop, and from any thread.

    ::

        def make_hub() -> Hub:
            hub = Hub("redis://localhost")
            hub.topic("orders:{user}", subscribe="own", history=500)
            return hub


        publisher = Publisher(make_hub)
        publisher.publish("orders:ann", {"number": 7}, id="order-7")

    ``make_hub`` returns a :class:`Hub` with the topics that its servers have, on a
    broker that they share. It is called at the first message, and again in a process
    that was forked since: make the publisher where the module is imported.
    """

    def __init__(self, make_hub: Callable[[], Hub]) -> None:
        if not callable(make_hub):
            kind = type(make_hub).__name__
            raise TypeError(
                f"Publisher takes a function that makes a Hub, not {kind}: write "
                "Publisher(make_hub), where make_hub() returns the Hub"
            )
        self._make_hub = make_hub
        self._running: _Running | None = None
        self._closed = False

    def publish(
        self,
        topic: str,
        data: Any,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Published:
        """Publish a message; return when the broker has stored it.

        Raises what :meth:`Hub.publish` does: BrokerUnavailable when the broker was not
        to be reached in ``HubLimits.publish_timeout`` seconds. With ``id`` the call may
        be made again then. RuntimeError in a thread that runs an event loop, which
        would stand still meanwhile.
        """
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "an event loop runs in this thread: await Hub.publish() in it"
            )
        hub = self._started().hub
        return hub.publish_threadsafe(
            topic, data, id=id, headers=headers, key=key
        ).result()

    def _started(self) -> _Running:
        running = self._running
        if running is not None and running.pid == os.getpid():
            return running
        with MAKING:
            running = self._running
            if self._closed:
                raise RuntimeError("the publisher is closed; make another")
            # A thread of the parent's is not there in a process that was forked.
            if running is None or running.pid != os.getpid():
                running = self._running = _Running(self._make_hub)
            return running

    def close(self) -> None:
        """Leave the broker. A publisher that is never closed ends with its process."""
        with MAKING:
            self._closed = True
            running, self._running = self._running, None
        if running is not None and running.pid == os.getpid():
            running.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Running:
    """A hub on an event loop in a thread of its own."""

    def __init__(self, make_hub: Callable[[], Hub]) -> None:
        self.pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        started: concurrent.futures.Future[Hub] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(make_hub, started)),
            name="longwire-hub-publisher",
            daemon=True,
        )
        self._thread.start()
        self.hub = started.result()

    async def _run(
        self, make_hub: Callable[[], Hub], started: concurrent.futures.Future[Hub]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        try:
            hub = _checked(make_hub())
            await hub.start()
        except BaseException as exc:
            started.set_exception(exc)
            return
        started.set_result(hub)
        try:
            await self._end.wait()
        finally:
            await hub.close()

    def stop(self) -> None:
        assert self._loop is not None
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(LEAVING)


def _checked(hub: object) -> Hub:
    if not isinstance(hub, Hub):
        raise TypeError(f"make_hub returned {type(hub).__name__}, not a Hub")
    if hub.broker.name == "memory":
        raise ValueError(
            "the hub of a publisher needs a broker that its servers share, such as "
            'Hub("redis://localhost"): nobody reads the memory of this process'
        )
    return hub
