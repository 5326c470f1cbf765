"""Broadcast: one message to many connections, without waiting for any of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from ..broadcasting import BroadcastResult, Message, cast
from ..session.shared_frames import Forms
from .connection import Connection

__all__ = ["BroadcastResult", "broadcast"]


class _Forms(Forms):
    """A message for connections of several threads.

    Contexts of compression that connections share are one thread's; here each
    connection that keeps its context has its own.
    """

    __slots__ = ()

    def frame_for(self, session: Any) -> bytes | None:
        """Return the frame, None where the session has to encode it."""
        codec = session.protocol.codec
        if codec is not None and codec.keeps_ours:
            return None
        return super().frame_for(session)


def broadcast(
    connections: Iterable[Connection],
    message: Message,
    *,
    text: bool | None = None,
    raise_exceptions: bool = False,
    slow: str | None = None,
    key: Hashable = None,
) -> BroadcastResult:
    """Send ``message`` to all of ``connections`` that are open, from any thread.

    str goes out as Text, bytes-like as Binary, unless ``text`` says which to use.
    Connections that are closing or closed are skipped. Never waits. For a connection
    that is slow, or sends a message in fragments, the message waits; ``slow`` and
    ``key`` say what is done when that is too much, as for :func:`longwire.broadcast`.

    One connection's failure does not keep the message from the others: it is logged,
    or, with ``raise_exceptions``, raised at the end in an ExceptionGroup. Raises
    TypeError for a message of another type, ValueError for another ``slow``.
    """
    return cast(
        connections,
        Connection,
        message,
        text,
        raise_exceptions=raise_exceptions,
        slow=slow,
        key=key,
        make=_Forms,
    )
