"""Requests: any bytes as a request's head, then what a server makes of it.

Whatever the splits, the same request and the same rest, or the same error; within the
limits on lines, their number and all of them; nothing in it that would be read
otherwise when it is written again. A request is then accepted with an answer that a
client takes, or refused with one that it can read; no error but those of the handshake.
"""

from __future__ import annotations

import re
from typing import Any

from fuzz.choices import Choices, split
from longwire.errors import InvalidHandshake, InvalidMessage, NegotiationError
from longwire.http import handshake
from longwire.http.extensions import ServerPerMessageDeflateFactory, grant
from longwire.http.fields import is_token, is_valid_host, parse_subprotocol
from longwire.http.heads import Request, RequestReader, ResponseReader

# Longest line, most headers, largest head.
LIMITS = ((8192, 128, 65536), (60, 4, 200), (200, 128, 120), (2, 1, 2))
UNLIMITED = (1 << 30, 1 << 30, 1 << 30)
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
ORIGINS: tuple[Any, ...] = (None, ["https://example.com", None], "same")
DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


def check(data: bytes) -> list[Any]:
    """Decisions: limits, how to split, origins, subprotocols; then the head."""
    choices = Choices(data)
    limits = choices.pick(LIMITS)
    how = choices.byte()
    origins = choices.pick(ORIGINS)
    supported = choices.pick((None, ["chat", "superchat"]))
    wire = choices.rest()

    found, rest = read(RequestReader(*limits), split(wire, how))
    again = read(RequestReader(*limits), [wire])
    assert (found, rest) == again, f"{found!r} in pieces, {again[0]!r} whole"
    if isinstance(found, Request):
        _check_request(found, rest, wire, limits)
        answer(found, origins, supported)
    elif isinstance(found, str):
        _refuse(found)
    return [repr(found), rest]


def read(reader: Any, chunks: Any) -> tuple[Any, bytes]:
    """Return the message and what came after it; the text of the error, or None."""
    found = None
    try:
        for chunk in chunks:
            found = reader.feed(chunk) or found
        if found is None:
            found = reader.feed_eof()
    except InvalidHandshake as exc:
        return check_error(exc), b""
    assert found is not None or not isinstance(reader, ResponseReader)
    return found, b"" if found is None else reader.rest


def check_error(exc: InvalidHandshake) -> str:
    """Return the error's text: of bounded length, and harmless in a log's line."""
    text = str(exc)
    assert text and text.isprintable(), f"controls in {text!r}"
    assert 400 <= exc.status < 600
    most = 300 if isinstance(exc, InvalidMessage) else 600
    assert len(text) < most, f"an error of {len(text)} characters"
    return f"{type(exc).__name__}: {text}"


def check_headers(headers: Any) -> None:
    """Fail unless every field is one that cannot be mistaken for two."""
    for name, value in headers.raw_items():
        assert is_token(name) and not CONTROL.search(value)
        assert value == value.strip(" \t")


def _check_request(request: Request, rest: bytes, wire: bytes, limits: Any) -> None:
    line, count, total = limits
    head = wire[: len(wire) - len(rest)]
    assert wire.endswith(rest) and head.endswith(b"\r\n\r\n")
    lines = head.lstrip(b"\r\n").split(b"\r\n")
    assert len(head) <= total and max(map(len, lines)) <= line
    assert len(list(request.headers.raw_items())) <= count + 1  # Host may be put in
    check_headers(request.headers)
    assert request.path.startswith("/") and not re.search(r"[\s#]", request.path)
    hosts = request.headers.get_all("Host")
    assert len(hosts) == 1 or request.protocol == "HTTP/1.0"
    assert all(is_valid_host(host) or not host for host in hosts)

    again = RequestReader(*UNLIMITED).feed(request.serialize())
    assert again == request, f"written and read again it is {again!r}"


def answer(request: Request, origins: Any, supported: Any) -> None:
    """Accept or refuse, as a server does, and read the answer as a client does."""
    headers = request.headers
    factory = ServerPerMessageDeflateFactory()
    try:
        key = handshake.check_request(request)
        handshake.check_origin(request, origins)
        offered = [
            name
            for value in headers.get_all("Sec-WebSocket-Protocol")
            for name in parse_subprotocol(value)
        ]
        chosen = handshake.select_subprotocol(offered, supported)
        granted, agreed = grant(headers.get_all("Sec-WebSocket-Extensions"), [factory])
    except InvalidHandshake as exc:
        _refuse(exc)
        return
    response = handshake.build_response(
        key, subprotocol=chosen, extensions_header=granted, server="x", date=DATE
    )
    read_back = ResponseReader(*UNLIMITED, 1 << 20).feed(response.serialize())
    assert read_back == response
    handshake.check_response(read_back, key)
    assert handshake.confirm_subprotocol(read_back.headers, offered) == chosen
    assert len(agreed) <= 1


def _refuse(error: InvalidHandshake | str) -> None:
    exc = NegotiationError(error) if isinstance(error, str) else error
    response = handshake.refusal_for(exc, date=DATE)
    read_back = ResponseReader(*UNLIMITED, 1 << 20).feed(response.serialize())
    assert read_back == response, "a refusal that cannot be read"
    assert read_back.status_code == exc.status
    assert len(read_back.body) < 1_000, "a refusal that echoes what it refuses"
    assert read_back.body.decode().replace("\n", "").isprintable()
