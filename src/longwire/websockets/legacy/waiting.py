"""What programs read of the messages that wait for ``recv()``: how many, and which.

It was a deque in all former editions. Here the engine keeps the messages, and this is a
view of them, made when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from .inner import InnerConnection

__all__ = ["WaitingMessages"]


class WaitingMessages(Sequence[Any]):
    """Whole messages, str or bytes, the oldest first, as they are at each call.

    ``popleft()`` and ``clear()`` take them from ``recv()``; nothing can be added.
    """

    def __init__(self, connection: InnerConnection) -> None:
        self._connection = connection

    def __len__(self) -> int:
        session = self._connection._session
        return 0 if session is None else int(session.inbox.whole)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._all()[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._all()!r})"

    def popleft(self) -> Any:
        """Remove and return the oldest message; IndexError if there is none."""
        session = self._connection._session
        if session is None or not session.inbox.whole:
            raise IndexError("no message is waiting")
        _, message = session.take()
        return message

    def clear(self) -> None:
        """Drop the messages that wait now."""
        for _ in range(len(self)):
            self.popleft()

    def _all(self) -> list[Any]:
        session = self._connection._session
        messages: list[Any] = []
        parts: list[Any] = []
        for _, payload, fin in [] if session is None else session.inbox.pieces():
            parts.append(payload)
            if fin:
                empty = "" if isinstance(payload, str) else b""
                messages.append(empty.join(parts))
                parts = []
        return messages
