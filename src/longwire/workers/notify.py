"""Notify: what a service tells its service manager, sd_notify(3).

A datagram to the socket that the variable NOTIFY_SOCKET names; without it, nothing.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping

__all__ = ["VARIABLES", "Notifier"]

logger = logging.getLogger("longwire.workers")

_PATIENCE = 0.5
"""Seconds that a manager with many messages unread holds us up."""
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What of the environment is for the supervisor alone."""


class Notifier:
    """Tells the service manager; knows when the next sign of life is due."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._failed = False
        self.interval = _watchdog(environment, pid)
        """Seconds between two signs of life; None if nobody waits for them."""

    def ready(self, status: str) -> None:
        """Tell that the service runs; also after reloading."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Tell that the service is being reloaded; ``ready()`` ends that."""
        # Type=notify-reload wants the time, to know which READY=1 is the answer.
        now = time.monotonic_ns() // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading")

    def stopping(self, status: str) -> None:
        """Tell that the service is about to end."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def alive(self) -> None:
        """Give a sign of life."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for more time to start, reload or stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # Linux' abstract names
            address = f"\0{address[1:]}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_PATIENCE)
                sock.sendto(text.encode(), address)
        except (OSError, ValueError) as exc:
            if not self._failed:
                logger.warning("cannot reach NOTIFY_SOCKET: %s", exc)
            self._failed = True


def _watchdog(environment: Mapping[str, str], pid: int) -> float | None:
    """Return half the time after which the manager takes the service for dead."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None  # for another process
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 2_000_000 if microseconds > 0 else None
