"""A signal's handler that raises in the middle of a verb: nothing is lost or left.

Ctrl-C is one, an alarm that limits time another. Each sweep raises once at each line
that a verb runs, in the modules that wait; what they call is left alone.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import linecache
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.support.rawpeer import (
    CLOSE,
    CONT,
    PING,
    PONG,
    SECONDS,
    TEXT,
    RawPeer,
    listener,
)

import longwire
from longwire.sync import ClientConnection as Connection
from longwire.sync import connect

PACKAGE = Path(longwire.__file__).parent
SWEPT = {str(PACKAGE / name) for name in ("link.py", "verbs.py", "wire.py")}
SWEPT |= {str(path) for path in (PACKAGE / "sync").glob("*.py")}
ALL = {str(path) for path in PACKAGE.rglob("*.py")}

# What resets the state of a verb at its end: assignments, which no signal comes before;
# and what follows nothing but assignments.
AFTER_ALL = (
    "self.receiving = ",
    "session.stop_waiting()",
    "if self._reader is me",
    "(self.taken,) = one",
    "(self._taken,) = one",
    "return payload",
    "yield payload",
)

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signals are for the main thread",
)


class Interrupt(BaseException):
    pass


@contextlib.contextmanager
def linked(certificates=None, **options):
    """Yield a client of ours and the raw peer that serves it."""
    with listener() as sock:
        port = sock.getsockname()[1]
        scheme = "ws" if certificates is None else "wss"
        if certificates is not None:
            options["ssl"] = certificates.client
        made = []
        thread = threading.Thread(
            target=lambda: made.append(
                connect(f"{scheme}://localhost:{port}/", sock=knock(port), **options)
            )
        )
        thread.start()
        accepted = sock.accept()[0]
        if certificates is not None:
            accepted = certificates.server.wrap_socket(accepted, server_side=True)
        accepted.settimeout(SECONDS)
        with RawPeer(accepted, client=False) as peer:
            peer.answer()
            thread.join(SECONDS)
            yield made[0], peer
        made[0].close()


def knock(port):
    import socket

    return socket.create_connection(("127.0.0.1", port))


def interrupted_at(number, call, lock, swept=SWEPT):
    """Call ``call``, interrupted at the line of that number; return whether it was."""
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if frame.f_code.co_filename not in swept:
            return None
        if event != "line":
            return trace
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if line.startswith("with self._lock") and lock._is_owned():
            return trace  # C releases the lock, at one go
        if line.startswith(AFTER_ALL):
            return trace
        seen += 1
        if seen == number:
            sys.settrace(None)
            raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def assert_released(ws):
    assert ws._reader is None
    assert not ws._verbs.receiving
    assert not ws._live.senders
    taken = []

    def take():
        if ws._lock.acquire(timeout=SECONDS):
            ws._lock.release()
            taken.append(True)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(SECONDS)
    assert taken


@pytest.fixture(params=["plain", pytest.param("tls", marks=pytest.mark.long)])
def link(request, certificates):
    with linked(certificates if request.param == "tls" else None) as both:
        yield both


RECEIVING = {
    "recv": lambda ws: ws.recv,
    "recv with a timeout": lambda ws: functools.partial(ws.recv, timeout=SECONDS),
    "iteration": lambda ws: functools.partial(next, iter(ws)),
}


@pytest.mark.parametrize("name", RECEIVING)
def test_receiving_loses_no_message_wherever_it_is_interrupted(name, link):
    ws, peer = link
    got, sent = [], []
    for number in range(1, 10_000):
        for _ in range(2):
            sent.append(f"{len(sent)} {'x' * (number % 7 * 900)}")
            peer.send(TEXT, sent[-1].encode())
        receive = RECEIVING[name](ws)
        was = interrupted_at(number, lambda f=receive: got.append(f()), ws._lock)
        while len(got) < len(sent):
            got.append(ws.recv(timeout=SECONDS))
        assert got == sent
        assert_released(ws)
        if not was:
            break
    assert number > 20

    peer.send(PING, b"still there")
    assert peer.read() == (PONG, b"still there", True, 0)


def read_in(ws, pieces):
    """Have what the peer sent taken in, until that many pieces are there."""
    deadline = time.monotonic() + SECONDS
    while len(ws._live.inbox) < pieces and time.monotonic() < deadline:
        with ws._lock:
            ws._read_now()
        time.sleep(0.0005)
    assert len(ws._live.inbox) == pieces


STREAMED = {
    "one": [(TEXT, b"whole", True)],
    "three": [(TEXT, b"a", False), (CONT, b"b", False), (CONT, b"c", True)],
}


@pytest.mark.parametrize("there", [True, False], ids=["there", "awaited"])
@pytest.mark.parametrize("name", STREAMED)
def test_pieces_are_received_or_still_there_wherever_it_is_interrupted(
    name, there, link
):
    ws, peer = link
    frames = STREAMED[name]
    pieces = [payload.decode() for _, payload, _ in frames]
    counts = set()
    for number in range(1, 10_000):
        for opcode, payload, fin in frames:
            peer.send(opcode, payload, fin=fin)
        if there:
            read_in(ws, len(frames))
        got = []
        streamed = ws.recv_streaming()
        was = interrupted_at(number, functools.partial(got.extend, streamed), ws._lock)
        streamed.close()
        peer.send(TEXT, b"next")
        counts.add(len(got))

        assert got == pieces[: len(got)]
        if got and got != pieces:
            # Half a message cannot be told from a whole one: said, not guessed.
            with pytest.raises(longwire.ConcurrencyError):
                ws.recv(timeout=SECONDS)
            ws._verbs.receiving = False
            rest = ws.recv(timeout=SECONDS)
            assert rest == "next" or ws.recv(timeout=SECONDS) == "next"
        else:
            if not got:
                assert ws.recv(timeout=SECONDS) == "".join(pieces)
            assert ws.recv(timeout=SECONDS) == "next"
        assert_released(ws)
        if not was:
            break
    assert number > 20
    assert counts == set(range(len(frames) + 1))


def test_pieces_can_be_streamed_anew_after_an_interrupt_before_the_first(link):
    ws, peer = link
    for opcode, payload, fin in STREAMED["three"]:
        peer.send(opcode, payload, fin=fin)
    read_in(ws, 3)
    line = "message.given, verbs.receiving"
    with pytest.raises(Interrupt), interrupted_before(line):
        list(ws.recv_streaming())

    assert list(ws.recv_streaming()) == ["a", "b", "c"]


@contextlib.contextmanager
def interrupted_before(start):
    """Interrupt at the first line of the package that begins so."""

    def trace(frame, event, _):
        if frame.f_code.co_filename not in SWEPT:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and line.startswith(start):
            sys.settrace(None)
            raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(
    ("method", "last"), [("recv", "RETURN_VALUE"), ("recv_streaming", "YIELD_VALUE")]
)
def test_no_interrupt_comes_between_giving_a_message_and_its_caller(method, last):
    # CPython runs a signal's handler after calls, at jumps back and at resumptions.
    given = []
    between = None
    for step in dis.get_instructions(getattr(Connection, method)):
        if step.opname == "STORE_ATTR" and step.argval == "receiving":
            between = []
        elif between is not None:
            between.append(step.opname)
            if step.opname == last:
                given.append(between)
                between = None
            elif step.opname.startswith(("CALL", "PRECALL", "JUMP_BACK", "RESUME")):
                between = None
    assert given


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ["recv", "recv_streaming"])
def test_no_message_is_lost_in_silence_wherever_any_line_is_interrupted(how):
    # In the pure build a signal can come in the middle of parsing and of taking.
    number = 0
    was = True
    while was:
        with linked() as (ws, peer):
            got, sent = [], []
            broken = False
            while was and not broken:
                number += 1
                for _ in range(3):
                    sent.append(f"{len(sent)}")
                    peer.send(TEXT, sent[-1].encode())
                receive = {
                    "recv": lambda ws=ws: [ws.recv()],
                    "recv_streaming": ws.recv_streaming,
                }[how]
                was = interrupted_at(
                    number,
                    lambda got=got, receive=receive: got.extend(receive()),
                    ws._lock,
                    ALL,
                )
                try:
                    while len(got) < len(sent):
                        got.append(ws.recv(timeout=SECONDS))
                except longwire.ConnectionClosedError:
                    assert ws.close_report.sent.code == 1011
                    broken = True
                assert got == sent[: len(got)]
    assert number > 20


def test_sending_tears_no_frame_wherever_it_is_interrupted(link):
    ws, peer = link
    sent, got = [], []
    for number in range(1, 10_000):
        sent.append(f"{number} {'x' * (number % 7 * 900)}".encode())
        was = interrupted_at(number, lambda: ws.send(sent[-1].decode()), ws._lock)
        ws.send("behind it")
        while (frame := peer.read()) != (TEXT, b"behind it", True, 0):
            got.append(frame[1])
        assert_released(ws)
        # Who is interrupted does not know whether it was sent; nothing else is unsure.
        if got[-1:] != sent[-1:]:
            assert was
            sent.pop()
        assert got == sent
        if not was:
            break
    assert number > 10


def test_pings_are_whole_and_answered_wherever_they_are_interrupted(link):
    ws, peer = link
    for number in range(1, 10_000):
        payload = b"%d" % number
        was = interrupted_at(number, functools.partial(ws.ping, payload), ws._lock)
        ws.send("behind it")
        frame = peer.read()
        if frame[0] == PING:
            assert frame == (PING, payload, True, 0)
            frame = peer.read()
        else:
            assert was
        assert frame == (TEXT, b"behind it", True, 0)
        assert_released(ws)
        if not was:
            break
    assert number > 10


@pytest.mark.timeout(120)
def test_closing_ends_the_connection_wherever_it_is_interrupted():
    for number in range(1, 10_000):
        with linked(close_timeout=SECONDS) as (ws, peer):
            thread = threading.Thread(target=answer_close, args=(peer,))
            thread.start()
            was = interrupted_at(number, ws.close, ws._lock)
            ws.close()
            thread.join(SECONDS)
            assert ws.close_report.code == 1000
            assert_released(ws)
        if not was:
            break
    assert number > 10


def answer_close(peer):
    assert peer.read()[0] == CLOSE
    peer.send_close(1000)
    peer.close()


# --- real signals ------------------------------------------------------------------


@contextlib.contextmanager
def alarm(seconds, error):
    def handler(*_):
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("error", [TimeoutError, KeyboardInterrupt, ValueError])
def test_an_alarm_ends_a_wait_and_not_the_connection(error, link):
    ws, peer = link
    for _ in range(3):
        with pytest.raises(error), alarm(0.05, error):
            ws.recv()
        peer.send(TEXT, b"afterwards")
        assert ws.recv() == "afterwards"
        ws.send("and back")
        assert peer.read() == (TEXT, b"and back", True, 0)


VERBS = {
    "recv": lambda ws: ws.recv(),
    "recv with a timeout": lambda ws: ws.recv(timeout=SECONDS),
    "send": lambda ws: ws.send("x"),
    "ping": lambda ws: ws.ping(),
    "close": lambda ws: ws.close(),
}


@pytest.mark.parametrize("name", VERBS)
def test_an_interrupt_while_the_lock_is_held_leaves_it_to_others(name, link):
    ws, peer = link
    held, done = threading.Event(), threading.Event()

    def hold():
        with ws._lock:
            held.set()
            done.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(SECONDS)
    ended = threading.Timer(0.3, done.set)
    ended.start()
    with pytest.raises(KeyboardInterrupt), alarm(0.1, KeyboardInterrupt):
        VERBS[name](ws)
    thread.join(SECONDS)

    assert_released(ws)
    peer.send(TEXT, b"afterwards")
    assert ws.recv(timeout=SECONDS) == "afterwards"


def test_an_interrupt_while_the_lock_is_to_be_taken_back_loses_nothing(link):
    # What was read waits for the lock, which another thread holds.
    ws, peer = link
    go, held, done = threading.Event(), threading.Event(), threading.Event()

    def hold():
        go.wait(SECONDS)
        while ws._reader is None:
            time.sleep(0.001)
        with ws._lock:
            peer.send(TEXT, b"read")
            while ws._reader is not None:
                time.sleep(0.001)
            held.set()
            done.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()

    def shoot():
        held.wait(SECONDS)
        time.sleep(0.1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        time.sleep(0.2)
        done.set()

    shooting = threading.Thread(target=shoot)
    shooting.start()

    def handler(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        go.set()
        with pytest.raises(KeyboardInterrupt):
            ws.recv()
    finally:
        signal.signal(signal.SIGUSR1, before)
    thread.join(SECONDS)
    shooting.join(SECONDS)

    assert_released(ws)
    assert ws.recv(timeout=SECONDS) == "read"
