"""Counting: what the connections of one side have done, and what they are doing.

Totals of those that have ended are kept; those of open ones are read from their
sessions when asked for.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..observer import Observer
from .families import FAMILIES, Reading
from .histogram import LAG, Histogram

__all__ = ["Connections", "Lag", "value_of_family"]

_COUNTED = ("messages_received", "messages_sent", "bytes_received", "bytes_sent")


class Connections(Observer):
    """All connections of one side: ``server`` or ``client``."""

    def __init__(self, side: str, lag: Lag) -> None:
        self._side = side
        self._lag = lag
        # By identity; weak, so that nothing of a loop that went away stays.
        self._open: dict[int, weakref.ref[Any]] = {}
        self._handshakes: Counter[str] = Counter()
        self._seconds = Histogram()
        self._refused: Counter[str] = Counter()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._limits: Counter[str] = Counter()
        self._totals = dict.fromkeys((*_COUNTED, "messages_dropped"), 0)

    # --- what is told ------------------------------------------------------------

    def opened(self, connection: Any, seconds: float) -> None:
        """Count it, and read its counters from now on."""
        self._handshakes["opened"] += 1
        self._seconds.add(seconds)
        if connection.close_report is None:
            key = id(connection)
            forget = self._open.pop
            self._open[key] = weakref.ref(connection, lambda _: forget(key, None))
        self._lag.begin()

    def refused(self, connection: Any, seconds: float, how: str, status: int) -> None:
        """Count it."""
        self._handshakes[how] += 1

    def ended(self, connection: Any, report: Any) -> None:
        """Keep what it has done."""
        protocol = connection._session.protocol
        for name in _COUNTED:
            self._totals[name] += getattr(protocol, name)
        self._totals["messages_dropped"] += report.messages_dropped
        self._open.pop(id(connection), None)
        self._ended[report.cause.value, _code(_first_code(report, self._side))] += 1
        if report.limit is not None:
            self._limits[report.limit] += 1

    def limited(self, limit: str) -> None:
        """Count it."""
        self._refused[limit] += 1

    # --- what there is -----------------------------------------------------------

    def read(self) -> Iterator[Reading]:
        """Yield all metrics; may be called from any thread."""
        side = self._side
        sessions = [
            (connection, session)
            for ref in list(self._open.values())
            if (connection := ref()) is not None
            and (session := connection._session) is not None
        ]
        yield value_of_family("longwire_connections", (side,), len(sessions))
        yield _counted("longwire_handshakes", self._handshakes, side)
        yield value_of_family("longwire_handshake_seconds", (side,), self._seconds)
        if side == "server":
            yield _counted("longwire_refused", self._refused)
        for name, total in list(self._totals.items()):
            if name in _COUNTED:
                total += sum(getattr(s.protocol, name) for _, s in sessions)
            else:
                total += sum(s.dropped + s.intake.dropped for _, s in sessions)
            yield value_of_family(f"longwire_{name}", (side,), total)
        samples = [((side, *key), count) for key, count in list(self._ended.items())]
        yield FAMILIES["longwire_closed"], samples
        yield _counted("longwire_limits_exceeded", self._limits, side)
        yield from self._read_gauges(sessions)

    def _read_gauges(self, sessions: list[tuple[Any, Any]]) -> Iterator[Reading]:
        latency = Histogram()
        queued = memory = no_reading = no_writing = 0
        for connection, session in sessions:
            seconds = session.heartbeat.latency
            if seconds:  # 0 before the first pong
                latency.add(seconds)
            queued += session.inbox.whole
            memory += connection._memory
            no_reading += not session.wants_reading
            no_writing += not session.writable
        side = (self._side,)
        yield value_of_family("longwire_latency_seconds", side, latency)
        yield value_of_family("longwire_queued_messages", side, queued)
        yield value_of_family("longwire_memory_bytes", side, memory)
        yield value_of_family("longwire_reading_paused", side, no_reading)
        yield value_of_family("longwire_writing_paused", side, no_writing)


def value_of_family(
    name: str, labels: tuple[str, ...], value: float | Histogram
) -> Reading:
    """Return a metric with one sample."""
    return FAMILIES[name], [(labels, value)]


def _counted(name: str, counter: Counter[str], *labels: str) -> Reading:
    return FAMILIES[name], [((*labels, key), n) for key, n in list(counter.items())]


def _first_code(report: Any, side: str) -> int:
    """Return the code of the close frame that came first; 1006 without one."""
    ours = report.closed_by is not None and report.closed_by.name.lower() == side
    code: int = report.sent.code if ours else report.code
    return code


def _code(code: int) -> str:
    """Return a close code as a label: a peer may send any of 2,000 private ones."""
    if 3000 <= code < 4000:
        return "3xxx"
    return "4xxx" if code >= 4000 else str(int(code))


class Lag:
    """How late timers of event loops are, while there are connections on them."""

    INTERVAL = 0.5
    """Seconds between two looks."""

    def __init__(self) -> None:
        self.histogram = Histogram(LAG)
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    def begin(self) -> None:
        """Watch the running loop, if it is not watched."""
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops.add(loop)
            self._wait(weakref.ref(loop))

    def _wait(self, ref: weakref.ref[asyncio.AbstractEventLoop]) -> None:
        loop = ref()
        if loop is not None and not loop.is_closed():
            due = loop.time() + self.INTERVAL
            loop.call_at(due, self._look, ref, due)

    def _look(self, ref: weakref.ref[asyncio.AbstractEventLoop], due: float) -> None:
        loop = ref()
        if loop is not None:
            self.histogram.add(max(loop.time() - due, 0.0))
            self._wait(ref)
