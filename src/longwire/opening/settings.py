"""From the keywords of ``serve`` and ``connect`` to the values of ``options``.

The documented keywords are loose (a number, None or a pair); below the front ends
there are only :class:`~longwire.Limits` and its kin. Both sides and every front end
come through here, so a keyword means the same and fails the same everywhere.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from .. import __version__
from ..hints import keyword_error
from ..options import PROFILES, Compression, Keepalive, Limits, Timeouts

__all__ = [
    "CLOSE_TIMEOUT",
    "KEEPALIVE",
    "MAX_QUEUE",
    "MAX_SIZE",
    "OPEN_TIMEOUT",
    "PING_INTERVAL",
    "PING_TIMEOUT",
    "PRODUCT",
    "WRITE_LIMIT",
    "Default",
    "DefaultSeconds",
    "check_keywords",
    "compression_from",
    "connection_keywords",
    "for_connection",
    "limits_from",
    "settings_of_both",
    "timeouts_from",
]

PRODUCT = f"Python/{sys.version_info[0]}.{sys.version_info[1]} longwire/{__version__}"
"""What we call ourselves in User-Agent and Server."""


class Default(int):
    """A default that can be told from the same number given by the caller.

    ``limits=`` decides where the caller gave no keyword, so we must know whether
    one was given; yet ``help(connect)`` shall show the number.
    """


class DefaultSeconds(float):
    """A default of the keywords of a connection's class, told from the same number."""


_DEFAULTS = Limits()
KEEPALIVE = Keepalive()
"""Has the defaults of ``ping_interval`` and ``ping_timeout``."""
MAX_SIZE = Default(_DEFAULTS.message or 0)
MAX_QUEUE = Default(_DEFAULTS.queued_messages or 0)
WRITE_LIMIT = Default(_DEFAULTS.output_bytes)
OPEN_TIMEOUT = Default(Timeouts().open or 0)
CLOSE_TIMEOUT = Default(Timeouts().close or 0)
PING_INTERVAL = DefaultSeconds(KEEPALIVE.interval or 0)
PING_TIMEOUT = DefaultSeconds(KEEPALIVE.timeout or 0)

Count = int | None
Pair = tuple[int | None, int | None]


def limits_from(
    limits: Limits | None = None,
    *,
    max_size: Count | Pair = MAX_SIZE,
    max_queue: Count | Pair = MAX_QUEUE,
    write_limit: int | tuple[int, int | None] = WRITE_LIMIT,
) -> Limits:
    """Return ``limits`` (or the defaults) changed by the keywords that were given.

    ``max_size`` is the largest message or (message, fragment); ``max_queue`` is
    (high, low) or high; so is ``write_limit``. A keyword left at its own default
    object (``MAX_SIZE``, ``MAX_QUEUE``, ``WRITE_LIMIT``) changes nothing. Raises
    TypeError or ValueError naming the keyword.
    """
    if limits is not None and not isinstance(limits, Limits):
        kind = type(limits).__name__
        raise TypeError(f"limits must be a longwire.Limits or None, not {kind}")
    changes: dict[str, int | None] = {}
    if not isinstance(max_size, Default):
        message, fragment = _pair("max_size", max_size)
        changes.update(message=message, fragment=fragment)
    if not isinstance(max_queue, Default):
        high, low = _pair("max_queue", max_queue)
        changes.update(queued_messages=high, queued_messages_low=low)
        if high is None and limits is None:
            # Documented: without a queue limit the peer is never paused. A limit
            # on bytes then has to be asked for, by ``limits``.
            changes.update(queued_bytes=None)
    if not isinstance(write_limit, Default):
        high, low = _pair("write_limit", write_limit)
        changes.update(output_bytes=high, output_bytes_low=low)
    # Made anew each time: some defaults are the process's own, and may have changed.
    limits = Limits() if limits is None else limits
    if not changes:
        return limits
    try:
        return dataclasses.replace(limits, **changes)  # type: ignore[arg-type]
    except (TypeError, ValueError) as exc:
        text = _PAIRS.sub(r"\1 or a pair of these,", _in_keywords(str(exc)))
        raise type(exc)(text) from None


# These keywords may also be pairs, which the field of Limits does not know.
_PAIRS = re.compile(
    r"^((?:max_size|max_queue|write_limit) must be an int(?: or None)?),"
)


def timeouts_from(
    timeouts: Timeouts | None = None,
    *,
    open_timeout: float | None = OPEN_TIMEOUT,
    close_timeout: float | None = CLOSE_TIMEOUT,
) -> Timeouts:
    """Return ``timeouts`` (or the defaults) changed by the keywords that were given.

    A keyword left at its own default object (``OPEN_TIMEOUT``, ``CLOSE_TIMEOUT``)
    changes nothing. Raises TypeError or ValueError naming the keyword.
    """
    if timeouts is not None and not isinstance(timeouts, Timeouts):
        kind = type(timeouts).__name__
        raise TypeError(f"timeouts must be a longwire.Timeouts or None, not {kind}")
    changes: dict[str, float | None] = {}
    if not isinstance(open_timeout, Default):
        changes["open"] = open_timeout
    if not isinstance(close_timeout, Default):
        changes["close"] = close_timeout
    return dataclasses.replace(timeouts or Timeouts(), **changes)  # type: ignore[arg-type]


