"""Broadcast: one message to many connections, without waiting for any of them.

A message is encoded once for each form that the connections agreed on, and the same
bytes go to all that share it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..connection import Data, opcode_for
from ..core import frames
from ..core.deflate import Codec
from ..errors import ConcurrencyError
from ..messages import Opcode
from ..session import Session
from .connection import Connection

__all__ = ["broadcast"]

RSV1 = 4
"""The mark of a compressed message (RFC 7692 section 6), as ``frames`` has it."""


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
    another type.
    """
    opcode = opcode_for(message, text)
    payload = message.encode() if isinstance(message, str) else bytes(message)
    forms = _Forms(opcode, payload)
    failures: list[Exception] = []
    for connection in connections:
        session = connection._session
        if session is None or not session.is_open:
            continue
        try:
            if session.fragmenting:
                raise ConcurrencyError("a fragmented message is being sent")
            forms.send(connection, session)
        except Exception as exc:
            if raise_exceptions:
                exc.add_note(f"on {connection!r}")
                failures.append(exc)
            else:
                connection.logger.warning("broadcast left this connection out: %s", exc)
    if failures:
        raise ExceptionGroup("broadcast failed on some connections", failures)


class _Forms:
    """One message, encoded at most once for each form that can be shared."""

    def __init__(self, opcode: Opcode, payload: bytes) -> None:
        self._opcode = opcode
        self._payload = payload
        self._frames: dict[tuple[int, ...], bytes] = {}

    def send(self, connection: Connection, session: Session) -> None:
        """Send the message in the connection's own form."""
        protocol = session.protocol
        if protocol.extensions:
            # Extensions that we do not know may keep state: nothing can be shared.
            session.send(self._opcode, self._payload, True, True)
            connection._react()
            return
        codec = protocol.codec
        if codec is not None and not codec.should_compress(len(self._payload)):
            codec = None
        connection.send_frame(self._frame_for(codec, session.client))

    def _frame_for(self, codec: Codec | None, client: bool) -> bytes:
        if client:
            # RFC 6455 section 5.3: every frame of a client has a mask of its own.
            return self._encode(codec, os.urandom(4))
        if codec is None:
            form: tuple[int, ...] = ()
        elif codec.keeps_ours:
            # What it comes to depends on the messages before it.
            return self._encode(codec, None)
        else:
            form = (codec.our_bits, codec.level, codec.mem_level)
        frame = self._frames.get(form)
        if frame is None:
            frame = self._frames[form] = self._encode(codec, None)
        return frame

    def _encode(self, codec: Codec | None, mask: bytes | None) -> bytes:
        if codec is None:
            return frames.encode(self._opcode, self._payload, True, 0, mask)
        data = codec.compress(self._payload, True)
        return frames.encode(self._opcode, data, True, RSV1, mask)
