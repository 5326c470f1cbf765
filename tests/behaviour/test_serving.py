"""What operators ask of a server: health checks, draining, limits, how it ends."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

from longwire import Cause, ConnectionClosed, InvalidStatus, Limits, Side
from tests.behaviour.conftest import front_ends
from tests.support import health
from tests.support.frontends import FRONT_ENDS, Endpoint, until
from tests.support.network import connect, operate
from tests.support.rawpeer import SECONDS, knock, request

# The toy's server cannot drain.
front = front_ends(FRONT_ENDS)


def ask(port: int, path: bytes = b"/") -> tuple[int, str]:
    """Return status and body of the answer to a request that opens nothing."""
    with knock(port) as peer:
        peer.write(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
        head, _, body = peer.read_all().partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()


def join(front: Any, port: int) -> Endpoint:
    """Return an open connection to ``port``."""
    uri = f"ws://localhost:{port}/"
    return connect(front, uri, proxy=None).result()  # type: ignore[no-any-return]


def refused(front: Any, port: int) -> int:
    """Return the status that a client is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        join(front, port)
    return int(caught.value.response.status_code)


@pytest.mark.parametrize(("check", "answer", "draining"), health.CHECKS)
def test_each_path_has_a_health_check_of_its_own(
    front: Any, check: Any, answer: Any, draining: Any
) -> None:
    checks = {"/healthz": None, "/readyz": check}
    with front.serve(health=checks) as (port, arrived), knock(port) as peer:
        peer.ask()
        server = arrived.get(timeout=SECONDS).raw.server
        assert ask(port, b"/healthz") == (200, "OK\n")
        assert ask(port, b"/readyz") == answer
        assert ask(port, b"/other")[0] == 426
        # The peer does not answer the close frame: the server drains until it does.
        drained = operate(front, server, "drain", interval=0.01)
        assert peer.read_close() == (1001, "")
        assert ask(port, b"/healthz") == (200, "OK\n")
        assert ask(port, b"/readyz") == draining
        peer.send_close(1001)
        peer.close()
        drained.result()


def test_a_health_check_is_not_in_the_log(
    front: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "longwire")
    with front.serve(health="/healthz") as (port, _):
        assert ask(port, b"/healthz") == (200, "OK\n")
    assert not [r for r in caplog.records if r.levelno > logging.INFO]
    assert "reject" not in caplog.text


def test_draining_refuses_who_comes_and_closes_who_is_there(front: Any) -> None:
    with front.serve() as (port, arrived), knock(port) as peer:
        peer.ask()
        endpoint = arrived.get(timeout=SECONDS)
        others = [join(front, port) for _ in range(3)]
        drained = operate(
            front, endpoint.raw.server, "drain", interval=0.01, code=1012, reason="soon"
        )
        assert peer.read_close() == (1012, "soon")
        assert refused(front, port) == 503
        for ws in others:
            report = ws.wait_report()
            assert (report.cause, report.code) == (Cause.PEER, 1012)
            assert report.reason == "soon"
        assert not drained.done()
        peer.send_close(1012)
        peer.close()
        drained.result()
        assert endpoint.wait_report().cause is Cause.LOCAL
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port))


def test_who_opens_while_the_server_drains_is_told_what_the_others_are(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with front.serve() as (port, arrived), knock(port) as peer:
        peer.ask()
        server = arrived.get(timeout=SECONDS).raw.server
        has_opened, drains = server._has_opened, []

        def answer_in_time(ws: Any) -> None:
            # As if drain() were called between the answer and now.
            server._parting, server._draining = (1012, "soon"), True
            drains.append(has_opened(ws))

        monkeypatch.setattr(server, "_has_opened", answer_in_time)
        ws = join(front, port)
        report = ws.wait_report()
        assert (report.code, report.reason) == (1012, "soon")
        assert drains
        monkeypatch.undo()
        peer.send_close(1000)


def test_draining_can_stop_listening_at_once(front: Any) -> None:
    with front.serve() as (port, arrived), knock(port) as peer:
        peer.ask()
        server = arrived.get(timeout=SECONDS).raw.server
        drained = operate(front, server, "drain", interval=0.01, keep_listening=False)
        assert peer.read_close() == (1001, "")
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port))
        peer.send_close(1001)
        peer.close()
        drained.result()


def test_who_does_not_leave_is_cut_off_and_named_in_the_log(
    front: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with front.serve(close_timeout=60) as (port, arrived), knock(port) as peer:
        peer.ask()
        endpoint = arrived.get(timeout=SECONDS)
        server = endpoint.raw.server
        operate(front, server, "drain", interval=0.01, timeout=0.3).result()
        assert peer.is_closed()
        assert endpoint.wait_report().code == 1006
    assert "cut off 1 connection" in caplog.text


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_drain_that_makes_no_sense_is_refused(front: Any, seconds: float) -> None:
    with front.serve() as (port, arrived):
        ws = join(front, port)
        server = arrived.get(timeout=SECONDS).raw.server
        with pytest.raises(ValueError):
            operate(front, server, "drain", interval=seconds).result()
        ws.close()


def test_closing_a_server_says_with_which_code(front: Any) -> None:
    with front.serve() as (port, arrived):
        ws = join(front, port)
        endpoint = arrived.get(timeout=SECONDS)
        closing = operate(
            front, endpoint.raw.server, "close", code=1012, reason="again"
        )
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=SECONDS)
        closing.result()
        ours, theirs = endpoint.wait_report(), ws.wait_report()
    for report, cause in ((ours, Cause.LOCAL), (theirs, Cause.PEER)):
        assert (report.cause, report.closed_by) == (cause, Side.SERVER)
        assert (report.code, report.reason) == (1012, "again")


def test_a_server_takes_so_many_connections_and_no_more(front: Any) -> None:
    with front.serve(limits=Limits(connections=2)) as (port, arrived):
        first, second = join(front, port), join(front, port)
        server = arrived.get(timeout=SECONDS).raw.server
        assert refused(front, port) == 503
        first.close()
        assert until(lambda: len(server._runs) < 2)
        join(front, port).close()
        second.close()


def test_who_asks_for_nothing_is_cut_off_in_time(front: Any) -> None:
    with front.serve(open_timeout=0.2) as (port, _):
        with knock(port) as silent:
            assert silent.is_closed()
        with knock(port) as half:
            half.write(request()[:30])
            assert half.read_head().startswith(b"HTTP/1.1 408 ")


def test_a_head_larger_than_the_limit_is_refused(front: Any) -> None:
    with front.serve() as (port, _), knock(port) as peer:
        peer.write(request(b"X: " + b"x" * 20_000))
        assert peer.read_head().startswith(b"HTTP/1.1 431 ")
