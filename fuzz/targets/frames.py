"""Frames: any bytes, in any splits, are read as the reference reads them whole.

Besides: nothing is held that was read, input is not lost or doubled, and every whole
frame is what our own encoder makes of its parts, for only the shortest form is allowed.
"""

from __future__ import annotations

from typing import Any

from fuzz import reference
from fuzz.builds import Build
from fuzz.choices import Choices, split
from longwire.errors import ProtocolError

FAULT = "fault"


def check(data: bytes, build: Build) -> list[Any]:
    """Decisions: side, bits that extensions use, how to split, how to take payloads."""
    choices = Choices(data)
    client = bool(choices.byte() & 1)
    allowed_rsv = choices.pick((0, 4, 7))
    how = choices.byte()
    patient = bool(choices.byte() & 1)  # wait for whole frames
    wire = choices.rest()

    reader = build.frames.FrameReader(client, allowed_rsv)
    found = read(reader, split(wire, how), patient)

    expected = reference.read_frames(wire, client, allowed_rsv)
    frames = [list(frame[:4]) for frame in expected.whole]
    if expected.partial is not None:
        left = expected.partial
        frames.append([*left[:3], b"" if patient else left.payload])
    if expected.fault:
        frames.append([FAULT])
    assert found == frames, f"{found} instead of {frames}"
    if not expected.fault:
        _check_held(reader, wire, expected, patient)
    for frame in expected.whole:
        key = None if client else frame.wire[-len(frame.payload) - 4 :][:4]
        made = build.frames.encode(
            frame.opcode, frame.payload, frame.fin, frame.rsv, key
        )
        assert made == frame.wire, "the encoder does not agree"
    return [found, reader.unread(), reader.remaining]


def _check_held(reader: Any, wire: bytes, expected: Any, patient: bool) -> None:
    taken = expected.consumed
    if expected.partial is not None:
        payload = expected.partial.payload
        taken += len(expected.partial.wire) - (len(payload) if patient else 0)
        gone = 0 if patient else len(payload)
        assert reader.remaining == expected.partial.size - gone
    assert reader.unread() == len(wire) - taken, "input is held that was read, or lost"


def read(reader: Any, chunks: Any, patient: bool) -> list[list[Any]]:
    """Return [opcode, fin, rsv, payload] of each frame, [FAULT] at the end for one."""
    found: list[list[Any]] = []
    inside = False
    for chunk in chunks:
        reader.feed(chunk)
        while True:
            if not inside:
                try:
                    inside = reader.read_header()
                except ProtocolError as exc:
                    assert exc.code == 1002
                    found.append([FAULT])
                    return found
                if not inside:
                    break
                found.append([reader.opcode, reader.fin, reader.rsv, b""])
            if reader.is_whole():
                found[-1][3] += _take_rest(reader, found[-1])
                assert reader.remaining == 0
                inside = False
            else:
                if not patient:
                    found[-1][3] += reader.take()
                break
    return found


def _take_rest(reader: Any, frame: list[Any]) -> bytes:
    """Take the payload, as text where it is one."""
    if frame[0] != reference.TEXT or not frame[1] or frame[3]:
        return bytes(reader.take())
    try:
        return bytes(reader.take_text().encode())
    except UnicodeDecodeError as exc:
        # The codec has what was to be decoded, whole.
        return bytes(exc.object)
