"""Broadcast: one message to many connections, without waiting for any of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    in_trio_task,
)

from ..broadcasting import BroadcastResult, Message, cast
from .connection import Connection
from .link import elsewhere

__all__ = ["BroadcastResult", "broadcast"]


async def broadcast(
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
    Connections that are closing or closed are skipped. Waits for no peer: it is a
    checkpoint, and no more. For a connection that is slow, or sends a message in
    fragments, the message waits; ``slow`` and ``key`` say what is done when that is too
    much, as for :func:`longwire.broadcast`.

    One connection's failure does not keep the message from the others: it is logged,
    or, with ``raise_exceptions``, raised at the end in an ExceptionGroup. Raises
    TypeError for a message of another type, ValueError for another ``slow``,
    ConcurrencyError for a connection of another run of trio.
    """
    if not in_trio_task():
        raise elsewhere()
    await checkpoint_if_cancelled()
    result = cast(
        connections,
        Connection,
        message,
        text,
        raise_exceptions=raise_exceptions,
        slow=slow,
        key=key,
    )
    await cancel_shielded_checkpoint()
    return result
