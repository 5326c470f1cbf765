"""The reader of usual requests and the strict one read the same, whatever comes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from longwire.errors import InvalidHandshake
from longwire.http.heads import RequestReader

LIMITS = ((8192, 128, 65536), (150, 128, 400), (8192, 6, 65536), (8192, 128, 180))
BROWSER = (
    b"GET /chat?room=1 HTTP/1.1\r\n"
    b"Host: example.com:8080\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101\r\n"
    b"Accept: */*\r\n"
    b"Origin: https://example.com\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"\r\n"
)
SMALL = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PIECES = (
    b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b"", b"\0", b"\xff", b"\r\n\r\n",
    b"Host: y\r\n", b"host:\r\n", b"Content-Length: 0\r\n", b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"X: " + b"y" * 200 + b"\r\n", b" folded\r\n",
    b"HTTP/1.0", b"http://other/", b"*", b"POST", b"#", b"X-Empty:\r\n", BROWSER,
)  # fmt: skip


def read(chunks: list[bytes], limits: tuple[int, int, int]) -> Any:
    """What a reader makes of the chunks: a request and the rest, an error, nothing."""
    reader = RequestReader(*limits)
    request = None
    try:
        for chunk in chunks:
            request = reader.feed(chunk)
        if request is None:
            reader.feed_eof()
    except InvalidHandshake as exc:
        return type(exc).__name__, str(exc)
    assert request is not None
    fields = list(request.headers.raw_items())
    return request, fields, dict(request.headers._by_name()), reader.rest


def mutated(wire: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(wire) + 1)
        until = at + chance.choice((0, 0, 1, 1, 2, 20))
        wire = wire[:at] + chance.choice(PIECES) + wire[until:]
    return wire


@pytest.mark.parametrize("wire", [BROWSER, SMALL], ids=["browser", "small"])
@pytest.mark.parametrize("rest", [b"", b"\x81\x80abcd", SMALL], ids=len)
def test_a_usual_request_is_read_at_once_as_it_is_in_pieces(
    wire: bytes, rest: bytes
) -> None:
    reader = RequestReader(*LIMITS[0])
    assert reader._usual(wire + rest) is not None
    whole = read([wire + rest], LIMITS[0])
    assert whole == read([wire[:1], wire[1:] + rest], LIMITS[0])
    assert whole[-1] == rest


def test_both_readers_agree_on_thousands_of_changed_requests() -> None:
    chance = random.Random(6455)
    taken = refused = 0
    for number in range(2500):
        wire = mutated(chance.choice((BROWSER, SMALL)), chance)
        if not wire:
            continue
        limits = LIMITS[number % len(LIMITS)]
        whole = read([wire], limits)
        strict = read([wire[:1], wire[1:]], limits)
        assert whole == strict, wire
        taken += RequestReader(*limits)._usual(wire) is not None
        refused += isinstance(whole[0], str)
    assert taken > 300
    assert refused > 300


def test_only_the_beginning_of_a_stream_is_read_at_once() -> None:
    """A head that lies in another one must not be taken for a request of its own."""
    for first in (b"\r\n", b"GET /a HTTP/1.1\r\n", b"GET /a HTTP/1.1\r\nX: y\r\n"):
        parts = [first, SMALL]
        assert read(parts, LIMITS[0]) == read(
            [bytes([b]) for b in first + SMALL], LIMITS[0]
        )
