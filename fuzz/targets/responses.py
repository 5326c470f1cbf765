"""Responses: any bytes as a response, to a request or to CONNECT.

Whatever the splits, the same response and rest, or the same error; within the limits on
its lines and its body, also of a response that has a fault in its body; headers that
cannot be mistaken for others. A response whose
body says its own length is the same when it is written and read again.
"""

from __future__ import annotations

from typing import Any

from fuzz.choices import Choices, split
from fuzz.targets.requests import UNLIMITED, check_headers, read
from longwire.errors import InvalidHandshake
from longwire.http import handshake
from longwire.http.heads import Response, ResponseReader

# Longest line, most headers, largest head, most of the body.
LIMITS = ((8192, 128, 65536, 1 << 20), (60, 4, 200, 10), (200, 128, 120, 0))
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def check(data: bytes) -> list[Any]:
    """Decisions: limits, how to split, tunnel; then the response."""
    choices = Choices(data)
    limits = choices.pick(LIMITS)
    how = choices.byte()
    tunnel = bool(choices.byte() & 1)
    wire = choices.rest()

    reader = ResponseReader(*limits, tunnel=tunnel)
    found, rest = read(reader, split(wire, how))
    again = read(ResponseReader(*limits, tunnel=tunnel), [wire])
    assert _same(found, again[0]), f"{found!r} in pieces, {again[0]!r} whole"
    if isinstance(found, Response):
        assert wire.endswith(rest) or "Transfer-Encoding" in found.headers
        assert reader.so_far() == found
        _check_response(found, limits)
    elif (part := reader.so_far()) is not None:
        _check_limits(part, limits)
    return [repr(found), rest]


def _same(found: Any, whole: Any) -> bool:
    return bool(found == whole)


def _check_limits(response: Response, limits: Any) -> None:
    _, count, _, most = limits
    assert 100 <= response.status_code < 600
    assert response.status_code >= 200 or response.status_code == 101
    assert len(response.body) <= most, "more of the body than allowed"
    assert len(list(response.headers.raw_items())) <= count
    check_headers(response.headers)


def _check_response(response: Response, limits: Any) -> None:
    _check_limits(response, limits)
    try:
        handshake.check_response(response, KEY)
    except InvalidHandshake:
        pass  # as nearly always
    if response.headers.get_all("Content-Length") == [str(len(response.body))]:
        again = ResponseReader(*UNLIMITED, 1 << 20).feed(response.serialize())
        assert again == response, f"written and read again it is {again!r}"
