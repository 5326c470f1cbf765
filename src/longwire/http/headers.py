"""Headers: the fields of a message, and (from ``fields``) how to read their values.

A field's name is compared without case and may come more than once, with its values
kept apart. Values are text: UTF-8 where they are, with other bytes as surrogate
escapes, so that every value goes out as the bytes it came in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping

from ..errors import InvalidHeaderValue
from ..escaping import excerpt, quote
from ..once import MAKING
from .fields import (
    ExtensionHeader,
    ExtensionParameter,
    build_authorization_basic,
    build_extension,
    build_host,
    build_subprotocol,
    build_www_authenticate_basic,
    is_token,
    lower,
    parse_authorization_basic,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
    validate_subprotocols,
)

__all__ = [
    "ExtensionHeader",
    "ExtensionParameter",
    "Headers",
    "HeadersLike",
    "MultipleValuesError",
    "UnsafeHeader",
    "build_authorization_basic",
    "build_extension",
    "build_host",
    "build_subprotocol",
    "build_www_authenticate_basic",
    "parse_authorization_basic",
    "parse_connection",
    "parse_extension",
    "parse_subprotocol",
    "parse_upgrade",
    "validate_subprotocols",
]

# RFC 9110 section 5.5: of the controls only HTAB may be in a value. CR, LF and NUL
# would let whoever chooses a value write fields, or messages, of their own.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


# The fields as written, in order; the values of each name, in lower case.
_Unpacked = tuple[list[tuple[str, str]], dict[str, list[str]]]
_LINE_BREAK = re.compile(r"[\r\n\0]")


class MultipleValuesError(LookupError):
    """A field that was asked for its one value has several; see ``get_all``."""


class UnsafeHeader(InvalidHeaderValue, ValueError):
    """A program sets a header that would be more than one on the wire.

    A ValueError, for that is what it is; an InvalidHeaderValue, for that is what the
    documented API raises.
    """

    def __str__(self) -> str:
        return f"invalid value for header {excerpt(self.name)}: control character"


class Headers(MutableMapping[str, str]):
    """The header fields of a request or response.

    A mapping from names, whose case does not matter, to values. A field may come
    several times, which makes it differ from a dict:

    * ``headers[name] = value`` **adds** a value; to replace, ``del headers[name]``
      first;
    * ``headers[name]`` raises :exc:`MultipleValuesError` when there are several;
      ``get_all(name)`` returns all of them;
    * iterating, ``keys()`` and ``items()`` go over distinct names in lower case;
      ``raw_items()`` over every field as it was written, in order.

    Made like a dict: from a mapping, pairs, keywords or another ``Headers``. A name
    that is not a token raises ValueError; so does a value with control characters,
    CR, LF and NUL among them (:exc:`UnsafeHeader`).
    """

    # One slot, so that a thread finds all of it or what was there before: the fields in
    # order and their values by name, or, after pack(), the bytes that they come from.
    __slots__ = ("_state",)

    _state: _Unpacked | bytes

    def __init__(self, *args: HeadersLike, **kwargs: str) -> None:
        self._state = [], {}
        self.update(*args, **kwargs)

    @classmethod
    def parse(cls, block: bytes | bytearray | memoryview) -> Headers:
        """Return the fields of a head: lines that were checked, each with its end."""
        fields: list[tuple[str, str]] = []
        values: dict[str, list[str]] = {}
        for line in str(block, "utf-8", "surrogateescape").split("\r\n")[:-1]:
            name, _, value = line.partition(":")
            value = value.strip(" \t")
            fields.append((name, value))
            values.setdefault(name.lower(), []).append(value)  # a token, so ASCII
        headers = cls.__new__(cls)
        headers._state = fields, values
        return headers

    @classmethod
    def _made(cls, fields: list[tuple[str, str]]) -> Headers:
        """Return fields that are known to be fine, each name of which comes once."""
        headers = cls.__new__(cls)
        headers._state = fields, {name.lower(): [value] for name, value in fields}
        return headers

    def pack(self) -> None:
        """Take less memory from now on: about as much as on the wire.

        What only looks afterwards unpacks for itself and keeps nothing, so that a look
        at one field does not bring the memory back. Bytes, because one character above
        U+FFFF makes a str four times as large.
        """
        try:
            self._state = self._text().encode(errors="surrogatepass")
        except UnsafeHeader:
            pass  # never sent, and cannot be told apart

    def _by_name(self) -> Mapping[str, list[str]]:
        """Return the values of each name, in lower case; they are only to look at."""
        return self._look()[1]

    def _look(self) -> _Unpacked:
        """Return fields and values, not to be changed."""
        state = self._state
        return _unpack(state) if isinstance(state, bytes) else state

    def _change(self) -> _Unpacked:
        """Return fields and values, to be changed."""
        with MAKING:
            if isinstance(self._state, bytes):
                self._state = _unpack(self._state)
            return self._state

    def __str__(self) -> str:
        lines = (f"{name}: {value}" for name, value in self._look()[0])
        return "\r\n".join([*lines, "", ""])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._look()[0]!r})"

    def copy(self) -> Headers:
        """Return another Headers with the same fields."""
        copy = type(self).__new__(type(self))
        fields, values = self._look()
        own = {name: found.copy() for name, found in values.items()}
        copy._state = fields.copy(), own
        return copy

    def serialize(self) -> bytes:
        """Return the bytes on the wire, with the empty line that ends the fields.

        Raises UnsafeHeader for a field that would be more than one there: this is the
        last place to notice what ``set_insecure()`` was given.
        """
        return self._text().encode(errors="surrogateescape")

    def _text(self) -> str:
        fields = self._look()[0]
        lines = [f"{name}: {value}" for name, value in fields]
        together = "".join(lines)
        if "\n" in together or "\r" in together or "\0" in together:
            unsafe = (x for x in fields if _LINE_BREAK.search("".join(x)) is not None)
            raise UnsafeHeader(*next(unsafe))
        return "\r\n".join([*lines, "", ""])

    # --- the mapping -------------------------------------------------------------

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and lower(key) in self._look()[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._look()[1])

    def __len__(self) -> int:
        return len(self._look()[1])

    def __getitem__(self, key: str) -> str:
        values = self._look()[1][lower(key)]
        if len(values) > 1:
            raise MultipleValuesError(key)
        return values[0]

    def __setitem__(self, key: str, value: str) -> None:
        if not isinstance(key, str) or not isinstance(value, str):
            kinds = f"{type(key).__name__} and {type(value).__name__}"
            raise TypeError(f"a header's name and value must be str, not {kinds}")
        if not is_token(key):
            raise ValueError(f"invalid header name: {quote(key)}; a token is needed")
        if _CONTROL.search(value) is not None:
            raise UnsafeHeader(key, value)
        if not value.isascii():
            value.encode(errors="surrogateescape")  # raises a kind of ValueError
        self.set_insecure(key, value)

    def set_insecure(self, key: str, value: str) -> None:
        """Add a field without any check: ``value`` must be known to be harmless."""
        state = self._state
        fields, values = self._change() if isinstance(state, bytes) else state
        values.setdefault(lower(key), []).append(value)
        fields.append((key, value))

    def __delitem__(self, key: str) -> None:
        name = lower(key)
        fields, values = self._change()
        del values[name]
        fields[:] = [field for field in fields if lower(field[0]) != name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._look()[1] == other._look()[1]

    __hash__ = None  # type: ignore[assignment]

    def clear(self) -> None:
        """Remove all fields."""
        self._state = [], {}

    def update(self, *args: HeadersLike, **kwargs: str) -> None:  # type: ignore[override]
        """Add all fields of a mapping, of pairs or of another Headers, and keywords.

        Fields that are there already stay.
        """
        if len(args) > 1:
            raise TypeError(f"update() takes at most 1 argument, not {len(args)}")
        for source in args:
            pairs: Iterable[tuple[str, str]]
            if isinstance(source, Headers):
                pairs = source.raw_items()
            elif isinstance(source, Mapping):
                pairs = source.items()
            else:
                pairs = _pairs(source)
            for name, value in list(pairs):
                self[name] = value
        for name, value in kwargs.items():
            self[name] = value

    # --- more than one value -----------------------------------------------------

    def get_all(self, key: str) -> list[str]:
        """Return the list of all values of a field; an empty one if it is missing."""
        return self._look()[1].get(lower(key), []).copy()

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Iterate over all (name, value) pairs as written, in order.

        Changes made meanwhile are not seen.
        """
        return iter(self._look()[0].copy())


