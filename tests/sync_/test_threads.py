"""Connections that several threads use, the helper, interrupts, forks and exits."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from tests.support.rawpeer import (
    PING,
    PONG,
    SECONDS,
    TEXT,
    RawPeer,
    knock,
    listener,
)

from longwire import ConcurrencyError, ConnectionClosed, ConnectionClosedOK
from longwire.sync import connect
from longwire.sync.helper import GRACE, Helper

# A peer that answers no ping is noticed, and that it does not close either.
DEAD = {"ping_interval": 0.1, "ping_timeout": 0.2, "close_timeout": 0.2}


@contextlib.contextmanager
def linked(**options):
    """Yield a client of ours and the raw peer that serves it."""
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
        made[0].close()


def run(program, *arguments, **options):
    """Run a Python program of its own; return it when it has ended."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


# --- the helper -------------------------------------------------------------------


def test_pings_are_answered_while_nobody_reads():
    with linked() as (_, peer):
        for number in range(5):
            peer.send(PING, b"%d" % number)
            assert peer.read() == (PONG, b"%d" % number, True, 0)
            time.sleep(2 * GRACE)


def test_messages_wait_for_whoever_reads_later():
    with linked() as (ours, peer):
        peer.send(TEXT, b"one")
        time.sleep(3 * GRACE)  # the helper has taken it
        peer.send(TEXT, b"two")
        assert ours.recv(timeout=0) == "one"
        assert ours.recv() == "two"


def test_all_connections_share_one_helper():
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(linked())
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("longwire helper") == 1


def test_a_connection_in_steady_use_is_left_to_its_reader(monkeypatch):
    monkeypatch.setattr("longwire.sync.helper.GRACE", 600)
    monkeypatch.setattr(Helper, "_one", None)
    with linked() as (ours, peer):
        helper = Helper.get()
        for _ in range(50):
            peer.send(TEXT, b"x")
            assert ours.recv() == "x"
        assert (ours.events, ours.reads) == (0, 50)
        peer.send_close(1000)
        peer.end()
        assert ours.wait_closed(SECONDS)
    helper.stop()


def test_keepalive_finds_a_dead_peer_while_nobody_reads():
    with linked(**DEAD) as (ours, _):
        assert ours.wait_closed(timeout=SECONDS)
        assert ours.close_report.cause.name == "KEEPALIVE"


def test_keepalive_finds_a_dead_peer_while_somebody_reads():
    with linked(**DEAD) as (ours, _):
        with pytest.raises(ConnectionClosed):
            ours.recv()


def test_a_failure_of_one_connection_is_not_the_others(caplog):
    with linked() as (first, _), linked() as (_, peer):

        def broken(*args):
            raise ValueError("broken")

        first.attend = broken
        Helper.get().attend(first)
        peer.send(PING, b"p")
        assert peer.read() == (PONG, b"p", True, 0)
        # Another thread says it, so that no handler of the log keeps the helper.
        ends_at = time.monotonic() + SECONDS
        while "serving a connection failed" not in caplog.text:
            assert time.monotonic() < ends_at
            time.sleep(0.01)
        del first.attend


# --- many threads -----------------------------------------------------------------


def test_many_threads_send_whole_messages():
    with linked(compression=None) as (ours, peer):

        def send(letter):
            for _ in range(100):
                ours.send(letter * 1000)

        threads = [threading.Thread(target=send, args=(c,)) for c in "abcdef"]
        for thread in threads:
            thread.start()
        got = [peer.read().payload for _ in range(600)]
        assert all(len(set(payload)) == 1 for payload in got)
        assert sorted(payload[:1].decode() for payload in got) == sorted("abcdef" * 100)
        for thread in threads:
            thread.join(SECONDS)


def test_one_thread_receives_at_a_time():
    with linked() as (ours, peer):
        got = []
        thread = threading.Thread(target=lambda: got.append(ours.recv()))
        thread.start()
        while not ours.is_read:
            time.sleep(0.01)
        with pytest.raises(ConcurrencyError, match="another thread"):
            ours.recv()
        peer.send(TEXT, b"for the first")
        thread.join(SECONDS)
        assert got == ["for the first"]


def test_closing_wakes_the_thread_that_receives():
    with linked() as (ours, peer):
        ended = []

        def receive():
            try:
                ours.recv()
            except ConnectionClosedOK as exc:
                ended.append(exc)

        reader = threading.Thread(target=receive)
        reader.start()
        closer = threading.Thread(target=ours.close)
        closer.start()
        assert peer.read_close() == (1000, "")
        peer.send_close(1000)
        peer.close()
        closer.join(SECONDS)
        reader.join(SECONDS)
        assert len(ended) == 1


