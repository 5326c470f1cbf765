"""Every way a connection can end, and the one report that says how it was."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from longwire import (
    Cause,
    CloseReport,
    ConnectionClosedError,
    ConnectionClosedOK,
    Limits,
    Timeouts,
)
from tests.support.frontends import Endpoint, Links, until
from tests.support.rawpeer import BINARY, CLOSE, CONT, PING, SECONDS, TEXT, RawPeer


class Ending(NamedTuple):
    """What the peer or we do, and what is to be seen of it afterwards."""

    act: Callable[[Endpoint, RawPeer], Any]
    cause: Cause
    code: int
    rcvd: int | None
    sent: int | None
    fine: bool = False
    options: dict[str, Any] = {}
    limit: str | None = None


def peer_closes(code: int | None) -> Callable[[Endpoint, RawPeer], Any]:
    def act(ours: Endpoint, peer: RawPeer) -> None:
        peer.send_close(code, "" if code is None else "over")
        peer.read_close()
        peer.close()

    return act


def we_close(ours: Endpoint, peer: RawPeer) -> None:
    job = ours.start("close", 1001, "moving")
    peer.read_close()
    peer.send_close(1001)
    peer.close()
    job.result()


def both_close(ours: Endpoint, peer: RawPeer) -> None:
    job = ours.start("close", 4001)
    peer.send_close(4002)  # not an answer: sent before ours was read
    peer.read_close()
    peer.close()
    job.result()


def writes(data: bytes) -> Callable[[Endpoint, RawPeer], Any]:
    def act(ours: Endpoint, peer: RawPeer) -> None:
        peer.write(data)
        peer.read_close()
        peer.close()

    return act


def sends(*frames: tuple[Any, ...], **options: Any) -> Callable[..., Any]:
    def act(ours: Endpoint, peer: RawPeer) -> None:
        for opcode, payload, fin in frames:
            peer.send(opcode, payload, fin=fin, **options)
        peer.read_close()
        peer.close()

    return act


def floods_with_pings(ours: Endpoint, peer: RawPeer) -> None:
    peer.write(peer.frame(PING) * 6)
    peer.read_close()
    peer.close()


def says_nothing(ours: Endpoint, peer: RawPeer) -> None:
    assert peer.read_close()[0] == 1011
    peer.close()


def never_answers(ours: Endpoint, peer: RawPeer) -> None:
    ours.close()


FEW_PINGS = {"limits": Limits(pings_per_second=5)}
SILENT = {"ping_interval": 0.1, "ping_timeout": 0.1, "close_timeout": 0.3}

ENDINGS = {
    "peer closes with 1000": Ending(
        peer_closes(1000), Cause.PEER, 1000, 1000, 1000, fine=True
    ),
    "peer closes with 1001": Ending(
        peer_closes(1001), Cause.PEER, 1001, 1001, 1001, fine=True
    ),
    "peer closes without a code": Ending(
        peer_closes(None), Cause.PEER, 1005, 1005, 1005, fine=True
    ),
    "peer closes with 1011": Ending(peer_closes(1011), Cause.PEER, 1011, 1011, 1011),
    "peer closes with 4444": Ending(peer_closes(4444), Cause.PEER, 4444, 4444, 4444),
    "we close": Ending(we_close, Cause.LOCAL, 1001, 1001, 1001, fine=True),
    "both close": Ending(both_close, Cause.LOCAL, 4002, 4002, 4001),
    "end of TCP": Ending(
        lambda ours, peer: peer.close(), Cause.NETWORK, 1006, None, None
    ),
    "end of the peer's sending": Ending(
        lambda ours, peer: peer.end(), Cause.NETWORK, 1006, None, None
    ),
    "reset": Ending(lambda ours, peer: peer.reset(), Cause.NETWORK, 1006, None, None),
    "unknown opcode": Ending(
        sends((3, b"", True)), Cause.PEER_ERROR, 1006, None, 1002
    ),
    "reserved bit": Ending(
        sends((TEXT, b"", True), rsv=4), Cause.PEER_ERROR, 1006, None, 1002
    ),
    "invalid text": Ending(
        sends((TEXT, b"\xff", True)), Cause.PEER_ERROR, 1006, None, 1007
    ),
    "close frame of one byte": Ending(
        sends((CLOSE, b"\x03", True)), Cause.PEER_ERROR, 1006, None, 1002
    ),
    "close code that may not be sent": Ending(
        sends((CLOSE, b"\x03\xed", True)), Cause.PEER_ERROR, 1006, None, 1002
    ),
    "message over max_size": Ending(
        sends((BINARY, b"x" * 101, True)), Cause.LIMIT, 1006, None, 1009,
        options={"max_size": 100}, limit="message",
    ),
    "fragment over max_size": Ending(
        sends((BINARY, b"x" * 11, False)), Cause.LIMIT, 1006, None, 1009,
        options={"max_size": (100, 10)}, limit="fragment",
    ),
    "too many fragments": Ending(
        sends((BINARY, b"", False), *[(CONT, b"", False)] * 5),
        Cause.LIMIT, 1006, None, 1009,
        options={"limits": Limits(fragments=5)}, limit="fragments",
    ),
    "too many pings": Ending(
        floods_with_pings, Cause.LIMIT, 1006, None, 1008,
        options=FEW_PINGS, limit="pings_per_second",
    ),
    "keepalive": Ending(
        says_nothing, Cause.KEEPALIVE, 1006, None, 1011, options=SILENT
    ),
    "no answer to our close": Ending(
        never_answers, Cause.CLOSE_TIMEOUT, 1006, None, 1000,
        options={"close_timeout": 0.2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("reader", [True, False], ids=["waiting", "idle"])
def test_an_end_is_told_alike_everywhere(
    link: Links, caplog: pytest.LogCaptureFixture, name: str, reader: bool
) -> None:
    ending = ENDINGS[name]
    ours, peer = link(**ending.options)
    receiving = ours.start("recv", None, None) if reader else None
    link.front.settle()

    ending.act(ours, peer)
    report = ours.wait_report()

    assert_report(report, ending)
    assert ours.raw.close_report is report
    assert ours.raw.close_code == ending.code
    assert ours.raw.close_reason == report.reason
    kind = ConnectionClosedOK if ending.fine else ConnectionClosedError
    with pytest.raises(kind) as caught:
        receiving.result() if receiving else ours.recv()
    assert caught.value.report is report
    assert caught.value.rcvd == report.rcvd
    assert caught.value.sent == report.sent
    assert_logged_once(caplog, report, ours)


def assert_report(report: CloseReport, ending: Ending) -> None:
    assert report.cause is ending.cause
    assert report.code == ending.code
    assert (report.rcvd.code if report.rcvd else None) == ending.rcvd
    assert (report.sent.code if report.sent else None) == ending.sent
    assert report.limit == ending.limit
    assert (report.limit_value is not None) == (ending.limit is not None)
    assert report.duration >= 0
    if ending.cause not in (Cause.PEER, Cause.LOCAL):
        assert report.detail
    assert ending.cause.value in str(report)


def assert_logged_once(
    caplog: pytest.LogCaptureFixture, report: CloseReport, ours: Endpoint
) -> None:
    # In threads, lines of the log are written by another one, without the lock.
    ends_at = time.monotonic() + SECONDS
    while not any(hasattr(r, "close_report") for r in caplog.records):
        assert time.monotonic() < ends_at, "the end was not logged"
        time.sleep(0.005)
    (record,) = [r for r in caplog.records if hasattr(r, "close_report")]
    assert record.close_report is report
    assert record.levelno == logging.INFO
    assert str(report) in record.getMessage()
    assert record.websocket.id == ours.raw.id  # type: ignore[attr-defined]
    opened = [
        r for r in caplog.records if r.getMessage().startswith("connection open (")
    ]
    assert len(opened) == 1


def test_the_report_counts_bytes_and_messages_both_ways(link: Links) -> None:
    ours, peer = link()
    peer.send(TEXT, b"12345")
    peer.send(BINARY, b"123", fin=False)
    peer.send(CONT, b"45")
    ours.recv()
    ours.recv()
    ours.send("123")
    assert peer.read().payload == b"123"

    peer.send_close(1000)
    peer.read_close()
    peer.close()
    report = ours.wait_report()

    mask = 4 if link.side == "server" else 0
    assert report.bytes_received == 4 * (2 + mask) + 5 + 3 + 2 + 2
    assert report.bytes_sent == 2 * (2 + 4 - mask) + 3 + 2
    assert (report.messages_received, report.messages_sent) == (2, 1)


# --- faults behind good messages ------------------------------------------------

FAULTS = {
    "faulty frame": (b"\xff\xff", 1002),
    "close frame": (None, 1000),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_messages_before_a_fault_in_one_write_are_received_and_answered(
    link: Links, fault: str
) -> None:
    ours, peer = link()
    data, code = FAULTS[fault]
    data = data or peer.frame(CLOSE, b"\x03\xe8")

    peer.write(b"".join(peer.frame(TEXT, b"%d" % n) for n in range(10)) + data)

    for number in range(10):
        assert ours.recv() == str(number)
        ours.send(f"re: {number}")
    with pytest.raises((ConnectionClosedOK, ConnectionClosedError)):
        ours.recv()
    for number in range(10):
        assert peer.read() == (TEXT, b"re: %d" % number, True, 0)
    assert peer.read_close()[0] == code


LAST_MESSAGES = {
    "alone in the queue": ({"max_queue": 1}, 1),
    "one that empties the queue": ({"max_queue": (2, 0)}, 1),
    "more fragments than the queue takes": ({}, 40),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("last", LAST_MESSAGES)
def test_the_last_message_of_a_full_queue_is_answered_before_the_end(
    link: Links, last: str, fault: str
) -> None:
    options, fragments = LAST_MESSAGES[last]
    ours, peer = link(timeouts=Timeouts(fault_grace=SECONDS), **options)
    data, code = FAULTS[fault]
    data = data or peer.frame(CLOSE, b"\x03\xe8")
    frames = [
        peer.frame(CONT if n else TEXT, b"x", fin=n == fragments - 1)
        for n in range(fragments)
    ]

    # The fault is behind what has room in the queue: it is read as the last is taken.
    peer.write(peer.frame(TEXT, b"first") + b"".join(frames) + data)

    assert ours.recv() == "first"
    assert ours.recv() == "x" * fragments
    ours.send("re: last")
    with pytest.raises((ConnectionClosedOK, ConnectionClosedError)):
        ours.recv()
    assert peer.read() == (TEXT, b"re: last", True, 0)
    assert peer.read_close()[0] == code


@pytest.mark.parametrize("fault", FAULTS)
def test_nobody_reading_does_not_keep_a_fault_from_being_answered(
    link: Links, fault: str
) -> None:
    ours, peer = link()
    data, code = FAULTS[fault]

    peer.write(peer.frame(TEXT, b"unread") + (data or peer.frame(CLOSE, b"\x03\xe8")))

    assert peer.read_close()[0] == code
    assert ours.recv() == "unread"


def test_nothing_behind_a_close_frame_is_looked_at(link: Links) -> None:
    ours, peer = link()

    peer.write(peer.frame(CLOSE, b"\x03\xe8") + b"\xff" * 100)

    assert peer.read_close()[0] == 1000
    peer.close()
    assert ours.wait_report().cause is Cause.PEER


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["close", "recv", "send"])
def test_a_verb_that_itself_finds_the_end_does_not_wait_for_it(
    link: Links, verb: str, fault: str
) -> None:
    ours, peer = link(timeouts=Timeouts(fault_grace=SECONDS))
    data, code = FAULTS[fault]
    data = data or peer.frame(CLOSE, b"\x03\xe8")

    peer.write(peer.frame(TEXT, b"last") + data)
    peer.end()
    # Both are there when the message is taken, and take effect after it.
    until(lambda: ours.raw._session.got_eof)
    assert ours.recv() == "last"

    if verb == "close":
        ours.start("close").result(SECONDS)
    elif verb == "recv":
        with pytest.raises((ConnectionClosedOK, ConnectionClosedError)):
            ours.start("recv", None, None).result(SECONDS)
    else:
        ours.send("re: last")
        ours.start("close").result(SECONDS)
    ours.start("wait_closed").result(SECONDS)
    assert ours.raw.close_report.sent.code == code
