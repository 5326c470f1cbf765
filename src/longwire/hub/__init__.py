"""Publish–subscribe that survives reconnects, from one process to many machines.

``Hub`` is where to begin, ``HubClient`` its other end. A subscriber that comes back
gets what it missed, in order and once, or is told that it cannot. Needs msgspec:
``pip install '.[rpc]'``; for Redis ``pip install '.[redis]'``.
"""

from __future__ import annotations

# First: it says what to install where msgspec is missing.
from .. import rpc as _rpc  # noqa: F401
from .broker import Broker, Member, Members
from .client import HubClient
from .client_subscription import Message, Subscription
from .errors import (
    BrokerUnavailable,
    Gap,
    HubError,
    NotSubscribed,
    OptionOff,
    Overloaded,
    TokenExpired,
    TooLarge,
    TooManySubscriptions,
    UnknownTopic,
)
from .hub import Hub, Published
from .limits import HubLimits
from .memory import MemoryBroker
from .mounting import asgi
from .permissions import Context, Grant, User
from .publisher import Publisher
from .tokens import Tokens

__all__ = [
    "Broker",
    "BrokerUnavailable",
    "Context",
    "Gap",
    "Grant",
    "Hub",
    "HubClient",
    "HubError",
    "HubLimits",
    "Member",
    "Members",
    "MemoryBroker",
    "Message",
    "NotSubscribed",
    "OptionOff",
    "Overloaded",
    "Published",
    "Publisher",
    "Subscription",
    "TokenExpired",
    "Tokens",
    "TooLarge",
    "TooManySubscriptions",
    "UnknownTopic",
    "User",
    "asgi",
]
