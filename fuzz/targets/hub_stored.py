"""Hub stored: any bytes where a broker, a token or a client is expected to be sane.

What a broker stored is read or is unreadable, in either codec; a token is refused; a
position, a name, a URL and a message of the feed are what they say or are refused. No
other error, and nothing that a terminal or a log would obey in what is said of them.
"""

from __future__ import annotations

from typing import Any

from fuzz.choices import Choices
from longwire.hub.entries import MAX_POSITION, Position
from longwire.hub.errors import HubError, TokenExpired
from longwire.hub.payloads import (
    Payload,
    Unreadable,
    encode_value,
    key_of,
    pack,
    unpack,
)
from longwire.hub.tokens import Tokens
from longwire.hub.topics import MAX_NAME, check_name
from longwire.rpc.codecs import Json, MessagePack
from longwire.rpc.errors import NotAuthorised

CODECS = (Json(), MessagePack())
TOKENS = Tokens("0123456789abcdef0123456789abcdef")
NOW = 1_800_000_000.0


def check(data: bytes) -> list[Any]:
    """Decisions: the reader; the rest is what it reads."""
    choices = Choices(data)
    return [choices.pick(READERS)(choices.rest())]


def stored(data: bytes) -> Any:
    """What a broker has as a message."""
    key = key_of(data)
    try:
        payload = unpack(data)
    except Unreadable as exc:
        assert str(exc).isprintable() and key is None
        return str(exc)
    assert payload.key == key
    found = []
    for codec in CODECS:
        try:
            found.append(payload.data_in(codec))
        except Unreadable as exc:
            assert str(exc).isprintable()
            found.append(b"")
    assert unpack(pack(payload)) == payload
    return found


def value(data: bytes) -> Any:
    """What a client publishes: whatever is taken, both codecs can write."""
    for codec in CODECS:
        try:
            given = codec.decode(data)
        except Exception:  # not ours: the layer of calls refuses it
            continue
        try:
            payload = Payload(*encode_value(given, 1 << 16))
        except (TypeError, ValueError, HubError) as exc:
            return str(exc)
        assert unpack(pack(payload)) == payload
        for other in CODECS:
            other.decode(payload.data_in(other))
        return payload
    return None


def token(data: bytes) -> Any:
    """A token: nobody can make one without the secret."""
    text = data.decode(errors="surrogateescape")
    for guess in (text, f"eyJhbGciOiJub25lIn0.{text}", f"{text}."):
        try:
            TOKENS.check(guess, NOW)
        except (NotAuthorised, TokenExpired) as exc:
            assert exc.message.isprintable()
        else:
            raise AssertionError("a token was forged")
    return None


def position(data: bytes) -> Any:
    """A position: one text for each."""
    text = data.decode(errors="surrogateescape")
    try:
        found = Position.parse(text)
    except ValueError as exc:
        assert str(exc).isprintable()
        return None
    assert str(found) == text and len(text) <= MAX_POSITION
    return found


def name(data: bytes) -> Any:
    """A topic's name: printable, of limited size, and encoded as it is."""
    text = data.decode(errors="surrogateescape")
    try:
        check_name(text)
    except HubError as exc:
        assert exc.message.isprintable()
        return exc.message
    assert text.isprintable() and len(text.encode()) <= MAX_NAME
    assert not set(text) & set(" {}") and text[0] != "$"
    return text


def feed(data: bytes) -> Any:
    """A message of Redis's feed."""
    from longwire.hub.redis.feed import parse_message

    try:
        return parse_message(data)
    except ValueError:
        return None


def url(data: bytes) -> Any:
    """A URL of Redis."""
    from longwire.hub.redis.addresses import parse_url

    text = data.decode(errors="surrogateescape")
    try:
        found = parse_url(text)
    except ValueError:
        return None
    assert all(address.host and 0 < address.port < 65536 for address in found.addresses)
    return found.addresses


READERS = (stored, value, token, position, name, feed, url)
