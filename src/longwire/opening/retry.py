"""Trying again: when a client that lost its server connects anew, and when not.

Decides by the exception and counts nothing but delays; a front end sleeps and
connects. Reads no clock, and takes its chances from an argument.
"""

from __future__ import annotations

import itertools
import math
import random as _random
from collections.abc import Callable, Iterable, Iterator

from ..errors import (
    ConnectionClosed,
    InvalidMessage,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
)
from ..escaping import one_line
from ..messages import Cause, CloseReport
from ..options import LoggerLike

__all__ = ["Retries", "backoff", "process_exception"]

TRANSIENT = frozenset({500, 502, 503, 504})

INFO, WARNING = 20, 30  # as logging has them

# Close codes of RFC 6455's registry: done, and two that ask for patience.
NORMAL_CLOSURE = 1000
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013

# A server that greets, then closes, would be asked as fast as it can: only so many
# connections in a row that last less than so many seconds are followed at once.
FLEETING = 1.0
AT_ONCE = 5


def process_exception(exc: Exception) -> Exception | None:
    """Return None to try again after ``exc``, else the exception to raise.

    The network's faults (OSError, TimeoutError, a stream that ends without a
    response) and the HTTP status codes 500, 502, 503 and 504, of a server or of a
    proxy, may pass by themselves. Everything else is final.
    """
    if isinstance(exc, (InvalidStatus, InvalidProxyStatus)):
        return None if exc.response.status_code in TRANSIENT else exc
    if isinstance(exc, (InvalidMessage, InvalidProxyMessage)):
        return None if isinstance(exc.__cause__, EOFError) else exc
    return None if isinstance(exc, (OSError, EOFError, TimeoutError)) else exc


def backoff(
    initial_delay: float = 5.0,
    min_delay: float = 3.0,
    max_delay: float = 90.0,
    factor: float = 1.6,
    random: Callable[[], float] = _random.random,
) -> Iterator[float]:
    """Yield the seconds to wait before each new attempt, for ever.

    The first is anything up to ``initial_delay``, so that the clients of a server that
    restarts do not come back at once. Then ``min_delay``, growing by ``factor`` up to
    ``max_delay``, each with up to a quarter more or less.
    """
    yield random() * initial_delay
    delay = min_delay
    while True:
        yield min(delay * (0.75 + random() / 2), max_delay)
        delay = min(delay * factor, max_delay)


class Retries:
    """When ``async for`` tries again, and its log.

    ``process`` and ``delays`` are ``process_exception`` and ``reconnect_delays``. A
    series of delays goes on from one failure to the next, until a connection has proved
    itself. A connection that has not, because the server hung up or closed at once, is
    a failure too: such a server would else be asked again at once, for ever. A message
    proves a connection, but not the sixth in a row that the server cuts short.
    """

    def __init__(
        self,
        process: Callable[[Exception], Exception | None],
        delays: Callable[[], Iterable[float]],
        logger: LoggerLike,
        where: str = "",
    ) -> None:
        self._process = process
        self._delays = delays
        self._logger = logger
        self._to = f" to {where}" if where else ""
        self._failures = 0  # in a row
        self._fleeting = 0  # connections in a row that were cut short
        self._left: Iterator[float] | None = None
        self._waited: float | None = None  # the last delay of this series

    def delay_after(self, exc: Exception) -> float:
        """Return the seconds to wait after an attempt that failed with ``exc``.

        Raises when ``exc`` or the delays are final.
        """
        final = self._process(exc)
        if final is exc:
            raise exc
        if final is not None:
            raise final from exc
        delay = self._next()
        self._failures += 1
        if delay is None:
            self._give_up(exc)
            raise exc
        self._say(f"connect{self._to} failed", delay, exc)
        return delay

    def delay_after_end(self, exc: ConnectionClosed) -> float:
        """Return the seconds to wait after a connection that ended with ``exc``.

        None at all, and the series of delays is over, if the connection brought a
        message, or lasted longer than the last delay did; but where the server ends
        more than five in a row within a second, other than by 1000 (OK), messages
        prove nothing. 1012 (service restart) and 1013 (try again later) ask to come
        back later: after either there is a delay, and after 1013 the series goes on
        whatever came before. Nor is there a delay where we closed, and the server
        answered.

        Raises ``exc`` when the delays are used up.
        """
        report = exc.report
        assert report is not None
        told = None if report.rcvd is None else report.rcvd.code
        self._fleeting = self._fleeting + 1 if _was_cut_short(report, told) else 0
        if told != TRY_AGAIN_LATER and self._has_proved_itself(report):
            self._left = self._waited = None
            self._failures = 0
            if told != SERVICE_RESTART:
                return 0.0
        elif report.cause is Cause.LOCAL and told is not None:
            return 0.0
        delay = self._next()
        self._failures += 1
        if delay is None:
            self._give_up(exc)
            raise exc
        self._say(f"connection{self._to} ended", delay, exc)
        return delay

    def _has_proved_itself(self, report: CloseReport) -> bool:
        if report.messages_received and self._fleeting <= AT_ONCE:
            return True
        # Before the first delay there is none to outlive but the one that comes next.
        waited = self._peek() if self._waited is None else self._waited
        return report.duration >= waited

    def _peek(self) -> float:
        first = self._next()
        self._waited = None
        if first is None:
            return math.inf
        assert self._left is not None
        self._left = itertools.chain([first], self._left)
        return first

    def _next(self) -> float | None:
        if self._left is None:
            self._left = iter(self._delays())
        self._waited = next(self._left, None)
        return self._waited

    def _give_up(self, exc: Exception) -> None:
        if self._failures == 1:
            return  # nobody tried again: the exception says it all
        self._logger.warning(
            "gave up connecting%s after %d attempts: %s",
            self._to,
            self._failures,
            _described(exc),
        )

    def _say(self, what: str, delay: float, exc: Exception) -> None:
        """Tell of a failure: the first one of a series where everybody sees it."""
        level = WARNING if self._failures == 1 else INFO
        self._logger.log(
            level,
            "%s; reconnecting in %.1f seconds: %s",
            what,
            delay,
            _described(exc),
        )


def _was_cut_short(report: CloseReport, told: int | None) -> bool:
    # RFC 6455, section 7.4.1: after 1000, what the connection was for is done.
    if report.cause is Cause.LOCAL or told == NORMAL_CLOSURE:
        return False
    return report.duration < FLEETING


def _described(exc: Exception) -> str:
    """Return class and text of ``exc``; what a peer has in it writes no log of ours."""
    name, text = type(exc).__name__, one_line(exc)
    return name if text == name else f"{name}: {text}"
