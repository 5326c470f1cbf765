"""Wires: what moves a connection's bytes, and how they are read while it opens.

A wire has an owner, a connection, and decides nothing. While the opening handshake
runs, bytes are read by ``read()``; after ``switch()`` they go to the owner as they
come. There are two: ``native.py`` over the reactor, ``transport.py`` over asyncio.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

__all__ = ["MAX_UNREAD", "Owner", "Wire"]

MAX_UNREAD = 65536
"""Bytes kept for ``read()`` at which reading pauses."""


class Owner(Protocol):
    """What a wire tells its owner."""

    def wire_made(self) -> None:
        """The connection is there."""

    def peer_left(self) -> None:
        """Before ``switch()``: the peer sends nothing more, or TCP is gone."""

    def feed(self, data: bytes) -> None:
        """Bytes came, after ``switch()``."""

    def eof(self) -> None:
        """The peer sends nothing more, after ``switch()``."""

    def lost(self, exc: BaseException | None) -> None:
        """TCP is gone, after ``switch()``."""

    def cut(self, exc: BaseException) -> None:
        """TCP is gone, but not all that came before is read yet; ``lost()`` follows."""

    def write_paused(self) -> None:
        """More unsent bytes wait than the high mark allows."""

    def write_resumed(self) -> None:
        """Unsent bytes are down to the low mark."""


class _Nobody:
    """The owner of a wire that has ended."""

    def _ignore(self, *told: object) -> None:
        pass

    wire_made = peer_left = feed = eof = lost = cut = _ignore
    write_paused = write_resumed = _ignore


class Wire:
    """A stream of bytes in either direction; what is common to both kinds.

    The methods named as those of :class:`asyncio.Protocol` are called from below.
    """

    kind: str
    """"native" or "transport"."""
    error: BaseException | None = None
    got_eof = False
    tls_begun = False  # a TLS handshake is under way, or over
    _switched = False
    _blocked = False
    _unread = b""
    _waiter: asyncio.Future[None] | None = None
    _begin: Callable[[], None] | None = None

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.owner = owner
        self.loop = loop

    def __str__(self) -> str:
        return self.kind

    # --- from below --------------------------------------------------------------

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
            self.owner.peer_left()
        return keep_open

    def connection_lost(self, exc: BaseException | None) -> None:
        """Pass the loss on."""
        self.error = exc
        self._wake()
        if self._switched:
            self._tell_lost()
        else:
            self.owner.peer_left()

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
        if self._begin is not None:
            self.begin()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- opening -----------------------------------------------------------------

    def when_heard(self, begin: Callable[[], None]) -> None:
        """Have ``begin`` called once, when the peer says something or is gone.

        Until somebody reads: a peer that says nothing costs no task.
        """
        self._begin = begin
        if self._unread or self.got_eof or self.lost:
            self.begin()

    def begin(self) -> None:
        """Do that now, if it was not done."""
        begin, self._begin = self._begin, None
        if begin is not None:
            begin()

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
        data = self.take_unread()
        self.resume()
        return data

    def take_unread(self) -> bytes:
        """Return and forget the bytes that wait for ``read()``."""
        data, self._unread = self._unread, b""
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

    @property
    def unread(self) -> int:
        """Bytes that wait for ``read()``."""
        return len(self._unread)

    def switch(self) -> None:
        """Hand the stream to the owner: unread bytes first, then all that comes."""
        self._switched = True
        if not self.lost:
            self.shorten()
        unread = self.take_unread()
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

    def close_at_once(self) -> bool:
        """Close where that loses nothing that was received or written.

        Returns whether it was done; then the owner has been told already.
        """
        return False

    def shorten(self) -> None:
        """Have bytes go the shortest way from now on, if there is a shorter one."""

    if TYPE_CHECKING:
        # What each kind has.

        @property
        def lost(self) -> bool: ...

        @property
        def unsent(self) -> int: ...

        @property
        def memory(self) -> int: ...

        @property
        def is_tls(self) -> bool: ...

        @property
        def transport(self) -> asyncio.Transport: ...

        async def start_tls(self, context: ssl.SSLContext, **options: Any) -> None: ...

        def write(self, data: bytes) -> None: ...

        def pause(self) -> None: ...

        def resume(self) -> None: ...

        def half_close(self) -> None: ...

        def close(self) -> None: ...

        def abort(self) -> None: ...

        def set_write_limits(self, high: int, low: int | None) -> None: ...

        def get_extra_info(self, name: str, default: Any = None) -> Any: ...
