"""What every attack has to leave behind: a server that works, and nothing else."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.frontends import FRONT_ENDS, AsyncioFrontEnd, Endpoint, Links
from tests.support.rawpeer import TEXT, RawPeer, knock

PATIENCE = 15.0


# What the session does under attack is the same on all: `make long` tries the others.
LONG = {"sync": pytest.mark.long, "trio": pytest.mark.long}


@pytest.fixture(params=[pytest.param(n, marks=LONG.get(n, ())) for n in FRONT_ENDS])
def front(request: pytest.FixtureRequest) -> Iterator[AsyncioFrontEnd]:
    """A running front end; fails the test if it leaves something behind."""
    front = FRONT_ENDS[request.param]()
    yield front
    front.stop()


class Victim:
    """An echo server under attack."""

    def __init__(
        self,
        front: AsyncioFrontEnd,
        port: int,
        arrived: queue.Queue[Endpoint],
        tls: Certificates | None,
    ) -> None:
        self.front = front
        self.port = port
        self.arrived = arrived
        self.tls = tls

    def knock(self) -> RawPeer:
        """Return a TCP connection that has said nothing yet."""
        return knock(self.port)

    def open(self, *headers: bytes) -> tuple[Endpoint, RawPeer]:
        """Return both ends of an open connection."""
        peer = self.knock().ask(*headers)
        return self.arrived.get(timeout=PATIENCE), peer

    def serves(self) -> None:
        """Check that a good client is served."""
        with knock(self.port) as good:
            if self.tls is not None:
                good.sock = self.tls.client.wrap_socket(
                    good.sock, server_hostname="localhost"
                )
            good.ask()
            self.arrived.get(timeout=PATIENCE)
            for text in (b"good", b"client"):
                good.send(TEXT, text)
                assert good.read() == (TEXT, text, True, 0)
            good.send_close(1000)
            assert good.read_close() == (1000, "")


Serve = Callable[..., "contextlib.AbstractContextManager[Victim]"]


@pytest.fixture
def attack(front: AsyncioFrontEnd, caplog: pytest.LogCaptureFixture) -> Serve:
    """``with attack(**options) as victim``: an echo server that must survive.

    At the end of the block the server still answers a good client, no task or file of
    the attackers' connections is left, and nothing of them is an error in the log.
    """
    caplog.set_level("INFO", "longwire")

    @contextlib.contextmanager
    def attack(tls: Certificates | None = None, **options: Any) -> Iterator[Victim]:
        options = {"close_timeout": 0.3, "open_timeout": 5, **options}
        with front.serve("echo", **options) as (port, arrived):
            victim = Victim(front, port, arrived, tls)
            victim.serves()
            until(lambda: front.tasks() == 0)
            files = count_files()
            yield victim
            victim.serves()
            until(lambda: front.tasks() == 0)
            until(lambda: count_files() <= files)
        assert_calm(caplog)

    return attack


@pytest.fixture(params=["server", "client"])
def link(
    request: pytest.FixtureRequest,
    front: AsyncioFrontEnd,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Links]:
    """Call it for ``ours, peer``; nothing the peer does may be an error in the log."""
    caplog.set_level("INFO", "longwire")
    links = Links(front, request.param)
    yield links
    links.close()
    assert_calm(caplog)


def assert_calm(caplog: pytest.LogCaptureFixture) -> None:
    """Check that the log has no error and no traceback."""
    loud = [r for r in caplog.records if r.exc_info or r.levelname == "ERROR"]
    assert not [record.getMessage() for record in loud]
    assert all(record.getMessage().isprintable() for record in caplog.records)


def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition()`` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.01)


def count_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def memory_below(most: int) -> Iterator[None]:
    """Check that the block never holds more than ``most`` further bytes.

    Those of the test itself count too. Where Python cannot tell, nothing is checked.
    """
    if sys.implementation.name != "cpython":
        yield
        return
    import tracemalloc

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        yield
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak} bytes at the worst; {most} are allowed"
