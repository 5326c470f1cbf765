"""Broadcasting: one message to many connections, and what became of it.

Waits for nothing and knows no front end, which says what of it can be done at once.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeVar

from .connection import BytesLike, Connection, Data, opcode_for
from .errors import ConcurrencyError
from .hints import front_end_of, not_sendable
from .options import check_slow
from .session.backlog import DROPPED, REFUSED, SENT, WAITS
from .session.shared_frames import Forms

__all__ = [
    "FAILED",
    "BroadcastResult",
    "Casting",
    "Message",
    "cast",
    "check_policy",
    "encode",
    "members",
]

FAILED = -1

Message = Data | bytearray | memoryview
C = TypeVar("C")


@dataclasses.dataclass(slots=True)
class BroadcastResult:
    """What became of one message, in numbers of connections."""

    sent: int = 0
    """Written, as far as their peers had room."""
    waiting: int = 0
    """It waits until they have room, unless it is dropped before."""
    refused: int = 0
    """It was dropped at once: there was no room, and none could be made."""
    given_up: int = 0
    """Closed, for they were too slow."""
    skipped: int = 0
    """Not open."""
    failed: int = 0
    """Failed otherwise: see the log."""
    elsewhere: int = 0
    """Of other event loops, which were given the message to send."""
    dropped: int = 0
    """Older messages that were dropped to make room for it."""


def check_policy(slow: str | None, key: Hashable) -> None:
    """Raise ValueError or TypeError for what cannot be done with slow connections."""
    if slow is not None:
        check_slow(slow)
    if key is not None and slow not in (None, "latest_only"):
        raise ValueError(f"key is for 'latest_only'; slow is {slow!r}")
    if key is None and slow == "latest_only":
        raise ValueError(
            "slow='latest_only' needs key=, such as a name: of messages with one key, "
            "the newest replaces the one that waits"
        )
    hash(key)


def members(connections: Iterable[C], kind: type[C]) -> list[C]:
    """Return the connections in a list, or raise TypeError and say what to write."""
    if isinstance(connections, Connection):
        raise TypeError("connections must be a set or list of them: write [websocket]")
    try:
        found = list(connections)
    except TypeError:
        if isinstance(connections, Iterable):
            raise  # of what it iterates over
        name = type(connections).__name__
        text = f"connections must be a set or list of them, not {name}"
        raise TypeError(text) from None
    for each in found:
        if not isinstance(each, kind):
            name = type(each).__name__
            package = front_end_of(each)
            instead = f"; for this one, write {package}.broadcast()" if package else ""
            if isinstance(connections, Mapping):
                instead = "; write connections.values()"
            raise TypeError(
                f"connections has a {name}; connections are needed{instead}"
            )
    return found


def encode(message: Message, text: bool | None, make: type[Forms] = Forms) -> Forms:
    """Return ``message`` to be sent to many; raise TypeError for another type."""
    if not isinstance(message, (str, *BytesLike)):
        if isinstance(message, (Connection, set, frozenset, list, tuple)) and (
            isinstance(message, Connection)
            or any(isinstance(each, Connection) for each in message)
        ):
            raise TypeError(
                "the connections come first: write broadcast(connections, message)"
            )
        kind = message.__class__.__name__
        raise TypeError(
            f"a message to many must be str or bytes-like, not {kind}"
            f"{not_sendable(message)}"
        )
    payload = message.encode() if isinstance(message, str) else bytes(message)
    return make(opcode_for(message, text), payload, os.urandom)


def cast(
    connections: Iterable[C],
    kind: type[C],
    message: Message,
    text: bool | None,
    *,
    raise_exceptions: bool,
    slow: str | None,
    key: Hashable,
    make: type[Forms] = Forms,
) -> BroadcastResult:
    """Send ``message`` to those of ``connections`` that are open; all are ``kind``."""
    check_policy(slow, key)
    forms = encode(message, text, make)
    casting = Casting(forms, slow, key, raise_exceptions)
    for connection in members(connections, kind):
        session: Any = connection._session  # type: ignore[attr-defined]
        if session is None or not session.can_send:
            casting.result.skipped += 1
        elif casting.send(connection) == SENT:
            casting.result.sent += 1
    forms.settle()
    casting.raise_failures()
    return casting.result


class Casting:
    """One broadcast under way."""

    def __init__(
        self, forms: Forms, slow: str | None, key: Hashable, raising: bool
    ) -> None:
        self.forms = forms
        self.slow = slow
        self.key = key
        self.raising = raising
        self.result = BroadcastResult()
        self.failures: list[Exception] = []

    def send(self, connection: Any) -> int:
        """Send it to one connection; return SENT, or note what else became of it."""
        try:
            done: int = connection.offer(self.forms, self.slow, self.key)
        except ConcurrencyError:
            raise  # a mistake of the caller, not a failure of the connection
        except Exception as exc:
            self.fail(connection, exc)
            return FAILED
        return self.note(done) if done else done

    def note(self, done: int) -> int:
        """Note what became of it where it was not SENT, as ``offer()`` has told."""
        dropped, done = divmod(done, DROPPED)
        self.result.dropped += dropped
        if done == WAITS:
            self.result.waiting += 1
        elif done == REFUSED:
            self.result.refused += 1
        else:
            self.result.given_up += 1
        return done

    def fail(self, connection: Any, exc: Exception) -> None:
        """Note that one connection goes without it."""
        self.result.failed += 1
        if self.raising:
            exc.add_note(f"on {connection!r}")
            self.failures.append(exc)
        else:
            connection.logger.warning("broadcast left this connection out: %s", exc)

    def raise_failures(self) -> None:
        """Raise them together, if they are to be raised."""
        if self.failures:
            raise ExceptionGroup("broadcast failed on some connections", self.failures)
