"""Connections as asyncio protocols: driven by a loop, or by another program's server.

In the documented API a connection is an :class:`asyncio.Protocol`: some servers make
one and hand it their transport. Here ``connection_made()``, ``data_received()`` and the
others lead to a wire of longwire's. Where longwire has a connection's transport itself
and a subclass overrides one of these methods, its wire calls the method first.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from ..asyncio import transport as engine
from ..errors import InvalidState
from .overriding import overridden

__all__ = ["METHODS", "Driven", "DrivenWire", "TellingWire"]

METHODS = (
    "connection_made",
    "data_received",
    "eof_received",
    "connection_lost",
    "pause_writing",
    "resume_writing",
)


class Driven(asyncio.Protocol):
    """An asyncio protocol over the connection that ``_connection`` is."""

    _connection: Any
    """What longwire's engine knows as the connection."""
    _told: engine.Wire | None = None
    """The wire that the methods below lead to."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin on ``transport``: called once, when TCP, and TLS, are there."""
        wire = self._told
        if wire is None:
            wire = self._told = DrivenWire(self)
            self._connection.wire = wire
        if wire.transport is None:
            engine.Wire.connection_made(wire, transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes that came."""
        engine.Wire.data_received(self._wire_told(), data)

    def eof_received(self) -> bool | None:
        """Take the end of what the peer sends."""
        return engine.Wire.eof_received(self._wire_told())

    def connection_lost(self, exc: Exception | None) -> None:
        """End: TCP is gone."""
        engine.Wire.connection_lost(self._wire_told(), exc)

    def pause_writing(self) -> None:
        """Send no more for now: the peer is slow."""
        engine.Wire.pause_writing(self._wire_told())

    def resume_writing(self) -> None:
        """Send again."""
        engine.Wire.resume_writing(self._wire_told())

    def _wire_told(self) -> engine.Wire:
        if self._told is None:
            raise InvalidState("connection_made() was not called")
        return self._told


class DrivenWire(engine.Wire):
    """The wire of a protocol that somebody else's transport calls."""

    def __init__(self, protocol: Driven) -> None:
        super().__init__(protocol._connection)
        self._protocol = protocol

    def shorten(self) -> None:
        """Spare each read the way through the protocol's method and ours."""
        if not overridden(type(self._protocol), ("data_received",)):
            vars(self._protocol).setdefault("data_received", self.owner.feed)

    def forget_owner(self) -> None:
        """Tell nobody anything more."""
        super().forget_owner()
        vars(self._protocol).pop("data_received", None)


class TellingWire(engine.Wire):
    """A wire of longwire's that has ``protocol`` told of everything.

    ``tls_first`` says that TLS is started by this side once it is connected, and that
    the protocol is to know of nothing before.
    """

    def __init__(self, protocol: Driven, *, tls_first: bool = False) -> None:
        super().__init__(protocol._connection)
        self._protocol = protocol
        self._silent = tls_first
        protocol._told = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have the protocol keep the transport."""
        if self._silent:
            super().connection_made(transport)
        else:
            self._protocol._connection.wire = self
            self._protocol.connection_made(transport)

    async def start_tls(self, context: ssl.SSLContext, **options: Any) -> None:
        """Go on encrypted."""
        await super().start_tls(context, **options)
        if self._silent:
            self._silent = False
            self._protocol.connection_made(self.transport)

    def data_received(self, data: bytes) -> None:
        """Have the protocol take bytes."""
        self._protocol.data_received(data)

    def eof_received(self) -> bool:
        """Have the protocol take the end of them."""
        return bool(self._protocol.eof_received())

    def connection_lost(self, exc: BaseException | None) -> None:
        """Have the protocol end."""
        if self._silent:
            super().connection_lost(exc)
        else:
            self._protocol.connection_lost(exc)  # type: ignore[arg-type]

    def pause_writing(self) -> None:
        """Have the protocol pause."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Have the protocol go on."""
        self._protocol.resume_writing()

    def shorten(self) -> None:
        """Take no shorter way."""
