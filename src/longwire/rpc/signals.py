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

    __slots__ = ("_receivers", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._receivers: list[Callable[..., object]] = []

    def connect(self, receiver: Callable[..., object]) -> Callable[..., object]:
        """Call ``receiver`` from now on; returns it, so that it may decorate."""
        if not callable(receiver):
            kind = type(receiver).__name__
            raise TypeError(f"{self.name}: a receiver must be callable, not {kind}")
        self._receivers.append(receiver)
        return receiver

    def disconnect(self, receiver: Callable[..., object]) -> None:
        """Call ``receiver`` no more; ValueError if it was not called before."""
        self._receivers.remove(receiver)

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
        self.call_started = Signal("call_started")
        self.call_ended = Signal("call_ended")
        self.call_failed = Signal("call_failed")

    @property
    def times_calls(self) -> bool:
        """Whether anybody wants to know of calls."""
        return bool(self.call_started or self.call_ended or self.call_failed)
