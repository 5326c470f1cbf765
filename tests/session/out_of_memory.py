"""A program: let each allocation fail that a verb of the session makes, one by one.

    python -m tests.session.out_of_memory

What must hold after a MemoryError: each message that is received is whole and in its
turn; what was sent before and after can be read by the peer; and the connection goes
on, or can be ended. Prints one line for each verb, and a traceback for what failed.
"""

from __future__ import annotations

import _testcapi
import os
import random
import sys
import traceback
import zlib
from collections.abc import Callable
from typing import Any

from longwire.messages import Cause, Deflate
from longwire.options import Keepalive, Limits, Timeouts
from longwire.session.session import Session
from longwire.session.shared_frames import Forms

Setup = Callable[[], tuple[Callable[[], Any], Callable[[Any, bool], None]]]

# So many allocations in a row that did not matter are the end of a verb.
CALM = 40
START = 100.0


def session(client: bool, deflate: Deflate | None = None, **limits: Any) -> Session:
    return Session(
        client,
        limits=Limits(**limits),
        timeouts=Timeouts(),
        keepalive=Keepalive(interval=None),
        random_bytes=random.Random(1).randbytes,
        now=START,
        deflate=deflate,
    )


def frame(first: int, payload: bytes) -> bytes:
    """A frame of a client, masked with zeros."""
    size = len(payload)
    head = bytes((first, 0x80 | min(size, 126)))
    return head + (size.to_bytes(2, "big") if size > 125 else b"") + bytes(4) + payload


def received(one: Session) -> list[Any]:
    """Return all that its reader can get."""
    got = []
    for _ in range(1000):
        one.go_on(START)
        if not one.has_message:
            try:
                one.wait(START)
            except MemoryError:
                pass  # it is told what happened, once
            one.stop_waiting()
        if one.has_message:
            got.append(one.take()[1])
        elif not one.holding:
            break
    return got


def check_received(one: Session, first: Any, wanted: list[Any]) -> None:
    """Check that messages come whole and in order, all of them unless it has ended."""
    got = ([] if first is None else [first]) + received(one)
    assert got == wanted[: len(got)], got
    if one.ended is None:
        assert got == wanted, f"{len(got)} of {len(wanted)}, and no end"
    one.lost(None, START)
    assert got + received(one) == wanted[: len(got)], "a hole"
    assert one.ended is not None and one.is_gone


# --- receiving ---

FRAGMENTS = ["héad" * 30, "middle " * 30, "😀tail" * 30]
WANTED = ["".join(FRAGMENTS), "next" * 40, b"x" * 99 + b"y" * 99]


def fragmented(**limits: Any) -> Session:
    one = session(False, **limits)
    pieces = [(1, FRAGMENTS[0]), (0, FRAGMENTS[1]), (0x80, FRAGMENTS[2])]
    wire = b"".join(frame(first, text.encode()) for first, text in pieces)
    wire += frame(0x81, b"next" * 40) + frame(0x02, b"x" * 99) + frame(0x80, b"y" * 99)
    one.receive(wire, START)
    return one


def take() -> Any:
    one = fragmented()
    return one.take, lambda found, failed: check_received(
        one, found and found[1], WANTED
    )


def take_and_parse_on(deflate: bool) -> Setup:
    def setup() -> Any:
        one = session(False, Deflate() if deflate else None, queued_messages=1)
        wire, wanted = messages(deflate)
        one.receive(wire, START)
        return one.take, lambda found, failed: check_received(
            one, found and found[1], wanted
        )

    return setup


def take_piece() -> Any:
    one = fragmented()
    one.streaming = True

    def check(found: Any, failed: bool) -> None:
        pieces = [] if found is None else [found[1]]
        while (piece := one.take_piece()) is not None:
            pieces.append(piece[1])
        assert pieces == [*FRAGMENTS, "next" * 40, b"x" * 99, b"y" * 99], pieces

    return one.take_piece, check


def messages(deflate: bool) -> tuple[bytes, list[Any]]:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    wanted: list[Any] = ["héllo😀" * 50, b"bin" * 100, "ascii" * 50, "héllo😀" * 20]
    wire = b""
    for payload in wanted:
        data = payload.encode() if isinstance(payload, str) else payload
        first = 0x81 if isinstance(payload, str) else 0x82
        if deflate:
            data = squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH)
            data, first = data.removesuffix(b"\x00\x00\xff\xff"), first | 0x40
        wire += frame(first, data)
    return wire, wanted


