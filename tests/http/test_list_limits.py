"""Lists in a head: how many elements are read, over all the lines of a field."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from longwire import errors
from longwire.http import handshake
from longwire.http.extensions import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
    confirm,
    grant,
)
from longwire.http.fields import MAX_ELEMENTS, MAX_PARAMETERS
from longwire.http.headers import (
    Headers,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
)
from longwire.http.heads import Request, RequestReader, Response
from longwire.http.lines import content_length

pytestmark = pytest.mark.once

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def request(name: str, lines: list[str]) -> Request:
    headers = Headers(Host="x", Upgrade="websocket", Connection="Upgrade")
    headers["Sec-WebSocket-Key"] = KEY
    headers["Sec-WebSocket-Version"] = "13"
    headers.pop(name, None)
    for line in lines:
        headers[name] = line
    return Request("/", headers)


def response(name: str, lines: list[str]) -> Response:
    headers = Headers(Upgrade="websocket", Connection="Upgrade")
    headers["Sec-WebSocket-Accept"] = ACCEPT
    headers.pop(name, None)
    for line in lines:
        headers[name] = line
    return Response(101, "", headers)


def asked(name: str) -> Callable[[list[str]], object]:
    return lambda lines: handshake.check_request(request(name, lines))


def answered(name: str) -> Callable[[list[str]], object]:
    return lambda lines: handshake.check_response(response(name, lines), KEY)


def length(values: list[str]) -> object:
    return content_length(Headers([("Content-Length", value) for value in values]))


# What reads a list, and an element that it accepts among others.
READERS = {
    "parse_connection": (lambda lines: parse_connection(", ".join(lines)), "a"),
    "parse_upgrade": (lambda lines: parse_upgrade(", ".join(lines)), "a/1"),
    "parse_subprotocol": (lambda lines: parse_subprotocol(", ".join(lines)), "a"),
    "parse_extension": (lambda lines: parse_extension(", ".join(lines)), "a; b=1"),
    "Connection of a request": (asked("Connection"), "Upgrade"),
    "Upgrade of a request": (asked("Upgrade"), "websocket"),
    "Connection of a response": (answered("Connection"), "Upgrade"),
    "subprotocols offered": (
        lambda lines: handshake.offered_subprotocols(
            request("Sec-WebSocket-Protocol", lines).headers
        ),
        "chat",
    ),
    "extensions offered": (
        lambda lines: grant(lines, [ServerPerMessageDeflateFactory()]),
        "permessage-deflate",
    ),
}
ONLY_TOO_MANY = {
    "Upgrade of a response": (answered("Upgrade"), "websocket"),
    "subprotocol chosen": (
        lambda lines: handshake.confirm_subprotocol(
            response("Sec-WebSocket-Protocol", lines).headers, ["chat"]
        ),
        "chat",
    ),
    "extensions granted": (
        lambda lines: confirm(lines, [ClientPerMessageDeflateFactory()]),
        "permessage-deflate",
    ),
}


def in_lines(elements: list[str], count: int) -> list[str]:
    """Return ``elements`` in ``count`` lines."""
    size = -(-len(elements) // count)
    return [", ".join(elements[at : at + size]) for at in range(0, len(elements), size)]


@pytest.mark.parametrize("lines", [1, 2, 64])
@pytest.mark.parametrize("name", READERS)
def test_as_many_elements_as_the_limit_are_read(name, lines):
    read, element = READERS[name]

    read(in_lines([element] * MAX_ELEMENTS, lines))


@pytest.mark.parametrize("count", [MAX_ELEMENTS + 1, 3000])
@pytest.mark.parametrize("lines", [1, 2, 64])
@pytest.mark.parametrize("name", READERS | ONLY_TOO_MANY)
def test_one_element_more_is_refused_however_many_lines_it_takes(name, lines, count):
    read, element = (READERS | ONLY_TOO_MANY)[name]

    with pytest.raises(errors.InvalidHeaderFormat, match="more than 64 elements at"):
        read(in_lines([element] * count, lines))


@pytest.mark.parametrize("name", READERS)
def test_empty_elements_are_ignored_up_to_as_many(name):
    read, element = READERS[name]

    read([element + "," * (MAX_ELEMENTS + 1)])
    with pytest.raises(errors.InvalidHeaderFormat, match="more than 64 empty elements"):
        read([element + "," * 3000])


@pytest.mark.parametrize("lines", [1, 2, 64])
def test_a_length_may_be_repeated_as_often(lines):
    assert length(in_lines(["5"] * MAX_ELEMENTS, lines)) == 5
    with pytest.raises(errors.InvalidHeader, match="more than 64 elements"):
        length(in_lines(["5"] * (MAX_ELEMENTS + 1), lines))


@pytest.mark.parametrize("element", [0, 1, 63])
def test_an_extension_has_at_most_sixteen_parameters(element):
    few = ["x; a=1"] * 64
    few[element] = "x" + "; a=1" * MAX_PARAMETERS
    many = few.copy()
    many[element] += "; a=1"

    assert len(parse_extension(", ".join(few))) == MAX_ELEMENTS
    with pytest.raises(errors.InvalidHeaderFormat, match="more than 16 parameters at"):
        parse_extension(", ".join(many))


@pytest.mark.parametrize(
    "value",
    ["a," * 8000, "," * 16000, "a;" + "b;" * 8000, 'a; b="' + "\\" * 8000, " " * 16000],
    ids=["elements", "empty", "parameters", "escapes", "spaces"],
)
@pytest.mark.parametrize(
    "parse", [parse_connection, parse_upgrade, parse_subprotocol, parse_extension]
)
def test_what_is_refused_is_not_read_further(parse, value, monkeypatch):
    # Counted, not timed: one call for each part that is looked at.
    from longwire.http import fields

    calls = 0
    skip = fields._skip

    def counting(text: str, pos: int) -> int:
        nonlocal calls
        calls += 1
        return skip(text, pos)

    monkeypatch.setattr(fields, "_skip", counting)
    with contextlib.suppress(errors.InvalidHeaderFormat):
        parse(value)

    assert calls < 4 * (MAX_ELEMENTS + MAX_PARAMETERS)


@pytest.mark.parametrize(
    "name",
    ["Connection", "Upgrade", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"],
)
def test_a_head_of_one_long_list_is_answered_in_a_few_words(name):
    head = f"GET / HTTP/1.1\r\nHost: x\r\n{name}: " + "a," * 4000 + "\r\n\r\n"
    read = RequestReader(8192, 128, 16384).feed(head.encode())
    parse = {
        "Sec-WebSocket-Extensions": lambda: grant(read.headers.get_all(name), []),
        "Sec-WebSocket-Protocol": lambda: handshake.offered_subprotocols(read.headers),
    }.get(
        name, lambda: handshake._check_upgrade(read.headers._by_name(), exactly=False)
    )

    with pytest.raises(errors.InvalidHandshake) as caught:
        if name == "Connection":
            read.headers["Upgrade"] = "websocket"
        parse()

    answer = handshake.refusal_for(caught.value)
    assert answer.status_code == 400
    assert len(answer.body) < 400
