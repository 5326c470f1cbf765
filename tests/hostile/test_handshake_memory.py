"""What the heads of peers hold: while they are incomplete, and on open connections."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from longwire import InvalidStatus
from tests.hostile.conftest import Serve, until
from tests.support.frontends import AsyncioFrontEnd
from tests.support.rawpeer import RawPeer, answer, listener, request

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="only CPython's memory can be counted"
)

MANY = 20
HEAD = 14_000
# A connection, its tasks or its thread, and its wire; the raw peer at the other end.
FIXED = {"asyncio": 16_000, "sync": 24_000, "trio": 24_000}

EMOJI = "\U0001f600".encode()


def lines(extra: bytes = b"") -> list[bytes]:
    return [b"X-%d: " % n + extra + b"y" * 2000 for n in range(HEAD // 2010)]


@contextlib.contextmanager
def tracing() -> Iterator[Callable[[], int]]:
    """Give what tells how much more is held than at first, for each of `MANY`."""
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]

    def held() -> int:
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) // MANY

    try:
        yield held
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "extra", [b"", EMOJI, b"\xff"], ids=["ascii", "emoji", "bytes"]
)
def test_requests_that_do_not_end_hold_about_what_was_sent(
    front: AsyncioFrontEnd, attack: Serve, extra: bytes
) -> None:
    fixed = FIXED[front.name]
    data = request(*lines(extra))[:-2]
    with (
        attack(open_timeout=60) as victim,
        tracing() as held,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(MANY):
            stack.enter_context(victim.knock()).write(bytes(bytearray(data)))

        # All of it has arrived when that much is held.
        until(lambda: held() > len(data))
        until(lambda: held() < len(data) * 5 / 4 + fixed)


@pytest.mark.parametrize(
    "extra", [b"", EMOJI, b"\xff"], ids=["ascii", "emoji", "bytes"]
)
def test_open_connections_hold_no_more_of_the_request_than_its_bytes(
    front: AsyncioFrontEnd, attack: Serve, extra: bytes
) -> None:
    fixed = FIXED[front.name]
    data = request(*lines(extra))
    with (
        attack(compression=None) as victim,
        tracing() as held,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(MANY):
            peer = stack.enter_context(victim.knock())
            peer.write(bytes(bytearray(data)))
            assert peer.read_head().startswith(b"HTTP/1.1 101 ")
            ours = victim.arrived.get()
            # A handler may look at it, too.
            assert "X-0" in ours.raw.request.headers

        until(lambda: held() < len(data) + fixed)


@contextlib.contextmanager
def answering(act: Callable[[RawPeer], None]) -> Iterator[int]:
    """Answer each client by ``act`` and hold the connection; give the port."""
    peers: list[RawPeer] = []
    with listener() as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peers.append(RawPeer(listening.accept()[0], client=False))
                    act(peers[-1])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(2)
        thread.join(20)  # who came last is among the peers, too
        for peer in peers:
            peer.close()


@contextlib.contextmanager
def tracing_clients(front: AsyncioFrontEnd) -> Iterator[Callable[[], int]]:
    """As `tracing`, once what a client imports or makes at first use is there."""

    def act(peer: RawPeer) -> None:
        peer.write(answer(peer.read_head()))

    with answering(act) as port:
        front.connect(port, close_timeout=0.1).result().close()
    with tracing() as held:
        yield held


@pytest.mark.parametrize(
    "extra", [b"", EMOJI, b"\xff"], ids=["ascii", "emoji", "bytes"]
)
def test_a_client_holds_no_more_of_the_response_than_its_bytes(
    front: AsyncioFrontEnd, extra: bytes
) -> None:
    fixed = FIXED[front.name]

    def act(peer: RawPeer) -> None:
        peer.write(answer(peer.read_head(), *lines(extra)))

    with answering(act) as port, tracing_clients(front) as held:
        options = {"compression": None, "close_timeout": 0.1}
        ends = [front.connect(port, **options).result() for _ in range(MANY)]

        until(lambda: held() < HEAD + fixed)

        for end in ends:
            end.close()


@pytest.mark.parametrize("proxied", [False, True])
def test_responses_that_do_not_end_hold_about_what_was_sent(
    front: AsyncioFrontEnd, proxied: bool
) -> None:
    fixed = FIXED[front.name]
    start = b"HTTP/1.1 200 " + EMOJI + b"\r\n" + b"\r\n".join(lines(EMOJI))

    def act(peer: RawPeer) -> None:
        peer.read_head()
        peer.write(start)

    with answering(act) as port, tracing_clients(front) as held:
        proxy = f"http://127.0.0.1:{port}" if proxied else None
        jobs = [front.connect(port, proxy=proxy, open_timeout=60) for _ in range(MANY)]

        until(lambda: held() > HEAD)
        until(lambda: held() < len(start) * 5 / 4 + fixed)

        for job in jobs:
            job.cancel()


def test_the_body_of_a_refusal_is_held_once(front: AsyncioFrontEnd) -> None:
    fixed = FIXED[front.name]
    body = b"z" * 100_000

    def act(peer: RawPeer) -> None:
        peer.read_head()
        size = str(len(body)).encode()
        peer.write(b"HTTP/1.1 403 No\r\nContent-Length: " + size + b"\r\n\r\n" + body)

    refusals = []
    with answering(act) as port, tracing_clients(front) as held:
        for _ in range(MANY):
            with pytest.raises(InvalidStatus) as caught:
                front.connect(port).result()
            refusals.append(caught.value.with_traceback(None))
            del caught

        until(lambda: held() < len(body) + fixed)
        assert [refusal.response.body for refusal in refusals] == [body] * MANY