def for_connection(
    settings: Any,
    *,
    ping_interval: float | None = PING_INTERVAL,
    ping_timeout: float | None = PING_TIMEOUT,
    close_timeout: float | None = CLOSE_TIMEOUT,
    max_queue: Count | Pair = MAX_QUEUE,
    write_limit: int | tuple[int, int | None] = WRITE_LIMIT,
) -> tuple[Limits, Timeouts, Keepalive]:
    """Return what ``settings`` of a side say, changed by the keywords that were given.

    A keyword left at its own default object changes nothing.
    """
    beats: dict[str, float | None] = {}
    if not isinstance(ping_interval, DefaultSeconds):
        beats["interval"] = ping_interval
    if not isinstance(ping_timeout, DefaultSeconds):
        beats["timeout"] = ping_timeout
    limits: Limits = settings.limits
    timeouts: Timeouts = settings.timeouts
    keepalive: Keepalive = settings.keepalive
    # Most connections have what their side has: nothing is made or checked for them.
    if not (isinstance(max_queue, Default) and isinstance(write_limit, Default)):
        limits = limits_from(limits, max_queue=max_queue, write_limit=write_limit)
    if not isinstance(close_timeout, Default):
        timeouts = timeouts_from(timeouts, close_timeout=close_timeout)
    if beats:
        keepalive = dataclasses.replace(keepalive, **beats)
    return limits, timeouts, keepalive


def settings_of_both(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``serve`` and ``connect`` alike are told by ``given`` keywords.

    The keys are fields of the settings of either side. Raises TypeError or ValueError
    for a keyword that cannot be used.
    """
    return {
        "limits": limits_from(
            given["limits"],
            max_size=given["max_size"],
            max_queue=given["max_queue"],
            write_limit=given["write_limit"],
        ),
        "timeouts": timeouts_from(
            given["timeouts"],
            open_timeout=given["open_timeout"],
            close_timeout=given["close_timeout"],
        ),
        "keepalive": Keepalive(
            interval=given["ping_interval"], timeout=given["ping_timeout"]
        ),
        "compression": compression_from(given["compression"]),
    }


def connection_keywords(settings: Any) -> dict[str, Any]:
    """Return what the class of a connection is given of the ``settings`` of its side.

    They are keywords of :func:`for_connection`.
    """
    limits: Limits = settings.limits
    return {
        "ping_interval": settings.keepalive.interval,
        "ping_timeout": settings.keepalive.timeout,
        "close_timeout": settings.timeouts.close,
        "max_queue": (limits.queued_messages, limits.queued_messages_low),
    }


def _pair(name: str, value: object) -> tuple[Any, Any]:
    """Return ``value`` as (first, second); the second is None unless it is a pair."""
    if not isinstance(value, tuple):
        return value, None
    if len(value) != 2:
        raise ValueError(f"{name} has {len(value)} values; a number or two are allowed")
    return value


_KEYWORD_OF_LIMIT = {
    "message": "max_size",
    "fragment": "max_size[1]",
    "queued_messages_low": "max_queue[1]",
    "queued_messages": "max_queue",
    "output_bytes_low": "write_limit[1]",
    "output_bytes": "write_limit",
}


def _in_keywords(text: str) -> str:
    """Return an error text of ``Limits`` with the keyword the caller knows."""
    return re.sub(
        r"\b[a-z_]+\b", lambda word: _KEYWORD_OF_LIMIT.get(word[0], word[0]), text
    )


_NO_COMPRESSION = "; for no compression, write compression=None"
_NOTHING = ("", "none", "None", "no", "off", "false", "False", "identity")


def compression_from(value: str | Compression | None) -> Compression | None:
    """Return what ``compression=`` stands for: None, a profile's name, or itself.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if value is None or isinstance(value, Compression):
        return value
    if not isinstance(value, str):
        kind = type(value).__name__
        what = "False" if value is False else kind
        raise TypeError(
            f"compression must be a name, Compression or None, not {what}"
            f"{_NO_COMPRESSION if value is False else ''}"
        )
    if value not in PROFILES:
        names = ", ".join(map(repr, PROFILES))
        nothing = value in _NOTHING
        raise ValueError(
            f"unsupported compression: {value!r}; {names} are allowed"
            f"{_NO_COMPRESSION if nothing else ''}"
        )
    return PROFILES[value]


def check_keywords(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for the first of ``given`` that is not ``known``.

    ``where`` is the function's name, as the caller knows it. The text says which
    known keyword was probably meant.
    """
    names = set(known)
    for name in given:
        if name not in names:
            raise keyword_error(where, name, names)
