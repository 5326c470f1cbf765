"""Servers that mislead, stall or overwhelm a client."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from longwire import InvalidHandshake
from tests.hostile.conftest import assert_calm, count_files, memory_below, until
from tests.support.frontends import AsyncioFrontEnd
from tests.support.rawpeer import RawPeer, accept_for, answer, listener

MIB = 1 << 20
Act = Callable[[RawPeer], None]


@contextlib.contextmanager
def hostile(act: Act) -> Iterator[int]:
    """Serve with ``act``, connection by connection; yield the port."""
    listening = listener()

    def accept() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return  # the test is over
            with (
                RawPeer(sock, client=False) as peer,
                contextlib.suppress(OSError, EOFError),
            ):
                act(peer)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(20)


def says(data: bytes, *, close: bool = True) -> Act:
    def act(peer: RawPeer) -> None:
        peer.read_head()
        peer.write(data)
        if close:
            peer.end()
        peer.read_all()

    return act


def answers(*headers: bytes, **changes: bytes) -> Act:
    """Answer rightly but for further headers, and texts replaced."""

    def act(peer: RawPeer) -> None:
        data = answer(peer.read_head(), *headers)
        for old, new in changes.items():
            data = data.replace(old.replace("_", "-").encode(), new)
        peer.write(data)
        peer.end()
        peer.read_all()

    return act


def mirrors_the_key(peer: RawPeer) -> None:
    head = peer.read_head()
    peer.write(answer(head).replace(b"Accept: ", b"Accept: x"))
    peer.read_all()


def answers_another_key(peer: RawPeer) -> None:
    head = peer.read_head()
    token = accept_for(b"AAAAAAAAAAAAAAAAAAAAAA==")
    good = answer(head)
    at = good.index(b"Accept: ") + 8
    peer.write(good[:at] + token + good[at + len(token) :])
    peer.read_all()


WRONG: dict[str, Act] = {
    "nothing": says(b""),
    "zeros": says(b"\0" * 1000),
    "a greeting": says(b"220 mail.example.com ESMTP\r\n"),
    "a plain page": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
    "HTTP/1.0": says(b"HTTP/1.0 101 Switching Protocols\r\n\r\n"),
    "no status": says(b"HTTP/1.1\r\n\r\n"),
    "a status of letters": says(b"HTTP/1.1 abc Hm\r\n\r\n"),
    "a status of four digits": says(b"HTTP/1.1 1011 Hm\r\n\r\n"),
    "101 and no headers": says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    "half a head": says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso"),
    "a header without a colon": says(b"HTTP/1.1 101 Hm\r\nnothing\r\n\r\n"),
    "a wrong Accept": mirrors_the_key,
    "another key's Accept": answers_another_key,
    "no Upgrade": answers(Upgrade=b"X"),
    "an extension not offered": answers(b"Sec-WebSocket-Extensions: x-other"),
    "deflate twice": answers(
        b"Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"
    ),
    "deflate with a bad window": answers(
        b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"
    ),
    "a subprotocol not offered": answers(b"Sec-WebSocket-Protocol: other"),
    "a redirect to nowhere": says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
    "a redirect to a mailbox": says(
        b"HTTP/1.1 302 Found\r\nLocation: mailto:a@b\r\nContent-Length: 0\r\n\r\n"
    ),
    "a redirect to itself": says(
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
    ),
    "a negative length": says(b"HTTP/1.1 403 No\r\nContent-Length: -1\r\n\r\nabc"),
    "two lengths": says(
        b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    ),
    "bad chunks": says(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    "a reset": lambda peer: (peer.read_head(), peer.reset())[1],
    "a reset at once": lambda peer: peer.reset(),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_one_clear_error(
    front: AsyncioFrontEnd, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    def attempt() -> Exception:
        with pytest.raises((InvalidHandshake, OSError)) as caught:
            front.connect(port, open_timeout=5, close_timeout=0.3).result()
        until(lambda: front.tasks() == 0)
        return caught.value

    with hostile(WRONG[name]) as port:
        error = attempt()
        files = count_files()
        for _ in range(3):  # more than can still be open of the first
            attempt()

        assert not isinstance(error, TimeoutError)
        assert str(error)
        until(lambda: count_files() <= files)
    assert_calm(caplog)


def repeats(start: bytes, piece: bytes, most: int = 64 * MIB) -> Act:
    def act(peer: RawPeer) -> None:
        peer.read_head()
        peer.write(start)
        sent = 0
        while sent < most:
            peer.write(piece)
            sent += len(piece)

    return act


ENDLESS: dict[str, Act] = {
    "status line": repeats(b"HTTP/1.1 101 ", b"x" * 4096),
    "header": repeats(b"HTTP/1.1 101 Hm\r\nX: ", b"x" * 4096),
    "headers": repeats(b"HTTP/1.1 101 Hm\r\n", b"X: y\r\n" * 500),
    "body": repeats(b"HTTP/1.1 403 No\r\n\r\n", b"x" * 4096),
    "chunks": repeats(
        b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"fff\r\n" + b"x" * 4095 + b"\r\n",
    ),
    "interim answers": repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "announced body": repeats(
        b"HTTP/1.1 403 No\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 4096
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_answer_is_cut_off(front: AsyncioFrontEnd, name: str) -> None:
    with hostile(ENDLESS[name]) as port, memory_below(8 * MIB):
        start = time.monotonic()

        with pytest.raises((InvalidHandshake, OSError)):
            front.connect(port, open_timeout=10).result()

        # The limits did it, not the time.
        assert time.monotonic() - start < 9
        until(lambda: front.tasks() == 0)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 101 Sw", b"HTTP/1.1 100 Hm\r\n\r\n"])
def test_an_answer_that_does_not_come_is_waited_for_only_so_long(
    front: AsyncioFrontEnd, data: bytes
) -> None:
    with hostile(says(data, close=False)) as port:
        with pytest.raises(TimeoutError):
            front.connect(port, open_timeout=0.3).result()

        until(lambda: front.tasks() == 0)


def test_a_dribbled_answer_runs_out_of_time(front: AsyncioFrontEnd) -> None:
    def act(peer: RawPeer) -> None:
        peer.dribble(answer(peer.read_head()), 0.02)

    with hostile(act) as port:
        with pytest.raises(TimeoutError):
            front.connect(port, open_timeout=0.5).result()
        until(lambda: front.tasks() == 0)
