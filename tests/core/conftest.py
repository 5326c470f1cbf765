"""How the bytes of a case arrive: whole, byte by byte, with more behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from longwire.core.protocol import Protocol
from longwire.errors import LimitExceeded, ProtocolError

# A busy machine is not a failure.
settings.register_profile("longwire", deadline=None)
settings.load_profile("longwire")

PONG_TO_SERVER = b"\x8a\x80\x00\x00\x00\x00"
PONG_TO_CLIENT = b"\x8a\x00"

Read = Callable[[Protocol, bytes], list[Any]]


def events_of(protocol: Protocol) -> Iterator[Any]:
    """Everything there is to read; a fault is the last, as the exception."""
    try:
        while (event := protocol.next_event()) is not None:
            yield event
    except (ProtocolError, LimitExceeded) as exc:
        yield exc


def read_whole(protocol: Protocol, wire: bytes) -> list[Any]:
    protocol.receive(wire)
    return list(events_of(protocol))


def read_bytewise(protocol: Protocol, wire: bytes) -> list[Any]:
    events = []
    for i in range(len(wire)):
        protocol.receive(wire[i : i + 1])
        events += events_of(protocol)
    return events


def read_with_trailing_data(protocol: Protocol, wire: bytes) -> list[Any]:
    """A pong follows; it is read too, unless the case ends the connection."""
    pong = PONG_TO_CLIENT if protocol.client else PONG_TO_SERVER
    events = read_whole(protocol, wire + pong)
    ended = events and (isinstance(events[-1], Exception) or events[-1][0] == 8)
    return events if ended else _without_pong(events)


def _without_pong(events: list[Any]) -> list[Any]:
    assert events[-1] == (10, b"", True)
    return events[:-1]


READERS = {
    "whole": read_whole,
    "byte by byte": read_bytewise,
    "with trailing data": read_with_trailing_data,
}


@pytest.fixture(params=READERS)
def read(request: pytest.FixtureRequest) -> Read:
    """``read(protocol, wire)``: the events of the wire bytes; a fault is the last."""
    return READERS[request.param]
