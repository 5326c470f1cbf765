"""Settings: what the command line says, as it travels to the workers."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, Self

__all__ = ["Settings", "stages_of"]

STAGES = 10
"""Parts in which a worker closes its connections."""
MIN_STAGE = 100
"""Connections that are closed at once, however few stages that makes."""
_STAGED = 0.6
"""Part of the time for draining in which closing begins; the rest is for handlers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What ``longwire serve`` was told; None is what was not said."""

    app: str
    factory: bool = False
    app_dir: str = ""
    workers: int = 1
    ssl_cert: str | None = None
    ssl_key: str | None = None
    origins: tuple[str, ...] = ()
    compression: str | None = None
    max_size: int | None = None
    max_connections: int | None = None
    ping_interval: float | None = None
    ping_timeout: float | None = None
    open_timeout: float | None = None
    drain_timeout: float = 30.0
    start_timeout: float = 30.0
    hang_timeout: float = 60.0
    health: bool = True
    metrics: bool = False
    log_level: int = logging.INFO

    def to_json(self) -> dict[str, Any]:
        """Return the settings as values of JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the settings that ``to_json()`` gave."""
        return cls(**{**values, "origins": tuple(values["origins"])})


def stages_of(connections: int, timeout: float) -> tuple[int, float]:
    """Return how many connections to close at a time, and the seconds in between."""
    batch = max(-(-connections // STAGES), MIN_STAGE)
    stages = max(-(-connections // batch), 1)
    return batch, timeout * _STAGED / stages
