"""Codecs: values to bytes and back, as JSON or MessagePack, by ``msgspec``.

A value that is not needed yet stays ``msgspec.Raw``: the part of a frame it is written
in. Decoders are made once for each type and kept. What they raise for any bytes is
among `UNREADABLE`, and no bytes make them work long (``costly.py``).
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import msgspec

from . import costly
from .foreign import Hook as ForeignHook
from .foreign import hook_for, write_foreign
from .kinds import Hooks, check_readable

__all__ = ["ABSENT", "UNREADABLE", "Codec", "Json", "MessagePack"]

ABSENT = msgspec.Raw(b"")
"""Stands for a value that is not there; null is one that is."""

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError, OverflowError)
"""What decoding raises for bytes that are not what they should be."""

Hook = Callable[..., Any]
Decode = Callable[[Any], Any]


class Codec(abc.ABC):
    """One way to write values.

    ``enc_hook(value)`` returns something that can be written for a value that cannot;
    ``dec_hook(type, value)`` makes it from that again.
    """

    name: str
    is_text: bool

    def __init__(
        self, encoder: Any, make_decoder: Callable[..., Any], dec_hook: Hook | None
    ) -> None:
        self.encode: Callable[[Any], bytes] = encoder.encode
        self._make_decoder = make_decoder
        self._dec_hook = dec_hook
        self._decoders: dict[Any, Decode] = {}
        self.decode: Decode = self.decoder(Any)
        # These make nothing of the values in them.
        self.decode_array: Decode = make_decoder(list[msgspec.Raw]).decode
        self.decode_object: Decode = make_decoder(dict[str, msgspec.Raw]).decode

    def decoder(self, kind: Any) -> Decode:
        """Return the function that reads a value of type ``kind`` from bytes or Raw.

        It raises msgspec.ValidationError for another type, or one of `UNREADABLE`.
        """
        try:
            found = self._decoders.get(kind)
        except TypeError:  # Annotated[...] with something that has no hash
            return self._make(kind)
        if found is None:
            found = self._decoders[kind] = self._make(kind)
        return found

    def _make(self, kind: Any) -> Decode:
        foreign = hook_for(kind)
        if foreign is not None:
            return self._foreign(foreign)
        check_readable(kind, Hooks(self._dec_hook is not None, False))
        return self._guarded(kind, self._make_decoder(kind).decode)

    def struct_decoder(self, kind: type[msgspec.Struct]) -> Decode:
        """Return the function that reads an envelope, whose values stay as they are."""
        return self._make_decoder(kind).decode  # type: ignore[no-any-return]

    @abc.abstractmethod
    def _guarded(self, kind: Any, decode: Decode) -> Decode:
        """Return ``decode`` so that no input keeps it busy for long."""

    @abc.abstractmethod
    def _foreign(self, hook: ForeignHook) -> Decode:
        """Return what reads a type of another library."""

    @abc.abstractmethod
    def shape(self, raw: msgspec.Raw) -> str:
        """Return whether ``raw`` is ``"array"``, ``"object"``, ``"null"`` or other."""

    @abc.abstractmethod
    def array(self, parts: list[bytes]) -> bytes:
        """Return the array of values that are written already."""


def _hooked(enc_hook: Hook | None) -> Hook:
    """Return what writes a value that msgspec does not know."""

    def write(value: Any) -> Any:
        written = write_foreign(value)
        if written is not NotImplemented:
            return written
        if enc_hook is not None:
            return enc_hook(value)
        raise TypeError(f"values of type {type(value).__name__} cannot be written")

    return write


class Json(Codec):
    """JSON in Text frames. bytes are written as base64, NaN and infinity as null."""

    name = "json"
    is_text = True

    def __init__(
        self, enc_hook: Hook | None = None, dec_hook: Hook | None = None
    ) -> None:
        super().__init__(
            msgspec.json.Encoder(enc_hook=_hooked(enc_hook)),
            lambda kind: msgspec.json.Decoder(kind, dec_hook=dec_hook),
            dec_hook,
        )

    def _guarded(self, kind: Any, decode: Decode) -> Decode:
        return costly.guarded_json(kind, decode, self._dec_hook)

    def _foreign(self, hook: ForeignHook) -> Decode:
        def read(raw: Any) -> Any:
            if costly.has_extreme_number(raw):
                self.decode(raw)  # infinity is refused, as everywhere
            return hook.read_json(bytes(raw))

        return read

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
            msgspec.msgpack.Encoder(enc_hook=_hooked(enc_hook)),
            lambda kind: msgspec.msgpack.Decoder(kind, dec_hook=dec_hook),
            dec_hook,
        )

    def _guarded(self, kind: Any, decode: Decode) -> Decode:
        return costly.guarded_msgpack(kind, decode)

    def _foreign(self, hook: ForeignHook) -> Decode:
        return lambda raw: hook.read(self.decode(raw))

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
