"""What can be set on a connection: limits, timeouts, keepalive, compression.

Frozen values, checked once when they are made, so that no layer below has to
doubt them. None always means "no limit" and has to be said; zero never does.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import math
from collections.abc import Mapping
from typing import Any

from .hints import explained_class
from .machine import default_connections, default_memory

__all__ = [
    "PROFILES",
    "SLOW",
    "Compression",
    "Keepalive",
    "Limits",
    "LoggerLike",
    "Timeouts",
    "check_count",
    "check_seconds",
    "check_slow",
    "check_timeout",
]

SLOW = ("disconnect", "drop_oldest", "latest_only")
"""What can be done about a connection that is slow to take broadcasts."""

_QUARTER = -1
"""Default of ``Limits.connections_per_address``, which depends on another field."""

LoggerLike = logging.Logger | logging.LoggerAdapter[Any]
"""What ``logger=`` takes, beside a logger's name."""


def check_count(
    name: str, value: object, minimum: int = 1, allowed: str = "an int"
) -> None:
    """Raise TypeError or ValueError unless ``value`` is an int, ``minimum`` or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        kind = "None" if value is None else type(value).__name__
        raise TypeError(f"{name} must be {allowed}, not {kind}")
    if value < minimum:
        raise ValueError(f"{name} is {value}; the least allowed is {minimum}")


def check_seconds(name: str, value: object) -> None:
    """Raise TypeError or ValueError for what is no time, such as for ever."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a number of seconds or None, not {kind}")
    if not value >= 0 or math.isinf(value):
        raise ValueError(f"{name} is {value}; a finite number >= 0 is allowed")


