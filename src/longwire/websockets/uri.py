"""WebSocket URIs, in the shapes that all editions of the documents give them.

First a named tuple ``(secure, host, port, resource_name)``, today a dataclass: the one
class here can be unpacked, indexed and compared like the first and read like the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ..http import uri as _uri
from .aliases import give_aliases

__all__ = ["WebSocketURI", "parse_uri"]

_Parts = tuple[bool, str, int, str]


@dataclasses.dataclass(eq=False)
class WebSocketURI(_uri.WebSocketURI):
    """A WebSocket URI in its parts; also a tuple of four.

    Iterating, indexing and ``len()`` go over ``secure``, ``host``, ``port`` and
    ``resource_name``; a tuple of these four is equal to it.
    """

    query: str = ""

    def _parts(self) -> _Parts:
        return (self.secure, self.host, self.port, self.resource_name)

    def __iter__(self) -> Iterator[bool | str | int]:
        return iter(self._parts())

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> bool | str | int:
        return self._parts()[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, tuple):
            return self._parts() == other
        if isinstance(other, _uri.WebSocketURI):
            return dataclasses.astuple(self) == dataclasses.astuple(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


def parse_uri(uri: str) -> WebSocketURI:
    """Return the parts of a ``ws://`` or ``wss://`` URI; raise InvalidURI."""
    return WebSocketURI(*dataclasses.astuple(_uri.parse_uri(uri)))


give_aliases(globals())
