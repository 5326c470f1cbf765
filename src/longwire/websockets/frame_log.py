"""The frames of a connection in its log, at DEBUG, as the documents show them.

Reads the bytes a second time, beside the engine, which makes no objects of frames; so
it is there only where somebody has turned DEBUG on before the connection opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.frames import FrameReader
from ..errors import WebSocketException
from ..steps import Opened
from .extensions.base import Extension
from .frames import Frame
from .negotiating import as_extensions, log_head

__all__ = ["log_frames", "log_heads"]

MOST = 1 << 20
"""Largest frame that is read, in bytes; after a larger one frames are shown as sent."""


class _Direction:
    """The frames of one direction, from any split of its bytes."""

    def __init__(
        self, logger: Any, arrow: str, client: bool, extensions: Sequence[Extension]
    ) -> None:
        self._logger = logger
        self._arrow = arrow
        self._reader = FrameReader(client, 7)
        self._extensions = extensions
        self._inside = False
        self._payload = bytearray()
        self._broken = False

    def feed(self, data: bytes) -> None:
        """Log the frames that ``data`` completes."""
        if self._broken:
            return
        try:
            self._reader.feed(bytes(data))
            while self._complete():
                frame = Frame.take(self._reader, bytes(self._payload))
                if self._extensions:
                    frame = frame.decode(self._extensions)
                self._logger.debug("%s %s", self._arrow, frame)
        except WebSocketException:
            self._broken = True  # what is wrong, the connection itself will tell

    def _complete(self) -> bool:
        """Read on; return whether a frame ends here."""
        reader = self._reader
        if not self._inside:
            if not reader.read_header():
                return False
            self._inside = True
            self._payload.clear()
        part = reader.take()
        if reader.size <= MOST:
            self._payload += part
        else:
            self._extensions = ()
        self._inside = reader.remaining > 0
        return not self._inside


def log_heads(connection: Any, opened: Opened) -> None:
    """Log the opening handshake."""
    arrows = "><" if connection._client else "<>"
    log_head(connection.logger, arrows[0], opened.request)
    log_head(connection.logger, arrows[1], opened.response)


def log_frames(connection: Any, opened: Opened) -> tuple[Any, Any]:
    """Return what is to be fed with the bytes received, and with those sent."""
    client = connection._client
    agreed = [] if opened.deflate is None else [opened.deflate]
    if opened.extensions:
        agreed = []  # others have a state of their own, not to be used twice
    logger = connection.logger
    return (
        _Direction(logger, "<", client, as_extensions(agreed, client=client)).feed,
        _Direction(
            logger, ">", not client, as_extensions(agreed, client=not client)
        ).feed,
    )
