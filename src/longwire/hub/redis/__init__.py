"""Redis as the broker of a hub: streams, Pub/Sub and scripts. Needs hiredis.

``Hub("redis://localhost")`` is all that most programs need of it.
"""

from __future__ import annotations

try:
    import hiredis as _hiredis  # noqa: F401
except ImportError as exc:
    raise ImportError(
        "the hub on Redis needs hiredis; in a checkout: pip install '.[redis]'"
    ) from exc

from .broker import RedisBroker

__all__ = ["RedisBroker"]
