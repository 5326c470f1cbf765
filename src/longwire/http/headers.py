"""Headers: the fields of a message, and (from ``fields``) how to read their values.

A field's name is compared without case and may come more than once, with its values
kept apart. Values are text: UTF-8 where they are, with other bytes as surrogate
escapes, so that every value goes out as the bytes it came in.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from ..errors import InvalidHeaderValue
from ..escaping import excerpt, quote
from .fields import (
    ExtensionHeader,
    ExtensionParameter,
    build_authorization_basic,
    build_extension,
    build_host,
    build_subprotocol,
    build_www_authenticate_basic,
    is_token,
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

    __slots__ = ("_fields", "_packed", "_values")

    # What pack() leaves: the fields as bytes, and, from the first look on, what they
    # were unpacked to.
    _packed: list[Any]

    def __init__(self, *args: HeadersLike, **kwargs: str) -> None:
        self._values: dict[str, list[str]] = {}
        self._fields: list[tuple[str, str]] = []
        self.update(*args, **kwargs)

    def pack(self) -> None:
        """Take less memory until the next look: 0.4 KiB instead of 2."""
        # Bytes, since one character above U+FFFF makes a str four times as large.
        self._packed = [str(self).encode(errors="surrogatepass")]
        # A thread that looks now finds either these or what is packed.
        del self._fields, self._values

    def __getattr__(self, name: str) -> Any:
        # Called for what pack() has deleted.
        if name not in ("_fields", "_values"):
            raise AttributeError(name)
        try:
            packed = self._packed
        except AttributeError:
            # Another thread has unpacked meanwhile: what it made is there already.
            return object.__getattribute__(self, name)
        # Many threads may be here. list.append() is atomic, so all of them publish what
        # the first one made, and nobody sees a field that is not filled yet.
        packed.append(_unpack(packed[0]))
        self._values, self._fields = packed[1]
        with contextlib.suppress(AttributeError):
            del self._packed
        return object.__getattribute__(self, name)

    def __str__(self) -> str:
        lines = [f"{name}: {value}\r\n" for name, value in self._fields]
        return "".join(lines) + "\r\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._fields!r})"

    def copy(self) -> Headers:
        """Return another Headers with the same fields."""
        copy = type(self)()
        copy._values = {name: values.copy() for name, values in self._values.items()}
        copy._fields = self._fields.copy()
        return copy

    def serialize(self) -> bytes:
        """Return the bytes on the wire, with the empty line that ends the fields."""
        return str(self).encode(errors="surrogateescape")

    # --- the mapping -------------------------------------------------------------

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: str) -> str:
        values = self._values[key.lower()]
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
        self._values.setdefault(key.lower(), []).append(value)
        self._fields.append((key, value))

    def __delitem__(self, key: str) -> None:
        name = key.lower()
        del self._values[name]
        # In place: another thread may be about to publish this same list.
        self._fields[:] = [f for f in self._fields if f[0].lower() != name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def clear(self) -> None:
        """Remove all fields."""
        self._values.clear()
        self._fields.clear()

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
                pairs = source
            for name, value in list(pairs):
                self[name] = value
        for name, value in kwargs.items():
            self[name] = value

    # --- more than one value -----------------------------------------------------

    def get_all(self, key: str) -> list[str]:
        """Return the list of all values of a field; an empty one if it is missing."""
        return self._values.get(key.lower(), []).copy()

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Iterate over all (name, value) pairs as written, in order.

        Changes made meanwhile are not seen.
        """
        return iter(self._fields.copy())


def _unpack(packed: bytes) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """Return the values by name, and the fields, of what ``pack()`` made."""
    values: dict[str, list[str]] = {}
    fields: list[tuple[str, str]] = []
    for line in packed.decode(errors="surrogatepass").split("\r\n")[:-2]:
        name, value = line.split(": ", 1)
        values.setdefault(name.lower(), []).append(value)
        fields.append((name, value))
    return values, fields


HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]]
