"""What fails in the middle of something leaves no half of it behind."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.support.needs import needs_build
from tests.support.twins import pure

from longwire.build import BUILD
from longwire.core.deflate import Codec
from longwire.errors import ConnectionClosedError, ProtocolError
from longwire.messages import Cause, Deflate
from longwire.options import Keepalive, Limits, Timeouts
from longwire.session.session import CONTINUE

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
ZERO = bytes(4)


@pytest.mark.timeout(120)
def test_each_allocation_of_each_verb_may_fail() -> None:
    """Of the compiled build: an interpreter has many of its own that may fail."""
    pytest.importorskip("_testcapi")
    if BUILD != "compiled":
        needs_build("session.session")
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))

    done = subprocess.run(
        [sys.executable, "-m", "tests.session.out_of_memory"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    counts = [
        line.rpartition(": ")[2].split(" of ") for line in done.stdout.split("\n")
    ]
    assert sum(int(count[0]) for count in counts if len(count) == 2) > 300


# --- one step at a time, in the build that can be patched ---


def fails_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int) -> None:
    """Have the ``at``-th call of a function raise MemoryError instead."""
    real = getattr(owner, name)
    count = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            raise MemoryError
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)


def session(client: bool, **options: Any) -> Any:
    return pure("session.session").Session(
        client,
        limits=Limits(**options.pop("limits", {})),
        timeouts=Timeouts(),
        keepalive=Keepalive(interval=None),
        random_bytes=random.Random(1).randbytes,
        now=0.0,
        **options,
    )


def received(one: Any) -> list[Any]:
    while one.take_flags() & CONTINUE:
        one.go_on(0.0)
    return [one.take()[1] for _ in range(one.inbox.whole)]


# What is patched, and which of its calls fails, while a message is sent.
STEPS = {
    "making a frame": ("core.protocol", "build_frame", 1),
    "making the head of a large one": ("core.protocol", "build_header", 1),
    "masking": ("core.protocol", "build_frame", 2),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("deflate", [None, Deflate()])
@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("payload", [b"again and again", b"large" * 9999, "tëxt" * 99])
def test_what_is_sent_later_can_be_read_where_sending_failed(
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    deflate: Deflate | None,
    client: bool,
    payload: Any,
) -> None:
    one = session(client, deflate=deflate)
    peer = session(not client, deflate=deflate, limits={"queued_messages": None})
    kind = 1 if isinstance(payload, str) else 2
    one.send(kind, payload, True, True)
    module, name, at = STEPS[step]
    fails_once(monkeypatch, pure(module), name, at)

    sent = 0
    for _ in range(3):
        try:
            one.send(kind, payload, True, True)
            sent += 1
        except MemoryError:
            pass
    monkeypatch.undo()
    one.send(2, b"last", True, True)
    peer.receive(one.take_output(), 0.0)

    assert received(peer) == [payload] * (1 + sent) + [b"last"]
    assert peer.ended is None and one.protocol.messages_sent == sent + 2


class Fragile:
    """A compressor that fails at one of its steps, when told to."""

    fails_at: Any = None

    def __init__(self, *args: Any) -> None:
        self._real = zlib.compressobj(*args)

    def compress(self, data: bytes) -> bytes:
        if Fragile.fails_at == "compress":
            raise MemoryError
        out = self._real.compress(data)
        if Fragile.fails_at == "compressed":
            raise MemoryError
        return out

    def flush(self, mode: int) -> bytes:
        out = self._real.flush(mode)
        if Fragile.fails_at == "flush":
            raise MemoryError
        return out


@pytest.mark.parametrize("step", ["compress", "compressed", "flush"])
@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("fin", [True, False])
def test_a_context_the_peer_does_not_have_is_not_used_again(
    step: str, takeover: bool, fin: bool
) -> None:
    agreed = Deflate(server_no_context_takeover=not takeover)
    codec = Codec(agreed, False, compressobj=Fragile)
    peer = Codec(agreed, True)
    text = b"the same again and again"
    assert peer.decompress(codec.compress(text, True), True, -1) == text

    Fragile.fails_at = step
    try:
        with pytest.raises(MemoryError):
            codec.compress(b"what the peer does not get", fin)
    finally:
        Fragile.fails_at = None

    for _ in range(2):
        assert peer.decompress(codec.compress(text, True), True, -1) == text


def test_memory_that_runs_out_while_inflating_is_no_fault_of_the_peers() -> None:
    class Exhausted:
        eof = False

        def __init__(self, *args: Any) -> None:
            pass

        def decompress(self, *args: Any) -> bytes:
            raise zlib.error("Error -4 while decompressing data")

    codec = Codec(Deflate(), False, decompressobj=Exhausted)

    with pytest.raises(MemoryError):
        codec.decompress(b"\x00", True, -1)


def test_a_message_that_cannot_be_kept_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = session(False)
    hello = b"\x81\x85" + ZERO + b"hello"
    one.receive(hello, 0.0)
    fails_once(monkeypatch, pure("core.inbox"), "memory_of", 1)

    with pytest.raises(MemoryError):
        one.receive(hello * 2, 0.0)
    monkeypatch.undo()

    assert one.ended.cause is Cause.HANDLER
    assert one.ended.sent.code == 1011
    assert received(one) == ["hello"], "what comes behind a hole"
    one.receive(hello, 0.0)
    one.lost(None, 0.0)
    assert not one.has_message


def test_input_that_cannot_be_kept_ends_the_connection() -> None:
    one = session(False)

    with pytest.raises(TypeError):
        one.receive(None, 0.0)

    assert one.ended is not None


def test_closing_that_failed_can_be_tried_again_and_has_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = session(False)
    fails_once(monkeypatch, pure("core.protocol"), "build_frame", 1)

    with pytest.raises(MemoryError):
        one.close(1000, "bye", 0.0)
    assert one.next_deadline() == 10

    one.close(1000, "bye", 0.0)
    assert one.take_output() == b"\x88\x05\x03\xe8bye"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "error", [Unspeakable(), ValueError("\ud800"), OSError("é" * 99)]
)
def test_an_error_that_says_nothing_ends_the_connection(error: Exception) -> None:
    one = session(False)

    one.fail(error, 0.0)

    assert one.ended.error is error
    assert one.take_output().startswith(b"\x88")
    assert str(one.ended) and str(one.exception())


def test_a_ping_that_was_not_sent_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = session(False)
    fails_once(monkeypatch, pure("core.protocol"), "build_frame", 1)

    with pytest.raises(MemoryError):
        one.ping(b"data", "waiter", 0.0)

    assert one.heartbeat.take_waiters() == []
    one.ping(b"data", "another", 0.0)


def test_a_keepalive_ping_that_was_not_sent_says_nothing_of_the_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = pure("session.session").Session(
        False,
        limits=Limits(),
        timeouts=Timeouts(),
        keepalive=Keepalive(interval=10, timeout=5),
        random_bytes=bytes,
        now=0.0,
    )
    fails_once(monkeypatch, pure("core.protocol"), "build_frame", 1)

    with pytest.raises(MemoryError):
        one.tick(10.0, 0)
    one.tick(15.0, 0)

    assert one.ended is None
    one.tick(20.0, 0)
    assert one.take_output() == b"\x89\x04" + ZERO


Offer = Callable[[Any, bytes, str], int]


@pytest.mark.parametrize(
    ("slow", "ends"), [("disconnect", True), ("drop_oldest", False)]
)
@pytest.mark.parametrize("verb", ["take_output", "send", "close"])
def test_a_waiting_message_that_cannot_be_sent_is_dropped_or_missed(
    monkeypatch: pytest.MonkeyPatch, slow: str, ends: bool, verb: str
) -> None:
    """Where none may be missing, the connection ends: the client comes back."""
    one = session(False)
    one.write_paused(0.0)
    forms = pure("session.shared_frames")
    for payload in (b"1", b"2", b"3"):
        one.offer(forms.Forms(2, payload, os.urandom), slow, None, 0, 0.0)
    fails_once(monkeypatch, forms.frames, "encode", 2)
    one.write_resumed(0.0)

    written = b""
    if verb == "send":
        with pytest.raises(ConnectionClosedError) if ends else nullcontext():
            one.send(2, b"4", True, True)
    elif verb == "close":
        one.close(1000, "", 0.0)
    written = one.take_output()

    assert one.dropped == (2 if ends else 1)
    assert written.startswith(b"\x82\x011")
    assert (b"\x82\x013" in written) is not ends
    if ends:
        assert one.ended.cause is Cause.HANDLER
        assert isinstance(one.ended.error, MemoryError)
    else:
        assert one.ended is None


def test_corrupt_data_is_still_a_fault_of_the_peers() -> None:
    with pytest.raises(ProtocolError, match="corrupt"):
        Codec(Deflate(), False).decompress(b"\xff\xff", True, -1)
