"""NATS JetStream as the broker of a hub. Needs nothing beside msgspec.

``Hub("nats://localhost")`` is all that most programs need of it.
"""

from __future__ import annotations

from .broker import NatsBroker

__all__ = ["NatsBroker"]
