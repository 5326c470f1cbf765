"""Protocol: any stream gives the events of the reference, within the limits.

Whatever the splits: the same pieces of messages and control frames in the same order,
then the fault with the same close code, at most one, and nothing after it. What is held
of an unfinished message never exceeds the limits.
"""

from __future__ import annotations

from typing import Any

from fuzz import reference
from fuzz.builds import Build
from fuzz.choices import Choices, split
from longwire.errors import LimitExceeded, ProtocolError
from longwire.messages import Deflate, Frame

SIZES = (None, 0, 1, 5, 125, 126, 200, 70_000)
COUNTS = (None, 1, 2, 5)
SMALL = 14 + 125


class Twist:
    """An extension that turns every bit and says so in RSV2."""

    name = "x-twist"

    def encode(self, frame: Frame) -> Frame:
        return Frame(frame.opcode, _turn(frame.data), frame.fin, frame.rsv1, True)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        if not frame.rsv2:
            return frame
        return Frame(frame.opcode, _turn(frame.data), frame.fin, frame.rsv1)


def _turn(data: Any) -> bytes:
    return bytes(byte ^ 0xFF for byte in bytes(data))


def check(data: bytes, build: Build) -> list[Any]:
    """Decisions: side and extension, compression, three limits, how to split."""
    choices = Choices(data)
    kind = choices.byte()
    client, extended = bool(kind & 1), kind & 6 == 6
    deflate = agreement(choices)
    limits = {
        "max_message": choices.pick(SIZES),
        "max_fragment": choices.pick(SIZES),
        "max_fragments": choices.pick(COUNTS),
    }
    how = choices.byte()
    wire = choices.rest()

    protocol = build.protocol.Protocol(
        client,
        **{name: -1 if value is None else value for name, value in limits.items()},
        codec=None if deflate is None else build.deflate.Codec(deflate, client),
        extensions=(Twist(),) if extended else (),
        random_bytes=bytes,
    )
    events, fault, trace = _read(protocol, split(wire, how), limits["max_message"])

    if not extended:
        expected = reference.Reader(
            client, inflation=inflation(deflate, client), **limits
        )
        expected.read(wire)
        compare(events, fault, expected)
    if fault is None and not protocol.close_received:
        assert protocol.bytes_received == len(wire)
    return trace


def agreement(choices: Choices) -> Deflate | None:
    """Return what was agreed on permessage-deflate."""
    bits = choices.byte()
    if not bits & 1:
        return None
    return Deflate(
        server_no_context_takeover=bool(bits & 2),
        client_no_context_takeover=bool(bits & 4),
        server_max_window_bits=15 if bits & 8 else 9,
        client_max_window_bits=15 if bits & 16 else 10,
        level=bits >> 5,
        mem_level=1,
    )


def inflation(deflate: Deflate | None, client: bool) -> reference.Inflation | None:
    """Return how what this side receives is compressed."""
    if deflate is None:
        return None
    if client:
        drops = deflate.server_no_context_takeover
        return reference.Inflation(deflate.server_max_window_bits, not drops)
    drops = deflate.client_no_context_takeover
    return reference.Inflation(deflate.client_max_window_bits, not drops)


def compare(events: list[Any], fault: int | None, expected: reference.Reader) -> None:
    """Fail unless the events are those that the reference expects."""
    if expected.unknown:
        assert events[: len(expected.events)] == expected.events
        return
    assert events == expected.events, f"{events} instead of {expected.events}"
    if expected.either:
        assert fault in (1007, 1009)
    else:
        assert fault == expected.fault, f"{fault} instead of {expected.fault}"


def _read(
    protocol: Any, chunks: Any, max_message: int | None
) -> tuple[list[Any], int | None, list[Any]]:
    """Return the events, the code of the fault, and the trace."""
    events: list[Any] = []
    fault = None
    trace: list[Any] = []
    size = 0  # of the message under way
    for chunk in chunks:
        protocol.receive(chunk)
        try:
            while (event := protocol.next_event()) is not None:
                assert fault is None and not protocol.close_received or event[0] == 8
                events.append(event)
                if event[0] <= 2:
                    size += len(event[1])
                    assert max_message is None or size <= max_message
                    size = 0 if event[2] else size
        except (ProtocolError, LimitExceeded) as exc:
            assert fault is None, "a second fault"
            fault = exc.code
            trace.append((type(exc).__name__, str(exc), exc.code))
        if max_message is not None:
            assert protocol.buffered <= max_message + SMALL, "more is held than allowed"
        trace.append((protocol.buffered, protocol.mid_message, protocol.state))
        trace.append((protocol.messages_received, protocol.output_size))
    return events, fault, [events, trace]