def test_two_can_wait_for_the_end():
    with linked() as (ours, peer):
        threads = [threading.Thread(target=ours.wait_closed) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert ours.wait_closed(timeout=0.05) is False
        peer.send_close(1000)
        peer.read_close()
        peer.close()
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()


def test_a_pong_can_be_waited_for_by_any_thread():
    with linked() as (ours, peer):
        pong = ours.ping(b"p")
        assert pong.wait(0.01) is False
        assert peer.read() == (PING, b"p", True, 0)
        peer.send(PONG, b"p")
        assert pong.wait(SECONDS)
        assert 0 < pong.latency == ours.latency
        lost = ours.ping()
    with pytest.raises(ConnectionClosed):
        lost.wait(SECONDS)


# --- the process ------------------------------------------------------------------

SERVER = """
    import signal, sys, threading
    from longwire.sync import serve

    def handler(ws):
        for message in ws:
            ws.send(message)

    with serve(handler, "127.0.0.1", 0) as server:
        print(server.socket.getsockname()[1], flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    print("ended", flush=True)
"""


def test_an_interrupt_ends_a_server_and_its_connections():
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SERVER)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        port = int(process.stdout.readline())
        with connect(f"ws://127.0.0.1:{port}/", proxy=None) as ws:
            ws.send("hello")
            assert ws.recv() == "hello"
            process.send_signal(signal.SIGINT)
            with pytest.raises(ConnectionClosed):
                ws.recv()
            assert ws.close_code == 1001
        assert process.stdout.read().split() == ["interrupted", "ended"]
    assert process.returncode == 0


def test_an_interrupt_ends_a_receive():
    with listener() as sock:
        port = sock.getsockname()[1]
        program = f"""
            from longwire.sync import connect
            try:
                with connect("ws://127.0.0.1:{port}/", proxy=None) as ws:
                    ws.send("ready")
                    ws.recv()
            except KeyboardInterrupt:
                print("interrupted", ws.close_code)
        """
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
            stdout=subprocess.PIPE,
            text=True,
        )
        with process, RawPeer(sock.accept()[0], client=False) as peer:
            peer.answer()
            peer.read()
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert peer.read_close() == (1001, "")
            peer.send_close(1001)
            peer.close()
            assert process.stdout.read() == "interrupted 1001\n"


def test_a_program_ends_with_connections_open(serving):
    _, uri = serving()
    done = run(
        """
        import sys, threading
        from longwire.sync import connect
        ws = connect(sys.argv[1], proxy=None)
        ws.send("hello"); ws.recv()
        threading.Thread(target=ws.recv, daemon=True).start()
        """,
        uri,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_process_leaves_its_parents_connections_alone(serving):
    _, uri = serving()
    done = run(
        """
        import os, sys
        from longwire import ConnectionClosed
        from longwire.sync import connect
        with connect(sys.argv[1], proxy=None) as ws:
            ws.send("before")
            assert ws.recv() == "before"
            child = os.fork()
            if child == 0:
                try:
                    ws.send("not the child's")
                except ConnectionClosed:
                    pass
                else:
                    os._exit(1)
                ws.close()
                with connect(sys.argv[1], proxy=None) as own:
                    own.send("anew")
                    os._exit(own.recv() != "anew" or own.ping().wait(10) is not True)
            _, status = os.waitpid(child, 0)
            assert status == 0, status
            ws.send("after")
            assert ws.recv() == "after"
            assert ws.ping().wait(10)
        assert ws.close_code == 1000
        """,
        uri,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_descriptor_is_not_closed_under_a_thread_that_reads():
    with linked() as (ours, peer):
        thread = threading.Thread(target=lambda: list(ours), daemon=True)
        thread.start()
        while not ours.is_read:
            time.sleep(0.01)
        peer.send_close(1000)
        peer.read_close()
        peer.close()
        thread.join(SECONDS)
        assert not thread.is_alive()
        assert ours.wait_closed(SECONDS)
        deadline = time.monotonic() + SECONDS
        while ours.socket.fileno() != -1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ours.socket.fileno() == -1


def test_a_half_closed_peer_gets_its_answers(serving):
    server, _ = serving()
    with knock(server.socket.getsockname()[1]) as peer:
        peer.ask()
        peer.send(TEXT, b"last words")
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.read() == (TEXT, b"last words", True, 0)
