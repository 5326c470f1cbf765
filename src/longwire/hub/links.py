"""Links: the one place where the hub touches connections.

A link is a connection as the hub needs it: whether it has room, a message that goes out
now or not at all, word when there is room again, and an end with a reason.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import LimitExceeded
from ..messages import State
from ..rpc.peer import Peer
from ..session.shared_frames import Forms
from .budgets import Budget
from .permissions import EVERYBODY
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
        *("__weakref__", "_can_post", "_connection", "_on_end", "_outbox", "access"),
        *("behind", "calls", "client", "codec", "identifying", "is_closed"),
        *("is_identified", "members", "peer", "prefix", "publishes", "stale", "subs"),
        *("user", "waiting"),
    )

    def __init__(
        self, peer: Peer, prefix: str, on_end: Callable[[PeerLink], None]
    ) -> None:
        self.peer = peer
        self.prefix = prefix
        """Of the names of our notifications, with the dot."""
        self.codec = peer.wire.codec
        """What its client speaks."""
        self.subs: dict[str, Subscription] = {}
        self.behind: dict[Subscription, None] = {}
        self.user: Any = None
        self.is_identified = False
        self.identifying: asyncio.Future[None] | None = None
        self.client: str | None = None
        self.members: dict[str, str] | None = None
        """The topics where it is present, and its public name there."""
        self.stale: dict[str, None] | None = None
        """Topics whose presence it was not told of, for want of room."""
        self.access = EVERYBODY
        """The permission it was given last: most of its subscriptions share it."""
        self.calls = Budget()
        self.publishes: Budget | None = None
        self.waiting: asyncio.Task[None] | None = None
        self.is_closed = False
        self._on_end = on_end
        # At hand, for all of them are looked at for each message of each subscriber: a
        # delivery takes 2.3 us more than by longwire.broadcast, and took 4.5 by way of
        # the peer (bench/hub.py --only fanout, 1,000 clients).
        self._connection: Any = peer.connection
        # One that an ASGI server holds has its outbox alone to say whether it has room.
        self._can_post = hasattr(peer.connection, "post")
        self._outbox: Any = peer.outbox

    @property
    def has_room(self) -> bool:
        """Whether a message would leave now, and after all that was sent before it."""
        if self.is_closed or self._outbox.pump is not None:
            return False  # answers wait; what is sent now would overtake them
        if self._can_post:
            return bool(self._connection.has_room)
        return self.peer.is_open

    def deliver(self, message: Message) -> bool:
        """Send it now; False if there is no room.

        Where the policy is to disconnect it is queued, and the end comes by its size.
        """
        if not self.has_room:
            regardless = message.feed.slow == "disconnect" and message.to is None
            return regardless and self._queue(message)
        form = message.forms.get(self.codec) or self._make_form(message)
        if not self._can_post:
            self._outbox.post(form.payload)
        else:
            # With room it leaves at once; the policy is for what would not.
            self._connection.offer(form, "disconnect", None)
        return True

    def _make_form(self, message: Message) -> Forms:
        """Make of a message what all who speak the same codec get."""
        codec = self.codec
        params: Any
        if isinstance(message, Push):
            name, params = "message", message_params(message, codec)
        else:
            name, params = "gap", gap_params(message)
        frame = self.peer.wire.notification(f"{self.prefix}{name}", params)
        form = Forms(TEXT if codec.is_text else BINARY, frame, os.urandom)
        message.forms[codec] = form
        return form

    def _queue(self, message: Message) -> bool:
        """Send it after what waits, unless that is too much."""
        outbox = self._outbox
        if self.is_closed or not self.peer.is_open:
            return True  # nobody is there to miss it
        form = message.forms.get(self.codec) or self._make_form(message)
        if not self._can_post or outbox.pump is not None:
            most = self._connection.protocol.limits.unsent_bytes
            if most is not None and outbox.size + len(form.payload) > most:
                reason = f"slow consumer: {outbox.size} bytes wait; {most} are allowed"
                self.hang_up(reason, "unsent_bytes", most)
            else:
                outbox.post(form.payload)
        elif self._connection.state is State.OPEN:
            self._connection.offer(form, "disconnect", None)
        return True

    def post(self, method: str, params: Any) -> None:
        """Send a small notification, after all that was sent before it."""
        if not self.is_closed and self.peer.is_open:
            self._outbox.post(
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
        pump = self._outbox.pump
        if pump is not None:
            await asyncio.wait([pump])
            return
        if self._can_post and self._connection.state is State.OPEN:
            changed = asyncio.Event()
            self._connection.on_room(changed.set)
            await changed.wait()
        else:
            await asyncio.sleep(POLL)  # it closes, which takes a moment

    # --- the end -----------------------------------------------------------------

    def hang_up(self, reason: str, limit: str, value: float | None) -> None:
        """Close the connection with 1008; its close report names the limit."""
        error = LimitExceeded(reason)
        error.limit = limit
        error.limit_value = value
        self._connection.close_for(error)

    def end(self) -> None:
        """The connection has ended."""
        self._on_end(self)

    def stop(self) -> asyncio.Task[None] | None:
        """The connection has ended; return the task that has to end for that."""
        self.is_closed = True
        waiting = self.waiting
        if waiting is not None:
            waiting.cancel()
        return waiting

    def __repr__(self) -> str:
        return f"<PeerLink of {self.peer!r}>"