def check_timeout(value: object, name: str = "timeout") -> None:
    """Raise TypeError or ValueError for what is no time to wait for, None aside.

    For the verbs that take one. A time that is over, because somebody has subtracted
    now, is no mistake; nor is one that never ends.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a number of seconds or None, not {kind}")
    if math.isnan(value):
        raise ValueError(f"{name} is {value}; a number of seconds or None is allowed")


def check_slow(policy: object) -> None:
    """Raise ValueError unless this is what can be done about a slow connection."""
    if policy not in SLOW:
        names = ", ".join(map(repr, SLOW))
        raise ValueError(f"slow is {policy!r}; {names} are allowed")


@explained_class("Limits(message=1048576, ...)")
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of everything a peer can make us hold or do.

    Sizes are in bytes. Each field may be None, which means no limit, except where
    the type says ``int`` alone. ``docs/explain/limits.md`` says which attack each
    one stops.
    """

    handshake_line: int = 8192
    """Longest request line, status line or header line."""
    handshake_headers: int = 128
    """Most header lines in a head."""
    handshake_bytes: int = 16384
    """Largest head: all its lines together."""
    handshake_body: int = 1 << 20
    """Most of the body of a refusing response that a client keeps."""
    message: int | None = 1 << 20
    """Largest message, after decompression (``max_size``)."""
    fragment: int | None = None
    """Largest single frame of a message, after decompression."""
    fragments: int | None = 4096
    """Most fragments in one message, empty ones included."""
    queued_messages: int | None = 16
    """Frames waiting for ``recv()`` at which reading pauses (``max_queue``)."""
    queued_messages_low: int | None = None
    """Frames waiting at which reading goes on; a quarter of the above if None."""
    queued_bytes: int | None = 4 << 20
    """Bytes waiting for ``recv()`` at which reading pauses."""
    output_bytes: int = 32768
    """Unsent bytes above which ``send()`` waits (``write_limit``)."""
    output_bytes_low: int | None = None
    """Unsent bytes at which ``send()`` goes on; a quarter of the above if None."""
    unsent_bytes: int | None = 1 << 20
    """Unsent bytes at which ``broadcast()`` gives a slow connection up, or drops."""
    unsent_messages: int | None = 64
    """Messages of ``broadcast()`` that wait for a slow connection before some are
    dropped, where ``slow`` says that they are."""
    slow: str = "disconnect"
    """What ``broadcast()`` does where a connection has no room: ``"disconnect"`` at
    ``unsent_bytes``, ``"drop_oldest"``, or ``"latest_only"`` of each ``key``."""
    pings_per_second: int | None = 100
    """Pings a peer may send in one second."""
    connections: int | None = dataclasses.field(default_factory=default_connections)
    """Connections one server holds at a time: 65,536, or 64 fewer than the files that
    this process may have open, so that more can still be answered."""
    connections_per_address: int | None = _QUARTER
    """Connections one server holds at a time from one network address, the network of
    64 bits for IPv6: a quarter of ``connections``, at least 16."""
    server_memory: int | None = dataclasses.field(default_factory=default_memory)
    """Bytes that messages of all connections of a server take together, received and
    not, sent and not, at which the largest are not read from any more: a quarter of the
    memory that this process may have, from 64 MiB to 1 GiB."""

    def __post_init__(self) -> None:
        if self.connections_per_address == _QUARTER:
            most = self.connections
            most = default_connections() if most is None else most
            object.__setattr__(self, "connections_per_address", max(16, most // 4))
        check_slow(self.slow)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "slow":
                continue
            may_be_none = field.type in ("int | None", int | None)
            if value is None and may_be_none:
                continue
            minimum = 0 if field.name.endswith("_low") else 1
            allowed = "an int or None" if may_be_none else "an int"
            check_count(field.name, value, minimum, allowed)
        self._check_low("queued_messages")
        self._check_low("output_bytes")

    def _check_low(self, name: str) -> None:
        high, low = getattr(self, name), getattr(self, f"{name}_low")
        if low is not None and high is not None and low > high:
            raise ValueError(f"{name}_low is {low}; at most {name}={high} is allowed")


@explained_class("Timeouts(open=10, ...)")
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long we wait, in seconds; None is for ever."""

    open: float | None = 10
    """The whole opening handshake, DNS and TLS included."""
    close: float | None = 10
    """Each step of closing: the peer's close frame, then the end of TCP."""
    write: float | None = 60
    """Unsent bytes of which the peer takes none at all."""
    fault_grace: float = 1.0
    """How long messages that arrived before a fault or a close frame may still be
    answered before the connection is closed for it."""

    def __post_init__(self) -> None:
        for name in ("open", "close", "write"):
            value = getattr(self, name)
            if value is not None:
                check_seconds(f"{name}_timeout", value)
        check_seconds("fault_grace", self.fault_grace)


@explained_class("Keepalive(interval=20, timeout=20)")
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """Pings sent to notice a dead peer and to measure latency; seconds."""

    interval: float | None = 20
    """Time between pings; None sends none."""
    timeout: float | None = 20
    """Time a pong may take; None waits for ever."""

    def __post_init__(self) -> None:
        for name in ("interval", "timeout"):
            value = getattr(self, name)
            if value is not None:
                check_seconds(f"ping_{name}", value)
        if self.interval == 0:
            raise ValueError("ping_interval is 0; use None to send no pings")


@explained_class("Compression(level=6, ...)")
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """What to offer, accept and use of permessage-deflate (RFC 7692).

    "Ours" is what we send, "peer" what we receive; which of them is called
    ``server_…`` and which ``client_…`` on the wire depends on the side.
    """

    level: int = 6
    """Effort of our compressor, 0 to 9."""
    mem_level: int = 5
    """Memory of our compressor, 1 to 9: it uses 2**(window_bits + 2) +
    2**(mem_level + 9) bytes."""
    window_bits: int = 12
    """Largest window our compressor uses, 9 to 15."""
    peer_window_bits: int = 12
    """Largest window the peer's compressor shall use; ours to inflate it has the
    same, 9 to 15."""
    takeover: bool = True
    """Keep our context from message to message: smaller messages, more memory."""
    peer_takeover: bool = True
    """Let the peer keep its context from message to message."""
    min_size: int = 0
    """Messages shorter than this go uncompressed."""
    backend: str = "auto"
    """The library that does it: ``"zlib"``; ``"zlib-ng"``, which the extra ``zlib-ng``
    installs; ``"auto"`` takes zlib-ng, where it is installed, for what it does at no
    great cost in memory: all inflating, and deflating at level 1."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("level", 0, 9),
            ("mem_level", 1, 9),
            ("window_bits", 9, 15),
            ("peer_window_bits", 9, 15),
            ("min_size", 0, 1 << 62),
        ):
            value = getattr(self, name)
            check_count(name, value, least)
            if value > most:
                raise ValueError(f"{name} is {value}; {least} to {most} are allowed")
        if self.backend not in ("auto", "zlib", "zlib-ng"):
            raise ValueError(
                f"backend is {self.backend!r}; 'auto', 'zlib', 'zlib-ng' are allowed"
            )
        if self.backend == "zlib-ng" and importlib.util.find_spec("zlib_ng") is None:
            raise ValueError(
                "zlib-ng is not installed; in a checkout: pip install '.[zlib-ng]'"
            )


PROFILES: Mapping[str, Compression] = {
    # The default of the documented API, spelled "deflate" there.
    "deflate": Compression(),
    "balanced": Compression(),
    # No memory between messages: for many mostly idle connections. Without a
    # context, short messages grow rather than shrink.
    "lean": Compression(takeover=False, peer_takeover=False, mem_level=4, min_size=256),
    # Least CPU. With zlib-ng a quarter of it, for messages 1.6 times as large.
    "fast": Compression(level=1),
    "ratio": Compression(level=9, mem_level=8, window_bits=15, peer_window_bits=15),
}
