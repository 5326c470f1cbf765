"""Handlers of a server: how the connection ends when they return or raise."""

from __future__ import annotations

import pytest

from longwire import Cause, ConnectionClosed
from tests.support.frontends import AsyncioFrontEnd, Endpoint
from tests.support.rawpeer import CLOSE, TEXT, knock, request


class Broken(Exception):
    pass


def test_a_handler_that_returns_closes_with_1000(front: AsyncioFrontEnd) -> None:
    with front.serve(lambda ws: None) as (port, arrived), knock(port).ask() as peer:
        assert peer.read_close() == (1000, "")
        peer.send_close(1000)
        assert peer.is_closed()
        peer.close()

        assert arrived.get().wait_report().cause is Cause.LOCAL


def test_a_handler_that_raises_closes_with_1011_and_is_logged(
    front: AsyncioFrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(ws: Endpoint) -> None:
        raise Broken("on purpose")

    with front.serve(handler) as (port, arrived), knock(port).ask() as peer:
        assert peer.read_close() == (1011, "")
        peer.send_close(1011)
        peer.close()
        report = arrived.get().wait_report()

    assert report.cause is Cause.HANDLER
    assert isinstance(report.error, Broken)
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.levelname == "ERROR"
    assert "on purpose" not in record.getMessage()


def test_a_failing_handler_harms_no_other_connection(front: AsyncioFrontEnd) -> None:
    def handler(ws: Endpoint) -> None:
        if ws.recv() == "break":
            raise Broken
        ws.send("fine")

    with front.serve(handler) as (port, _), knock(port).ask() as good:
        for _ in range(5):
            with knock(port).ask() as bad:
                bad.send(TEXT, b"break")
                assert bad.read_close()[0] == 1011

        good.send(TEXT, b"go on")

        assert good.read() == (TEXT, b"fine", True, 0)


def test_a_handler_learns_that_its_peer_left_and_that_is_no_error(
    front: AsyncioFrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[ConnectionClosed] = []

    def handler(ws: Endpoint) -> None:
        try:
            ws.recv()
        except ConnectionClosed as exc:
            seen.append(exc)
            raise

    with front.serve(handler) as (port, arrived):
        with knock(port).ask() as peer:
            peer.reset()
        ours = arrived.get()
        ours.wait_closed()

    assert seen[0].report is ours.raw.close_report
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_who_was_answered_101_is_handled_however_soon_it_resets(
    front: AsyncioFrontEnd,
) -> None:
    with front.serve(lambda ws: ws.recv()) as (port, arrived):
        for _ in range(50):
            with knock(port).ask() as peer:
                peer.reset()
        for _ in range(50):
            arrived.get(timeout=30)


def test_messages_before_a_close_in_the_same_write_are_answered(
    front: AsyncioFrontEnd,
) -> None:
    def echo(ws: Endpoint) -> None:
        try:
            while True:
                ws.send(ws.recv())
        except ConnectionClosed:
            pass  # the end

    with front.serve(echo) as (port, _), knock(port).ask() as peer:
        frames = b"".join(peer.frame(TEXT, b"%d" % n) for n in range(5))
        peer.write(frames + peer.frame(CLOSE, b"\x03\xe8"))

        answers = [peer.read() for _ in range(6)]

    assert [a.payload for a in answers] == [b"0", b"1", b"2", b"3", b"4", b"\x03\xe8"]


def test_a_message_in_the_same_packet_as_the_handshake_is_received(
    front: AsyncioFrontEnd,
) -> None:
    def handler(ws: Endpoint) -> None:
        ws.send(ws.recv() + "!")

    with front.serve(handler) as (port, _), knock(port) as peer:
        peer.write(request() + peer.frame(TEXT, b"early"))
        peer.read_head()

        assert peer.read() == (TEXT, b"early!", True, 0)
