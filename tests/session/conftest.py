"""A session of either side on a clock that only moves when told."""

from __future__ import annotations

from typing import Any

import pytest

from longwire.options import Keepalive, Limits, Timeouts
from longwire.session.session import Session


class Bench:
    """A session, the time, and what it wrote."""

    def __init__(self, client: bool, **options: Any) -> None:
        self.now = 100.0
        self.session = Session(
            client,
            limits=options.pop("limits", Limits()),
            timeouts=options.pop("timeouts", Timeouts()),
            keepalive=options.pop("keepalive", Keepalive(interval=None)),
            random_bytes=options.pop("random_bytes", lambda size: bytes(size)),
            now=self.now,
            **options,
        )

    def feed(self, data: bytes) -> int:
        """Give bytes from the wire; return the flags."""
        self.session.receive(data, self.now)
        return self.session.take_flags()

    def written(self) -> bytes:
        """Return what is to be written."""
        return self.session.take_output()

    def after(self, seconds: float, unsent: int = 0) -> int:
        """Let time pass, tick, return the flags."""
        self.now += seconds
        self.session.tick(self.now, unsent)
        return self.session.take_flags()


@pytest.fixture
def server() -> Any:
    """Return a maker of server-side benches."""
    return lambda **options: Bench(False, **options)


@pytest.fixture
def client() -> Any:
    """Return a maker of client-side benches."""
    return lambda **options: Bench(True, **options)
