"""Payloads: what a broker stores of one message, opaque to it.

One byte says how the value is written and whether a head stands before it::

    j JSON            m MessagePack            the value alone
    J                 M                        2 bytes of length, the head, the value

The head is a JSON object: ``from`` (the user who published), ``headers`` (texts) and
``key`` (of the topics that keep the latest). Nothing is ever unpickled, and what is
stored is read as if a stranger had written it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ..rpc.codecs import Codec, Json, MessagePack
from .errors import TooLarge

__all__ = [
    "JSON",
    "MAX_DEPTH",
    "MSGPACK",
    "UNREADABLE",
    "Payload",
    "Unreadable",
    "check_headers",
    "encode_value",
    "key_of",
    "pack",
    "unpack",
]

MAX_DEPTH = 64
"""Lists and dicts that a value may have inside of each other."""

JSON = Json()
MSGPACK = MessagePack()

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError, OverflowError)
"""What decoding raises for bytes that are not what they should be."""

_BYTES = (bytes, bytearray, memoryview)
_MAX_HEAD = 0xFFFF


class Unreadable(ValueError):
    """What a broker stored is no payload of ours, or cannot be written another way."""


class Payload(NamedTuple):
    """A message taken apart."""

    codec: str
    """``"json"`` or ``"msgpack"``: how ``data`` is written."""
    data: bytes
    sender: str | None = None
    headers: dict[str, str] | None = None
    key: str | None = None

    def data_in(self, codec: Codec) -> bytes:
        """Return the value as ``codec`` writes it; raises Unreadable if it cannot."""
        if codec.name == self.codec:
            return self.data
        try:
            source = JSON if self.codec == "json" else MSGPACK
            return codec.encode(source.decode(self.data))
        except Exception as exc:
            # Whatever it is, one bad entry must not stop those after it.
            kind = type(exc).__name__
            raise Unreadable(f"cannot be written as {codec.name}: {kind}") from None


class _Head(msgspec.Struct, omit_defaults=True):
    sender: str | None = msgspec.field(default=None, name="from")
    headers: dict[str, str] | None = None
    key: str | None = None


_read_head = msgspec.json.Decoder(_Head).decode


# --- values ----------------------------------------------------------------------


def encode_value(value: Any, max_size: int | None = None) -> tuple[str, bytes]:
    """Return the codec's name and the bytes of a value that clients can read.

    JSON, unless it has bytes in it, which JSON has not. Raises TypeError for values
    that cannot be written, ValueError for those that not every client could read:
    integers beyond 64 bits, keys that are no texts, more than ``MAX_DEPTH`` levels;
    TooLarge for more than ``max_size`` bytes.
    """
    plain, has_bytes = value, False
    if type(value) is not str:
        if type(value) not in _PLAIN:
            plain = msgspec.to_builtins(value, builtin_types=_BYTES, str_keys=True)
        has_bytes = _look_through(plain)
    codec: Codec = MSGPACK if has_bytes else JSON
    try:
        data = codec.encode(plain)
    except UnicodeEncodeError:
        raise ValueError(
            "data has half of a surrogate pair, which is no text"
        ) from None
    if max_size is not None and len(data) > max_size:
        raise TooLarge(f"data of {len(data)} bytes; {max_size} are allowed")
    return codec.name, data


_PLAIN = frozenset({bool, bytes, float, int, str, type(None)})
_PARTS = _PLAIN | {bytearray, dict, list, memoryview, tuple}


def _look_through(value: Any) -> bool:
    """Return whether there are bytes in ``value``; raise for what is not allowed."""
    has_bytes = False
    level: list[Any] = [value]
    depth = 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"data is nested deeper than {MAX_DEPTH} levels")
        depth += 1
        inner: list[Any] = []
        for part in level:
            kind = type(part)
            if kind is str or kind is float:
                continue
            if kind is dict:
                for key in part:
                    if type(key) is not str:
                        found = type(key).__name__
                        raise ValueError(f"keys in data must be str, not {found}")
                inner.extend(part.values())
            elif kind is list or kind is tuple:
                inner.extend(part)
            elif kind is int:
                if not -(1 << 63) <= part < 1 << 64:
                    raise ValueError("data has an integer beyond 64 bits")
            elif kind in _BYTES:
                has_bytes = True
            elif kind not in _PARTS:
                raise TypeError(f"data cannot have values of type {kind.__name__}")
        level = inner
    return has_bytes


def check_headers(headers: Mapping[str, str] | None, max_size: int | None) -> None:
    """Raise TypeError or TooLarge for headers that cannot be sent."""
    if headers is None:
        return
    if not isinstance(headers, Mapping):
        kind = type(headers).__name__
        raise TypeError(f"headers must be a mapping of str to str, not {kind}")
    size = 0
    for name, text in headers.items():
        if not (isinstance(name, str) and isinstance(text, str)):
            raise TypeError("headers must be a mapping of str to str")
        size += len(name.encode()) + len(text.encode())
    if max_size is not None and size > max_size:
        raise TooLarge(f"headers of {size} bytes; {max_size} are allowed")


# --- what is stored --------------------------------------------------------------


def pack(payload: Payload) -> bytes:
    """Return what a broker is to store."""
    if payload.sender is None and not payload.headers and payload.key is None:
        return _MARKS[payload.codec] + payload.data
    head = msgspec.json.encode(
        _Head(payload.sender, payload.headers or None, payload.key)
    )
    if len(head) > _MAX_HEAD:
        raise TooLarge(f"a head of {len(head)} bytes; {_MAX_HEAD} are allowed")
    return b"%b%b%b%b" % (
        _MARKS[payload.codec].upper(),
        len(head).to_bytes(2),
        head,
        payload.data,
    )


_MARKS = {"json": b"j", "msgpack": b"m"}
_CODECS = {ord("j"): "json", ord("m"): "msgpack"}
_CODECS_WITH_HEAD = {ord("J"): "json", ord("M"): "msgpack"}


def unpack(stored: bytes) -> Payload:
    """Return the message that a broker stored; raises Unreadable for anything else."""
    mark = stored[0] if stored else 0
    codec = _CODECS.get(mark)
    if codec is not None and len(stored) > 1:
        return Payload(codec, stored[1:])
    codec = _CODECS_WITH_HEAD.get(mark)
    end = 3 + int.from_bytes(stored[1:3])
    if codec is None or len(stored) <= end:
        raise Unreadable("not a message of longwire.hub")
    try:
        head = _read_head(stored[3:end])
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise Unreadable("the head of the message cannot be read") from None
    return Payload(codec, stored[end:], head.sender, head.headers, head.key)


def key_of(stored: bytes) -> str | None:
    """Return the key of a message, None if it has none or cannot be read."""
    if not stored or stored[0] not in _CODECS_WITH_HEAD:
        return None
    try:
        return unpack(stored).key
    except Unreadable:
        return None


MAX_KEY = 128
"""Most characters of a key."""


def check_key(key: object, latest: bool) -> None:
    """Raise TypeError or ValueError for what cannot be the key of a message."""
    if not isinstance(key, str):
        raise TypeError(f"key must be str, not {type(key).__name__}")
    if not latest:
        raise ValueError("key is for topics that keep the latest: latest=True")
    if not 1 <= len(key) <= MAX_KEY:
        raise ValueError(f"a key of {len(key)} characters; 1 to {MAX_KEY} are allowed")
