"""Attacks below WebSocket: on TLS itself, and by peers that break it off."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from longwire import Cause
from tests.hostile.conftest import Serve, assert_calm, count_files, until
from tests.support.certificates import Certificates
from tests.support.frontends import AsyncioFrontEnd, Links
from tests.support.rawpeer import SECONDS, TEXT, RawPeer, listener, request


def client_hello(certificates: Certificates) -> bytes:
    """Return the first bytes of a client's TLS handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates.client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.fixture
def attack_tls(attack: Serve, certificates: Certificates) -> Any:
    """Like ``attack``, with a good client that speaks TLS."""

    @contextlib.contextmanager
    def begin(**options: Any) -> Iterator[Any]:
        with attack(ssl=certificates.server, tls=certificates, **options) as victim:
            yield victim

    return begin


NOT_TLS = {
    "silence": b"",
    "plain HTTP": request(),
    "zeros": b"\0" * 100,
    "a record announced": b"\x16\x03\x01\xff\xff",
    "noise": random.Random(5).randbytes(4096),
}


@pytest.mark.parametrize("data", NOT_TLS.values(), ids=NOT_TLS)
@pytest.mark.parametrize("ending", ["wait", "close", "reset"])
def test_what_is_not_tls_is_closed(attack_tls: Any, data: bytes, ending: str) -> None:
    with attack_tls(open_timeout=0.5) as victim, victim.knock() as peer:
        if data:
            peer.write(data)

        if ending == "wait":
            assert b"HTTP" not in peer.read_all()
        else:
            getattr(peer, ending)()


@pytest.mark.parametrize("ending", ["wait", "close", "end", "reset"])
def test_a_tls_handshake_may_stop_anywhere(
    attack_tls: Any, certificates: Certificates, ending: str
) -> None:
    hello = client_hello(certificates)
    with attack_tls(open_timeout=0.5) as victim:
        for size in (1, 5, 60, len(hello) - 1, len(hello)):
            with victim.knock() as peer:
                peer.write(hello[:size])
                if ending in ("wait", "end"):
                    if ending == "end":
                        peer.end()
                    peer.read_all()
                else:
                    getattr(peer, ending)()


@pytest.mark.parametrize("sent", [b"", request()[:40], request()])
def test_tls_may_break_off_after_its_handshake(
    attack_tls: Any, certificates: Certificates, sent: bytes
) -> None:
    with attack_tls(open_timeout=0.5) as victim:
        for ending in ("close", "reset"):
            with victim.knock() as peer:
                peer.sock = certificates.client.wrap_socket(
                    peer.sock, server_hostname="localhost"
                )
                if sent:
                    peer.write(sent)
                getattr(peer, ending)()


def test_a_client_that_distrusts_us_is_one_line_in_the_log(
    attack_tls: Any, certificates: Certificates
) -> None:
    with attack_tls() as victim, victim.knock() as peer:
        with pytest.raises(ssl.SSLCertVerificationError):
            certificates.stranger.wrap_socket(peer.sock, server_hostname="localhost")


@pytest.mark.parametrize("damage", ["record", "reset", "cut", "goodbye"])
def test_tls_that_breaks_on_an_open_connection_is_a_network_error(
    link: Links, certificates: Certificates, damage: str
) -> None:
    ours, peer = link(tls=certificates, close_timeout=0.3)
    peer.send(TEXT, b"before")
    assert ours.recv() == "before"
    below = socket.socket(fileno=peer.sock.detach()) if damage != "goodbye" else None

    if below is None:
        with contextlib.suppress(OSError):
            peer.sock.unwrap()  # type: ignore[attr-defined]
    elif damage == "record":
        below.sendall(b"\x17\x03\x03\x00\x20" + b"\x55" * 32)
    elif damage == "reset":
        RawPeer(below, client=True).reset()
    if below is not None:
        below.close()

    report = ours.wait_report()
    assert (report.cause, report.code) == (Cause.NETWORK, 1006)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 No\r\n\r\n", b"\x15\x03\x03\0\x02\x02\x28"]
)
def test_a_server_that_does_not_speak_tls_is_an_error_at_once(
    front: AsyncioFrontEnd,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    answer: bytes,
) -> None:
    with listener() as listening:

        def accept() -> None:
            for _ in range(3):
                sock, _ = listening.accept()
                with sock:
                    sock.recv(65536)
                    sock.sendall(answer)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        files = 0
        for _ in range(3):
            with pytest.raises(OSError):
                front.connect(port, ssl=certificates.client, open_timeout=5).result()
            until(lambda: front.tasks() == 0)
            files = files or count_files()
        thread.join(SECONDS)
        until(lambda: count_files() <= files)
    assert_calm(caplog)
