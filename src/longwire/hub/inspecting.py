"""Inspecting: what one running hub has, as JSON, for whoever looks for a fault.

Nothing is kept for it: all is read off what the hub needs anyway. No payloads.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING, Any

from .errors import BrokerUnavailable
from .feeds import Feed
from .links import PeerLink
from .subscriptions import BEHIND, LIVE, Subscription

if TYPE_CHECKING:
    from .service import Service
    from .topics import Declaration

__all__ = ["overview", "topic_details"]

STATES = ("parked", "live", "behind", "gone")


def overview(service: Service, limit: int) -> dict[str, Any]:
    """Return what there is: the broker's state, and the largest topics."""
    driver, publishing = service.driver, service.publishing
    node = driver.core.node
    down = driver.down_since
    largest = heapq.nlargest(
        limit, node.feeds.values(), key=lambda feed: (feed.members, feed.name)
    )
    return {
        "node": service.node,
        "time": time.time(),
        "broker": {
            "name": driver.broker.name,
            "up": driver.is_up.is_set(),
            "down_seconds": None if down is None else driver.now - down,
            "losses": driver.losses,
            "received": driver.received,
            "repeats": node.repeats,
            "repaired": node.repaired,
            "signalled": node.signalled,
        },
        "publishing": {
            **publishing.results,
            "in_flight": publishing.in_flight,
            "queued": publishing.queued,
            "queued_bytes": publishing.queued_bytes,
        },
        "connections": len(service.links),
        "subscriptions": sum(len(link.subs) for link in service.links.values()),
        "behind": len(node.behind),
        "recoveries": dict(service.recoveries),
        "tail_bytes": node.tails.size,
        "topics_attached": len(node.feeds),
        "topics": [_feed(feed) for feed in largest],
    }


async def topic_details(service: Service, topic: str, limit: int) -> dict[str, Any]:
    """Return what there is of one topic: here, and at the broker."""
    declaration, params = service.find(topic)
    feed = service.driver.core.feeds.get(topic)
    subs = [link.subs[topic] for link in service.links.values() if topic in link.subs]
    storage = declaration.storage
    return {
        "topic": topic,
        "declared": {
            "pattern": declaration.pattern,
            "params": params,
            "history": storage.history,
            "ttl": storage.ttl,
            "slow": declaration.slow,
            "presence": declaration.presence,
        },
        "here": None if feed is None else _feed(feed),
        "subscribers": [_subscriber(service, sub) for sub in subs[:limit]],
        "subscribers_total": len(subs),
        "stored": await _stored(service, declaration, topic, limit),
    }


def _feed(feed: Feed) -> dict[str, Any]:
    if feed.is_settled:
        state = "settled"
    elif not feed.attached:
        state = "attaching"
    else:
        state = "repairing" if feed.repairing else "in doubt"
    return {
        "topic": feed.name,
        "state": state,
        "position": None if feed.position is None else str(feed.position),
        "subscribers": feed.members,
        "live": len(feed.live),
        "waiting": len(feed.requests),
        "held": len(feed.held),
        "tail": {"entries": len(feed.tail.entries), "bytes": feed.tail.size},
    }


def _subscriber(service: Service, sub: Subscription) -> dict[str, Any]:
    link = sub.link
    assert isinstance(link, PeerLink)
    lag = sub.lag if sub.state == BEHIND else None
    position = None if sub.state == LIVE else sub.position
    return {
        "user": None if link.user is None else link.user.id,
        "client": link.client and link.members and link.members.get(sub.feed.name),
        "path": link.peer.request.path.partition("?")[0],
        "state": STATES[sub.state],
        "behind_seconds": None if lag is None else service.now - lag.since,
        "position": None if position is None else str(position),
        "unsent_bytes": link.peer.outbox.size,
    }


async def _stored(
    service: Service, declaration: Declaration, topic: str, limit: int
) -> dict[str, Any]:
    """Return what the broker has; what it says if it cannot be asked."""
    broker, size = service.driver.broker, service.limits.page_bytes
    storage = declaration.storage
    try:
        page = await broker.read(topic, None, storage, limit, size, reverse=True)
        members = None
        if declaration.presence:
            found = await broker.members(topic, 0)
            members = {"clients": found.clients, "users": found.users}
    except BrokerUnavailable as exc:
        return {"error": exc.message}
    return {
        "position": str(page.top),
        "more": page.more,
        "entries": [
            {"offset": each.offset, "at": each.at, "bytes": len(each.data)}
            for each in page.entries
        ],
        "presence": members,
    }
