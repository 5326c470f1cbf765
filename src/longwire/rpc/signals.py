"""Signals: places to hang metrics and logs on; costs nothing while nobody listens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

__all__ = ["Signal", "Signals"]

logger = logging.getLogger("longwire.rpc")


class Signal:
    """Functions that are called when something happens.

    Truthy while there are any. What one of them raises is logged and stops nothing.
    """

    __slots__ = ("_changed", "_receivers", "name")

    def __init__(self, name: str, changed: Callable[[], None] | None = None) -> None:
        self.name = name
        self._changed = changed
        self._receivers: list[Callable[..., object]] = []

    def connect(self, receiver: Callable[..., object]) -> Callable[..., object]:
        """Call ``receiver`` from now on; returns it, so that it may decorate."""
        if not callable(receiver):
            kind = type(receiver).__name__
            raise TypeError(f"{self.name}: a receiver must be callable, not {kind}")
        self._receivers.append(receiver)
        if self._changed is not None:
            self._changed()
        return receiver

    def disconnect(self, receiver: Callable[..., object]) -> None:
        """Call ``receiver`` no more; ValueError if it was not called before."""
        self._receivers.remove(receiver)
        if self._changed is not None:
            self._changed()

    def send(self, *args: Any) -> None:
        """Call all of them."""
        for receiver in list(self._receivers):
            try:
                receiver(*args)
            except Exception:
                logger.exception("a receiver of the signal %s failed", self.name)

    def __bool__(self) -> bool:
        return bool(self._receivers)


class Signals:
    """What a server or a client tells: each attribute is a :class:`Signal`.

    ===================  ==========================================================
    ``opened``           ``(peer)``: a connection is open
    ``closed``           ``(peer, report)``: it has ended; report: its CloseReport
    ``call_started``     ``(call)``: a call of the peer's begins, a :class:`Call`
    ``call_ended``       ``(call, seconds)``: it was carried out
    ``call_failed``      ``(call, seconds, error)``: it was not; the exception
    ===================  ==========================================================
    """

    def __init__(self) -> None:
        self.opened = Signal("opened")
        self.closed = Signal("closed")
        self.call_started = Signal("call_started", self._look)
        self.call_ended = Signal("call_ended", self._look)
        self.call_failed = Signal("call_failed", self._look)
        # Whether anybody wants to know of calls; asked at each of them.
        self.times_calls = False

    def _look(self) -> None:
        self.times_calls = bool(
            self.call_started or self.call_ended or self.call_failed
        )
