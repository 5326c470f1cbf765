"""Broadcast: one message to many connections, without waiting for any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable

from ..broadcasting import (
    BroadcastResult,
    Casting,
    Message,
    check_policy,
    encode,
    members,
)
from ..errors import ConcurrencyError
from ..options import check_timeout
from ..session.backlog import SENT
from .casting import cast_here
from .connection import Connection
from .threads import Mailbox
from .usage import elsewhere

__all__ = ["BroadcastResult", "broadcast", "broadcast_wait"]


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
    check_policy(slow, key)
    casting = _Casting(encode(message, text), slow, key, raise_exceptions)
    loop = asyncio._get_running_loop()
    others = cast_here(members(connections, Connection), casting, loop)
    casting.forms.settle()
    for other, receivers in others.items():
        casting.send_elsewhere(other, receivers)
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
    check_timeout(timeout)
    casting = _Casting(encode(message, text), "disconnect", None, raise_exceptions)
    loop = asyncio._get_running_loop()
    late: list[Connection] = []
    receivers = members(connections, Connection)
    if any(each._session is not None and each._loop is not loop for each in receivers):
        raise elsewhere()
    for connection in receivers:
        session = connection._session
        if session is None or not session.can_send:
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


class _Casting(Casting):
    """One broadcast of an event loop."""

    async def send_later(self, connection: Connection) -> None:
        """Send it once the connection has room."""
        session = connection._live
        try:
            await connection._wait_for_turn(session)
        except asyncio.CancelledError:
            self.result.refused += 1
            session.dropped += 1
            raise
        if session.can_send:
            self.result.sent += self.send(connection) == SENT
        else:
            self.result.skipped += 1

    def send_elsewhere(
        self, loop: asyncio.AbstractEventLoop, receivers: list[Connection]
    ) -> None:
        """Have another event loop send it to its connections."""
        forms = self.forms.copy()  # what is shared is one loop's own
        casting = _Casting(forms, self.slow, self.key, False)
        try:
            Mailbox.of(loop).put(casting.arrive, receivers)
        except ConcurrencyError as exc:
            for connection in receivers:
                self.fail(connection, exc)
        except RuntimeError:
            self.result.skipped += len(receivers)  # that loop is closed, so are they
        else:
            self.result.elsewhere += len(receivers)

    def arrive(self, receivers: list[Connection]) -> None:
        """Send it to connections of the loop that this now runs on."""
        for connection in receivers:
            if connection._live.can_send:
                self.send(connection)
        self.forms.settle()
