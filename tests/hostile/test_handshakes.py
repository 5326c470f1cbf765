"""Attacks on a server before a connection is open."""

from __future__ import annotations

import random
import time

import pytest

from longwire import Limits
from longwire.http.handshake import select_subprotocol
from tests.hostile.conftest import Serve, memory_below, until
from tests.support.rawpeer import RawPeer, request

HELLO = bytes.fromhex("16030100c8010000c40303") + b"\x11" * 120
NOISE = random.Random(6455).randbytes(4096)

GARBAGE = {
    "nothing but zeros": b"\0" * 200,
    "noise": NOISE,
    "a TLS hello": HELLO,
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an SSH banner": b"SSH-2.0-OpenSSH_9.7\r\n",
    "SOCKS": b"\x05\x01\x00",
    "a WebSocket frame": b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
    "only line ends": b"\r\n" * 2000,
    "only line feeds": b"\n" * 2000,
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "POST": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "a NUL in a header": request(b"X: a\0b"),
    "a bare CR in a header": request(b"X: a\rb"),
    "a folded header": request(b"X: a\r\n b"),
    "a header without a colon": request(b"nothing"),
    "a space before the colon": request(b"X : a"),
    "two Hosts": request(b"Host: other"),
    "two keys": request(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    "a body": request(b"Content-Length: 5") + b"hello",
    "a chunked body": request(b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "another version": request().replace(b"Version: 13", b"Version: 8"),
    "a short key": request().replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="),
    "terminal control": b"GET /\x1b[2J\x07 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_and_the_connection_closed(attack: Serve, name: str) -> None:
    with attack(open_timeout=1) as victim, victim.knock() as peer:
        peer.write(GARBAGE[name])

        answer = peer.read_all()

        assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505 "))
        assert b"Connection: close" in answer or not answer


@pytest.mark.parametrize("ending", ["close", "end", "reset"])
def test_a_request_may_stop_anywhere(attack: Serve, ending: str) -> None:
    whole = request()
    with attack(open_timeout=2) as victim:
        for size in (0, 1, 15, 18, 60, len(whole) - 2, len(whole) - 1, len(whole)):
            peer = victim.knock()
            if size:
                peer.write(whole[:size])
            getattr(peer, ending)()
            if ending == "end":
                peer.read_all()
                peer.close()


def test_a_dribbled_request_runs_out_of_time(attack: Serve) -> None:
    with attack(open_timeout=0.5) as victim, victim.knock() as peer:
        start = time.monotonic()

        sent = peer.dribble(request() * 2, 0.02)

        assert sent < 150
        assert time.monotonic() - start < 10


EVIL = "\x9b31m\u202e\u2028\u200b\ufeff".encode() + b"\xff"
CONTROLS = b"\x1b]0;x\x07" + EVIL
LONG = b"t" * 4000
# What can be written into a head and is then told in a log and an answer.
WRITTEN = {
    "method": b"EV" + CONTROLS + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long method": LONG + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "target": b"GET /" + CONTROLS + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "version": b"GET / " + CONTROLS + b"\r\nHost: x\r\n\r\n",
    "Host": request().replace(b"Host: ", b"Host: " + EVIL),
    "header name": request(CONTROLS + b": x"),
    "header value": request(b"X: " + CONTROLS),
    "Upgrade": request().replace(b"Upgrade: websocket", b"Upgrade: " + EVIL),
    "Connection": request().replace(b"Connection: Upgrade", b"Connection: " + EVIL),
    "key": request().replace(b"-Key: ", b"-Key: " + EVIL),
    "version of the protocol": request().replace(b"-Version: ", b"-Version: " + EVIL),
    "Origin": request(b"Origin: " + EVIL),
    "a long Origin": request(b"Origin: http://" + LONG),
    "Content-Length": request(b"Content-Length: " + EVIL),
    "Transfer-Encoding": request(b"Transfer-Encoding: " + EVIL),
    "extensions": request(b"Sec-WebSocket-Extensions: x; " + EVIL),
    "subprotocols": request(b"Sec-WebSocket-Protocol: " + EVIL),
    "other subprotocols": request(b"Sec-WebSocket-Protocol: " + LONG),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_client_writes_controls_neither_the_log_nor_the_answer(
    attack: Serve, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    allowed = ["https://example.com", None]
    with attack(origins=allowed, select_subprotocol=first_of_ours) as victim:
        caplog.clear()
        with victim.knock() as peer:
            peer.write(WRITTEN[name])

            answer = peer.read_all().decode()

        until(lambda: "opening handshake failed" in caplog.text)
        told = [text for text in caplog.messages if "handshake failed" in text]
        assert len(told) == 1
        assert told[0].isprintable()
        assert len(told[0]) < 600
        assert all(line.isprintable() for line in answer.split("\r\n")[:-1])
        assert answer.rpartition("\r\n")[2].replace("\n", "").isprintable()
        assert len(answer) < 1000


def first_of_ours(connection: object, offered: list[str]) -> str | None:
    """Choose a subprotocol as the server does, but let clients without any pass."""
    return select_subprotocol(offered, ["chat"]) if offered else None


def test_many_slow_requests_do_not_keep_others_out(attack: Serve) -> None:
    with attack(open_timeout=1.5) as victim:
        peers = [victim.knock() for _ in range(100)]
        for peer in peers:
            peer.write(b"GET / HTTP/1.1\r\n")
        for _ in range(5):
            victim.serves()
            for number, peer in enumerate(peers):
                peer.write(b"X-%d: y\r\n" % number)

        for peer in peers:
            assert peer.read_all().startswith(b"HTTP/1.1 408 ")
            peer.close()


def endless(peer: RawPeer, piece: bytes) -> tuple[int, bytes]:
    """Send ``piece`` for as long as it is taken; return how much, and the answer."""
    sent = 0
    try:
        while sent < 64 << 20:
            peer.write(piece)
            sent += len(piece)
    except OSError:
        pass  # cut off, as it should be
    return sent, peer.read_all()


@pytest.mark.parametrize(
    ("start", "piece", "status"),
    [
        (b"", b"G" * 4096, b"414"),
        (b"GET /", b"x" * 4096, b"414"),
        (b"GET / HTTP/1.1\r\n", b"x" * 4096, b"431"),
        (b"GET / HTTP/1.1\r\nX: ", b"x" * 4096, b"431"),
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 500, b"431"),
        (b"GET / HTTP/1.1\r\n", b"X: " + b"y" * 8000 + b"\r\n", b"431"),
    ],
    ids=[
        "method", "target", "header name", "header value", "headers", "long headers"
    ],
)  # fmt: skip
def test_endless_heads_are_cut_off(
    attack: Serve, start: bytes, piece: bytes, status: bytes
) -> None:
    with attack() as victim, victim.knock() as peer, memory_below(8 << 20):
        if start:
            peer.write(start)

        sent, answer = endless(peer, piece)

        assert sent < 32 << 20
        # The rest of what we sent may have reset the connection before the answer.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (request(path=b"/" + b"x" * 10_000), b"414"),
        (request(b"X: " + b"x" * 10_000), b"431"),
        (request(*[b"X: y"] * 130), b"431"),
        (request(*[b"X: " + b"y" * 8000] * 10), b"431"),
    ],
)
def test_a_head_over_a_limit_gets_its_answer(
    attack: Serve, head: bytes, status: bytes
) -> None:
    with attack() as victim, victim.knock() as peer:
        peer.write(head)

        assert peer.read_all().startswith(b"HTTP/1.1 " + status)


def test_connections_that_come_and_go_leave_nothing(attack: Serve) -> None:
    with attack() as victim:
        for number in range(300):
            peer = victim.knock()
            if number % 3 == 1:
                peer.write(request())
            if number % 2:
                peer.reset()
            peer.close()


def test_silent_connections_over_the_limit_are_refused(attack: Serve) -> None:
    limits = Limits(connections=20)
    with attack(limits=limits, open_timeout=1) as victim:
        peers = [victim.knock() for _ in range(60)]
        peers[-1].write(request())

        assert peers[-1].read_all().startswith(b"HTTP/1.1 503 ")

        for peer in peers:
            peer.close()
        time.sleep(1.2)


# --- exactly at a limit ---------------------------------------------------------


def padded(size: int, *headers: bytes) -> bytes:
    """Return a request of ``size`` bytes in all, no line longer than 4,000."""
    lines = list(headers)
    while (left := size - len(request(*lines))) > 4000:
        lines.append(b"X: " + b"y" * (min(left // 2, 3900)))
    lines.append(b"X: " + b"y" * (left - 5))
    return request(*lines)


LINE = b"GET / HTTP/1.1"
AT_LIMIT = {
    "request line": (
        Limits(handshake_line=200),
        request(path=b"/" + b"p" * (200 - len(LINE))),
        request(path=b"/" + b"p" * (201 - len(LINE))),
        b"414",
    ),
    "header line": (
        Limits(handshake_line=200),
        request(b"X: " + b"y" * 197),
        request(b"X: " + b"y" * 198),
        b"431",
    ),
    "number of headers": (
        Limits(handshake_headers=10),
        request(*[b"X: y"] * 5),
        request(*[b"X: y"] * 6),
        b"431",
    ),
    "whole head": (
        Limits(handshake_bytes=20_000),
        padded(20_000),
        padded(20_001),
        b"431",
    ),
}


@pytest.mark.parametrize("name", AT_LIMIT)
def test_a_head_may_be_as_large_as_its_limit_and_no_larger(
    attack: Serve, name: str
) -> None:
    limits, good, bad, status = AT_LIMIT[name]
    with attack(limits=limits) as victim:
        with victim.knock() as peer:
            peer.write(good)
            assert peer.read_head().startswith(b"HTTP/1.1 101 ")
        victim.arrived.get()
        with victim.knock() as peer:
            peer.write(bad)
            assert peer.read_all().startswith(b"HTTP/1.1 " + status)


def test_a_server_takes_as_many_connections_as_its_limit(attack: Serve) -> None:
    with attack(limits=Limits(connections=5)) as victim:
        ends = [victim.open() for _ in range(5)]
        with victim.knock() as peer:
            peer.write(request())
            assert peer.read_all().startswith(b"HTTP/1.1 503 ")

        for ours, peer in ends:
            peer.close()
            ours.wait_closed()
        until(lambda: victim.front.tasks() == 0)
