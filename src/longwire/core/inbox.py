"""The inbox: messages that arrived and were not read yet, whole or in pieces.

Counts frames and the memory that they take against the marks that backpressure goes
by; decides nothing.
"""

from __future__ import annotations

from typing import Any

from .footprint import memory_of

_UNLIMITED = (1 << 62) - 1
# Places of taken pieces that are kept before the list is shortened.
_MOST_TAKEN = 256
# What a piece takes beside its payload: a tuple of three, and its place in the list,
# which grows by an eighth more than it needs.
_PIECE = 64 + 16


class Inbox:
    """Pieces of messages in order of arrival: (opcode, str or bytes, last one?).

    ``size`` is the memory they take in bytes, ``count`` their number, ``whole`` that of
    whole messages. ``high`` pieces or ``most`` bytes make it full, ``low`` pieces and
    half of ``most`` make it roomy again; -1 stands for no mark.

    Nothing is removed before all that can fail is done: where memory runs out, a
    message is either still here or was returned, never cut.
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
        size = memory_of(piece[1]) + _PIECE
        if self.count == 0:
            self._oldest = piece
        else:
            if self._rest is None:
                self._rest = []
            self._rest.append(piece)
        self.count += 1
        self.size += size
        if piece[2]:
            self.whole += 1

    def pieces(self) -> list[tuple[int, Any, bool]]:
        """Return all pieces, the oldest first; none is removed."""
        if self.count == 0:
            return []
        rest = self._rest
        return [self._oldest] if rest is None else [self._oldest, *rest[self._first :]]

    def take_piece(self) -> tuple[int, Any, bool]:
        """Remove and return the oldest piece; there must be one."""
        piece: tuple[int, Any, bool] = self._oldest
        self._remove(1, memory_of(piece[1]) + _PIECE, piece[2])
        return piece

    def put_back(self, piece: tuple[int, Any, bool]) -> None:
        """Make ``piece`` the oldest again: the one that was taken last."""
        if self.count:
            rest, at = self._rest, self._first
            if rest is None:
                self._rest = [self._oldest]
            elif at:
                rest[at - 1] = self._oldest
                self._first = at - 1
            else:
                rest.insert(0, self._oldest)
        self._oldest = piece
        self.count += 1
        self.size += memory_of(piece[1]) + _PIECE
        if piece[2]:
            self.whole += 1

    def take(self) -> tuple[int, Any]:
        """Remove and return the oldest message, joined; ``whole`` must not be 0."""
        kind, payload, fin = self._oldest
        if fin:
            message = kind, payload
            self._remove(1, memory_of(payload) + _PIECE, True)
            return message
        parts = [payload]
        size = memory_of(payload) + _PIECE
        rest, at = self._rest, self._first
        assert rest is not None
        while not fin:
            _, part, fin = rest[at]
            parts.append(part)
            size += memory_of(part) + _PIECE
            at += 1
        message = kind, ("" if isinstance(payload, str) else b"").join(parts)
        self._remove(len(parts), size, True)
        return message

    def _remove(self, pieces: int, size: int, whole: bool) -> None:
        """Forget the oldest pieces, which take ``size`` bytes and end a message or not.

        Fails before the first is forgotten, or not at all.
        """
        rest = self._rest
        left = self.count - pieces
        left_whole = self.whole - 1 if whole else self.whole
        left_size = self.size - size
        at = self._first
        end = at + pieces  # the piece before is the oldest of those that stay
        self._oldest = rest[end - 1] if left and rest is not None else None
        self.count = left
        self.whole = left_whole
        self.size = left_size
        if left <= 1:
            self._rest = None
            self._first = 0
            return
        assert rest is not None
        while at < end:
            rest[at] = None
            at += 1
        self._first = end
        if end >= _MOST_TAKEN:
            try:
                del rest[:end]
                self._first = 0
            except MemoryError:
                pass  # CPython copies what it deletes; the next piece tries again

    def clear(self) -> int:
        """Forget everything; return how many whole messages that were."""
        whole = self.whole
        self._oldest = self._rest = None
        self._first = self.count = self.size = self.whole = 0
        return whole

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
