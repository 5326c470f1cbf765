"""Limits.server_memory: what the messages of all connections of a server may take."""

from __future__ import annotations

import queue
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from longwire import (
    Cause,
    CloseReport,
    ConnectionClosed,
    ConnectionClosedError,
    LimitExceeded,
    Limits,
    Timeouts,
    budget,
)
from tests.support.frontends import AsyncioFrontEnd, Endpoint, Links
from tests.support.rawpeer import BINARY, SECONDS, TEXT, RawPeer, knock

MOST = 1 << 18
LIMITS = Limits(server_memory=MOST, queued_messages=None)
MESSAGES = [number.to_bytes(4, "big") + bytes(16380) for number in range(64)]
HELD = "server reads no more from the 1 largest connections"
ALL_READ = "server reads from all connections again"


@pytest.fixture(params=["native", "transport"], autouse=True)
def engine(
    request: pytest.FixtureRequest, front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the test over each engine of asyncio."""
    if front.name != "asyncio" and request.param != "native":
        pytest.skip(f"{front.name} has no engines")
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)


class Deaf:
    """A handler that echoes, or, for the path /deaf, reads when it is allowed to."""

    def __init__(self) -> None:
        self.reads = threading.Event()
        self.got: list[Any] = []
        self.reports: queue.Queue[CloseReport] = queue.Queue()

    def __call__(self, ws: Endpoint) -> None:
        try:
            if ws.raw.request.path == "/deaf":
                self.reads.wait(SECONDS)
                while True:
                    self.got.append(ws.recv())
            while True:
                ws.send(ws.recv())
        except ConnectionClosed:
            if ws.raw.request.path == "/deaf":
                self.reports.put(ws.wait_report())


def until(condition: Callable[[], object]) -> None:
    ends_at = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def said(caplog: pytest.LogCaptureFixture, text: str) -> None:
    until(lambda: text in caplog.text)


def deaf(port: int) -> RawPeer:
    peer = knock(port)
    peer.write(
        b"GET /deaf HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return peer


def frames(peer: RawPeer) -> bytes:
    return b"".join(peer.frame(BINARY, message) for message in MESSAGES)


def test_the_largest_waits_unread_others_go_on_and_nothing_is_lost(
    front: AsyncioFrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "longwire")
    handler = Deaf()
    with (
        front.serve(handler, limits=LIMITS) as (port, _),
        knock(port).ask() as small,
        deaf(port) as large,
    ):
        sending = threading.Thread(target=large.sock.sendall, args=(frames(large),))
        sending.start()
        said(caplog, HELD)
        for number in range(10):
            small.send(TEXT, b"%d" % number)
            assert small.read() == (TEXT, b"%d" % number, True, 0)

        handler.reads.set()
        sending.join(SECONDS)
        large.send_close(1000)
        assert large.read_close() == (1000, "")
        large.close()
        said(caplog, ALL_READ)
        report = handler.reports.get(timeout=SECONDS)

    assert handler.got == MESSAGES
    assert (report.code, report.received_dropped) == (1000, 0)


def test_one_that_is_not_read_either_is_closed_and_its_memory_is_free(
    front: AsyncioFrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "PATIENCE", 0.0)
    handler = Deaf()
    with front.serve(handler, limits=LIMITS) as (port, arrived), deaf(port) as large:
        held = arrived.get(timeout=SECONDS).raw
        threading.Thread(target=push, args=(large, frames(large)), daemon=True).start()
        assert large.read_close()[0] == 1013

        until(lambda: held._memory < MOST)
        large.close()
        handler.reads.set()
        report = handler.reports.get(timeout=SECONDS)

    assert handler.got == []
    assert (report.limit, report.limit_value) == ("server_memory", MOST)
    assert report.received_dropped > 0


def push(peer: RawPeer, data: bytes) -> None:
    try:
        peer.sock.sendall(data)
    except OSError:
        pass  # the server has closed


@pytest.mark.parametrize(
    ("end", "code", "cause"),
    [
        ("close", 1000, Cause.PEER),
        ("leave", 1006, Cause.NETWORK),
        ("reset", 1006, Cause.NETWORK),
    ],
)
def test_what_is_dropped_of_a_connection_that_has_ended_is_counted_too(
    front: AsyncioFrontEnd,
    end: str,
    code: int,
    cause: Cause,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look, may_look = budget.Watch.look, threading.Event()

    def look_later(watch: budget.Watch, *args: Any) -> float:
        return look(watch, *args) if may_look.is_set() else budget.SOONEST

    # Not before all has come and the end is certain, however slow the machine is.
    monkeypatch.setattr(budget.Watch, "look", look_later)
    monkeypatch.setattr(budget, "PATIENCE", 0.2)
    caplog.set_level("INFO", "longwire")
    handler = Deaf()
    timeouts = Timeouts(fault_grace=0.1)
    with front.serve(handler, limits=LIMITS, timeouts=timeouts) as (port, arrived):
        large = deaf(port)
        held = arrived.get(timeout=SECONDS).raw
        large.write(frames(large))
        until(lambda: held._live.protocol.messages_received == len(MESSAGES))
        if end == "close":
            large.send_close(1000)
            assert large.read_close() == (1000, "")
        if end == "reset":
            large.reset()
        else:
            large.close()
        until(lambda: held.close_report is not None)
        before = held.close_report
        assert before.received_dropped == 0
        may_look.set()

        said(caplog, ALL_READ)
        said(caplog, f"dropped {len(MESSAGES)} unread messages")
        handler.reads.set()
        report = handler.reports.get(timeout=SECONDS)

    assert handler.got == []
    assert report is before
    assert (report.code, report.cause) == (code, cause)
    assert (report.limit, report.limit_value) == ("server_memory", MOST)
    assert report.received_dropped == report.messages_dropped == len(MESSAGES)
    assert f"{len(MESSAGES)} received messages dropped unread" in str(report)


def test_an_end_behind_dropped_messages_is_an_error(
    front: AsyncioFrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: queue.Queue[Any] = queue.Queue()
    dropped = threading.Event()

    def handler(ws: Endpoint) -> None:
        dropped.wait(SECONDS)
        try:
            ends.put(ws.recv())
        except ConnectionClosed as exc:
            ends.put(exc)

    timeouts = Timeouts(fault_grace=0.1)
    with front.serve(handler, timeouts=timeouts) as (port, arrived):
        peer = knock(port).ask()
        ours = arrived.get(timeout=SECONDS)
        peer.send(TEXT, b"unread")
        peer.send_close(1000)
        peer.close()
        until(lambda: ours.raw.close_report is not None)

        ours.shed(LimitExceeded("short of memory"))
        until(lambda: ours.raw.close_report.received_dropped == 1)
        dropped.set()

        assert isinstance(ends.get(timeout=SECONDS), ConnectionClosedError)


def test_output_that_nobody_takes_makes_room_at_once(
    front: AsyncioFrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "PATIENCE", 0.2)
    reports: queue.Queue[CloseReport] = queue.Queue()

    def flood(ws: Endpoint) -> None:
        try:
            ws.send(bytes(32 * MOST))
        except ConnectionClosed:
            pass
        reports.put(ws.wait_report())

    # The close frame and our end alone would have it wait for close_timeout.
    with front.serve(flood, limits=LIMITS, close_timeout=60) as (port, arrived):
        with knock(port).ask():
            held = arrived.get(timeout=SECONDS).raw
            report = reports.get(timeout=SECONDS)
            until(lambda: held._memory < MOST)

    assert (report.cause, report.limit) == (Cause.LIMIT, "server_memory")


# --- an end that was read before the connection is given up ------------------------

OFFER = (
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
    b"client_no_context_takeover"
)


def mebibyte(peer: RawPeer) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -12)
    data = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    return peer.frame(BINARY, data.removesuffix(b"\x00\x00\xff\xff"), rsv=4)


def test_who_is_given_up_after_the_peers_end_has_ended(link: Links) -> None:
    # The end is read, and waits for the messages before it, which nobody takes.
    ours, peer = link(OFFER, close_timeout=60)
    peer.write(mebibyte(peer) * 9)
    peer.close()
    until(lambda: ours.raw._live.got_eof)
    assert not ours.raw._live.tcp_lost
    error = LimitExceeded("short of something")

    ours.fail(error)

    report = ours.wait_report()
    assert (report.cause, report.error) == (Cause.LIMIT, error)


def test_a_peer_that_stays_is_given_time_to_read_why(link: Links) -> None:
    ours, peer = link(close_timeout=60)

    ours.fail(LimitExceeded("short of something"))

    assert peer.read_close() == (1008, "short of something")
    assert not ours.raw._live.tcp_lost
    peer.close()
    assert ours.wait_report().cause is Cause.LIMIT
