"""Observer: whom a server or client tells that connections begin and end.

Never of messages: those are counted by each session anyway, and read when asked for.
:mod:`longwire.metrics` has the observers there are.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Observer", "joined"]


class Observer:
    """Does nothing; a subclass does what it wants to know of.

    Called on the event loop of the connection; must neither wait nor raise.
    """

    def opened(self, connection: Any, seconds: float) -> None:
        """An opening handshake has succeeded; it took so long."""

    def refused(self, connection: Any, seconds: float, how: str, status: int) -> None:
        """A handshake has failed, or was refused: ``how`` in one word.

        ``rejected`` by a callback, ``unavailable`` (closing, or full), ``invalid``,
        ``timeout``, ``network`` or ``error`` (of ours); for a client ``status`` for an
        answer of the server's. ``status`` is that of HTTP, 0 if there was no answer.
        """

    def ended(self, connection: Any, report: Any) -> None:
        """An open connection has ended; ``report`` is its CloseReport."""

    def limited(self, limit: str) -> None:
        """A connection was refused for a limit on connections."""


class _Several(Observer):
    """Tells all of ``observers``, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def opened(self, connection: Any, seconds: float) -> None:
        for observer in self.observers:
            observer.opened(connection, seconds)

    def refused(self, connection: Any, seconds: float, how: str, status: int) -> None:
        for observer in self.observers:
            observer.refused(connection, seconds, how, status)

    def ended(self, connection: Any, report: Any) -> None:
        for observer in self.observers:
            observer.ended(connection, report)

    def limited(self, limit: str) -> None:
        for observer in self.observers:
            observer.limited(limit)


def joined(old: Observer | None, new: Observer) -> Observer:
    """Return an observer that tells both; ``new`` only once."""
    if old is None or old is new:
        return new
    known = old.observers if isinstance(old, _Several) else (old,)
    return old if new in known else _Several(*known, new)
