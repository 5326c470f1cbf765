"""Admission: which connections a server takes, counted in all and by address.

Reads no clock and opens no sockets; a front end says who comes and who goes.
"""

from __future__ import annotations

import errno
import ipaddress

from .options import Limits

__all__ = ["ACCEPT_PAUSE", "BACKLOG", "EXHAUSTED", "Admission", "counted_as"]

ACCEPT_PAUSE = 1.0
"""Seconds without accepting after the process has run out of what that takes."""
BACKLOG = 4096
"""Connections that the system keeps until they are accepted, by default. Where there is
no room for one, its client asks again after a second, and two, and four: 100, asyncio's
default, and 1,024 are used up by ten peers that connect as fast as they can. The system
has a limit of its own, 4,096 on Linux."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of ``accept()``: the process, or the system, has no descriptor or memory."""


class Admission:
    """The connections of one server against ``Limits.connections`` and its kin.

    Some of those that are over a limit are taken in all the same, for as long as it
    takes to tell them: they are *crowded*, and do not count against a limit.
    """

    MAX_CROWDED = 48
    """At one time; more are cut off. Of the 64 descriptors that the default of
    ``connections`` leaves, the process needs some itself."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.connections
        self._most_of_one = limits.connections_per_address
        self._count = 0
        self._crowded = 0
        self._of: dict[str, int] = {}
        # Limits, and who is at them, that were spoken of; until they are not any more.
        self._told: set[tuple[str, str]] = set()

    @property
    def addresses(self) -> int:
        """From how many addresses connections are counted."""
        return len(self._of)

    def reached(self, address: str) -> str | None:
        """Return the limit that keeps out one more from ``address``; None if none.

        ``address`` is "" where there is none, as on Unix sockets.
        """
        if self._most is not None and self._count >= self._most:
            return "connections"
        if (
            address
            and self._most_of_one is not None
            and self._of.get(counted_as(address), 0) >= self._most_of_one
        ):
            return "connections_per_address"
        return None

    def enter(self, address: str) -> None:
        """Count one more connection, which is within the limits."""
        self._count += 1
        if address:
            source = counted_as(address)
            self._of[source] = self._of.get(source, 0) + 1

    def leave(self, address: str) -> None:
        """Forget one that was counted."""
        self._count -= 1
        if self._told and self._most is not None and self._count * 2 <= self._most:
            self._told.discard(("connections", ""))
        if not address:
            return
        source = counted_as(address)
        left = self._of[source] - 1
        if left:
            self._of[source] = left
        else:
            del self._of[source]
            self._told.discard(("connections_per_address", source))

    @property
    def is_crowded(self) -> bool:
        """Whether one more that is over a limit is cut off without a word."""
        return self._crowded >= self.MAX_CROWDED

    def enter_crowded(self) -> bool:
        """Return whether one that is over a limit may be told so."""
        if self.is_crowded:
            return False
        self._crowded += 1
        return True

    def leave_crowded(self) -> None:
        """Forget one of those."""
        self._crowded -= 1

    def news_of(self, limit: str, address: str) -> str | None:
        """Return what to log of ``limit`` being reached, None if it was said before.

        It is said again when the connections have come down in between.
        """
        source = counted_as(address) if limit == "connections_per_address" else ""
        if (limit, source) in self._told:
            return None
        self._told.add((limit, source))
        if not source:
            return f"{limit}={self._most} is reached: more are answered with 503"
        return (
            f"{limit}={self._most_of_one} is reached by {source}: more from there are "
            "answered with 503 (for a reverse proxy, set the limit to None)"
        )


def counted_as(address: str) -> str:
    """Return what connections from ``address`` are counted as.

    An IPv4 address as itself, also where it comes mapped into IPv6. An IPv6 address as
    its network of 64 bits: that is the least a subscriber is given (RFC 6177), so each
    has more addresses than any table could hold.
    """
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"