def receive(deflate: bool, cut: int, queued: int = 16) -> Setup:
    def setup() -> Any:
        one = session(False, Deflate() if deflate else None, queued_messages=queued)
        wire, wanted = messages(deflate)
        one.receive(wire[:cut], START)
        rest = wire[cut:]
        return lambda: one.receive(rest, START), lambda found, failed: check_received(
            one, None, wanted
        )

    return setup


# --- sending ---

FIRST, LAST = "first message first message", "last message first message last"
PAYLOADS: dict[str, Any] = {
    "small": b"small small small",
    "large": b"0123456789" * 3000,
    "text": "tëxt😀" * 30,
}


def send(client: bool, deflate: Deflate | None, payload: Any) -> Setup:
    def setup() -> Any:
        one = session(client, deflate)
        peer = session(not client, deflate, queued_messages=None)
        one.send(1, FIRST, True, True)
        opcode = 1 if isinstance(payload, str) else 2

        def check(found: Any, failed: bool) -> None:
            one.send(1, LAST, True, True)
            peer.receive(one.take_output(), START)
            first, *middle, last = received(peer)
            assert (first, last, peer.ended) == (FIRST, LAST, None)
            assert middle == [payload] or (failed and middle == [])

        return lambda: one.send(opcode, payload, True, True), check

    return setup


def send_fragment(deflate: Deflate | None) -> Setup:
    def setup() -> Any:
        one = session(False, deflate)
        peer = session(True, deflate, queued_messages=None)
        one.send(2, b"begin " * 20, False, True)

        def check(found: Any, failed: bool) -> None:
            if one.fragmenting:
                assert failed
                one.close(1011, "", START)  # as front ends do
            peer.receive(one.take_output(), START)
            got = received(peer)
            assert got == [b"begin " * 20 + b"end " * 20] or (failed and got == [])
            assert got or peer.ended.code == 1011

        return lambda: one.send(0, b"end " * 20, True, True), check

    return setup


def take_output() -> Any:
    one = session(False)
    peer = session(True)
    for _ in range(5):
        one.send(2, b"x" * 300, True, True)

    def check(found: Any, failed: bool) -> None:
        peer.receive(b"".join(filter(None, [found, one.take_output()])), START)
        assert received(peer) == [b"x" * 300] * 5

    return one.take_output, check


def broadcast(deflate: Deflate | None, blocked: bool) -> Setup:
    def setup() -> Any:
        several = [session(False, deflate) for _ in range(3)]
        peers = [session(True, deflate, queued_messages=None) for _ in range(3)]
        texts = [f"message {n} to everybody " * 3 for n in range(3)]
        wires = [b""] * 3
        forms = [Forms(1, text.encode(), os.urandom) for text in texts]

        def cast(number: int) -> None:
            for one in several:
                if one.can_send:
                    one.offer(forms[number], None, None, 0, START)
            forms[number].settle()

        def write() -> None:
            for at, one in enumerate(several):
                wires[at] += one.take_output()

        def step() -> None:
            if blocked:
                write()
            else:
                cast(1)

        cast(0)
        write()
        if blocked:
            for one in several:
                one.write_paused(START)
            cast(1)
            for one in several:
                one.write_resumed(START)

        def check(found: Any, failed: bool) -> None:
            write()
            cast(2)
            write()
            for one, peer, wire in zip(several, peers, wires, strict=True):
                peer.receive(wire, START)
                got = received(peer)
                if one.ended is None:
                    assert (got[0], got[-1]) == (texts[0], texts[2]), got
                    assert len(got) == 3 or (failed and len(got) == 2)
                    assert peer.ended is None
                else:
                    assert got == texts[: len(got)]

        return step, check

    return setup


# --- control frames and the end ---


