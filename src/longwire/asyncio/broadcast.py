"""Broadcast: one message to many connections, without waiting for any of them."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Hashable, Iterable

from ..connection import BytesLike, Data, opcode_for
from ..errors import ConcurrencyError
from ..hints import not_sendable
from ..options import check_slow
from ..session.backlog import DROPPED, REFUSED, SENT, WAITS
from ..session.shared_frames import Forms
from .connection import Connection
from .threads import Mailbox
from .usage import elsewhere

__all__ = ["BroadcastResult", "broadcast", "broadcast_wait"]

FAILED = -1

Message = Data | bytearray | memoryview


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


def broadcast(
    connections: Iterable[Connection],
    message: Message,
    *,
    text: bool | None = None,
    raise_exceptions: bool = False,
    slow: str | None = None,
    key: Hashable = None,
) -> BroadcastResult:
    """Send ``message`` to all of ``connections`` that are open.

    str goes out as Text, bytes-like as Binary, unless ``text`` says which to use.
    Connections that are closing or closed are skipped.

    Never waits. For a connection that is slow, or sends a message in fragments, the
    message waits; ``slow`` says what is done when that is too much, for this message,
    instead of what its ``Limits.slow`` says. ``"disconnect"`` closes a connection of
    which ``Limits.unsent_bytes`` were not taken. ``"drop_oldest"`` drops the oldest of
    those that wait when there are more than ``Limits.unsent_messages``.
    ``"latest_only"`` does so too, and drops the one that waits with the same ``key``.

    May be called from any thread: connections of another event loop get it from that
    loop, in the order of the calls of each thread. A thread without an event loop is
    made to wait while too much waits for a loop.

    One connection's failure does not keep the message from the others: it is logged,
    or, with ``raise_exceptions``, raised at the end in an ExceptionGroup. Raises
    TypeError for a message of another type, ValueError for another ``slow``.
    """
    if slow is not None:
        check_slow(slow)
    if key is not None and slow not in (None, "latest_only"):
        raise ValueError(f"key is for 'latest_only'; slow is {slow!r}")
    hash(key)
    casting = _Casting(_form(message, text), slow, key, raise_exceptions)
    loop = asyncio._get_running_loop()
    others: dict[asyncio.AbstractEventLoop, list[Connection]] = {}
    sent = skipped = 0
    for connection in _members(connections):
        session = connection._session
        if session is None or not session.is_open:
            skipped += 1
        elif connection._loop is not loop:
            others.setdefault(connection._loop, []).append(connection)
        elif casting.send(connection) == SENT:
            sent += 1
    casting.result.sent = sent
    casting.result.skipped = skipped
    casting.forms.settle()
    for other, members in others.items():
        casting.send_elsewhere(other, members)
    casting.raise_failures()
    return casting.result


async def broadcast_wait(
    connections: Iterable[Connection],
    message: Message,
    *,
    text: bool | None = None,
    raise_exceptions: bool = False,
    timeout: float | None = None,
) -> BroadcastResult:
    """Send ``message`` to all of ``connections``, waiting for those that are slow.

    As :func:`broadcast`, but returns when all have had room for the message. After
    ``timeout`` seconds, if that is not None, the others go without it, and are counted
    as ``refused``. Cancelling it leaves them out too. Connections of another event
    loop raise ConcurrencyError.
    """
    casting = _Casting(_form(message, text), "disconnect", None, raise_exceptions)
    loop = asyncio._get_running_loop()
    late: list[Connection] = []
    members = _members(connections)
    if any(each._session is not None and each._loop is not loop for each in members):
        raise elsewhere()
    for connection in members:
        session = connection._session
        if session is None or not session.is_open:
            casting.result.skipped += 1
        elif session.fragmenting or not session.writable or session.outbox is not None:
            late.append(connection)
        elif casting.send(connection) == SENT:
            casting.result.sent += 1
    casting.forms.settle()
    if late:
        tasks = [asyncio.ensure_future(casting.send_later(each)) for each in late]
        try:
            await asyncio.wait(tasks, timeout=timeout)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    casting.raise_failures()
    return casting.result


def _members(connections: Iterable[Connection]) -> list[Connection]:
    """Return the connections in a list, or raise TypeError and say what to write."""
    if isinstance(connections, Connection):
        raise TypeError("connections must be a set or list of them: write [websocket]")
    members = list(connections)
    for each in members:
        if not isinstance(each, Connection):
            kind = type(each).__name__
            raise TypeError(f"connections has a {kind}; connections are needed")
    return members


def _form(message: Message, text: bool | None) -> Forms:
    if not isinstance(message, (str, *BytesLike)):
        kind = type(message).__name__
        raise TypeError(
            f"a message to many must be str or bytes-like, not {kind}"
            f"{not_sendable(message)}"
        )
    payload = message.encode() if isinstance(message, str) else bytes(message)
    return Forms(opcode_for(message, text), payload, os.urandom)


class _Casting:
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

    def send(self, connection: Connection) -> int:
        """Send it to a connection of this loop; return SENT, or note what else."""
        try:
            done = connection.offer(self.forms, self.slow, self.key)
        except Exception as exc:
            self.fail(connection, exc)
            return FAILED
        if done:
            dropped, done = divmod(done, DROPPED)
            self.result.dropped += dropped
            if done == WAITS:
                self.result.waiting += 1
            elif done == REFUSED:
                self.result.refused += 1
            else:
                self.result.given_up += 1
        return done

    async def send_later(self, connection: Connection) -> None:
        """Send it once the connection has room."""
        session = connection._live
        try:
            await connection._wait_for_turn(session)
        except asyncio.CancelledError:
            self.result.refused += 1
            session.dropped += 1
            raise
        if session.is_open:
            self.result.sent += self.send(connection) == SENT
        else:
            self.result.skipped += 1

    def send_elsewhere(
        self, loop: asyncio.AbstractEventLoop, members: list[Connection]
    ) -> None:
        """Have another event loop send it to its connections."""
        forms = self.forms.copy()  # what is shared is one loop's own
        casting = _Casting(forms, self.slow, self.key, False)
        try:
            Mailbox.of(loop).put(casting.arrive, members)
        except ConcurrencyError as exc:
            for connection in members:
                self.fail(connection, exc)
        except RuntimeError:
            self.result.skipped += len(members)  # that loop is closed, so are they
        else:
            self.result.elsewhere += len(members)

    def arrive(self, members: list[Connection]) -> None:
        """Send it to connections of the loop that this now runs on."""
        for connection in members:
            if connection._live.is_open:
                self.send(connection)
        self.forms.settle()

    def fail(self, connection: Connection, exc: Exception) -> None:
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
