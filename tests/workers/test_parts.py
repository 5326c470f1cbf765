"""The parts of the supervisor that need no processes."""

from __future__ import annotations

import os
import socket

import pytest

from longwire.workers import channel
from longwire.workers.admin import merged
from longwire.workers.channel import pair
from longwire.workers.notify import Notifier
from longwire.workers.restarts import Restarts
from longwire.workers.sockets import bind_slot, bind_unix

pytestmark = pytest.mark.once


# --- restarts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deaths", "delays"),
    [
        ([0], [0.1]),
        ([0, 1, 2, 3], [0.1, 0.2, 0.4, 0.8]),
        ([0, 1, 2, 3, 4], [0.1, 0.2, 0.4, 0.8, None]),
        # Spread over more than a minute, each but the last few is forgotten.
        ([0, 61, 122], [0.1, 0.1, 0.1]),
        ([0, 20, 40, 61, 81, 101], [0.1, 0.2, 0.4, 0.4, 0.4, 0.4]),
    ],
)
def test_a_worker_comes_back_later_each_time_and_the_fifth_time_not(deaths, delays):
    restarts = Restarts()

    assert [restarts.died(float(at)) for at in deaths] == [
        None if delay is None else pytest.approx(delay) for delay in delays
    ]


def test_new_code_begins_without_a_past():
    restarts = Restarts()
    for at in range(5):
        restarts.died(float(at))

    restarts.forget()

    assert restarts.died(6.0) == 0.1


# --- the service manager ---------------------------------------------------------


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def test_the_manager_is_told_in_the_words_of_sd_notify(manager):
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, os.getpid())

    notifier.ready("2 of 2 workers are ready")
    notifier.reloading()
    notifier.stopping("draining")
    notifier.alive()
    notifier.extend(1.5)

    told = [manager.recv(4096).decode() for _ in range(5)]
    assert told[0] == "READY=1\nSTATUS=2 of 2 workers are ready"
    assert told[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert told[2:] == [
        "STOPPING=1\nSTATUS=draining",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=1500000",
    ]


def test_an_abstract_address_is_understood():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"longwire-test-{os.getpid()}"
        sock.bind(f"\0{name}")
        sock.settimeout(5)

        Notifier({"NOTIFY_SOCKET": f"@{name}"}, 1).alive()

        assert sock.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "x" * 200, "a\0b"])
def test_a_manager_that_is_not_there_is_no_error(address, caplog):
    notifier = Notifier({"NOTIFY_SOCKET": address}, 1)

    notifier.ready("")
    notifier.alive()

    assert len(caplog.records) == bool(address)


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "42"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "41"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_signs_of_life_come_twice_as_often_as_the_manager_asks(environment, interval):
    assert Notifier(environment, 42).interval == interval


# --- sockets ---------------------------------------------------------------------


def test_each_slot_has_a_socket_of_its_own_at_the_same_port():
    first = bind_slot(["127.0.0.1"], 0)[0]
    with first:
        port = first.getsockname()[1]
        with bind_slot(["127.0.0.1"], port)[0] as second:
            assert second.getsockname() == first.getsockname()
            # Both have a queue: the system deals connections out to them.
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
            counts = [_accepted(sock) for sock in (first, second)]
            for client in clients:
                client.close()

    assert sum(counts) == 64
    assert min(counts) > 0


def _accepted(sock):
    count = 0
    while True:
        try:
            peer, _ = sock.accept()
        except BlockingIOError:
            return count
        peer.close()
        count += 1


def test_no_socket_is_left_open_where_one_of_them_cannot_be_bound():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(OSError, match=r"(?i)already in use"):
            bind_slot(["127.0.0.2", "127.0.0.1"], port)

        with socket.create_server(("127.0.0.2", port)):
            pass


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("text")

    with pytest.raises(FileExistsError, match="exists and is no socket"):
        bind_unix(str(path))

    assert path.read_text() == "text"


# --- the channel -----------------------------------------------------------------


def test_messages_come_whole_however_they_are_cut():
    ours, theirs = pair()
    with theirs:
        theirs.sendall(b'{"a": 1}\n{"b"')
        assert ours.receive() == [{"a": 1}]
        theirs.sendall(b": 2}\n")
        assert ours.receive() == [{"b": 2}]
        assert ours.is_open
    assert ours.receive() == []
    assert not ours.is_open
    ours.send(do="drain")  # to nobody: no error
    ours.close()


@pytest.mark.parametrize(
    "bad", [b"{", b"", b"[1]", b"\xff", b"[" * 100_000, b'{"a": "' + b"x" * 300 + b'"}']
)
def test_what_is_no_message_is_left_out_and_ends_nothing(bad, monkeypatch, caplog):
    if len(bad) < 1000:
        monkeypatch.setattr(channel, "MAX_LINE", 300)
    ours, theirs = pair()
    with theirs:
        theirs.sendall(b'{"a": 1}\n' + bad + b'\n{"b"')
        assert ours.receive() == [{"a": 1}]
        theirs.sendall(b": 2}\n")
        assert ours.receive() == [{"b": 2}]
        assert ours.is_open
    ours.close()
    assert f"a worker said {len(bad)} bytes that are no message" in caplog.text


def test_a_worker_that_never_stops_does_not_hold_up_the_supervisor(monkeypatch):
    monkeypatch.setattr(channel, "MAX_LINE", 100)
    ours, theirs = pair()
    with theirs:
        theirs.setblocking(False)
        theirs.send(b"x" * 99 + b"\n" + b"y" * 80_000)
        assert ours.receive() == []
        assert len(ours._input) <= 100
        theirs.send(b"\n{}\n")
        assert ours.receive() + ours.receive() == [{}]
    ours.close()


def test_a_worker_that_reads_nothing_does_not_block_the_supervisor():
    ours, theirs = pair()
    with theirs:
        for _ in range(5000):
            ours.send(do="metrics", id="x" * 100)
        theirs.setblocking(False)
        received = b""
        while True:
            try:
                received += theirs.recv(1 << 20)
            except BlockingIOError:
                ours.flush()
                try:
                    received += theirs.recv(1 << 20)
                except BlockingIOError:
                    break

    assert received.count(b"\n") == 5000
    ours.close()


# --- metrics of all workers ------------------------------------------------------


def test_metrics_of_workers_are_told_apart_by_a_label():
    text = (
        "# HELP calls_total Calls.\n# TYPE calls_total counter\n"
        'calls_total{method="a b{\\"}"} 3\n'
        "# HELP up Up.\n# a comment\n# TYPE up gauge\nup 1.0\n#\n# EOF\n"
    )

    assert merged({1: text, 0: text}) == (
        "# HELP calls_total Calls.\n# TYPE calls_total counter\n"
        'calls_total{worker="0",method="a b{\\"}"} 3\n'
        'calls_total{worker="1",method="a b{\\"}"} 3\n'
        '# HELP up Up.\n# TYPE up gauge\nup{worker="0"} 1.0\nup{worker="1"} 1.0\n'
    )
