"""Broadcast: one message to many connections, without waiting for any of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from ..connection import BytesLike, Data, opcode_for
from ..errors import ConcurrencyError
from ..forms import Forms
from .connection import Connection, elsewhere

__all__ = ["broadcast"]


def broadcast(
    connections: Iterable[Connection],
    message: Data | bytearray | memoryview,
    *,
    text: bool | None = None,
    raise_exceptions: bool = False,
) -> None:
    """Send ``message`` to all of ``connections`` that are open.

    str goes out as Text, bytes-like as Binary, unless ``text`` says which to use. Never
    waits: what a slow client does not take is kept for it, up to
    ``Limits.unsent_bytes``, where its connection is given up. Connections that are
    closing or closed are skipped.

    One connection's failure does not keep the message from the others: it is logged,
    or, with ``raise_exceptions``, raised at the end in an ExceptionGroup. A connection
    in the middle of a fragmented message fails. Raises TypeError for a message of
    another type, ConcurrencyError outside of the connections' event loop.
    """
    if not isinstance(message, (str, *BytesLike)):
        kind = type(message).__name__
        raise TypeError(f"a message to many must be str or bytes-like, not {kind}")
    opcode = opcode_for(message, text)
    payload = message.encode() if isinstance(message, str) else bytes(message)
    forms = Forms(opcode, payload, os.urandom)
    failures: list[Exception] = []
    loop = asyncio._get_running_loop()
    for connection in connections:
        session = connection._session
        if session is None or not session.is_open:
            continue
        if connection._loop is not loop:
            raise elsewhere()
        try:
            if session.fragmenting:
                raise ConcurrencyError("a fragmented message is being sent")
            frame = forms.frame_for(session)
            if frame is not None:
                connection.send_frame(frame)
            else:
                session.send(opcode, payload, True, True)
                connection._react()
        except Exception as exc:
            if session.protocol.codec is not None:
                session.protocol.codec.forget()  # who knows what the peer gets
            if raise_exceptions:
                exc.add_note(f"on {connection!r}")
                failures.append(exc)
            else:
                connection.logger.warning("broadcast left this connection out: %s", exc)
    forms.settle()
    if failures:
        raise ExceptionGroup("broadcast failed on some connections", failures)
