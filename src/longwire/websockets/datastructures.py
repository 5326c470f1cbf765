"""HTTP headers as a mapping: longwire's, with values in ISO-8859-1.

That is what the documents say of a value's bytes from edition 17 on, and so it is for
today's connections and the sans-I/O classes. In former editions a value's bytes come as
ASCII with surrogate escapes and go out in UTF-8: ``OldHeaders``.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidHeaderValue
from ..escaping import excerpt
from ..http import headers as engine
from ..http.headers import MultipleValuesError

__all__ = ["Headers", "HeadersLike", "MultipleValuesError", "OldHeaders", "with_text"]

HeadersLike = engine.HeadersLike


class _NotLatin1(InvalidHeaderValue, ValueError):
    """A program sets a value that cannot be sent."""

    def __str__(self) -> str:
        return f"invalid value for header {excerpt(self.name)}: not ISO-8859-1"


class Headers(engine.Headers):
    __doc__ = engine.Headers.__doc__

    __slots__ = ()

    _received = "latin-1", "strict"
    """How the bytes of a value that is not ASCII are read."""

    @classmethod
    def received(cls, headers: engine.Headers) -> Headers:
        """Return headers that longwire has read as this class; they become of it."""
        fields = list(headers.raw_items())
        if not all(value.isascii() for _, value in fields):
            headers.clear()
            for name, value in fields:
                data = value.encode(errors="surrogateescape")
                headers.set_insecure(name, data.decode(*cls._received))
        return cls.made(headers)

    @classmethod
    def made(cls, headers: engine.Headers) -> Headers:
        """Return headers that longwire has made, to be sent; they become of this."""
        if isinstance(headers, cls):
            return headers
        headers.__class__ = cls
        assert isinstance(headers, Headers)
        return headers

    def __setitem__(self, key: str, value: str) -> None:
        if not isinstance(value, str):
            value = str(value)  # programs set numbers, a length for one
        elif not value.isascii():
            self._check(key, value)
        super().__setitem__(key, value)

    @staticmethod
    def _check(key: str, value: str) -> None:
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise _NotLatin1(key, value) from None

    def serialize(self) -> bytes:
        """Return the bytes on the wire, with the empty line that ends the fields."""
        try:
            return str(self).encode("latin-1")
        except UnicodeEncodeError:
            # What was set without a check, or is of a former edition.
            return super().serialize()


class OldHeaders(Headers):
    """Headers of a connection of former editions."""

    __slots__ = ()

    _received = "ascii", "surrogateescape"

    @staticmethod
    def _check(key: str, value: str) -> None:
        """UTF-8 can say everything."""

    def serialize(self) -> bytes:
        """Return the bytes on the wire, with the empty line that ends the fields."""
        return engine.Headers.serialize(self)


def with_text(given: Any) -> Any:
    """Return headers as a program gave them, with its numbers as text.

    What is no header otherwise is left for the engine to refuse.
    """
    if isinstance(given, Mapping) and not isinstance(given, engine.Headers):
        return {name: _text(value) for name, value in given.items()}
    if isinstance(given, (list, tuple)):
        return [
            (item[0], _text(item[1]))
            if isinstance(item, (list, tuple)) and len(item) == 2
            else item
            for item in given
        ]
    return given


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, numbers.Number) else value
