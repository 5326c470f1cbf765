"""Codecs: values to bytes and back, as JSON or MessagePack, by ``msgspec``.

A value that is not needed yet stays ``msgspec.Raw``: the part of a frame it is written
in. Decoders are made once for each type and kept.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import msgspec

__all__ = ["ABSENT", "Codec", "Json", "MessagePack"]

ABSENT = msgspec.Raw(b"")
"""Stands for a value that is not there; null is one that is."""

Hook = Callable[..., Any]


class Codec(abc.ABC):
    """One way to write values.

    ``enc_hook(value)`` returns something that can be written for a value that cannot;
    ``dec_hook(type, value)`` makes it from that again.
    """

    name: str
    is_text: bool

    def __init__(self, encoder: Any, make_decoder: Callable[..., Any]) -> None:
        self.encode: Callable[[Any], bytes] = encoder.encode
        self._make_decoder = make_decoder
        self._decoders: dict[Any, Callable[[Any], Any]] = {}
        self.decode: Callable[[Any], Any] = make_decoder(Any).decode
        self.decode_array = self.decoder(list[msgspec.Raw])
        self.decode_object = self.decoder(dict[str, msgspec.Raw])

    def decoder(self, kind: Any) -> Callable[[Any], Any]:
        """Return the function that reads a value of type ``kind``.

        It raises msgspec.ValidationError for another type.
        """
        try:
            found = self._decoders.get(kind)
        except TypeError:  # Annotated[...] with something that has no hash
            return self._make_decoder(kind).decode  # type: ignore[no-any-return]
        if found is None:
            found = self._decoders[kind] = self._make_decoder(kind).decode
        return found

    @abc.abstractmethod
    def shape(self, raw: msgspec.Raw) -> str:
        """Return whether ``raw`` is ``"array"``, ``"object"``, ``"null"`` or other."""

    @abc.abstractmethod
    def array(self, parts: list[bytes]) -> bytes:
        """Return the array of values that are written already."""


class Json(Codec):
    """JSON in Text frames. bytes are written as base64, NaN and infinity as null."""

    name = "json"
    is_text = True

    def __init__(
        self, enc_hook: Hook | None = None, dec_hook: Hook | None = None
    ) -> None:
        super().__init__(
            msgspec.json.Encoder(enc_hook=enc_hook),
            lambda kind: msgspec.json.Decoder(kind, dec_hook=dec_hook),
        )

    def shape(self, raw: msgspec.Raw) -> str:
        """Return what kind of value ``raw`` is."""
        return _JSON_SHAPES.get(memoryview(raw)[0], "other")

    def array(self, parts: list[bytes]) -> bytes:
        """Return the JSON array of ``parts``."""
        return b"[" + b",".join(parts) + b"]"


class MessagePack(Codec):
    """MessagePack in Binary frames."""

    name = "msgpack"
    is_text = False

    def __init__(
        self, enc_hook: Hook | None = None, dec_hook: Hook | None = None
    ) -> None:
        super().__init__(
            msgspec.msgpack.Encoder(enc_hook=enc_hook),
            lambda kind: msgspec.msgpack.Decoder(kind, dec_hook=dec_hook),
        )

    def shape(self, raw: msgspec.Raw) -> str:
        """Return what kind of value ``raw`` is."""
        byte = memoryview(raw)[0]
        if 0x90 <= byte <= 0x9F or byte in (0xDC, 0xDD):
            return "array"
        if 0x80 <= byte <= 0x8F or byte in (0xDE, 0xDF):
            return "object"
        return "null" if byte == 0xC0 else "other"

    def array(self, parts: list[bytes]) -> bytes:
        """Return the MessagePack array of ``parts``."""
        count = len(parts)
        head = bytes([0x90 + count]) if count < 16 else b"\xdd" + count.to_bytes(4)
        return head + b"".join(parts)


_JSON_SHAPES = {ord("["): "array", ord("{"): "object", ord("n"): "null"}
