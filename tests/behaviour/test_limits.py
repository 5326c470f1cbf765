"""Each limit on messages: what is exactly at it passes, one more does not."""

from __future__ import annotations

import threading
import time
import zlib
from typing import Any

import pytest

from longwire import Cause, Limits
from tests.support.frontends import SECONDS, AsyncioFrontEnd, Endpoint, Links
from tests.support.rawpeer import BINARY, CONT, PING, PONG, TEXT, RawPeer, knock

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate"
DEFAULT = 1 << 20


def refused(ours: Endpoint, peer: RawPeer, limit: str, value: int, code: int) -> None:
    """Check that the connection ends for ``limit``, and says so on both sides."""
    found, reason = peer.read_close()
    assert found == code
    assert reason
    peer.close()
    report = ours.wait_report()
    assert report.cause is Cause.LIMIT
    assert (report.limit, report.limit_value) == (limit, value)
    assert str(value) in report.detail


def deflated(data: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    return out.removesuffix(b"\x00\x00\xff\xff")


SIZES = [({}, DEFAULT), ({"max_size": 1000}, 1000), ({"limits": Limits(message=7)}, 7)]


@pytest.mark.parametrize(("options", "size"), SIZES)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_may_have_max_size_and_not_one_byte_more(
    link: Links, options: Any, size: int, opcode: int
) -> None:
    ours, peer = link(**options)

    peer.send(opcode, b"x" * size)
    assert len(ours.recv()) == size
    peer.send(opcode, b"x" * (size + 1))

    refused(ours, peer, "message", size, 1009)


def test_fragments_count_together(link: Links) -> None:
    ours, peer = link(max_size=1000)

    for extra in (0, 1):
        peer.send(TEXT, b"x" * 400, fin=False)
        peer.send(CONT, b"", fin=False)
        peer.send(CONT, b"x" * 400, fin=False)
        peer.send(CONT, b"x" * (200 + extra))
        if not extra:
            assert len(ours.recv()) == 1000

    refused(ours, peer, "message", 1000, 1009)


def test_bytes_count_not_characters(link: Links) -> None:
    ours, peer = link(max_size=9)

    peer.send(TEXT, "€€€".encode())
    assert ours.recv() == "€€€"
    peer.send(TEXT, "€€€€".encode())

    refused(ours, peer, "message", 9, 1009)


def test_a_size_is_refused_before_its_bytes_come(link: Links) -> None:
    ours, peer = link(max_size=1000)

    peer.write(peer.frame(BINARY, b"x" * 100_000)[:14])

    refused(ours, peer, "message", 1000, 1009)


@pytest.mark.parametrize("size", [1 << 31, (1 << 63) - 1])
def test_no_size_is_too_large_to_be_refused(link: Links, size: int) -> None:
    ours, peer = link(max_size=1000)
    mask = 0x80 if peer.client else 0

    peer.write(bytes([0x82, mask | 127]) + size.to_bytes(8, "big") + b"\0" * 4)

    refused(ours, peer, "message", 1000, 1009)


@pytest.mark.parametrize("size", [1 << 63, (1 << 64) - 1])
def test_a_size_the_rfc_forbids_is_a_protocol_error(link: Links, size: int) -> None:
    ours, peer = link(max_size=None)
    mask = 0x80 if peer.client else 0

    peer.write(bytes([0x82, mask | 127]) + size.to_bytes(8, "big") + b"\0" * 4)

    assert peer.read_close()[0] == 1002
    peer.close()
    assert ours.wait_report().cause is Cause.PEER_ERROR


def test_a_fragment_may_have_its_own_limit(link: Links) -> None:
    ours, peer = link(max_size=(None, 100))

    for extra in (0, 1):
        peer.send(BINARY, b"x" * 100, fin=False)
        peer.send(CONT, b"x" * (100 + extra))
        if not extra:
            assert len(ours.recv()) == 200

    refused(ours, peer, "fragment", 100, 1009)


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_a_message_may_have_so_many_fragments(link: Links, payload: bytes) -> None:
    ours, peer = link(limits=Limits(fragments=10))

    for extra in (0, 1):
        peer.send(TEXT, payload, fin=False)
        for _ in range(8 + extra):
            peer.send(CONT, payload, fin=False)
        if not extra:
            peer.send(CONT, payload)
            assert ours.recv() == payload.decode() * 10
    peer.send(CONT, payload)

    refused(ours, peer, "fragments", 10, 1009)


@pytest.mark.parametrize("size", [1000, 100_000, DEFAULT])
def test_the_inflated_size_counts(link: Links, size: int) -> None:
    words = b"; server_no_context_takeover; client_no_context_takeover"
    ours, peer = link(OFFER + words, max_size=size)

    peer.send(BINARY, deflated(b"x" * size), rsv=4)
    assert len(ours.recv()) == size
    peer.send(BINARY, deflated(b"x" * (size + 1)), rsv=4)

    refused(ours, peer, "message", size, 1009)


def test_inflated_fragments_count_together(link: Links) -> None:
    words = b"; server_no_context_takeover; client_no_context_takeover"
    ours, peer = link(OFFER + words, max_size=1000)

    for extra in (0, 1):
        data = deflated(b"x" * 999 + b"y" * (1 + extra))
        peer.send(BINARY, data[:2], fin=False, rsv=4)
        peer.send(CONT, data[2:5], fin=False)
        peer.send(CONT, data[5:])
        if not extra:
            assert ours.recv() == b"x" * 999 + b"y"

    refused(ours, peer, "message", 1000, 1009)


def test_no_limit_is_none(link: Links) -> None:
    ours, peer = link(max_size=None)

    peer.send(BINARY, b"x" * (8 << 20))

    assert len(ours.recv()) == 8 << 20


def test_a_peer_may_send_so_many_pings_a_second(link: Links) -> None:
    # Two bursts in two seconds may add up, so one alone has to pass the limit.
    ours, peer = link(limits=Limits(pings_per_second=20), ping_interval=None)

    peer.write(peer.frame(PING, b"p") * 20)
    assert [peer.read() for _ in range(20)] == [(PONG, b"p", True, 0)] * 20
    peer.write(peer.frame(PING, b"p") * 41)

    refused(ours, peer, "pings_per_second", 20, 1008)


def test_our_own_messages_are_not_limited(link: Links) -> None:
    ours, peer = link(max_size=10)
    job = ours.start("send", b"x" * 100_000, None)

    assert len(peer.read_message()) == 100_000
    job.result()


def test_a_server_forgets_what_it_held_when_the_last_connection_has_gone(
    front: AsyncioFrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "longwire")
    limits = Limits(server_memory=1 << 18, queued_messages=None)
    leave = threading.Event()

    def wait_for_log(text: str) -> None:
        ends_at = time.monotonic() + SECONDS
        while text not in caplog.text:
            assert time.monotonic() < ends_at, text
            time.sleep(0.01)

    def deaf(connection: Endpoint) -> None:
        leave.wait(SECONDS)

    with front.serve(deaf, limits=limits) as (port, _), knock(port) as peer:
        peer.ask()
        peer.push(peer.frame(BINARY, bytes(16384)), 1 << 19)
        wait_for_log("server reads no more from the 1 largest connections")
        leave.set()
        peer.reset()

        wait_for_log("server reads from all connections again: 0 held")
