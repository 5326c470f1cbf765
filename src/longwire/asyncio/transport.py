"""The wire over asyncio transports: plain TCP, Unix sockets and TLS, on any loop.

Moves bytes between a transport and its owner, a connection; decides nothing. While
the opening handshake runs, bytes are read by ``read()``; after ``switch()`` they go
to the owner as they come. The native engine will be another wire with these verbs.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

__all__ = ["Owner", "Wire"]

MAX_UNREAD = 65536
"""Bytes kept for ``read()`` at which reading pauses."""


class Owner(Protocol):
    """What a wire tells its owner."""

    def wire_made(self) -> None:
        """The transport is there."""

    def feed(self, data: bytes) -> None:
        """Bytes came, after ``switch()``."""

    def eof(self) -> None:
        """The peer sends nothing more, after ``switch()``."""

    def lost(self, exc: BaseException | None) -> None:
        """The transport is gone, after ``switch()``."""

    def write_paused(self) -> None:
        """More unsent bytes wait than the high mark allows."""

    def write_resumed(self) -> None:
        """Unsent bytes are down to the low mark."""


class _Nobody:
    """The owner of a wire that has ended."""

    def _ignore(self, *told: object) -> None:
        pass

    wire_made = feed = eof = lost = write_paused = write_resumed = _ignore


class Wire(asyncio.Protocol):
    """One transport and its owner."""

    kind = "transport"

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.loop = asyncio.get_running_loop()
        self.transport = cast(asyncio.Transport, None)
        self.lost = False
        self.error: BaseException | None = None
        self.got_eof = False
        self.tls_begun = False  # a TLS handshake is under way, or over
        self._switched = False
        self._paused = False
        self._blocked = False
        self._unread = b""
        self._waiter: asyncio.Future[None] | None = None

    def __str__(self) -> str:
        return self.kind

    # --- from the transport ------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; called again after STARTTLS with the new one."""
        first = self.transport is None
        self.transport = cast(asyncio.Transport, transport)
        if first:
            self.owner.wire_made()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, or keep them for ``read()``."""
        if self._switched:
            self.owner.feed(data)
            return
        self._unread += data
        if len(self._unread) > MAX_UNREAD:
            self.pause()
        self._wake()

    def eof_received(self) -> bool:
        """Pass the end on; keep our own direction open where that is possible."""
        self.got_eof = True
        keep_open = not (self.tls_begun or self.is_tls)
        if self._switched:
            self.owner.eof()
        else:
            self._wake()
        return keep_open

    def connection_lost(self, exc: BaseException | None) -> None:
        """Pass the loss on."""
        self.lost = True
        self.error = exc
        vars(self).pop("write", None)
        self._wake()
        # Before the switch nobody but read() is concerned: a client's plan may have
        # gone on to another wire.
        if self._switched:
            self._tell_lost()

    def pause_writing(self) -> None:
        """Tell the owner that the peer is slow."""
        self._blocked = True
        if self._switched:
            self.owner.write_paused()

    def resume_writing(self) -> None:
        """Tell the owner that the peer has caught up."""
        self._blocked = False
        if self._switched:
            self.owner.write_resumed()
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- opening -----------------------------------------------------------------

    async def read(self) -> bytes:
        """Return the bytes that came, at least one; b"" at the end of the stream.

        Raises OSError when the connection was lost for a reason. Cancelling it
        loses nothing.
        """
        while not self._unread:
            if self.lost and self.error is not None:
                raise self.error
            if self.got_eof or self.lost:
                return b""
            await self._wait()
        data, self._unread = self._unread, b""
        self.resume()
        return data

    async def drain(self) -> None:
        """Wait until the peer has taken most of what was written."""
        while self._blocked and not self.lost:
            await self._wait()

    async def _wait(self) -> None:
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def switch(self) -> None:
        """Hand the stream to the owner: unread bytes first, then all that comes."""
        self._switched = True
        if not self.lost:
            # Found on the instance before the class: bytes go the shortest way.
            self.write = self.transport.write  # type: ignore[method-assign]
            self.data_received = self.owner.feed  # type: ignore[method-assign]
        unread, self._unread = self._unread, b""
        if self._blocked:
            self.owner.write_paused()
        # First: the owner may want to pause.
        self.resume()
        if unread:
            self.owner.feed(unread)
        if self.got_eof:
            self.owner.eof()
        if self.lost:
            self._tell_lost()

    def _tell_lost(self) -> None:
        self.owner.lost(self.error)
        self.forget_owner()

    def forget_owner(self) -> None:
        """Tell nobody anything more, so that both can go without a collector."""
        self.owner = _Nobody()
        vars(self).pop("data_received", None)

    # --- verbs -------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send ``data``, now or when the peer takes it."""
        if not self.lost:
            self.transport.write(data)

    def set_write_limits(self, high: int, low: int | None) -> None:
        """Set the marks of ``write_paused`` and ``write_resumed``, in bytes."""
        self.transport.set_write_buffer_limits(high, low)

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return 0 if self.lost else self.transport.get_write_buffer_size()

    def pause(self) -> None:
        """Stop reading: the kernel's buffer fills and stops the peer."""
        if not self._paused and not self.lost and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            if not self.lost and not self.transport.is_closing():
                self.transport.resume_reading()

    def half_close(self) -> None:
        """Send the end of the stream after what was written; go on reading.

        TLS cannot do that: there it is ``close()``.
        """
        if self.lost or self.transport.is_closing():
            return
        try:
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()
        except OSError:
            # The peer is gone already; connection_lost() is on its way.
            self.transport.abort()

    def close(self) -> None:
        """Close when all that was written has left."""
        # asyncio's TLS transport forgets all about itself when closed twice.
        if not self.lost and not self.transport.is_closing():
            self.transport.close()

    def abort(self) -> None:
        """Close now, whatever was not sent."""
        if not self.lost:
            self.transport.abort()

    # --- questions ---------------------------------------------------------------

    @property
    def unread(self) -> int:
        """Bytes that wait for ``read()``."""
        return len(self._unread)

    @property
    def is_tls(self) -> bool:
        """Whether the stream is encrypted."""
        return self.get_extra_info("ssl_object") is not None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows about itself; see asyncio's own list."""
        if self.transport is None:
            return default
        try:
            return self.transport.get_extra_info(name, default)
        except (AttributeError, OSError, ValueError):
            # What is left of a closed transport: asyncio's TLS of 3.11 raises the
            # first, uvloop the others.
            return default