def _pairs(source: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return ``source`` as a list, or raise TypeError and say what to write."""
    found: list[object] = []
    if isinstance(source, (str, bytes)) or not isinstance(source, Iterable):
        found = [source]
    else:
        found.extend(source)
    for each in found:
        if not isinstance(each, (tuple, list)) or len(each) != 2:
            kind = type(each).__name__
            where = "" if found == [source] else " in a list"
            raise TypeError(
                f"headers must be a mapping, or pairs of a name and a value, not {kind}"
                f"{where}{_as_mapping(each)}"
            )
    return found  # type: ignore[return-value]


def _as_mapping(line: object) -> str:
    """Return how to write the line of a header; without its value: it may be secret."""
    text = line.decode(errors="replace") if isinstance(line, bytes) else line
    name = text.partition(":")[0] if isinstance(text, str) else ""
    return f": write {{{name!r}: ...}}" if is_token(name) else ""


def _unpack(packed: bytes) -> _Unpacked:
    """Return the fields of what ``pack()`` made, and the values by name."""
    fields: list[tuple[str, str]] = []
    values: dict[str, list[str]] = {}
    for line in packed.decode(errors="surrogatepass").split("\r\n")[:-2]:
        name, _, value = line.partition(": ")
        values.setdefault(lower(name), []).append(value)
        fields.append((name, value))
    return fields, values


HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]]
