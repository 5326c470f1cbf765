"""The documented environment variables that say how connections behave.

Each is read when ``serve`` or ``connect`` is called; a keyword for the same wins.
longwire's own variables begin with ``LONGWIRE_``.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TypeVar

from ..accepting import ServerSettings
from ..client_settings import ClientSettings
from ..options import Limits

__all__ = ["fragments_limited", "limits_of", "redirects_limited"]

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


def fragments_limited(settings: Settings, given: Limits | None) -> Settings:
    """Return ``settings`` with those limits, unless the caller has ``given`` some."""
    if given is not None:
        return settings
    return dataclasses.replace(settings, limits=limits_of(settings.limits))


def redirects_limited(settings: ClientSettings) -> ClientSettings:
    """Return ``settings`` with what ``WEBSOCKETS_MAX_REDIRECTS`` says."""
    redirects = _count("WEBSOCKETS_MAX_REDIRECTS", 0)
    if redirects is None:
        return settings
    return dataclasses.replace(settings, max_redirects=redirects)
