"""Held: the payload of a frame that arrives in more than one read.

The reference for the kernel of the same name in ``partial.pyx``, which is used instead
when it is built and writes each byte once, where the message will have it. Knows
nothing of limits, of fragments, or of what the payload is for.
"""

from __future__ import annotations

from codecs import utf_8_decode

from .masking import apply_mask


class Held:
    """A payload that grows; ``size`` is how many bytes it has, the tail included.

    As text, it is checked as it arrives: UnicodeDecodeError at the first byte that
    UTF-8 cannot have there. ``tail`` is the beginning of a character that the frame
    before this one ended in.
    """

    def __init__(self, text: bool, tail: bytes = b"") -> None:
        self.size = len(tail)
        self.tail = tail
        self._text = text
        self._data = bytearray(tail)

    def add(
        self, data: bytes, start: int, size: int, key: bytes, offset: int, more: int
    ) -> None:
        """Append data[start:start+size], unmasked; no ``key``, no mask.

        ``offset`` is the place of the first byte in the masked payload. ``more``
        bytes are known to follow, for which room may be made beforehand.
        """
        piece = data[start : start + size]
        if key:
            piece = apply_mask(piece, key, offset)
        self.size += size
        self._data += piece
        if self._text:
            self.tail = decode_part(self.tail + piece)[1]

    def memory(self) -> int:
        """Return the bytes of memory that it takes now."""
        return len(self._data)

    def take(self) -> str | bytes:
        """Return it all, once; a text without the ``tail`` it leaves."""
        data = bytes(self._data)
        self._data = bytearray()
        if not self._text:
            return data
        return data[: len(data) - len(self.tail)].decode()


def decode_part(data: bytes) -> tuple[str, bytes]:
    """Return the text and, at its end, the bytes of an incomplete character.

    Raises UnicodeDecodeError as soon as no further byte could make it UTF-8.
    """
    text, done = utf_8_decode(data, "strict", False)
    tail = data[done:]
    # CPython waits for the third byte of a surrogate, which UTF-8 has none of.
    if len(tail) == 2 and tail[0] == 0xED and tail[1] > 0x9F:
        tail.decode()
    return text, tail
