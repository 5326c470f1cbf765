"""Supervisor: starts workers, replaces those that die, reloads, drains, and reports.

One thread without an event loop: it waits for signals, for what workers say, for the
service manager's clock. What follows from that is decided in :mod:`.pool`, and carried
out here. It imports nothing of the application, so that a reload brings new code, and
forks nothing with threads.
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
from . import pool as do
from .admin import Admin
from .notify import Notifier
from .process import CANNOT_SPAWN, Process, State
from .settings import Settings

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

    ``bind`` makes the sockets of one slot; ``announce`` is called with the number of
    workers once all that can serve do.
    """

    def __init__(
        self,
        settings: Settings,
        bind: Bind,
        notifier: Notifier,
        announce: Callable[[int], None],
        admin: Admin | None = None,
    ) -> None:
        self._settings = settings
        self._bind = bind
        self._notifier = notifier
        self._announce = announce
        self._admin = admin
        self._pool = do.Pool(settings.workers)
        self._sockets: list[list[socket.socket]] = [[] for _ in range(settings.workers)]
        self._processes: dict[int, Process] = {}
        # Of workers that have ended: their names, and how, for the log.
        self._fates: dict[int, tuple[str, str]] = {}
        self._selector = selectors.DefaultSelector()
        self._forced: int | None = None
        self._alive_at = 0.0

    def run(self) -> int:
        """Supervise until the end; return the exit status. Raises OSError for sockets.

        0 after SIGTERM or SIGINT, 128 + the signal where a second one cut connections
        off, 3 where no worker could be started or none is left.
        """
        with contextlib.ExitStack() as stack:
            for slot in range(self._settings.workers):
                stack.callback(self._close, slot)
                self._sockets[slot] = self._bind()
            stack.enter_context(self._selector)
            stack.enter_context(self._signals())
            if self._admin is not None:
                stack.callback(self._admin.close)
                self._admin.begin(self._selector, self)
            stack.callback(self._kill_all)
            now = time.monotonic()
            self._pool.begin(now)
            self._carry_out(now)
            while not self._pool.is_over:
                self._turn()
        if self._forced is not None:
            return 128 + self._forced
        return FAILED_TO_START if self._pool.failed else 0

    # --- what there is -----------------------------------------------------------

    def workers(self) -> list[tuple[int, Process | None]]:
        """Return each slot's number and its worker that takes connections, if any."""
        return [
            (
                slot.number,
                None if slot.serving is None else self._processes[slot.serving],
            )
            for slot in self._pool.slots
        ]

    def restarts(self) -> dict[int, int]:
        """Return how often each slot's worker was started again after a death."""
        return {slot.number: slot.restarts for slot in self._pool.slots}

    def why_not_ready(self) -> str | None:
        """Return why no connections should be sent here, None if they should."""
        if self._pool.stopping:
            return "stopping"
        return None if self._pool.ready else "no worker is ready"

    # --- one turn ----------------------------------------------------------------

    def _turn(self) -> None:
        before = time.monotonic()
        timeout = max(min(self._deadlines(before)) - before, 0.0)
        events = self._selector.select(timeout)
        now = time.monotonic()
        if now - before > timeout + _STOPPED:
            # We stood still, and so did perhaps everybody.
            for process in self._processes.values():
                process.last_beat = now
        for key, _ in events:
            key.data(now)
        self._reap(now)
        self._look(now)
        if self._admin is not None:
            self._admin.tick(now)

    def _deadlines(self, now: float) -> Iterator[float]:
        yield now + _TURN
        for process in self._processes.values():
            if process.kill_at is not None:
                yield process.kill_at
            elif process.state is State.STARTING:
                yield process.started_at + self._settings.start_timeout
            elif process.state is State.READY and self._settings.hang_timeout:
                yield process.last_beat + self._settings.hang_timeout
        if (restart_at := self._pool.deadline()) is not None:
            yield restart_at
        if self._notifier.interval is not None:
            yield self._alive_at + self._notifier.interval
        if self._admin is not None:
            yield self._admin.deadline(now)

    def _look(self, now: float) -> None:
        """Do what is due."""
        for process in self._processes.values():
            self._look_at(process, now)
        self._pool.tick(now)
        self._carry_out(now)
        interval = self._notifier.interval
        if interval is not None and now >= self._alive_at + interval:
            self._alive_at = now
            self._notifier.alive()

    def _look_at(self, process: Process, now: float) -> None:
        settings = self._settings
        if process.kill_at is not None:
            if now >= process.kill_at:
                if process.drains:
                    logger.warning("%s has not ended in time: killed", process)
                process.kill_at = now + _GRACE
                process.kill()
        elif process.state is State.STARTING:
            if now >= process.started_at + settings.start_timeout:
                seconds = settings.start_timeout
                logger.error("%s is not ready after %g seconds", process, seconds)
                process.failure = f"it was not ready after {seconds:g} seconds"
                self._ask_for_time()
                process.abort(now + _CUT_GRACE)
        elif process.state is State.READY and settings.hang_timeout:
            silent = now - process.last_beat
            if silent >= settings.hang_timeout:
                logger.error("%s hangs: silent for %.0f seconds", process, silent)
                process.abort(now + _CUT_GRACE)

    # --- what workers do ---------------------------------------------------------

    def _heard(self, worker: int, process: Process, now: float) -> None:
        for message in process.receive():
            process.last_beat = now
            if "ready" in message:
                # One that was told to end meanwhile is not needed any more.
                if process.state is State.STARTING:
                    process.state = State.READY
                    self._pool.is_ready(worker, now)
            elif "beat" in message:
                process.connections = message["beat"]
            elif "failed" in message:
                process.failure = message["failed"]
            elif "leaving" in message:
                process.is_leaving = True
                if process.state is State.STARTING:
                    process.failure = "it was told to end"
                self._pool.left(worker, now)
            elif "metrics" in message and self._admin is not None:
                self._admin.got_metrics(process, message)
            self._carry_out(now)
        if not process.channel.is_open:
            self._leave_channel(process)

    def _leave_channel(self, process: Process) -> None:
        self._selector.unregister(process.channel)
        process.channel.close()

    def _reap(self, now: float) -> None:
        """See who has ended, and decide what follows."""
        for worker, process in list(self._processes.items()):
            if process.status() is None:
                continue
            if process.channel.is_open:  # its last words
                self._heard(worker, process, now)
            if process.channel.is_open:
                self._leave_channel(process)
            del self._processes[worker]
            how = process.failure or process.ended_how()
            self._fates[worker] = str(process), how
            self._pool.ended(worker, now)
            self._carry_out(now)

    # --- what is done ------------------------------------------------------------

    def _carry_out(self, now: float) -> None:
        """Do what the pool has decided."""
        while actions := self._pool.take_actions():
            for action in actions:
                self._do(action, now)
        self._fates.clear()

    def _do(self, action: do.Action, now: float) -> None:
        match action:
            case do.Spawn(slot, worker):
                self._spawn(slot, worker, now)
            case do.Retire(worker):
                self._drain(self._processes[worker], now)
            case do.Kill(worker):
                # Unless it could not be spawned at all.
                if worker in self._processes:
                    self._processes[worker].kill()
            case do.Close(slot):
                self._close(slot)
            case do.Announce():
                # Nobody reads our output: no reason to end.
                with contextlib.suppress(OSError, ValueError):
                    self._announce(self._pool.ready)
                self._notifier.ready(self._status())
            case do.Reloading() if self._pool.announced:
                self._notifier.reloading()
            case do.Stopping():
                self._notifier.stopping("draining")
                self._notifier.extend(self._settings.drain_timeout + 2 * _GRACE)
        self._tell(action)

    def _tell(self, action: do.Action) -> None:
        """Write to the log what was decided."""
        match action:
            case do.Delay(worker, seconds):
                text = "%s died: %s; starting another in %.1f s"
                logger.error(text, *self._fates[worker], seconds)
            case do.Close(_, worker, often=False):
                logger.error("%s did not start: %s", *self._fates[worker])
            case do.Close(_, worker):
                text = "%s died: %s; too often: its slot is closed"
                logger.error(text, *self._fates[worker])
            case do.Died(worker):
                text = "%s died: %s; the one that replaces it is starting"
                logger.error(text, *self._fates[worker])
            case do.Ended(worker):
                name, how = self._fates[worker]
                how = "" if how == "exit status 0" else f": {how}"
                logger.info("%s has ended%s", name, how)
            case do.Reloading():
                logger.info("reloading")
            case do.ReloadFailed(worker):
                text = "%s did not start: %s; reload given up"
                if self._pool.ready:
                    text += ", the workers there go on"
                logger.error(text, *self._fates[worker])
                self._end_reload("reload failed, running the code of before")
            case do.Reloaded():
                all_ready = self._pool.ready == len(self._pool.slots)
                self._end_reload("reloaded" if all_ready else "reloaded in part")
            case do.Stopping():
                logger.info("stopping")

    def _end_reload(self, how: str) -> None:
        logger.info("%s", how)
        if self._pool.announced:
            self._notifier.ready(f"{how}; {self._status()}")

    def _status(self) -> str:
        return f"{self._pool.ready} of {len(self._pool.slots)} workers are ready"

    def _spawn(self, slot: int, worker: int, now: float) -> None:
        """Start a worker, or tell the pool that there is none."""
        if self._pool.is_reloading:
            self._ask_for_time()
        try:
            self._sockets[slot] = self._sockets[slot] or self._bind()
            process = Process(slot, self._settings, self._sockets[slot], now)
        except CANNOT_SPAWN as exc:
            why = str(exc) or type(exc).__name__
            self._fates[worker] = f"worker {slot}", f"it cannot be started: {why}"
            self._pool.not_spawned(worker, now)
            return
        self._processes[worker] = process
        logger.debug("%s is starting", process)
        try:
            self._selector.register(
                process.channel,
                selectors.EVENT_READ,
                lambda now: self._heard(worker, process, now),
            )
        except OSError as exc:  # no room in the kernel for one more
            process.failure = f"it cannot be listened to: {exc}"
            process.channel.close()
            process.kill()

    def _ask_for_time(self) -> None:
        """Let the service manager wait for one more start."""
        self._notifier.extend(self._settings.start_timeout + 2 * _GRACE)

    def _drain(self, process: Process, now: float) -> None:
        if process.is_leaving:
            logger.info("%s was told to end; another takes its place", process)
        stops = self._pool.stopping
        code = CloseCode.GOING_AWAY if stops else CloseCode.SERVICE_RESTART
        kill_at = now + self._settings.drain_timeout + _GRACE
        process.drain(code, stops, kill_at)

    def _close(self, slot: int) -> None:
        """Take no more connections there: the system deals them to the other slots."""
        sockets, self._sockets[slot] = self._sockets[slot], []
        for sock in sockets:
            sock.close()

    # --- ending ------------------------------------------------------------------

    def _stop(self, now: float, number: int) -> None:
        """Drain all workers; at the second signal, end them at once."""
        if not self._pool.stopping:
            self._pool.stop(now)
            self._carry_out(now)
        elif self._forced is None:
            logger.warning("second signal: cutting connections off")
            self._forced = number
            for process in self._processes.values():
                process.cut(now + _CUT_GRACE)

    def _kill_all(self) -> None:
        """Leave nobody behind, whatever went wrong."""
        for process in self._processes.values():
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
                    self._pool.reload(now)
                    self._carry_out(now)

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
