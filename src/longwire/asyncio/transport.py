"""The wire over asyncio transports: plain TCP, Unix sockets and TLS, on any loop.

The other wire is ``native.py``, over the reactor.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Any, cast

from . import wire
from .network import as_usual, beneath, method_of
from .wire import Owner

__all__ = ["SALVAGED", "Wire"]

SALVAGED = 262144
"""Bytes that are still read of a connection that asyncio gives up: one read of its."""


class Wire(wire.Wire, asyncio.Protocol):
    """One transport and its owner."""

    kind = "transport"

    lost = False
    transport: asyncio.Transport = cast(asyncio.Transport, None)
    _lowest = transport  # that of the socket, below TLS
    _beneath: asyncio.Transport | None = None  # has unsent bytes of its own
    _paused = False

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner, asyncio.get_running_loop())

    # --- from the transport ------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = self._lowest = cast(asyncio.Transport, transport)
        self._beneath = beneath(self.transport, self._lowest)
        self.owner.wire_made()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Pass the loss on, after what the peer sent before it."""
        if exc is not None and self._switched and not self.tls_begun:
            self._salvage()
        self.lost = True
        super().connection_lost(as_usual(exc))

    def _salvage(self) -> None:
        """Read what the system has of what came, where asyncio does not.

        A write that fails has it close the socket, though the peer may have sent a lot
        before it left. How much is there depends on how long reading was paused.
        """
        below = self.get_extra_info("socket")
        data = b""
        try:
            with socket.socket(fileno=os.dup(below.fileno())) as copy:
                copy.setblocking(False)
                while len(data) < SALVAGED:
                    more = copy.recv(SALVAGED - len(data))
                    if not more:
                        break
                    data += more
        except (AttributeError, OSError, ValueError):
            pass  # there is nothing more, or no socket any more
        if data:
            self.owner.feed(data)

    async def start_tls(self, context: ssl.SSLContext, **options: Any) -> None:
        """Go on encrypted; ``options`` are those of the loop's ``start_tls()``.

        Raises OSError or ssl.SSLError when the TLS handshake fails.
        """
        self.tls_begun = True
        start = method_of(self.loop, "start_tls", True)
        transport = await start(self.transport, self, context, **options)
        if transport is None:
            # asyncio returns None for a connection that was lost meanwhile.
            raise ConnectionResetError("connection lost in the TLS handshake")
        self.transport = transport
        self._beneath = beneath(transport, self._lowest)

    def shorten(self) -> None:
        """Have bytes go the shortest way: found on the instance before the class."""
        self.data_received = self.owner.feed  # type: ignore[method-assign]

    def forget_owner(self) -> None:
        """Tell nobody anything more, so that both can go without a collector."""
        super().forget_owner()
        vars(self).pop("data_received", None)

    # --- verbs -------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send ``data``, now or when the peer takes it."""
        # asyncio complains of writes to a socket that failed, which it tells us of a
        # turn later; its TLS transport does not know of it.
        if not self.lost and not self._lowest.is_closing():
            self.transport.write(data)

    def set_write_limits(self, high: int, low: int | None) -> None:
        """Set the marks of ``write_paused`` and ``write_resumed``, in bytes."""
        self.transport.set_write_buffer_limits(high, low)

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        if self.lost:
            return 0
        size = self.transport.get_write_buffer_size()
        below = self._beneath
        return size if below is None else size + below.get_write_buffer_size()

    @property
    def memory(self) -> int:
        """Bytes of memory that unsent bytes take."""
        return self.unsent

    def pause(self) -> None:
        """Stop reading: the kernel's buffer fills and stops the peer.

        Below TLS: uvloop discards what its TLS holds for a paused reader when the peer
        closes TCP.
        """
        if not self._paused and not self.lost and not self._lowest.is_closing():
            self._paused = True
            self._lowest.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            if not self.lost and not self._lowest.is_closing():
                self._lowest.resume_reading()

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
