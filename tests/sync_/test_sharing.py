"""What threads share: no lock is held for long, and no thread waits for a busy one."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from tests.support.rawpeer import PING, PONG, SECONDS, TEXT, RawPeer, knock, listener

from longwire import ConcurrencyError, Limits
from longwire.sync import connect
from longwire.sync.places import Places, wait_at


@contextlib.contextmanager
def held(lock):
    """Hold ``lock`` in another thread, as one does that compresses."""
    taken, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            taken.set()
            done.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(SECONDS)
    try:
        yield
    finally:
        done.set()
        thread.join(SECONDS)


def until(condition):
    ends_at = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


@pytest.fixture
def opened(serving):
    """Call it for a server, its connections in the order of their peers, and these."""
    with contextlib.ExitStack() as stack:

        def open_all(count, **options):
            arrived = []

            def handler(ws):
                arrived.append(ws)
                ws.wait_closed()

            server, _ = serving(handler, **options)
            peers = []
            for number in range(count):
                peer = knock(server.socket.getsockname()[1])
                peers.append(stack.enter_context(peer).ask())
                until(lambda number=number: len(arrived) > number)
            return server, arrived, peers

        yield open_all


def test_a_busy_connection_keeps_no_other_from_its_helper(opened):
    _, (busy, _idle), (theirs, other) = opened(2)
    with held(busy._lock):
        theirs.send(PING, b"later")
        for number in range(3):
            time.sleep(0.1)  # the helper reads both now
            other.send(PING, b"%d" % number)
            assert other.read() == (PONG, b"%d" % number, True, 0)
    assert theirs.read() == (PONG, b"later", True, 0)


def test_deadlines_of_others_are_kept_while_one_is_busy(opened):
    options = {"ping_interval": 0.2, "ping_timeout": None}
    _, (busy, _idle), (theirs, other) = opened(2, **options)
    with held(busy._lock):
        for _ in range(3):
            kind, payload, *_ = other.read()
            assert kind == PING
            other.send(PONG, payload)
    assert theirs.read()[0] == PING


def test_a_server_accepts_and_looks_at_memory_while_one_is_busy(opened):
    limits = Limits(server_memory=1 << 16, queued_messages=None)
    server, (busy,), (theirs,) = opened(1, limits=limits)
    theirs.push(theirs.frame(TEXT, b"x" * 16384), 1 << 17)
    until(lambda: busy._memory > 1 << 16)
    with held(busy._lock):
        before = time.monotonic()
        server._look_at_memory()
        with knock(server.socket.getsockname()[1]).ask() as one:
            one.send(PING, b"x")
            assert one.read() == (PONG, b"x", True, 0)
        assert time.monotonic() - before < SECONDS / 2


class Sends(logging.Handler):
    """Sends what is logged over a connection, as a console in a browser has it."""

    def __init__(self, ws):
        super().__init__()
        self.ws = ws
        self.inside = threading.local()

    def emit(self, record):
        if not getattr(self.inside, "now", False):
            self.inside.now = True
            try:
                self.ws.send(record.getMessage())
            finally:
                self.inside.now = False


def test_a_log_that_is_sent_over_a_connection_stops_nothing(opened, caplog):
    caplog.set_level("DEBUG", "longwire")
    _, (ours, *_), (console, *others) = opened(5)
    handler = Sends(ours)
    log = logging.getLogger()
    log.addHandler(handler)
    lines = threading.Thread(
        target=lambda: [log.warning("line %d", number) for number in range(300)]
    )
    try:
        lines.start()
        for other in others:  # each end is told by the helper, or by its handler
            other.send(PING, b"x")
            other.close()
        got = []
        while "line 299" not in got:
            frame = console.read()
            got.append(frame[1].decode())
        lines.join(SECONDS)
        assert not lines.is_alive()
    finally:
        log.removeHandler(handler)


class Blocks(logging.Handler):
    """Does not return before it may."""

    def __init__(self):
        super().__init__()
        self.asked, self.may = threading.Event(), threading.Event()

    def emit(self, record):
        self.asked.set()
        self.may.wait(SECONDS)

    def createLock(self):
        self.lock = None


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_a_log_that_blocks_keeps_no_connection_from_its_helper(opened, level):
    _, (_, _idle), (ends, other) = opened(2)
    with connected() as (client, peer):
        log = logging.getLogger("longwire")
        handler, before = Blocks(), log.level
        log.setLevel(level)
        log.addHandler(handler)
        try:
            # Nobody uses the client: its end is the helper's to tell.
            peer.close()
            ends.close()
            assert handler.asked.wait(SECONDS)
            until(lambda: client.close_report is not None)
            other.send(PING, b"x")
            assert other.read() == (PONG, b"x", True, 0)
        finally:
            handler.may.set()
            log.removeHandler(handler)
            log.setLevel(before)


def test_a_log_that_blocks_keeps_no_client_out(opened):
    limits = Limits(connections=1)
    server, _, _ = opened(1, limits=limits)
    port = server.socket.getsockname()[1]
    log = logging.getLogger("longwire")
    handler = Blocks()
    log.addHandler(handler)
    try:
        for _ in range(2):  # the first is told of in the log
            with knock(port) as crowded:
                crowded.write(
                    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                assert crowded.sock.recv(12) == b"HTTP/1.1 503"
        assert handler.asked.wait(SECONDS)
    finally:
        handler.may.set()
        log.removeHandler(handler)


@contextlib.contextmanager
def connected(**options):
    with listener() as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}/"
        made = []
        thread = threading.Thread(
            target=lambda: made.append(connect(uri, proxy=None, **options))
        )
        thread.start()
        with RawPeer(sock.accept()[0], client=False) as peer:
            peer.answer()
            thread.join(SECONDS)
            yield made[0], peer


def test_of_two_that_ask_for_pieces_one_gets_them():
    with connected(close_timeout=0) as (ws, peer):
        first, second = ws.recv_streaming(), ws._verbs.stream(None)
        thread = threading.Thread(target=lambda: list(first))
        thread.start()
        until(lambda: ws._verbs.receiving)
        # The other has looked before, and asks now.
        with pytest.raises(ConcurrencyError):
            ws._drive(second.next_piece())
        peer.send(TEXT, b"one")
        thread.join(SECONDS)
        assert not thread.is_alive()
        peer.close()


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_closing_after_the_helper_has_ended_keeps_its_deadlines(serving):
    # What was registered before longwire was imported is called after it has ended.
    with listener() as sock:
        port = sock.getsockname()[1]
        threading.Thread(target=silent, args=(sock,), daemon=True).start()
        done = run(
            """
            import atexit, sys
            atexit.register(lambda: (ws.close(), print(ws.close_report.cause.name)))
            from longwire.sync import connect
            ws = connect(sys.argv[1], proxy=None, close_timeout=0.2)
            """,
            f"ws://127.0.0.1:{port}/",
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "CLOSE_TIMEOUT\n"


def silent(sock):
    with RawPeer(sock.accept()[0], client=False) as peer:
        peer.answer()
        time.sleep(SECONDS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_process_has_nothing_of_its_parents_threads(serving):
    _, uri = serving()
    done = run(
        """
        import os, sys, threading, time
        from longwire import ConnectionClosed
        from longwire.sync import connect, serve
        ws = connect(sys.argv[1], proxy=None)
        pong = ws.ping(b"never")
        other = connect(sys.argv[1], proxy=None)
        server = serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mine = connect("ws://127.0.0.1:%d" % server.socket.getsockname()[1], proxy=None)
        threading.Thread(target=ws.recv, daemon=True).start()
        threading.Thread(target=pong.wait, daemon=True).start()
        threading.Thread(target=other.wait_closed, daemon=True).start()
        # Nobody accepts for it here: the child will.
        spare = serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0)
        held = threading.Event()
        def hold():
            with other._lock, server._lock, spare._lock:
                held.set()
                time.sleep(60)
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        while ws._reader is None or not server._runs:
            time.sleep(0.01)
        child = os.fork()
        if child == 0:
            for verb in ws.recv, other.recv, lambda: ws.send("x"), lambda: list(ws):
                try:
                    verb()
                except ConnectionClosed:
                    continue
                os._exit(1)
            other.close()
            if server.connections or server._runs:
                os._exit(2)
            threading.Thread(target=spare.serve_forever, daemon=True).start()
            with connect("ws://127.0.0.1:%d" % spare.socket.getsockname()[1]) as own:
                own.ping().wait()
            spare.shutdown()
            server.shutdown()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status))
        """,
        uri,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_that_look_again_and_again_leave_nothing_behind():
    with connected(ping_interval=None) as (ws, peer):
        thread = threading.Thread(target=lambda: list(ws))
        thread.start()
        until(lambda: ws.is_read)
        pong = ws.ping(b"unanswered")
        for _ in range(20):
            assert not ws.wait_closed(0.001)
            assert not pong.wait(0.001)
        assert not ws._places
        assert not pong._places
        peer.send_close(1000)
        peer.close()
        thread.join(SECONDS)
        assert pong.is_set()


@pytest.mark.parametrize("timeout", [None, SECONDS])
def test_a_message_that_another_thread_has_read_is_received(timeout):
    with connected(ping_interval=None, close_timeout=0) as (ws, peer):
        waits = threading.Thread(target=ws.wait_closed, daemon=True)
        waits.start()
        until(lambda: ws.is_read)
        got = []

        def receive():
            with ws._lock:
                # It has read and cannot go on: it has to wait for the lock.
                peer.send(TEXT, b"x")
                until(lambda: not ws.is_read)
                got.append(ws.recv(timeout))

        receives = threading.Thread(target=receive, daemon=True)
        receives.start()
        receives.join(SECONDS / 2)
        in_time = list(got)
        peer.close()
        waits.join(SECONDS)
        assert not waits.is_alive()
        assert in_time == ["x"]


class Stops:
    """Keeps the helper from its work, as a system does that runs other threads."""

    recent, reads, events, entry = False, 0, 0, None

    def __init__(self):
        self.stopped, self.may = threading.Event(), threading.Event()

    def attend(self, helper):
        self.stopped.set()
        self.may.wait(2 * SECONDS)


def test_a_sender_goes_on_when_another_has_sent_the_rest():
    stops = Stops()
    with connected(ping_interval=None, close_timeout=0) as (ws, peer):
        ws._helper.attend(stops)
        try:
            assert stops.stopped.wait(SECONDS)
            size = 8 << 20
            sends = threading.Thread(target=ws.send, args=(b"x" * size,), daemon=True)
            sends.start()
            until(lambda: not ws._live.writable)
            reads = threading.Thread(target=peer.read_message, daemon=True)
            reads.start()

            def all_is_sent():
                ws.pong()
                return not ws.wire.unsent

            until(all_is_sent)
        finally:
            stops.may.set()
        sends.join(SECONDS)
        assert not sends.is_alive()
        reads.join(SECONDS)
        peer.close()


def test_one_that_leaves_while_all_are_woken_keeps_no_other_asleep():
    places = Places()

    class Leaves:
        def locked(self):
            return True

        def release(self):
            places.leave(self)  # as another thread does whose time is up

    places.append(Leaves())
    other = places.take()
    places.wake()
    assert wait_at(other, 0)
    assert not places
