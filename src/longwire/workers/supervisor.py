"""Supervisor: starts workers, replaces those that die, reloads, drains, and reports.

One thread without an event loop: it waits for signals, for what workers say, for the
service manager's clock. It imports nothing of the application, so that a reload brings
new code, and forks nothing with threads.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..messages import CloseCode
from .admin import Admin
from .notify import Notifier
from .process import Process, State
from .settings import Settings
from .slots import Slot

__all__ = ["FAILED_TO_START", "Supervisor"]

logger = logging.getLogger("longwire.workers")

FAILED_TO_START = 3
"""Exit status where no worker could be started, or none is left."""
_GRACE = 10.0
"""Seconds after the time for draining before a worker is killed."""
_CUT_GRACE = 2.0
"""Seconds that a worker has to end at once."""
_STOPPED = 5.0
"""Seconds of our own absence after which the silence of workers says nothing."""
_TURN = 60.0
"""Seconds between two looks where nothing happens."""

Bind = Callable[[], list[socket.socket]]


class Supervisor:
    """Runs ``settings.workers`` workers until a signal ends it.

    ``bind`` makes the sockets of one slot; ``announce`` is called once all are ready.
    """

    def __init__(
        self,
        settings: Settings,
        bind: Bind,
        notifier: Notifier,
        announce: Callable[[], None],
        admin: Admin | None = None,
    ) -> None:
        self._settings = settings
        self._notifier = notifier
        self._announce = announce
        self._admin = admin
        self._slots = [Slot(number, bind) for number in range(settings.workers)]
        self._selector = selectors.DefaultSelector()
        self._retiring: list[Process] = []
        self._reloading: list[Slot] | None = None
        self._reload_again = False
        self._announced = False
        self._stopping = False
        self._forced: int | None = None
        self._failed = False
        self._alive_at = 0.0

    def run(self) -> int:
        """Supervise until the end; return the exit status. Raises OSError for sockets.

        0 after SIGTERM or SIGINT, 128 + the signal where a second one cut connections
        off, 3 where no worker could be started or none is left.
        """
        with contextlib.ExitStack() as stack:
            for slot in self._slots:
                stack.callback(slot.close)
                slot.open()
            stack.enter_context(self._selector)
            stack.enter_context(self._signals())
            if self._admin is not None:
                stack.callback(self._admin.close)
                self._admin.begin(self._selector, self)
            stack.callback(self._kill_all)
            self._spawn(self._slots[0], time.monotonic())
            while self._processes() or self._is_wanted():
                self._turn()
        if self._forced is not None:
            return 128 + self._forced
        return FAILED_TO_START if self._failed else 0

    # --- what there is -----------------------------------------------------------

    def workers(self) -> list[tuple[int, Process | None]]:
        """Return each slot's number and its worker that takes connections, if any."""
        return [
            (slot.number, slot.current if slot.is_ready else None)
            for slot in self._slots
        ]

    def restarts(self) -> dict[int, int]:
        """Return how often each slot's worker was started again after a death."""
        return {slot.number: slot.restarts for slot in self._slots}

    def why_not_ready(self) -> str | None:
        """Return why no connections should be sent here, None if they should."""
        if self._stopping:
            return "stopping"
        ready = sum(slot.is_ready for slot in self._slots)
        return None if ready else "no worker is ready"

    def _is_wanted(self) -> bool:
        return not self._stopping and any(slot.is_open for slot in self._slots)

    def _processes(self) -> Iterator[Process] | list[Process]:
        mine = [p for slot in self._slots for p in (slot.current, slot.next) if p]
        return mine + self._retiring

    # --- one turn ----------------------------------------------------------------

    def _turn(self) -> None:
        before = time.monotonic()
        timeout = max(min(self._deadlines(before)) - before, 0.0)
        events = self._selector.select(timeout)
        now = time.monotonic()
        if now - before > timeout + _STOPPED:
            # We stood still, and so did perhaps everybody.
            for process in self._processes():
                process.last_beat = now
        for key, _ in events:
            key.data(now)
        self._reap(now)
        self._look(now)
        if self._admin is not None:
            self._admin.tick(now)

    def _deadlines(self, now: float) -> Iterator[float]:
        yield now + _TURN
        for process in self._processes():
            if process.kill_at is not None:
                yield process.kill_at
            elif process.state is State.STARTING:
                yield process.started_at + self._settings.start_timeout
            elif process.state is State.READY and self._settings.hang_timeout:
                yield process.last_beat + self._settings.hang_timeout
        for slot in self._slots:
            if slot.restart_at is not None and not self._stopping:
                yield slot.restart_at
        if self._notifier.interval is not None:
            yield self._alive_at + self._notifier.interval
        if self._admin is not None:
            yield self._admin.deadline(now)

    def _look(self, now: float) -> None:
        """Do what is due."""
        for process in list(self._processes()):
            self._look_at(process, now)
        for slot in self._slots:
            due = slot.restart_at is not None and now >= slot.restart_at
            if due and not self._stopping:
                slot.restart_at = None
                slot.restarts += 1
                self._spawn(slot, now)
        self._go_on_reloading(now)
        interval = self._notifier.interval
        if interval is not None and now >= self._alive_at + interval:
            self._alive_at = now
            if self._processes():
                self._notifier.alive()

    def _look_at(self, process: Process, now: float) -> None:
        settings = self._settings
        if process.kill_at is not None:
            if now >= process.kill_at:
                if process.state is State.DRAINING:
                    logger.warning("%s has not ended in time: killed", process)
                process.kill_at = now + _GRACE
                process.kill()
        elif process.state is State.STARTING:
            if now >= process.started_at + settings.start_timeout:
                seconds = settings.start_timeout
                logger.error("%s is not ready after %g seconds", process, seconds)
                process.failure = f"it was not ready after {seconds:g} seconds"
                process.abort(now + _CUT_GRACE)
        elif process.state is State.READY and settings.hang_timeout:
            silent = now - process.last_beat
            if silent >= settings.hang_timeout:
                logger.error("%s hangs: silent for %.0f seconds", process, silent)
                process.abort(now + _CUT_GRACE)

    # --- workers -----------------------------------------------------------------

    def _spawn(self, slot: Slot, now: float, replace: bool = False) -> None:
        process = Process(slot.number, self._settings, slot.sockets, now)
        logger.debug("%s is starting", process)
        if replace:
            slot.next = process
        else:
            slot.current = process
        self._selector.register(
            process.channel,
            selectors.EVENT_READ,
            lambda now: self._heard(slot, process, now),
        )

    def _heard(self, slot: Slot, process: Process, now: float) -> None:
        for message in process.receive():
            process.last_beat = now
            if "ready" in message:
                self._is_ready(slot, process, now)
            elif "beat" in message:
                process.connections = message["beat"]
            elif "failed" in message:
                process.failure = message["failed"]
            elif "leaving" in message and not self._stopping:
                self._was_told_to_leave(slot, process, now)
            elif "metrics" in message and self._admin is not None:
                self._admin.got_metrics(process, message["id"], message["metrics"])
        if not process.channel.is_open:
            self._selector.unregister(process.channel)
            process.channel.close()

    def _is_ready(self, slot: Slot, process: Process, now: float) -> None:
        if process.state is not State.STARTING:
            return  # told to end meanwhile
        process.state = State.READY
        if slot.next is process:
            old, slot.current, slot.next = slot.current, process, None
            if old is not None:
                self._retire(old, CloseCode.SERVICE_RESTART, False, now)
        if not self._announced:
            for other in self._slots:
                if other.current is None and other.restart_at is None:
                    self._spawn(other, now)
            if all(each.is_ready for each in self._slots if each.is_open):
                self._announced = True
                self._announce()
                self._notifier.ready(self._status())

    def _status(self) -> str:
        ready = sum(slot.is_ready for slot in self._slots)
        return f"{ready} of {len(self._slots)} workers are ready"

    def _retire(self, process: Process, code: int, listen: bool, now: float) -> None:
        self._retiring.append(process)
        process.drain(code, listen, now + self._settings.drain_timeout + _GRACE)

    def _was_told_to_leave(self, slot: Slot, process: Process, now: float) -> None:
        """Somebody sent SIGTERM to a worker: another takes its place at once."""
        process.state = State.DRAINING
        process.kill_at = now + self._settings.drain_timeout + _GRACE
        if slot.current is process:
            slot.current = None
            self._retiring.append(process)
            if slot.next is None:
                logger.info("%s was told to end; starting another", process)
                self._spawn(slot, now)

    def _reap(self, now: float) -> None:
        """See who has ended, and decide what follows."""
        for process in [p for p in self._processes() if p.status() is not None]:
            if process.channel.is_open:  # its last words
                self._heard(self._slots[process.slot], process, now)
            if process.channel.is_open:
                self._selector.unregister(process.channel)
                process.channel.close()
            if process in self._retiring:
                self._retiring.remove(process)
                logger.info("%s has ended", process)
            elif self._slots[process.slot].next is process:
                self._reload_failed(self._slots[process.slot], process)
            elif self._slots[process.slot].current is process:
                self._died(self._slots[process.slot], process, now)

    def _died(self, slot: Slot, process: Process, now: float) -> None:
        slot.current = None
        how = process.failure or process.ended_how()
        if self._stopping:
            return
        if not self._announced and not any(each.is_ready for each in self._slots):
            # Nothing has ever worked: it is not going to.
            self._failed = True
            logger.error("%s did not start: %s", process, how)
            self._stop(now, None)
            return
        delay = slot.died(now)
        if delay is None:
            logger.error("%s died: %s; too often: its slot is closed", process, how)
            if not any(each.is_open for each in self._slots):
                self._failed = True
                self._stop(now, None)
            return
        logger.error("%s died: %s; starting another in %.1f s", process, how, delay)

    # --- reloading ---------------------------------------------------------------

    def _reload(self, now: float) -> None:
        if self._stopping:
            return
        if self._reloading is not None:
            self._reload_again = True
            return
        logger.info("reloading")
        self._notifier.reloading()
        self._reloading = list(self._slots)
        self._go_on_reloading(now)

    def _go_on_reloading(self, now: float) -> None:
        """Replace the next worker, if the last one is replaced and gone."""
        if self._reloading is None or self._stopping:
            return
        starting = [p for p in self._processes() if p.state is State.STARTING]
        if self._retiring or starting:
            return
        if not self._reloading:
            self._end_reload("reloaded")
            if self._reload_again:
                self._reload_again = False
                self._reload(now)
            return
        slot = self._reloading.pop(0)
        try:
            slot.renew()
        except OSError as exc:
            logger.error("cannot listen for worker %d: %s", slot.number, exc)
            return
        self._notifier.extend(self._settings.start_timeout + 2 * _GRACE)
        self._spawn(slot, now, replace=slot.current is not None)

    def _reload_failed(self, slot: Slot, process: Process) -> None:
        slot.next = None
        how = process.failure or process.ended_how()
        text = "%s did not start: %s; reload given up, the workers there go on"
        logger.error(text, process, how)
        self._end_reload("reload failed, running the code of before")

    def _end_reload(self, how: str) -> None:
        self._reloading = None
        logger.info("%s", how)
        self._notifier.ready(f"{how}; {self._status()}")

    # --- ending ------------------------------------------------------------------

    def _stop(self, now: float, number: int | None) -> None:
        """Drain all workers; at the second signal, end them at once."""
        if self._stopping:
            if number is not None and self._forced is None:
                logger.warning("second signal: cutting connections off")
                self._forced = number
                for process in self._processes():
                    process.cut(now + _CUT_GRACE)
            return
        self._stopping = True
        self._reloading = None
        logger.info("stopping")
        self._notifier.stopping("draining")
        self._notifier.extend(self._settings.drain_timeout + 2 * _GRACE)
        for slot in self._slots:
            for worker in (slot.current, slot.next):
                if worker is not None:
                    self._retire(worker, CloseCode.GOING_AWAY, True, now)
            slot.current = slot.next = None
            slot.restart_at = None

    def _kill_all(self) -> None:
        """Leave nobody behind, whatever went wrong."""
        for process in self._processes():
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Have signals wake us: their numbers come as bytes."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        old = {number: signal.signal(number, _nothing) for number in numbers}
        woken = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

        def arrived(now: float) -> None:
            for number in ours.recv(4096):
                if number in (signal.SIGTERM, signal.SIGINT):
                    self._stop(now, number)
                elif number == signal.SIGHUP:
                    self._reload(now)

        self._selector.register(ours, selectors.EVENT_READ, arrived)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in old.items():
                signal.signal(number, handler)
            self._selector.unregister(ours)
            ours.close()
            theirs.close()


def _nothing(number: int, frame: Any) -> None:
    """Let the signal interrupt nothing: its number is read as a byte."""
