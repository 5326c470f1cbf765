"""The inbox: messages that arrived and were not read yet, whole or in pieces.

Counts frames and bytes against the marks that backpressure goes by; decides nothing.
Sizes of text are counted in characters, which is what a handler gets.
"""

from __future__ import annotations

from collections import deque
from typing import Any

_UNLIMITED = (1 << 62) - 1


class Inbox:
    """Pieces of messages in order of arrival: (opcode, str or bytes, last one?).

    ``high`` frames or ``most`` bytes make it full, ``low`` frames and half of
    ``most`` make it roomy again; -1 stands for no mark.
    """

    def __init__(self, high: int, low: int, most: int) -> None:
        self.pieces: deque[tuple[int, Any, bool]] = deque()
        # What is larger does not fit in the compiled build, nor in any memory.
        self.high = min(high, _UNLIMITED)
        self.low = min(low, _UNLIMITED)
        self.most = min(most, _UNLIMITED)
        self.size = 0
        self.whole = 0

    def __len__(self) -> int:
        return len(self.pieces)

    def add(self, piece: tuple[int, Any, bool]) -> None:
        """Append one piece of a message."""
        self.pieces.append(piece)
        self.size += len(piece[1])
        if piece[2]:
            self.whole += 1

    def take_piece(self) -> tuple[int, Any, bool]:
        """Remove and return the oldest piece; there must be one."""
        piece: tuple[int, Any, bool] = self.pieces.popleft()
        self.size -= len(piece[1])
        if piece[2]:
            self.whole -= 1
        return piece

    def take(self) -> tuple[int, Any]:
        """Remove and return the oldest message, joined; ``whole`` must not be 0."""
        kind, payload, fin = self.take_piece()
        if fin:
            return kind, payload
        parts = [payload]
        while not fin:
            _, part, fin = self.take_piece()
            parts.append(part)
        if isinstance(payload, str):
            return kind, "".join(parts)
        return kind, b"".join(parts)

    def is_full(self) -> bool:
        """Whether no more should be added."""
        if self.high >= 0 and len(self.pieces) >= self.high:
            return True
        return self.is_heavy()

    def is_heavy(self) -> bool:
        """Whether no more bytes should be added."""
        return self.most >= 0 and self.size >= self.most

    def is_roomy(self) -> bool:
        """Whether it is worth going on after having been full."""
        if self.low >= 0 and len(self.pieces) > self.low:
            return False
        return self.most < 0 or self.size * 2 <= self.most
