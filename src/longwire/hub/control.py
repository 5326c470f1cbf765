"""Control: what one node tells all others, on a topic with history.

Who was shut out stays shut out on a node that lost its feed for a while: it catches up.
Where it cannot, it lets nobody keep what may have been taken away: all subscribe anew.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from .broker import Storage
from .driver import Driver
from .entries import Entry
from .errors import BrokerUnavailable
from .internal import InternalLink
from .payloads import Payload, Unreadable, pack, unpack
from .publishing import Message, Publishing
from .topics import CONTROL

if TYPE_CHECKING:
    from .service import Service

__all__ = ["Control"]

logger = logging.getLogger("longwire.hub")

STORAGE = Storage(history=1000, ttl=86400.0, meta_ttl=864000.0, idempotency=60.0)


class _Order(msgspec.Struct, omit_defaults=True):
    """What every node is to do."""

    do: str
    user: str | None = None
    topic: str | None = None
    node: str | None = None


_read = msgspec.json.Decoder(_Order).decode


class Control:
    """Sends orders, and carries out those of other nodes and its own."""

    def __init__(
        self, driver: Driver, publishing: Publishing, service: Service
    ) -> None:
        self._driver = driver
        self._publishing = publishing
        self._service = service
        self._link: InternalLink | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._link = InternalLink(
            self._driver,
            CONTROL,
            STORAGE,
            on_entry=self._hear,
            on_gap=self._missed,
        )

    # --- orders ------------------------------------------------------------------

    async def unsubscribe(self, user: str, topic: str | None) -> None:
        """End the subscriptions of a user, on all nodes."""
        await self._send(_Order("unsubscribe", user=user, topic=topic))

    async def disconnect(self, user: str) -> None:
        """Close the connections of a user, on all nodes."""
        await self._send(_Order("disconnect", user=user))

    def node_died(self, node: str) -> None:
        """Have all nodes end the leases of a dead one's members."""
        logger.warning("node %s is gone: its lease has ended", node)
        self._driver.spawn(self._send_quietly(_Order("bury", node=node)))

    async def _send(self, order: _Order) -> None:
        data = pack(Payload("json", msgspec.json.encode(order)))
        await self._publishing.publish(Message(CONTROL, STORAGE, data))

    async def _send_quietly(self, order: _Order) -> None:
        try:
            await self._send(order)
        except BrokerUnavailable as exc:
            logger.info("an order to all nodes was not published: %s", exc)

    # --- what is heard -----------------------------------------------------------

    def _hear(self, entry: Entry) -> None:
        try:
            order = _read(unpack(entry.data).data)
        except (Unreadable, msgspec.MsgspecError, RecursionError, UnicodeError) as exc:
            logger.error("an order on %s cannot be read: %s", CONTROL, exc)
            return
        service = self._service
        if order.do == "bury" and order.node is not None:
            service.presences.node_died(order.node)
        elif order.do == "unsubscribe" and order.user is not None:
            self._shut_out(order.user, order.topic)
        elif order.do == "disconnect" and order.user is not None:
            for link in service.links_of(order.user):
                closing = link.peer.close(1008, "disconnected by the server")
                self._driver.spawn(closing)
        else:
            # Of a later version, perhaps; it may have taken something away.
            logger.error("an order on %s is not understood: %s", CONTROL, order.do)

    def _shut_out(self, user: str, topic: str | None) -> None:
        for link in self._service.links_of(user):
            subs = [sub for name, sub in link.subs.items() if topic in (None, name)]
            self._service.end(
                link, subs, code="revoked", reason="ended by the server", again=False
            )

    def _missed(self, reason: str) -> None:
        logger.error(
            "orders on %s were missed (%s): all subscribe anew, to be checked",
            CONTROL,
            reason,
        )
        for link in list(self._service.links.values()):
            self._service.end(
                link,
                list(link.subs.values()),
                code="unchecked",
                reason="permissions have to be checked again",
                again=True,
                leaving=False,
            )
