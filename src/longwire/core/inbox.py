"""The inbox: messages that arrived and were not read yet, whole or in pieces.

Counts frames and bytes against the marks that backpressure goes by; decides nothing.
Sizes of text are counted in characters, which is what a handler gets.
"""

from __future__ import annotations

from typing import Any

_UNLIMITED = (1 << 62) - 1
# Places of taken pieces that are kept before the list is shortened.
_MOST_TAKEN = 256


class Inbox:
    """Pieces of messages in order of arrival: (opcode, str or bytes, last one?).

    ``high`` frames or ``most`` bytes make it full, ``low`` frames and half of
    ``most`` make it roomy again; -1 stands for no mark.
    """

    def __init__(self, high: int, low: int, most: int) -> None:
        # Most inboxes never hold more than one piece: no list is made for it, and an
        # empty deque would take 600 bytes of each connection.
        self._oldest: Any = None
        self._rest: list[Any] | None = None
        self._first = 0  # where in _rest the second oldest is
        self.count = 0
        # What is larger does not fit in the compiled build, nor in any memory.
        self.high = min(high, _UNLIMITED)
        self.low = min(low, _UNLIMITED)
        self.most = min(most, _UNLIMITED)
        self.size = 0
        self.whole = 0

    def __len__(self) -> int:
        return self.count

    def add(self, piece: tuple[int, Any, bool]) -> None:
        """Append one piece of a message."""
        if self.count == 0:
            self._oldest = piece
        else:
            if self._rest is None:
                self._rest = []
            self._rest.append(piece)
        self.count += 1
        self.size += len(piece[1])
        if piece[2]:
            self.whole += 1

    def take_piece(self) -> tuple[int, Any, bool]:
        """Remove and return the oldest piece; there must be one."""
        piece: tuple[int, Any, bool] = self._oldest
        self.count -= 1
        self._oldest = None if self.count == 0 else self._next()
        self.size -= len(piece[1])
        if piece[2]:
            self.whole -= 1
        return piece

    def _next(self) -> Any:
        rest = self._rest
        assert rest is not None
        piece = rest[self._first]
        rest[self._first] = None
        self._first += 1
        if self._first == len(rest):
            self._rest = None
            self._first = 0
        elif self._first >= _MOST_TAKEN:
            del rest[: self._first]
            self._first = 0
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
        if self.high >= 0 and self.count >= self.high:
            return True
        return self.is_heavy()

    def is_heavy(self) -> bool:
        """Whether no more bytes should be added."""
        return self.most >= 0 and self.size >= self.most

    def is_roomy(self) -> bool:
        """Whether it is worth going on after having been full."""
        if self.low >= 0 and self.count > self.low:
            return False
        return self.most < 0 or self.size * 2 <= self.most
