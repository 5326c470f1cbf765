"""Attackers of a siege: each holds a server up with as little of its own as it can.

Blocking sockets in threads; what they send is made before they begin, so that they take
no more of the processor than a real attacker, who has one of his own.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator

from soak_peers import frame, request

Attack = Callable[[int, threading.Event], None]
"""Goes on against a port until it is told to stop; raises OSError when thrown out."""

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
# Attackers are another host than the clients, where the system has one more address.
SOURCE = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
PAUSE = 0.01  # seconds after which a full kernel buffer is tried again


# Of Linux, 4.2 and later; Python 3.11 has no name for it.
_BIND_ADDRESS_NO_PORT = 24


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        # The port is chosen in connect(): in bind() the kernel looks through all that
        # are taken, which takes both cores once attackers have thousands.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        sock.settimeout(10)
        sock.bind((SOURCE, 0))
        sock.connect(("127.0.0.1", port))
        yield sock


@contextlib.contextmanager
def opened(port: int, path: str, *headers: str) -> Iterator[socket.socket]:
    """Give a connection whose handshake is done, or raise ConnectionError."""
    with connected(port) as sock:
        sock.sendall(request(path, *headers))
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(4096)
            if not data:
                raise ConnectionError("closed in the handshake")
            head += data
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(head.split(b"\r\n")[0].decode())
        yield sock


def pour(sock: socket.socket, data: bytes, stop: threading.Event) -> None:
    """Send ``data`` again and again, as fast as it is taken; read what comes."""
    sock.setblocking(False)
    at = 0
    while not stop.is_set():
        waited = True
        with contextlib.suppress(BlockingIOError):
            at = (at + sock.send(memoryview(data)[at : at + 65536])) % len(data)
            waited = False
        with contextlib.suppress(BlockingIOError):
            if not sock.recv(1 << 20):
                raise ConnectionError("closed")
        if waited:
            time.sleep(PAUSE)


def hold(sock: socket.socket, data: bytes, stop: threading.Event) -> None:
    """Send ``data`` once, as far as it is taken, and stay without reading."""
    sock.setblocking(False)
    at = 0
    while at < len(data) and not stop.is_set():
        try:
            at += sock.send(memoryview(data)[at : at + 65536])
        except BlockingIOError:
            time.sleep(PAUSE)
    stop.wait()


def deflated(data: bytes, level: int = 9) -> bytes:
    """Return one compressed message, as RFC 7692 section 7.2.1 has it."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)[:-4]


def ended_early(count: int) -> bytes:
    """Return a message whose deflate stream ends ``count`` times (BFINAL)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(b"") + packer.flush(zlib.Z_FINISH)) * count + b"\x00"


EMOJI = deflated(("\U0001f600" + "x" * ((1 << 20) - 4)).encode())
BOMB = frame(0xC2, deflated(bytes(1 << 20)))
ENDS = frame(0xC2, ended_early(4000))


def emoji_nobody_reads(port: int, stop: threading.Event) -> None:
    with opened(port, "/deaf", DEFLATE) as sock:
        hold(sock, frame(0xC1, EMOJI) * 200, stop)


def deflate_bombs(port: int, stop: threading.Event) -> None:
    with opened(port, "/echo", DEFLATE) as sock:
        pour(sock, BOMB * 20, stop)


def early_ends(port: int, stop: threading.Event) -> None:
    with opened(port, "/echo", DEFLATE) as sock:
        pour(sock, ENDS * 4, stop)


def unfinished_heads(port: int, stop: threading.Event) -> None:
    with connected(port) as sock:
        lines = "".join(f"X-{n}: {'y' * 900}\r\n" for n in range(70))
        hold(sock, request("/echo")[:-2] + lines.encode(), stop)


def idle_connections(port: int, stop: threading.Event) -> None:
    with contextlib.ExitStack() as stack:
        while not stop.is_set():
            try:
                stack.enter_context(opened(port, "/echo"))
            except OSError:
                stop.wait(0.2)


def silent_connections(port: int, stop: threading.Event) -> None:
    with contextlib.ExitStack() as stack:
        while not stop.is_set():
            try:
                stack.enter_context(connected(port))
            except OSError:
                stop.wait(0.2)


def coming_and_going(port: int, stop: threading.Event) -> None:
    while not stop.is_set():
        with connected(port) as sock:
            sock.sendall(request("/echo")[: random.randrange(1, 200)])
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def hanging_up(port: int, stop: threading.Event) -> None:
    while not stop.is_set():
        with connected(port) as sock:
            sock.sendall(request("/echo")[: random.randrange(1, 400)])


def unread_broadcasts(port: int, stop: threading.Event) -> None:
    with opened(port, "/broadcast") as sock:
        hold(sock, b"", stop)


def endless_lists(port: int, stop: threading.Event) -> None:
    elements = ", ".join(["x"] * 2600)
    lines = [f"Sec-WebSocket-Extensions: {elements}"] * 7
    while not stop.is_set():
        with connected(port) as sock:
            sock.sendall(request("/echo", *lines))
            while sock.recv(65536):
                pass


def tiny_fragments(port: int, stop: threading.Event) -> None:
    message = frame(0x01) + frame(0x00) * 4000 + frame(0x80)
    with opened(port, "/echo") as sock:
        pour(sock, message, stop)


def floods_of_messages(port: int, stop: threading.Event) -> None:
    with opened(port, "/echo") as sock:
        pour(sock, frame(0x82, b"x" * 32) * 1000, stop)


def floods_of_pings(port: int, stop: threading.Event) -> None:
    while not stop.is_set():
        with opened(port, "/echo") as sock, contextlib.suppress(OSError):
            pour(sock, frame(0x89, b"x" * 125) * 100, stop)


def unread_echoes(port: int, stop: threading.Event) -> None:
    with opened(port, "/echo") as sock:
        hold(sock, frame(0x82, bytes(1 << 20)) * 100, stop)


def half_messages(port: int, stop: threading.Event) -> None:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(opened(port, "/echo")) for _ in range(50)]
        for sock in socks:
            sock.sendall(frame(0x82, bytes((1 << 20) - 1))[: (1 << 20) - 5])
        stop.wait()


ATTACKS: dict[str, Attack] = {
    f.__name__: f
    for f in (
        *(emoji_nobody_reads, deflate_bombs, early_ends, unfinished_heads),
        *(idle_connections, silent_connections, coming_and_going, hanging_up),
        *(unread_broadcasts, endless_lists, tiny_fragments, floods_of_messages),
        *(floods_of_pings, unread_echoes, half_messages),
    )
}


def siege(name: str, port: int, attackers: int, stop: threading.Event) -> None:
    """Attack with so many threads; whoever is thrown out comes back at once."""

    def go() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                ATTACKS[name](port, stop)
            stop.wait(PAUSE)

    threads = [threading.Thread(target=go, daemon=True) for _ in range(attackers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
