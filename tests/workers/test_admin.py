"""The HTTP of the supervisor: what clients get that are slow, odd or too many."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from types import SimpleNamespace

import pytest

from longwire.workers import admin as admin_module
from longwire.workers.admin import Admin

pytestmark = pytest.mark.once

REQUEST = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


class FakeProcess:
    """A worker that answers when the test says so."""

    slot = 0
    pid = 1
    lacks_metrics = False

    def __init__(self):
        self.asked = []

    def __str__(self):
        return "worker 0 [1]"

    def ask_for_metrics(self, number):
        self.asked.append(number)


class Place:
    """An Admin with a supervisor of one worker, turned by the test."""

    def __init__(self):
        self.process = FakeProcess()
        self.selector = selectors.DefaultSelector()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]
        self.admin = Admin(self.sock)
        self.now = 0.0
        supervisor = SimpleNamespace(
            workers=lambda: [(0, self.process)],
            restarts=lambda: {0: 0},
            why_not_ready=lambda: None,
        )
        self.admin.begin(self.selector, supervisor)

    def turn(self, until, seconds=10.0):
        """Do what the supervisor's loop does until ``until()`` is true."""
        end = time.monotonic() + seconds
        while not (found := until()):
            assert time.monotonic() < end, "nothing came"
            for key, _ in self.selector.select(0.01):
                key.data(self.now)
            self.admin.tick(self.now)
        return found

    def client(self):
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setblocking(False)
        return sock

    def answer(self, sock):
        """All that the client gets, to the end of the stream."""
        found = bytearray()

        def ended():
            with contextlib.suppress(BlockingIOError):
                while data := sock.recv(65536):
                    found.extend(data)
                return True
            return False

        self.turn(ended)
        return bytes(found)


@pytest.fixture
def place():
    made = Place()
    yield made
    made.admin.close()
    made.selector.close()


@pytest.mark.parametrize("path", [b"/healthz", b"/metrics"])
def test_a_client_that_ends_its_side_after_the_request_is_answered(place, path):
    with place.client() as sock:
        sock.sendall(REQUEST % path)
        sock.shutdown(socket.SHUT_WR)
        if path == b"/metrics":
            (number,) = place.turn(lambda: place.process.asked)
            place.admin.got_metrics(place.process, {"metrics": "a 1\n", "id": number})
        answer = place.answer(sock)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert path == b"/healthz" or b'\na{worker="0"} 1\n' in answer


def test_a_worker_without_metrics_is_said_to_have_none(place, caplog):
    for _ in range(2):
        with place.client() as sock:
            place.process.asked.clear()
            sock.sendall(REQUEST % b"/metrics")
            (number,) = place.turn(lambda: place.process.asked)
            message = {"metrics": None, "id": number, "why": "they take 9 bytes"}
            place.admin.got_metrics(place.process, message)
            answer = place.answer(sock)

        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'longwire_worker_up{worker="0"} 1\n' in answer
        assert b'longwire_worker_metrics_missing{worker="0"} 1\n' in answer
    # Once, and not at each scrape.
    (record,) = caplog.records
    assert record.getMessage() == "no metrics of worker 0 [1]: they take 9 bytes"


def test_a_worker_that_does_not_answer_in_time_is_left_out(place):
    with place.client() as sock:
        sock.sendall(REQUEST % b"/metrics")
        place.turn(lambda: place.process.asked)
        place.now = 1.5
        answer = place.answer(sock)

    assert b'longwire_worker_metrics_missing{worker="0"} 1\n' in answer


def test_what_follows_a_request_does_not_take_its_answer_away(place):
    with place.client() as sock:
        sock.sendall(REQUEST % b"/healthz" + b"x" * 3000)
        answer = place.answer(sock)

    assert answer.endswith(b"\r\n\r\nOK\n")


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (
            b"GET / HTTP/1.1\r\nX: " + b"x" * 9000,
            b"431 Request Header Fields Too Large",
        ),
        (b"hello\r\n\r\n", b"400 Bad Request"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
        (b"GET /else HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", b"200 OK"),
    ],
)
def test_what_is_no_request_is_told_so(place, sent, line):
    with place.client() as sock:
        sock.sendall(sent)
        answer = place.answer(sock)

    assert answer.startswith(b"HTTP/1.1 " + line + b"\r\n")
    assert answer.endswith(b"\r\n\r\n") == sent.startswith(b"HEAD")


def test_one_client_too_many_is_told_so(place, monkeypatch):
    monkeypatch.setattr(admin_module, "_MAX_CLIENTS", 1)
    with place.client() as first, place.client() as second:
        answer = place.answer(second)
        first.sendall(REQUEST % b"/healthz")
        assert place.answer(first).startswith(b"HTTP/1.1 200 OK")

    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable")


def test_a_client_that_sends_nothing_is_dropped_after_a_while(place):
    with place.client() as sock:
        place.turn(lambda: place.admin.deadline(0.0) == 5.0)
        place.now = 5.0
        assert place.answer(sock) == b""


def test_accepting_pauses_where_the_system_has_no_descriptor_left(place, caplog):
    class Full:
        """A listening socket that cannot accept."""

        def __init__(self, sock):
            self.sock = sock
            self.asked = 0

        def fileno(self):
            return self.sock.fileno()

        def accept(self):
            self.asked += 1
            raise OSError(24, "Too many open files")

        def close(self):
            self.sock.close()

    full = Full(place.sock)
    place.selector.unregister(place.sock)
    place.admin._sock = full
    place.selector.register(full, selectors.EVENT_READ, place.admin._accept)
    with place.client():
        place.turn(lambda: full.asked)
        for _ in range(5):
            place.selector.select(0)
            place.admin.tick(place.now)
        assert full.asked == 1
        assert place.admin.deadline(0.0) == 1.0
        place.now = 1.0
        place.turn(lambda: full.asked == 2)

    assert "Too many open files" in caplog.text
