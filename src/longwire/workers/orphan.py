"""Orphan: a worker whose supervisor is gone ends though its event loop stands still.

A worker that lives on keeps its listening socket, and the next supervisor cannot start.
A thread waits for the end of the channel, and gives the loop the time for draining.
That is a thread and not ``prctl(PR_SET_PDEATHSIG)``, which Linux alone has: a signal
that a program can handle does nothing while the loop stands still, and SIGKILL leaves
no time to close connections. Code in C that holds the GIL holds up the thread, too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import socket
import threading
import time

__all__ = ["Watch"]

_GRACE = 10.0
"""Seconds after the time for draining before a worker that drains ends at once."""
_MIN_PATIENCE = 2.0
"""Least seconds that an event loop has to notice the end of the channel."""
_HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class Watch:
    """Waits for the end of the channel ``sock``, in a thread.

    Then :meth:`noticed` has to be called in time, and the process to end after that;
    else it is ended, with a traceback of all threads.
    """

    def __init__(self, sock: socket.socket, drain_timeout: float, status: int) -> None:
        self._drain_timeout = drain_timeout
        self._status = status
        self._noticed = threading.Event()
        # Of its own: the loop closes the other one when it ends.
        descriptor = os.dup(sock.fileno())
        threading.Thread(
            target=self._wait, args=(descriptor,), name="longwire orphan", daemon=True
        ).start()

    def noticed(self) -> None:
        """The event loop has seen that the supervisor is gone, and drains."""
        self._noticed.set()

    def _wait(self, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, getattr(select, "POLLRDHUP", 0))
        events = 0
        while not events & _HUNG_UP:
            ((_, events),) = poll.poll()
            if events & select.POLLNVAL:
                return  # the application has closed what was not its own
        if self._noticed.wait(max(self._drain_timeout, _MIN_PATIENCE)):
            time.sleep(self._drain_timeout + _GRACE)
        # Not by logging: the thread that stands still may hold its lock.
        text = f"worker [{os.getpid()}]: the supervisor is gone, ended at once\n"
        with contextlib.suppress(Exception):
            os.write(2, text.encode())
            faulthandler.dump_traceback(all_threads=True)
        os._exit(self._status)