def close() -> Any:
    one, peer = session(False), session(True)

    def check(found: Any, failed: bool) -> None:
        one.close(1000, "bye bye", START)
        peer.receive(one.take_output(), START)
        assert peer.ended.code == 1000
        assert one.next_deadline() < START + 100

    return lambda: one.close(1000, "bye bye", START), check


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def ends(
    step: Callable[[Session], Any], make: Callable[[], Session] = fragmented
) -> Setup:
    """What ends a session does so, if not at once then when TCP is lost for it."""

    def setup() -> Any:
        one = make()

        def check(found: Any, failed: bool) -> None:
            if one.ended is None:
                assert failed
                one.lost(None, START)
                received(one)
            assert one.ended is not None
            assert str(one.exception()) and str(one.ended)
            got = received(one)
            assert got == WANTED[: len(got)]

        return lambda: step(one), check

    return setup


def ping() -> Any:
    one = session(False)

    def check(found: Any, failed: bool) -> None:
        sent = one.take_output()
        assert sent == b"\x89\x04data" or (failed and sent == b"")
        if sent == b"":
            one.ping(b"data", "another", START)  # it is not waited for

    return lambda: one.ping(b"data", "waiter", START), check


def pong() -> Any:
    one = session(False)
    for n in range(5):
        one.ping(b"%d" % n, n, START)
    wire = frame(0x8A, b"4")

    def check(found: Any, failed: bool) -> None:
        waiters = [waiter for waiter, _ in one.take_pongs()]
        assert sorted(waiters + one.heartbeat.take_waiters()) == list(range(5))

    return lambda: one.receive(wire, START), check


PLAIN, KEPT = None, Deflate()
ANEW = Deflate(server_no_context_takeover=True, client_no_context_takeover=True)
CLOSE_FRAME = frame(0x88, b"\x03\xe8bye")
BAD_FRAME = frame(0x83, b"")

VERBS: dict[str, Setup] = {
    "take": take,
    "take and parse on": take_and_parse_on(False),
    "take and inflate on": take_and_parse_on(True),
    "take a piece": take_piece,
    **{
        f"receive {'deflated ' * deflate}after {cut}": receive(deflate, cut)
        for deflate in (False, True)
        for cut in (0, 3, 30, 400)
    },
    "receive while full": receive(False, 500, 1),
    "receive while full, deflated": receive(True, 40, 1),
    **{
        f"{'client' if client else 'server'} sends {kind}, {number}": send(
            client, deflate, payload
        )
        for client in (False, True)
        for number, deflate in enumerate((PLAIN, KEPT, ANEW))
        for kind, payload in PAYLOADS.items()
    },
    "send a fragment": send_fragment(PLAIN),
    "send a compressed fragment": send_fragment(KEPT),
    "take output": take_output,
    **{
        f"broadcast {blocked} {deflate is not None}": broadcast(deflate, blocked)
        for blocked in (False, True)
        for deflate in (PLAIN, KEPT)
    },
    "close": close,
    "fail": ends(lambda one: one.fail(ValueError("a mistake"), START)),
    "fail without a word": ends(lambda one: one.fail(Unspeakable(), START)),
    "abort": ends(lambda one: one.abort(Cause.LOCAL, "gone", START)),
    "lost": ends(lambda one: one.lost(OSError("reset"), START)),
    "lost while full": ends(
        lambda one: one.lost(OSError("reset"), START),
        lambda: fragmented(queued_messages=2),
    ),
    "a fault": ends(lambda one: one.receive(BAD_FRAME, START), lambda: session(False)),
    "a close frame": ends(
        lambda one: one.receive(CLOSE_FRAME, START), lambda: session(False)
    ),
    "ping": ping,
    "pong": pong,
}


def run(step: Callable[[], Any], allocation: int) -> tuple[Any, bool]:
    """Return what a verb returns, and whether it ran out of memory."""
    found, failed = None, False
    _testcapi.set_nomemory(allocation, allocation + 1)
    try:
        found = step()
    except MemoryError:
        failed = True
    finally:
        _testcapi.remove_mem_hooks()
    return found, failed


def sweep(name: str, setup: Setup) -> bool:
    """Let each allocation of a verb fail; return whether all went well."""
    allocation = failures = calm = 0
    while calm < CALM:
        step, check = setup()
        found, failed = run(step, allocation)
        try:
            check(found, failed)
        except Exception:
            print(f"{name}: allocation {allocation}, MemoryError: {failed}")
            traceback.print_exc()
            return False
        failures += failed
        calm = 0 if failed else calm + 1
        allocation += 1
    print(f"{name}: {failures} of {allocation}")
    return True


def main() -> int:
    results = [sweep(name, setup) for name, setup in VERBS.items()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
