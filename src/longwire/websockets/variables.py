"""The documented environment variables that say how connections behave.

Each is read when ``serve`` or ``connect`` is called; a keyword for the same wins.
longwire's own variables begin with ``LONGWIRE_``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from ..asyncio.timers import RESOLUTION
from ..opening.client_settings import ClientSettings
from ..opening.server_plan import ServerSettings
from ..options import Compression, Limits

__all__ = [
    "as_documented",
    "compression_of",
    "interval_of",
    "limits_of",
    "redirects_limited",
]

Settings = TypeVar("Settings", ServerSettings, ClientSettings)


def _count(name: str, least: int) -> int | None:
    """Return the number in the variable ``name``, None if it is not set."""
    text = os.environ.get(name)
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise ValueError(f"{name} is {text!r}; a number from {least} on is allowed")
    return value


def limits_of(limits: Limits) -> Limits:
    """Return ``limits`` with what ``WEBSOCKETS_MAX_FRAGMENTS`` says."""
    fragments = _count("WEBSOCKETS_MAX_FRAGMENTS", 1)
    if fragments is None:
        return limits
    return dataclasses.replace(limits, fragments=fragments)


def interval_of(ping_interval: float | None) -> float | None:
    """Return the seconds between two pings; 0 stands for as few as timers can do."""
    return RESOLUTION if ping_interval == 0 else ping_interval


def as_documented(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """Return ``settings`` with what the documented API has by default.

    ``given`` are the caller's keywords: ``limits`` and ``timeouts`` among them win. A
    close frame is answered as it comes, also while messages wait for ``recv()``.
    """
    if given.get("limits") is None:
        limits = limits_of(settings.limits)
        settings = dataclasses.replace(settings, limits=limits)
    if given.get("timeouts") is None:
        timeouts = dataclasses.replace(settings.timeouts, fault_grace=0)
        settings = dataclasses.replace(settings, timeouts=timeouts)
    return settings


def compression_of(value: Any) -> Any:
    """Return ``compression=``; raise ValueError for what is none, of whatever type."""
    if value is None or isinstance(value, (str, Compression)):
        return value
    raise ValueError(f"unsupported compression: {value!r}")


def redirects_limited(settings: ClientSettings) -> ClientSettings:
    """Return ``settings`` with what ``WEBSOCKETS_MAX_REDIRECTS`` says."""
    redirects = _count("WEBSOCKETS_MAX_REDIRECTS", 0)
    if redirects is None:
        return settings
    return dataclasses.replace(settings, max_redirects=redirects)
