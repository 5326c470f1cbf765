"""Servers and proxies that refuse, and then do not come to an end."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import longwire
from longwire import InvalidStatus
from longwire.errors import InvalidProxyStatus
from tests.hostile.conftest import assert_calm, count_files, until
from tests.support.certificates import Certificates
from tests.support.frontends import AsyncioFrontEnd
from tests.support.rawpeer import RawPeer, answer, listener

Act = Callable[[RawPeer], None]
NO = b"HTTP/1.1 403 Forbidden\r\n"
LENGTH = b"Content-Length: 99\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def silent(peer: RawPeer) -> None:
    peer.read_all()  # until the client goes


def dribbling(peer: RawPeer) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer.write(b".")
            time.sleep(0.02)


def ending(peer: RawPeer) -> None:
    peer.end()
    peer.read_all()


def resetting(peer: RawPeer) -> None:
    time.sleep(0.2)  # let the client read first: a reset may overtake what was sent
    peer.reset()


AFTERWARDS = {
    "silent": silent,
    "dribbling": dribbling,
    "ending": ending,
    "resetting": resetting,
    "closing": RawPeer.close,
}
STARTS = {
    "by length": NO + LENGTH + b"nope",
    "without length": NO + b"\r\nnope",
    "in chunks": NO + CHUNKED + b"4\r\nnope\r\n",
    "in an endless chunk": NO + CHUNKED + b"fff\r\nnope",
    "of a bad length": NO + b"Content-Length: x\r\n\r\nnope",
    "in bad chunks": NO + CHUNKED + b"4\r\nnope\r\nxyz\r\n",
}


@contextlib.contextmanager
def refusing(act: Act, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Accept clients, with TLS if it is given, for ``act``; give the port."""
    listening = listener()
    peers: list[RawPeer] = []
    threads: list[threading.Thread] = []

    def talk(peer: RawPeer) -> None:
        with contextlib.suppress(OSError, EOFError):
            if tls is not None:
                peer.sock = tls.wrap_socket(peer.sock, server_side=True)
            peer.head = peer.read_head()
            act(peer)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                peers.append(RawPeer(listening.accept()[0], client=False))
                threads.append(threading.Thread(target=talk, args=[peers[-1]]))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(2)
        listening.close()
        accepting.join(20)
        for peer in peers:
            peer.close()
        for thread in threads:
            thread.join(20)


def attempt(
    front: AsyncioFrontEnd, port: int, error: type[Exception], **options: Any
) -> Any:
    """Return the response that a client is refused with, long before its time is over.

    It takes less than half of the time that the attempt could take.
    """
    begin = time.monotonic()
    with pytest.raises(error) as caught:
        front.connect(port, open_timeout=15, **options).result()
    assert time.monotonic() - begin < 7
    return caught.value.response  # type: ignore[attr-defined]


@pytest.mark.parametrize("afterwards", AFTERWARDS)
@pytest.mark.parametrize("start", STARTS)
def test_a_refusal_is_told_whatever_its_body_does(
    front: AsyncioFrontEnd,
    caplog: pytest.LogCaptureFixture,
    start: str,
    afterwards: str,
) -> None:
    def act(peer: RawPeer) -> None:
        peer.write(STARTS[start])
        AFTERWARDS[afterwards](peer)

    with refusing(act) as port:
        response = attempt(front, port, InvalidStatus)

        assert response.status_code == 403
        assert response.body[:4] == b"nope"
        until(lambda: front.tasks() == 0)
    assert_calm(caplog)


@pytest.mark.parametrize("afterwards", AFTERWARDS)
def test_over_tls_as_well(
    front: AsyncioFrontEnd, certificates: Certificates, afterwards: str
) -> None:
    def act(peer: RawPeer) -> None:
        peer.write(STARTS["by length"])
        AFTERWARDS[afterwards](peer)

    with refusing(act, certificates.server) as port:
        response = attempt(front, port, InvalidStatus, ssl=certificates.client)

        assert (response.status_code, response.body[:4]) == (403, b"nope")
        until(lambda: front.tasks() == 0)


@pytest.mark.parametrize("afterwards", AFTERWARDS)
def test_a_proxy_that_refuses_may_do_the_same(
    front: AsyncioFrontEnd, afterwards: str
) -> None:
    def act(peer: RawPeer) -> None:
        peer.write(STARTS["by length"])
        AFTERWARDS[afterwards](peer)

    with refusing(act) as port:
        proxy = f"http://127.0.0.1:{port}"
        response = attempt(front, port, InvalidProxyStatus, proxy=proxy)

        assert (response.status_code, response.body[:4]) == (403, b"nope")


def test_a_body_may_flood_us(front: AsyncioFrontEnd) -> None:
    def act(peer: RawPeer) -> None:
        peer.write(NO + b"\r\n")
        with contextlib.suppress(OSError):
            while True:
                peer.write(b"x" * 65536)

    limits = longwire.Limits(handshake_body=100_000)
    with refusing(act) as port:
        response = attempt(front, port, InvalidStatus, limits=limits)

        assert response.body == b"x" * 100_000


def test_redirects_with_endless_bodies_are_followed(front: AsyncioFrontEnd) -> None:
    asked = 0

    def act(peer: RawPeer) -> None:
        nonlocal asked
        asked += 1
        if asked == 6:
            peer.write(answer(peer.head))
        else:
            peer.write(b"HTTP/1.1 302 Moved\r\nLocation: /\r\n" + LENGTH + b"go")
        silent(peer)

    with refusing(act) as port:
        ws = front.connect(port, host=None, open_timeout=15, close_timeout=0.1)

        # Five of them, and no time for any.
        assert ws.result(seconds=7)
        ws.result().close()


def test_a_time_limit_shorter_than_the_wait_still_tells_the_refusal(
    front: AsyncioFrontEnd,
) -> None:
    def act(peer: RawPeer) -> None:
        peer.write(STARTS["by length"])
        silent(peer)

    with refusing(act) as port:
        with pytest.raises(InvalidStatus) as caught:
            front.connect(port, open_timeout=1).result()

        assert caught.value.response.body == b"nope"


def test_async_for_does_not_go_on_asking(front: AsyncioFrontEnd) -> None:
    asked = 0

    def act(peer: RawPeer) -> None:
        nonlocal asked
        asked += 1
        peer.write(STARTS["by length"])
        ending(peer)

    with refusing(act) as port:
        again = front.connect_each(port, reconnect_delays=lambda: [0] * 9)
        with pytest.raises(InvalidStatus):
            again.result()

        assert asked == 1


def test_nothing_is_left_of_many_refusals(front: AsyncioFrontEnd) -> None:
    def act(peer: RawPeer) -> None:
        peer.write(STARTS["in chunks"])
        peer.close()

    with refusing(act) as port:
        attempt(front, port, InvalidStatus)
        files = count_files()
        for _ in range(10):
            attempt(front, port, InvalidStatus)

        until(lambda: front.tasks() == 0)
        until(lambda: count_files() <= files)
