"""A toy: a synchronous front end in less than 200 lines, over the neutral parts alone.

It shows that what tests/behaviour asks for is decided below the front ends. Here is one
thread for each connection, with a lock and ``select``: slow, and without proxies.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from longwire import hosting, link, wire
from longwire.dialing import Dialed, Dialer
from longwire.opening import steps
from longwire.opening.client_settings import default_tls_context
from longwire.opening.server_plan import CLOSING, Refused
from longwire.session.leaving import outcome_of
from longwire.verbs import ACT, NO_MORE, Next, Plan


class OutOfTime(Exception):
    """An opening handshake takes too long."""


def driven(plan: Any, wait: Callable[[Any], Any]) -> Any:
    """Return the result of a plan, having waited for all that it asks for."""
    step, result = plan.send, None
    while True:
        try:
            what = step(result)
        except StopIteration as stop:
            return stop.value
        try:
            step, result = plan.send, wait(what)
        except OutOfTime:
            raise
        except BaseException as exc:
            step, result = plan.throw, exc


class Wire(wire.Wire):
    ends_at = read_by = math.inf  # of the opening handshake

    def wait(self, reads: bool, writes: bool, ends_at: float, *others: Any) -> None:
        left = None if ends_at == math.inf else max(0, ends_at - time.monotonic())
        select.select([*others, *[self.sock] * reads], [self.sock] * writes, [], left)

    def receive(self) -> None:
        while not self.receive_now():
            now = time.monotonic()
            if now >= min(self.read_by, self.ends_at):
                raise OutOfTime if now >= self.ends_at else TimeoutError
            self.wait(True, False, min(self.read_by, self.ends_at))

    def carry_out(self, step: Any) -> Any:
        match step:
            case steps.Read():
                while not (data := self.take()) and not self.ended:
                    self.receive()
                return data
            case steps.LimitReads():
                now = time.monotonic()
                self.read_by = now + min(step.seconds, (self.ends_at - now) / 2)
            case steps.Write():
                self.write(step.data)
            case steps.Call():
                return step.function(*step.args)
            case steps.OpenTcp() if step.tls is not None:
                self.start_tls(step.tls.context, step.tls.server_hostname, False)
        return None

    def start_tls(self, context: Any, name: str | None, server_side: bool) -> None:
        context = context or default_tls_context()
        handshake = self.tls_handshake(context, name, server_side)
        with contextlib.suppress(StopIteration):
            next(handshake)
            while True:
                self.receive()
                next(handshake)


class Connection(link.Link):
    _awaits = False
    _users = "thread"

    @link.with_keywords
    def __init__(self, wire: Wire, protocol: Any, **keywords: Any) -> None:
        self._lock: Any = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._nudge, self._nudged = socket.socketpair()
        super().__init__(wire, protocol, **keywords)

    def _begin_to_serve(self) -> None:
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        wire: Any = self.wire
        while not (wire.closed and self._live.next_deadline() == math.inf):
            with self._lock:
                wire.release()
                reads, deadline = self._may_read(), self._live.next_deadline()
                writes = wire.unsent > 0
            wire.wait(reads, writes, deadline, self._nudged)
            with self._lock, contextlib.suppress(BlockingIOError):
                self._serve_once(wire)
                self._nudged.recv(4096, socket.MSG_DONTWAIT)
        self._let_go()

    def _serve_once(self, wire: Any) -> None:
        if not wire.closed:
            wire.flush()
            self._check_wire(self._live)
            self._hang_up(self._live)
        try:
            if self._may_read() and wire.receive_now():
                self._take_in()
        except OSError as exc:
            self._lose(exc)
        if time.monotonic() >= self._live.next_deadline():
            self._tick(time.monotonic())
        self._react()

    def _look(self, *args: Any) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._changed.notify_all()
            self._nudge.send(b"x", socket.MSG_DONTWAIT)

    _wake = _call_at = _read_soon = _read_at_once = _flush_later = _look

    def _close_wire(self) -> None:
        self.wire.close(in_use=True)  # the thread may wait for it
        self._look()

    def _let_go(self) -> None:
        for sock in (self.wire.sock, self._nudge, self._nudged):
            sock.close()

    def drive(self, plan: Plan[Any], timeout: float = math.inf) -> Any:
        ends_at = time.monotonic() + timeout
        with self._lock:
            try:
                return driven(plan, lambda what: self._wait(what, ends_at))
            finally:
                self._react()

    def _wait(self, what: Any, ends_at: float) -> Any:
        changed = self._live.flags != 0
        self._react()
        if isinstance(what, Next):
            self._lock.release()
            try:
                return next(what.items, NO_MORE)  # type: ignore[arg-type]
            finally:
                self._lock.acquire()
        left = None if ends_at == math.inf else max(0, ends_at - time.monotonic())
        if what != ACT and not changed and not self._changed.wait(left):
            raise TimeoutError
        return None


class ServerConnection(Connection, hosting.Hosted):
    @link.with_keywords
    def __init__(self, wire: Wire, protocol: Any, server: Any, **keywords: Any) -> None:
        super().__init__(wire, protocol, **keywords)
        self._join(server)

    def run(self) -> None:
        opened, exc = self._open(), None
        if isinstance(opened, Refused):
            self._log_refusal(opened)
            self.failed_to_open()
            self._let_go()
        else:
            self.opened(opened)
            self.server._has_opened(self)
            try:
                self.server.handler(self)
            except BaseException as raised:
                exc = raised
            with self._lock:
                outcome = outcome_of(exc, self._live, from_outside=False)
            self._log_outcome(outcome, exc)
            self.drive(self._verbs.leave(outcome, exc))
        self.server._has_ended(self)

    def _open(self) -> Any:
        wire: Any = self.wire
        wire.ends_at = self._ends_at() or math.inf
        acceptor = self._make_acceptor()
        try:
            if self.server._tls is not None:
                wire.start_tls(self.server._tls, None, True)
            return driven(acceptor.plan(), wire.carry_out)
        except OutOfTime:
            refused, answer = acceptor.interrupted(self._interrupted)
            wire.write(answer)
            return refused
        except OSError as exc:
            return Refused(None, exc)

    def _interrupt(self, why: str = CLOSING) -> None:
        self._interrupted, self.wire.ends_at = why, 0.0  # type: ignore[attr-defined]


class Server(hosting.Host[ServerConnection]):
    _connection_class = ServerConnection

    def take(self, sock: socket.socket) -> None:
        ws = self._make_connection(Wire(sock))
        thread = threading.Thread(target=ws.run, daemon=True)
        if self._admit(ws, thread):
            thread.start()


class ClientConnection(Connection, Dialed):
    """The client's end of a connection."""


class Client(Dialer[ClientConnection]):
    _connection_class = ClientConnection
    _tcp = frozenset({"host", "port"})
    _given = "sock", "ssl", "server_hostname"

    def connect(self, uri: str, sock: socket.socket, given: Any) -> ClientConnection:
        self._set_options(uri, given, {})
        self._unused = False
        stream = Wire(sock)
        stream.ends_at = time.monotonic() + (self._settings.timeouts.open or math.inf)
        connection = self._make(stream)
        connection.opened(driven(self._plan(), stream.carry_out))
        return connection
