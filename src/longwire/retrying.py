"""Trying again: when a client that lost its server connects anew, and when not.

Decides by the exception and counts nothing but delays; a front end sleeps and
connects. Reads no clock, and takes its chances from an argument.
"""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Iterable, Iterator

from .errors import (
    InvalidMessage,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
)
from .escaping import one_line
from .options import LoggerLike

__all__ = ["Retries", "backoff", "process_exception"]

TRANSIENT = frozenset({500, 502, 503, 504})


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
    """When to try again after each failed attempt of ``async for``, and its log.

    ``process`` and ``delays`` are ``process_exception`` and ``reconnect_delays``.
    """

    def __init__(
        self,
        process: Callable[[Exception], Exception | None],
        delays: Callable[[], Iterable[float]],
        logger: LoggerLike,
    ) -> None:
        self._process = process
        self._delays = delays
        self._logger = logger
        self._left: Iterator[float] | None = None

    def delay_after(self, exc: Exception) -> float:
        """Return the seconds to wait; raise when ``exc`` or the delays are final."""
        final = self._process(exc)
        if final is exc:
            raise exc
        if final is not None:
            raise final from exc
        if self._left is None:
            self._left = iter(self._delays())
        delay = next(self._left, None)
        if delay is None:
            raise exc
        self._logger.info(
            "connect failed; reconnecting in %.1f seconds: %s",
            delay,
            _described(exc),
        )
        return delay

    def succeeded(self) -> None:
        """Begin anew: the next failure is the first of its kind."""
        self._left = None


def _described(exc: Exception) -> str:
    """Return class and text of ``exc``; what a peer has in it writes no log of ours."""
    name, text = type(exc).__name__, one_line(exc)
    return name if text == name else f"{name}: {text}"
