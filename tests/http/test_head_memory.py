"""What a head costs while it is incomplete, and once it is read: about its bytes."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest

from longwire.http.heads import RequestReader, ResponseReader
from tests.http.feeding import halves, whole
from tests.support.rawpeer import in_pieces

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="only CPython's memory can be counted"
)

MANY = 8
EMOJI = "\U0001f600".encode()
START = b"GET /%s HTTP/1.1\r\nHost: example.com\r\n"
STATUS = b"HTTP/1.1 %s\r\n"


def fields(size: int, value: int, extra: bytes = b"") -> bytes:
    """Return ``size`` bytes of fields with values of ``value`` bytes."""
    line = b"X-Filler: " + extra + b"y" * (value - len(extra)) + b"\r\n"
    return line * (size // len(line))


REQUESTS = {
    "long values": START % b"" + fields(12_000, 2000),
    "short values": START % b"" + fields(2_000, 6),
    "an emoji in each value": START % b"" + fields(12_000, 2000, EMOJI),
    "one emoji": START % b"" + b"Y: " + EMOJI + b"\r\n" + fields(12_000, 2000),
    "bytes that are not UTF-8": START % b"" + fields(12_000, 2000, b"\xff\xfe"),
    "a long target": START % (b"x" * 7000) + fields(6_000, 2000),
    "a long line": START % b"" + b"X: " + b"y" * 8000 + b"\r\n",
}
RESPONSES = {
    "long values": STATUS % b"101 Hm" + fields(12_000, 2000),
    "an emoji in each value": STATUS % b"101 Hm" + fields(12_000, 2000, EMOJI),
    "a long phrase": STATUS % (b"101 " + b"x" * 7000) + fields(6_000, 2000),
    "an emoji in a long phrase": STATUS % (b"101 " + EMOJI + b"x" * 7000)
    + fields(6_000, 2000),
    "provisional responses": (STATUS % b"103 Hints" + fields(4_000, 2000) + b"\r\n") * 4
    + STATUS % b"200 OK"
    + fields(6_000, 2000),
    "a body": STATUS % b"403 No" + b"Content-Length: 99999\r\n\r\n" + b"z" * 12_000,
    "a body without length": STATUS % b"403 No" + b"\r\n" + b"z" * 12_000,
    "chunks": STATUS % b"403 No"
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + (b"80\r\n" + b"z" * 128 + b"\r\n") * 90,
}
CASES = [(RequestReader, name, data) for name, data in REQUESTS.items()]
CASES += [(ResponseReader, name, data) for name, data in RESPONSES.items()]


def make(kind):
    limits = (8192, 512, 16384)
    if kind is ResponseReader:
        return ResponseReader(*limits, 1 << 20)
    return RequestReader(*limits)


def held_by(work) -> float:
    """Return the bytes that each of `MANY` results of ``work()`` holds."""
    work()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        results = [work() for _ in range(MANY)]
        gc.collect()
        size = (tracemalloc.get_traced_memory()[0] - before) / MANY
        del results
    finally:
        tracemalloc.stop()
    return size


def dribbled(data: bytes):
    return in_pieces(data, 97)


@pytest.mark.parametrize("feed", [whole, halves, dribbled])
@pytest.mark.parametrize(
    ("kind", "name", "data"), CASES, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_head_that_does_not_end_costs_about_what_came_of_it(kind, name, data, feed):
    # Not a literal's own object: what is fed is not to be kept.
    pieces = list(feed(data))

    def begin():
        reader = make(kind)
        for piece in pieces:
            assert reader.feed(bytes(bytearray(piece))) is None
        return reader

    # A bytearray takes an eighth more than it needs, so that it can grow.
    assert held_by(begin) < len(data) * 9 / 8 + 4000


@pytest.mark.parametrize(
    ("kind", "name", "data"),
    [case for case in CASES if b"\r\n\r\n" not in case[2]],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_packed_head_costs_about_its_bytes_also_after_a_look(kind, name, data):
    def read():
        head = make(kind).feed(bytes(bytearray(data)) + b"\r\n")
        assert head is not None
        head.headers.pack()
        assert head.headers.get("X-None") is None
        assert list(head.headers.raw_items())
        return head

    assert held_by(read) < len(data) + 2000
