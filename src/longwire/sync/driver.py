"""Runs an opening plan in a thread: every step of ``opening/steps.py``, blocking.

Decides nothing. What fails in a step is thrown into the plan, but not the end of the
time that the whole plan has: there the plan is closed and OutOfTime raised.
"""

from __future__ import annotations

import inspect
import socket
import time
from typing import Any, TypeVar, cast

from ..errors import SecurityError
from ..escaping import excerpt
from ..opening.client_settings import default_tls_context
from ..opening.steps import (
    Call,
    Hangup,
    LimitReads,
    OpenSocks,
    OpenTcp,
    OpenUnix,
    Plan,
    Read,
    Sleep,
    StartTls,
    Step,
    Write,
)
from ..socks import NO_LIMIT, proxy_for, translated
from .wire import Wire

__all__ = ["OutOfTime", "Stream", "run"]

T = TypeVar("T")


class OutOfTime(TimeoutError):
    """The whole plan has taken too long, or was interrupted."""


def run(plan: Plan[T], stream: Stream) -> T:
    """Return the plan's result, having carried out its steps on ``stream``.

    Raises what the plan raises, and OutOfTime. The stream stays open in either case.
    """
    try:
        step = plan.send(None)
        while True:
            try:
                result = stream.carry_out(step)
            except OutOfTime:
                raise
            except Exception as exc:
                step = plan.throw(exc)
            except BaseException as exc:
                if isinstance(exc, KeyboardInterrupt) or not isinstance(step, Call):
                    raise
                step = plan.throw(exc)
            else:
                step = plan.send(result)
                del result  # what was read is the plan's to keep, or not
    except StopIteration as stop:
        return cast(T, stop.value)
    finally:
        plan.close()


class Stream:
    """What a plan's steps happen on: at most one open wire.

    ``ends_at`` is when the whole plan has to be over, None if it may take any time.
    ``doing`` says in words what the current step waits for. ``interrupted`` ends the
    plan at its next wait.
    """

    def __init__(self, wire: Wire | None = None, ends_at: float | None = None) -> None:
        self.wire = wire
        self.ends_at = ends_at
        self.doing = "starting"
        self.interrupted = False
        self._read_by: float | None = None

    def carry_out(self, step: Step) -> Any:
        """Return the result of ``step``, as ``opening/steps.py`` defines it."""
        match step:
            case Read():
                self.doing = "waiting for the peer"
                return self._read()
            case LimitReads():
                left = self._left()
                seconds = step.seconds if left is None else min(step.seconds, left / 2)
                self._read_by = time.monotonic() + seconds
            case Write():
                self._open_wire.write(step.data)
                self._in_time(self._open_wire.drain, self.ends_at)
            case Call():
                return self._call(step)
            case Sleep():
                time.sleep(step.seconds)
            case OpenTcp():
                self._open_tcp(step)
            case OpenUnix():
                self._open_unix(step)
            case OpenSocks():
                self._open_socks(step)
            case StartTls():
                self.start_tls(step)
            case Hangup():
                self.abort()
        return None

    # --- time --------------------------------------------------------------------

    def _left(self) -> float | None:
        """Return the seconds that are left; raise OutOfTime if there are none."""
        if self.interrupted:
            raise OutOfTime
        if self.ends_at is None:
            return None
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise OutOfTime
        return left

    def _in_time(self, function: Any, *args: Any) -> Any:
        """Call ``function``; raise OutOfTime if its time was the plan's."""
        try:
            return function(*args)
        except TimeoutError:
            self._left()
            raise

    # --- the open stream ---------------------------------------------------------

    @property
    def _open_wire(self) -> Wire:
        if self.wire is None:
            raise RuntimeError("a plan reads or writes while nothing is open")
        return self.wire

    def _read(self) -> bytes:
        wire = self._open_wire
        # What came with the end of a TLS handshake comes first.
        while not (data := wire.take()) and not wire.ended:
            left = self._left()
            if self._read_by is not None:
                limit = max(0.0, self._read_by - time.monotonic())
                left = limit if left is None else min(left, limit)
            came = wire.receive(left)
            if self.interrupted:
                raise OutOfTime
            if not came:
                self._left()
                raise TimeoutError("the peer has taken too long")
        return data

    def _call(self, step: Call) -> Any:
        result = step.function(*step.args)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            name = getattr(step.function, "__qualname__", repr(step.function))
            raise TypeError(f"{name} is asynchronous; with threads, use a function")
        return result

    def abort(self) -> None:
        """Close the wire, if there is one, losing what it has not sent."""
        self._read_by = None
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.close(in_use=False)

    # --- opening -----------------------------------------------------------------

    def _open_tcp(self, step: OpenTcp) -> None:
        options = dict(step.options)
        sock = options.pop("sock", None)
        if sock is None:
            self.doing = f"connecting to {excerpt(step.host)} port {step.port}"
            sock = self._connect_tcp(step.host, step.port, **options)
        self.wire = Wire(sock)
        if step.tls is not None:
            self.start_tls(step.tls)

    def _connect_tcp(
        self,
        host: str | None,
        port: int | None,
        *,
        family: int = 0,
        source_address: tuple[str, int] | None = None,
        all_errors: bool = False,
        timeout: float | None = None,
    ) -> socket.socket:
        """Return a socket connected to the first address of ``host`` that answers."""
        errors: list[OSError] = []
        # The system's resolver has its own time limit, and cannot be interrupted.
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        for kind, how, protocol, _, address in found:
            sock = socket.socket(kind, how, protocol)
            try:
                if source_address is not None:
                    sock.bind(source_address)
                left = self._left()
                if timeout is not None:
                    left = timeout if left is None else min(timeout, left)
                sock.settimeout(left)
                self._in_time(sock.connect, address)
                return sock
            except OutOfTime:
                sock.close()
                raise
            except OSError as exc:
                sock.close()
                errors.append(exc)
            except BaseException:
                sock.close()
                raise
        if all_errors:
            raise ExceptionGroup("connecting failed", errors)
        raise errors[0]

    def _open_unix(self, step: OpenUnix) -> None:
        sock = step.options.get("sock")
        self.doing = f"connecting to {step.path}"
        if sock is None:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.settimeout(self._left())
                self._in_time(sock.connect, step.path)
            except BaseException:
                sock.close()
                raise
        self.wire = Wire(sock)
        if step.tls is not None:
            self.start_tls(step.tls)

    def _open_socks(self, step: OpenSocks) -> None:
        proxy = proxy_for(step.proxy, "sync")
        self.doing = f"connecting through the SOCKS proxy {step.proxy.host}"
        left = self._left()
        timeout = NO_LIMIT if left is None else left
        with translated():
            sock = self._in_time(
                lambda: proxy.connect(step.host, step.port, timeout=timeout)
            )
        self.wire = Wire(sock)

    def start_tls(self, step: StartTls, server_side: bool = False) -> None:
        """Start TLS on the open stream, as a client or as a server."""
        self.doing = f"starting TLS with {excerpt(step.server_hostname or '')}"
        wire = self._open_wire
        if wire.ended:
            raise SecurityError("the stream has ended before TLS had started")
        self._in_time(
            wire.start_tls,
            step.context or default_tls_context(),
            step.server_hostname,
            server_side,
            self.ends_at,
        )
