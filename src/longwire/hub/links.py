"""Links: the one place where the hub touches connections.

A link is a connection as the hub needs it: whether it has room, a message that goes out
now or not at all, word when there is room again, and an end with a reason. What of that
the connections and ``longwire.rpc`` do not offer by name is reached for here, and only
here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import LimitExceeded
from ..forms import Forms
from ..rpc.codecs import Codec
from ..rpc.peer import Peer
from .subscriptions import Missing, Push, Subscription
from .wire import gap_params, message_params

__all__ = ["HubLink", "PeerLink"]

Message = Push | Missing

TEXT, BINARY = 1, 2  # RFC 6455 section 5.2

POLL = 0.005
"""Seconds between looks at a state that ends within a turn or two of the loop."""


class HubLink(Protocol):
    """What a driver needs of a link, beyond what the core does."""

    subs: dict[str, Subscription]
    behind: dict[Subscription, None]

    @property
    def has_room(self) -> bool:
        """Whether a message would leave now."""

    def deliver(self, message: Message) -> bool:
        """Send it now; False if there is no room."""

    def wait_for_room(self, then: Callable[[HubLink], None]) -> None:
        """Call ``then`` once there is room again."""

    def hang_up(self, reason: str, limit: str, value: float | None) -> None:
        """Close the connection with 1008; ``limit`` of `HubLimits` is ``value``."""


class PeerLink:
    """The connection of a peer of ``longwire.rpc``.

    ``user`` is who it was identified as, ``client`` the name of its page.
    """

    __slots__ = (
        *("__weakref__", "behind", "budget", "client", "identifying", "is_closed"),
        *("is_identified", "members", "peer", "prefix", "stale", "subs", "user"),
        "waiting",
    )

    def __init__(self, peer: Peer, prefix: str) -> None:
        self.peer = peer
        self.prefix = prefix
        """Of the names of our notifications, with the dot."""
        self.subs: dict[str, Subscription] = {}
        self.behind: dict[Subscription, None] = {}
        self.user: Any = None
        self.is_identified = False
        self.identifying: asyncio.Future[None] | None = None
        self.client: str | None = None
        self.members: dict[str, str] = {}
        """The topics where it is present, and its public name there."""
        self.stale: dict[str, None] = {}
        """Topics whose presence it was not told of, for want of room."""
        self.budget: Any = None
        self.waiting: asyncio.Task[None] | None = None
        self.is_closed = False

    @property
    def codec(self) -> Codec:
        """What its client speaks."""
        return self.peer.wire.codec

    @property
    def has_room(self) -> bool:
        """Whether a message would leave now, and after all that was sent before it."""
        if self.is_closed or not self.peer.is_open:
            return False
        if self.peer._outbox._pump is not None:
            return False  # answers wait; what is sent now would overtake them
        session = getattr(self.peer.connection, "_session", None)
        if session is None:
            return True  # a connection of another kind: its outbox says
        return bool(
            session.writable
            and session.outbox is None
            and not session.fragmenting
            and session.senders == 0
            and session.is_open
        )

    def deliver(self, message: Message) -> bool:
        """Send it now; False if there is no room.

        Where the policy is to disconnect it is queued, and the end comes by its size.
        """
        regardless = message.feed.slow == "disconnect" and message.to is None
        if not (self.has_room or regardless):
            return False
        codec = self.codec
        form = message.forms.get(codec)
        if form is None:
            form = message.forms[codec] = self._form_of(message)
        if self.peer._outbox._pump is not None:
            self._queue(form)
        elif self.peer.is_open:
            self._offer(form)
        return True

    def _queue(self, form: Forms) -> None:
        """Send it after the answers that wait, unless that is too much."""
        outbox, most = self.peer._outbox, self._unsent_limit
        if most is not None and outbox.size + len(form.payload) > most:
            reason = f"slow consumer: {outbox.size} bytes wait; {most} are allowed"
            self.hang_up(reason, "unsent_bytes", most)
        else:
            outbox.post(form.payload)

    @property
    def _unsent_limit(self) -> int | None:
        session = getattr(self.peer.connection, "_session", None)
        return None if session is None else session.limits.unsent_bytes

    def _form_of(self, message: Message) -> Forms:
        codec = self.codec
        if isinstance(message, Push):
            frame = self.peer.wire.notification(
                f"{self.prefix}message",
                message_params(message, codec),  # type: ignore[arg-type]
            )
        else:
            frame = self.peer.wire.notification(
                f"{self.prefix}gap",
                gap_params(message),  # type: ignore[arg-type]
            )
        return Forms(TEXT if codec.is_text else BINARY, frame, os.urandom)

    def _offer(self, form: Forms) -> None:
        connection = self.peer.connection
        offer = getattr(connection, "offer", None)
        if offer is None:
            self.peer._outbox.post(form.payload)
            return
        # With room it leaves at once; the policy is for what would not.
        offer(form, "disconnect", None)

    def post(self, method: str, params: Any) -> None:
        """Send a small notification, after all that was sent before it."""
        if not self.is_closed and self.peer.is_open:
            self.peer._outbox.post(
                self.peer.wire.notification(f"{self.prefix}{method}", params)
            )

    # --- room --------------------------------------------------------------------

    def wait_for_room(self, then: Callable[[Any], None]) -> None:
        """Call ``then`` once there is room again, if the connection lives to see it."""
        if self.waiting is None and not self.is_closed:
            loop = asyncio.get_running_loop()
            self.waiting = loop.create_task(self._wait_for_room(then))

    async def _wait_for_room(self, then: Callable[[Any], None]) -> None:
        try:
            while not self.has_room:
                if self.is_closed or not self.peer.is_open:
                    return
                await self._wait_for_change()
        finally:
            self.waiting = None
        then(self)

    async def _wait_for_change(self) -> None:
        outbox = self.peer._outbox
        if outbox._pump is not None:
            await outbox.drained()
            return
        connection = self.peer.connection
        session = getattr(connection, "_session", None)
        if session is not None and session.is_open and not session.writable:
            await connection._wait_for_turn(session)
        else:
            # It closes, or another sender has its turn: that takes a moment.
            await asyncio.sleep(POLL)

    # --- the end -----------------------------------------------------------------

    def hang_up(self, reason: str, limit: str, value: float | None) -> None:
        """Close the connection with 1008; its close report names the limit."""
        connection = self.peer.connection
        session = getattr(connection, "_session", None)
        if session is None or not session.is_open:
            return
        error = LimitExceeded(reason)
        error.limit = limit
        error.limit_value = value
        session.fail(error, connection._now())
        connection._react()

    def stop(self) -> asyncio.Task[None] | None:
        """The connection has ended; return the task that has to end for that."""
        self.is_closed = True
        waiting = self.waiting
        if waiting is not None:
            waiting.cancel()
        return waiting

    def __repr__(self) -> str:
        return f"<PeerLink of {self.peer!r}>"
