"""The keywords that every protocol class of former editions takes."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from ...options import Keepalive, Limits, Timeouts
from ...settings import limits_from
from ..variables import interval_of, limits_of
from .adapting import Running, check_keywords, timeout_from

__all__ = ["SETTINGS", "Behaviour"]


@dataclasses.dataclass(kw_only=True)
class Behaviour:
    """What the keywords stand for; one for all connections of a server.

    ``read_limit`` stands for nothing: nothing is read ahead but what ``max_queue``
    allows.
    """

    logger: Any = None
    open_timeout: float | None = 10
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    close_timeout: float | None = None
    max_size: int | tuple[int | None, int | None] | None = 2**20
    max_queue: int | tuple[int | None, int | None] | None = 2**5
    read_limit: int = 2**16
    write_limit: int | tuple[int, int | None] = 2**16
    host: str | None = None
    port: int | None = None
    secure: bool | None = None
    legacy_recv: bool = False
    loop: asyncio.AbstractEventLoop | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        self.close_timeout = timeout_from(self.close_timeout, self.timeout)
        self.timeout = self.close_timeout
        Running(self.loop)

    @functools.cached_property
    def limits(self) -> Limits:
        """Limits of sizes and counts."""
        return limits_of(
            limits_from(
                max_size=self.max_size,
                max_queue=self.max_queue,
                write_limit=self.write_limit,
            )
        )

    @functools.cached_property
    def timeouts(self) -> Timeouts:
        """Times for opening and closing; a close frame is answered as it comes."""
        open_timeout, close_timeout = self.open_timeout, self.close_timeout
        return Timeouts(open=open_timeout, close=close_timeout, fault_grace=0)

    @functools.cached_property
    def keepalive(self) -> Keepalive:
        """Times for pings."""
        interval = interval_of(self.ping_interval)
        return Keepalive(interval=interval, timeout=self.ping_timeout)

    @classmethod
    def of(cls, owner: object, keywords: Mapping[str, Any]) -> Behaviour:
        """Return what ``keywords`` of the class of ``owner`` say."""
        known = {field.name for field in dataclasses.fields(cls)}
        check_keywords(type(owner).__name__, keywords, known)
        return cls(**keywords)

    def changed(self, changes: Mapping[str, Any]) -> Behaviour:
        """Return this with other values, by the names of the keywords."""
        given = {**vars(self), "timeout": None, "loop": None, **changes}
        names = {field.name for field in dataclasses.fields(self)}
        return Behaviour(**{name: given[name] for name in names})


SETTINGS = (
    *("ping_interval", "ping_timeout", "close_timeout", "max_size"),
    *("max_queue", "write_limit"),
)
"""Those that a subclass may set as attributes before the connection is open."""
