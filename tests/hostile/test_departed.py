"""Clients that hang up as fast as they connect: whoever waits is served before them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import sys
import threading
import warnings

import pytest

import longwire
import longwire.sync.server
from longwire.admission import Admission
from longwire.departed import Departed, has_hung_up
from longwire.options import Limits
from tests.hostile.conftest import count_files, until
from tests.support.frontends import AsyncioFrontEnd
from tests.support.rawpeer import knock, request

GONE = 40
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells who has hung up"
)


class Gate:
    """Keeps a server from accepting; ``paths`` are those it was asked for, in order."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = threading.Event()
        self.opened = threading.Event()
        self.paths: list[str] = []
        self._threads = name == "sync"
        if self._threads:
            # There, a callback has a thread of its own.
            monkeypatch.setattr(longwire.sync.server, "has_hung_up", self._hold)

    def _hold(self, sock: object) -> bool:
        self.held.set()
        assert self.opened.wait(20)
        return has_hung_up(sock)

    def process_request(self, ws: object, request: longwire.Request) -> object:
        if request.path != "/held":
            self.paths.append(request.path)
        elif not self._threads:
            self.held.set()
            assert self.opened.wait(20)  # the loop does nothing else meanwhile
        return ws.respond(404, "nothing here\n")


@contextlib.contextmanager
def held_up(front: AsyncioFrontEnd, monkeypatch, **options):
    """Serve, but accept nobody until ``gate.opened`` is set; yield port and gate."""
    gate = Gate(front.name, monkeypatch)
    with front.serve("echo", process_request=gate.process_request, **options) as (
        port,
        _,
    ):
        with knock(port) as first:
            first.write(request(path=b"/held"))
            assert gate.held.wait(20)
            yield port, gate
            gate.opened.set()
        until(lambda: front.tasks() == 0)


def hang_up(port: int, data: bytes):
    peer = knock(port)
    peer.write(data)
    peer.end()
    return peer


def read_all(peers):
    """Return what each was sent until the end of its stream; close them."""
    answers = []
    for peer in peers:
        with peer:
            answers.append(peer.read_all())
    return answers


def test_who_waits_is_served_before_who_has_hung_up(front, monkeypatch):
    with held_up(front, monkeypatch) as (port, gate):
        gone = [hang_up(port, request(path=b"/gone")) for _ in range(GONE)]
        with knock(port) as waiting:
            waiting.write(request(path=b"/waits"))
            gate.opened.set()
            assert waiting.read_head().startswith(b"HTTP/1.1 404 ")
        # They may only have ended their own direction, and are answered, too.
        for peer in gone:
            with peer:
                assert peer.read_head().startswith(b"HTTP/1.1 404 ")

    assert sorted(gate.paths) == ["/gone"] * GONE + ["/waits"]
    assert gate.paths.index("/waits") < GONE / 2


def test_no_more_than_so_many_are_kept(front, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "longwire")
    monkeypatch.setattr(Departed, "MOST", 5)
    with held_up(front, monkeypatch) as (port, gate):
        gone = [hang_up(port, request(path=b"/gone")) for _ in range(GONE)]
        gate.opened.set()
        heads = read_all(gone)

    answered = [head for head in heads if head]
    assert all(head.startswith(b"HTTP/1.1 404 ") for head in answered)
    assert 5 <= len(answered) < GONE
    assert len(gate.paths) == len(answered)
    told = [r.getMessage() for r in caplog.records if "without an answer" in r.msg]
    assert told[0] == (
        "server closes connections without an answer: the clients of 5 others hung up, "
        "too, before it came to them"
    )
    assert len(told) < 5


def test_a_server_that_closes_keeps_none_of_them(front, monkeypatch):
    monkeypatch.setattr(
        Departed, "begin_one", lambda self: None
    )  # their turn never comes
    with front.serve("echo"):
        pass  # from its first listener on, uvloop holds one file in reserve
    files = count_files()
    with held_up(front, monkeypatch) as (port, _):
        gone = [hang_up(port, request(path=b"/gone")) for _ in range(GONE)]

    assert read_all(gone) == [b""] * GONE
    until(lambda: count_files() <= files)


