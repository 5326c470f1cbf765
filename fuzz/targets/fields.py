"""Fields: any text as the value of a header, through every parser.

A parser returns values that its builder writes back, or raises InvalidHeaderFormat or
InvalidHeaderValue that names the field. What it returns is made of tokens. Nothing else
is raised, whatever the characters.
"""

from __future__ import annotations

import re
from typing import Any

from fuzz.choices import Choices
from longwire.errors import InvalidHeader, InvalidURI
from longwire.http import fields
from longwire.http.headers import Headers
from longwire.http.uri import parse_uri


def check(data: bytes) -> list[Any]:
    """Decisions: the parser; the rest is the value."""
    choices = Choices(data)
    parse = choices.pick(PARSERS)
    # As the readers decode a value: what is no UTF-8 comes as surrogates.
    text = choices.rest().decode(errors="surrogateescape")
    try:
        return [repr(parse(text))]
    except InvalidHeader as exc:
        assert exc.name and str(exc)
        return [type(exc).__name__, str(exc)]


def connection(text: str) -> Any:
    """Connection: a list of tokens."""
    found = fields.parse_connection(text)
    assert all(map(fields.is_token, found))
    assert fields.parse_connection(", ".join(found)) == found
    assert found == _split(text)
    return found


def upgrade(text: str) -> Any:
    """Upgrade: a list of names, with versions."""
    found = fields.parse_upgrade(text)
    assert all(fields.is_token(part) for item in found for part in item.split("/"))
    assert fields.parse_upgrade(", ".join(found)) == found
    assert found == _split(text)
    return found


def subprotocol(text: str) -> Any:
    """Sec-WebSocket-Protocol: a list of tokens that can be offered."""
    found = fields.parse_subprotocol(text)
    fields.validate_subprotocols(found)
    assert fields.parse_subprotocol(fields.build_subprotocol(found)) == found
    return found


def extension(text: str) -> Any:
    """Sec-WebSocket-Extensions: names with parameters."""
    found = fields.parse_extension(text)
    for name, parameters in found:
        assert fields.is_token(name)
        for key, value in parameters:
            assert fields.is_token(key) and (value is None or fields.is_token(value))
    assert fields.parse_extension(fields.build_extension(found)) == found
    return found


def authorization(text: str) -> Any:
    """Authorization: Basic credentials."""
    username, password = fields.parse_authorization_basic(text)
    assert ":" not in username
    built = fields.build_authorization_basic(username, password)
    assert fields.parse_authorization_basic(built) == (username, password)
    return username, password


def host(text: str) -> Any:
    """Host: what is valid makes a URI that has it."""
    valid = fields.is_valid_host(text)
    if valid:
        assert not re.search(r"[\s/?#@\\]", text)
    return valid


def header(text: str) -> Any:
    """Any field: what a program may set comes back as one field, or is refused."""
    headers = Headers()
    try:
        headers["X-Name"] = text
    except ValueError:
        assert re.search("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", text)
        return None
    wire = headers.serialize()
    assert wire.count(b"\r") == wire.count(b"\n") == 2
    return wire


def uri(text: str) -> Any:
    """A URI, though it is no field: what a redirect names is as foreign as one."""
    try:
        found = parse_uri(text)
    except InvalidURI as exc:
        return str(exc)
    assert found.host and 0 <= found.port <= 65535
    assert found.resource_name.startswith("/")
    assert not re.search(r"[\s#]", found.resource_name)
    return found


def _split(text: str) -> list[str]:
    """Return the elements of a list that has no quotes."""
    return [item for part in text.split(",") if (item := part.strip(" \t"))]


PARSERS = (
    *(extension, connection, upgrade, subprotocol, authorization, host, header, uri),
)
