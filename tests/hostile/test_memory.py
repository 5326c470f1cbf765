"""What each attacker makes a server at its defaults hold: docs/explain/limits.md.

The server is a process of its own; memory is that of the process, so that nothing is
forgotten. Bounds are those of the table, which hold on any machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.rawpeer import RawPeer, knock, request

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not Path("/proc/self/statm").exists(), reason="needs /proc to look at a process"
    ),
]

ROOT = Path(__file__).parents[2]
KIB, MIB = 1 << 10, 1 << 20
ATTACKERS = 6
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover"
# Pages that allocators keep, and what the first connections make once for all.
SLACK = 12 * MIB


class Server:
    """The server's process."""

    def __init__(self, engine: str) -> None:
        path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.memory_server"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "LONGWIRE_ENGINE": engine},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.answer()[0])

    def answer(self) -> list[int]:
        assert self.process.stdout is not None
        return [int(number) for number in self.process.stdout.readline().split()]

    def ask(self, line: str) -> tuple[int, int, int]:
        """Return memory, what the connections say of it, and their number."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        memory, told, connections = self.answer()
        return memory, told, connections

    def open(self, path: bytes) -> RawPeer:
        peer = knock(self.port)
        peer.sock.sendall(request(OFFER, path=path))
        assert b" 101 " in peer.read_head()
        return peer

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture(params=["native", "transport"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    yield server
    server.stop()


def frame(first: int, payload: bytes, size: int | None = None) -> bytes:
    """A frame of a client, masked with zeros; ``size`` is announced."""
    size = len(payload) if size is None else size
    head = bytes((first, 0x80 | (size if size < 126 else 126 if size < 65536 else 127)))
    if size > 125:
        head += size.to_bytes(2 if size < 65536 else 8, "big")
    return head + bytes(4) + payload


def deflated(payload: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\x00\x00\xff\xff")


# 1 MiB of UTF-8 that takes 4 MiB in memory.
EMOJI = b"a" * (MIB - 4) + "🙂".encode()


class Attack(NamedTuple):
    """What is sent as often as it is taken, and what one attacker makes us hold."""

    path: bytes
    wire: bytes
    most: int
    once: bool = False
    refused: bool = False  # and the connection closed


ATTACKS = {
    "texts with one emoji, deflated": Attack(
        b"/", frame(0xC1, deflated(EMOJI)), 9 * MIB
    ),
    "texts with one emoji": Attack(b"/", frame(0x81, EMOJI), 9 * MIB),
    "bombs": Attack(b"/", frame(0xC2, deflated(bytes(MIB))), 6 * MIB),
    "messages of the largest size": Attack(b"/", frame(0x82, bytes(MIB)), 6 * MIB),
    "empty messages": Attack(b"/", frame(0x82, b"") * 1000, MIB),
    "texts of one character": Attack(b"/", frame(0x81, b"a") * 1000, MIB),
    "half a text with one emoji, deflated": Attack(
        b"/wait", frame(0x41, deflated(EMOJI[:-9]) + b"\x00\x00\xff\xff"), 9 * MIB, True
    ),
    "half a text that is all emoji": Attack(
        b"/wait", frame(0x81, "🙂".encode() * (MIB // 4 - 9), MIB), 9 * MIB, True
    ),
    "half a message": Attack(b"/wait", frame(0x82, bytes(MIB - 9), MIB), 3 * MIB, True),
    "half a bomb": Attack(
        b"/wait",
        frame(0x42, deflated(bytes(MIB - 9)) + b"\x00\x00\xff\xff"),
        4 * MIB,
        True,
    ),
    "empty fragments that a reader waits for": Attack(
        b"/wait", frame(0x02, b"") + frame(0x00, b"") * 4000, 2 * MIB, True
    ),
    "fragments of one emoji that a reader waits for": Attack(
        b"/wait",
        frame(0x01, "🙂".encode()) + frame(0x00, "🙂".encode()) * 4000,
        2 * MIB,
        True,
    ),
    "a gibibyte announced": Attack(b"/", frame(0x82, b"", 1 << 30), MIB, True, True),
    "echoes that nobody reads": Attack(b"/echo", frame(0x82, bytes(1000)) * 60, MIB),
    "large echoes that nobody reads": Attack(
        b"/echo", frame(0x82, bytes(MIB)), 10 * MIB
    ),
    "bombs echoed to nobody": Attack(
        b"/echo", frame(0xC2, deflated(bytes(MIB))), 10 * MIB
    ),
    "pings whose pongs nobody reads": Attack(
        b"/", frame(0x89, b"x" * 125) * 90, MIB, True
    ),
    "a flood of pings": Attack(b"/", frame(0x89, b"x" * 125) * 900, MIB, True, True),
    "nothing": Attack(b"/", b"", 64 * KIB, True),
}


def push(peers: list[RawPeer], wire: bytes, once: bool) -> None:
    """Send to each as long as it takes something, but not for ever."""
    for peer in peers:
        peer.sock.setblocking(False)
    left = dict.fromkeys(peers, wire)
    quiet = end = time.monotonic()
    while time.monotonic() < min(quiet + 0.3, end + 4.0) and left:
        for peer in list(left):
            try:
                sent = peer.sock.send(left[peer])
                left[peer] = left[peer][sent:] or (b"" if once else wire)
                quiet = time.monotonic()
            except BlockingIOError:
                pass
            except OSError:
                left[peer] = b""  # we are rid of it
            if not left[peer]:
                del left[peer]
        time.sleep(0.001)


def settled(server: Server) -> tuple[int, int, int]:
    """Return the report when nothing changes any more."""
    before: tuple[int, int, int] = (0, 0, 0)
    for _ in range(50):
        report = server.ask("report")
        if report[1:] == before[1:]:
            return report
        before = report
        time.sleep(0.1)
    return before


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attacker_makes_a_server_hold_no_more_than_is_said(
    server: Server, name: str
) -> None:
    attack = ATTACKS[name]
    before = server.ask("report")[0]
    peers = [server.open(attack.path) for _ in range(ATTACKERS)]

    push(peers, attack.wire, attack.once)
    memory, told, connections = settled(server)

    for peer in peers:
        peer.sock.close()
    assert connections == (0 if attack.refused else ATTACKERS)
    taken = memory - before
    assert taken <= ATTACKERS * attack.most + SLACK
    # What the connections say of it is true: the rest is what each takes at rest, its
    # contexts of compression, and what allocators keep of what came and went.
    assert told <= ATTACKERS * attack.most
    assert told >= taken - 2 * SLACK - ATTACKERS * 300 * KIB


@pytest.mark.parametrize("size", [10, 100, 10_000, 300_000])
def test_a_broadcast_to_who_reads_nothing_holds_no_more_than_is_said(
    server: Server, size: int
) -> None:
    before = server.ask("report")[0]
    peers = [server.open(b"/") for _ in range(ATTACKERS)]
    count = 30 * MIB // (size + 850)

    memory = before
    for _ in range(3):
        memory = max(memory, server.ask(f"broadcast {count} {size}")[0])

    for peer in peers:
        peer.sock.close()
    assert memory - before <= ATTACKERS * 3 * MIB + SLACK