def test_they_count_against_the_limits(front, monkeypatch):
    limits = Limits(connections=10, connections_per_address=10)
    with held_up(front, monkeypatch, limits=limits) as (port, gate):
        gone = [hang_up(port, request(path=b"/gone")) for _ in range(GONE)]
        gate.opened.set()
        heads = read_all(gone)
    assert 0 < sum(head.startswith(b"HTTP/1.1 404 ") for head in heads) < GONE


def test_none_outlives_its_event_loop():
    gone = []

    async def main() -> None:
        server = await longwire.serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0)
        server._begin_with_departed = lambda: None  # it is nobody's turn yet
        port = server.sockets[0].getsockname()[1]
        # The loop does nothing else meanwhile.
        gone.extend(hang_up(port, request()) for _ in range(5))
        while len(server._departed) < 5:
            await asyncio.sleep(0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # nobody closed the server
        asyncio.run(main())
        gc.collect()
    for peer in gone:
        with peer:
            assert peer.read_all() == b""


def test_who_is_accepted_while_another_thread_ends_the_server_is_closed(monkeypatch):
    def wait_for_the_end(sock: object) -> bool:
        server._stop_listening()
        return has_hung_up(sock)

    monkeypatch.setattr(longwire.sync.server, "has_hung_up", wait_for_the_end)
    with longwire.sync.serve(lambda ws: None, "127.0.0.1", 0) as server:
        serving = threading.Thread(target=server.serve_forever)
        with hang_up(server.socket.getsockname()[1], request()) as peer:
            serving.start()
            assert peer.read_all() == b""
            serving.join()
        assert server._admission.addresses == 0


# --- the line itself -----------------------------------------------------------------


def line(admission, told):
    return Departed(admission, threading.RLock(), lambda *args: told.append(args))


def test_they_are_served_in_order_and_counted_until_then():
    admission, calls = Admission(Limits(connections=3)), []
    departed = line(admission, [])
    for n in range(3):
        assert departed.add("::1", calls.append, lambda n=n: calls.append(n))
    assert len(departed) == 3
    assert admission.reached("127.0.0.1") == "connections"

    departed.begin_one()
    assert calls == [0]
    assert admission.reached("127.0.0.1") is None
    departed.begin_one()
    departed.begin_one()
    departed.begin_one()
    assert calls == [0, 1, 2]
    assert admission.addresses == 0


def test_all_can_be_dropped():
    admission, calls = Admission(Limits()), []
    departed = line(admission, [])
    for n in range(3):
        departed.add("", lambda n=n: calls.append(n), lambda: calls.append("served"))
    departed.drop_all()
    assert calls == [0, 1, 2]
    assert len(departed) == 0


def test_none_is_kept_after_that():
    admission, calls, told = Admission(Limits(connections=1)), [], []
    departed = line(admission, told)
    departed.drop_all()
    assert not departed.add("::1", lambda: calls.append("closed"), lambda: 1 / 0)
    assert calls == ["closed"]
    assert told == []
    assert admission.reached("::1") is None


def test_being_full_is_told_once_for_each_time(monkeypatch):
    monkeypatch.setattr(Departed, "MOST", 1)
    told, dropped = [], []
    departed = line(Admission(Limits()), told)
    for _ in range(2):
        assert departed.add("", dropped.append, lambda: None)
        for _ in range(3):
            assert not departed.add("", lambda: dropped.append(1), lambda: None)
        departed.begin_one()
    assert len(dropped) == 6
    assert [args[1] for args in told] == [1, 1]


def test_what_begins_may_fail_and_the_rest_goes_on():
    admission, served = Admission(Limits()), []
    departed = line(admission, [])
    departed.add("::1", lambda: None, lambda: 1 / 0)
    departed.add("::1", lambda: None, lambda: served.append(1))
    with pytest.raises(ZeroDivisionError):
        departed.begin_one()
    departed.begin_one()
    assert served == [1]
    assert admission.addresses == 0


def test_whether_a_peer_has_hung_up_is_known():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for ending, expected in ((None, False), ("end", True), ("reset", True)):
            with knock(listening.getsockname()[1]) as peer:
                sock, _ = listening.accept()
                with sock:
                    if ending is not None:
                        getattr(peer, ending)()
                        until(lambda sock=sock: has_hung_up(sock))
                    assert has_hung_up(sock) is expected
    one, other = socket.socketpair()
    with one:
        other.close()
        assert not has_hung_up(one)  # a Unix socket, of which nothing is known
