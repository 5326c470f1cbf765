"""Runs an opening plan on trio: every step of ``opening/steps.py``.

Decides nothing. What fails in a step is thrown into the plan, but not a cancellation:
there the plan is closed. Time limits of a whole plan are cancel scopes around it.
"""

from __future__ import annotations

import inspect
import socket
from typing import Any, TypeVar, cast

import trio

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
from .connection import what_stops
from .wire import StreamWire, Wire, adopt

__all__ = ["Stream", "run"]

T = TypeVar("T")


async def run(plan: Plan[T], stream: Stream) -> T:
    """Return the plan's result, having carried out its steps on ``stream``.

    Raises what the plan raises. The stream stays open in either case.
    """
    try:
        step = plan.send(None)
        while True:
            try:
                result = await stream.carry_out(step)
            except Exception as exc:
                step = plan.throw(exc)
            except BaseException as exc:
                if what_stops(exc) is not None or not isinstance(step, Call):
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

    ``doing`` says in words what the current step waits for.
    """

    def __init__(self, wire: Wire | None = None) -> None:
        self.wire = wire
        self.doing = "starting"
        self._read_by = float("inf")

    async def carry_out(self, step: Step) -> Any:
        """Return the result of ``step``, as ``opening/steps.py`` defines it."""
        match step:
            case Read():
                self.doing = "waiting for the peer"
                return await self._read()
            case LimitReads():
                now = trio.current_time()
                left = trio.current_effective_deadline() - now
                self._read_by = now + min(step.seconds, left / 2)
            case Write():
                self._open_wire.write(step.data)
                await self._open_wire.drain()
            case Call():
                result = step.function(*step.args)
                return await result if inspect.isawaitable(result) else result
            case Sleep():
                await trio.sleep(step.seconds)
            case OpenTcp():
                await self._open_tcp(step)
            case OpenUnix():
                await self._open_unix(step)
            case OpenSocks():
                await self._open_socks(step)
            case StartTls():
                await self.start_tls(step)
            case Hangup():
                await self.abort()
        return None

    @property
    def _open_wire(self) -> Wire:
        if self.wire is None:
            raise RuntimeError("a plan reads or writes while nothing is open")
        return self.wire

    async def _read(self) -> bytes:
        wire = self._open_wire
        with trio.move_on_at(self._read_by) as scope:
            # What came with the end of a TLS handshake comes first.
            while not (data := wire.take()) and not wire.ended:
                await wire.receive()
        if scope.cancelled_caught:
            raise TimeoutError("the peer has taken too long")
        return data

    async def abort(self) -> None:
        """Close the wire, if there is one, losing what it has not sent."""
        self._read_by = float("inf")
        wire, self.wire = self.wire, None
        if wire is not None:
            await wire.aclose()

    # --- opening -----------------------------------------------------------------

    async def _open_tcp(self, step: OpenTcp) -> None:
        options = dict(step.options)
        stream = options.pop("stream", None)
        if stream is not None:
            self.wire = StreamWire(stream)
        else:
            self.doing = f"connecting to {excerpt(step.host or '')} port {step.port}"
            assert step.host is not None and step.port is not None
            self.wire = adopt(
                await trio.open_tcp_stream(step.host, step.port, **options)
            )
        if step.tls is not None:
            await self.start_tls(step.tls)

    async def _open_unix(self, step: OpenUnix) -> None:
        self.doing = f"connecting to {step.path}"
        stream = step.options.get("stream")
        if stream is not None:
            self.wire = StreamWire(stream)
        else:
            assert step.path is not None
            self.wire = adopt(await trio.open_unix_socket(step.path))
        if step.tls is not None:
            await self.start_tls(step.tls)

    async def _open_socks(self, step: OpenSocks) -> None:
        proxy = proxy_for(step.proxy, "async_.trio")
        self.doing = f"connecting through the SOCKS proxy {step.proxy.host}"
        with translated():
            sock = await proxy.connect(step.host, step.port, timeout=NO_LIMIT)
        self.wire = Wire(socket.socket(fileno=sock.detach()))

    async def start_tls(self, step: StartTls, server_side: bool = False) -> None:
        """Start TLS on the open stream, as a client or as a server."""
        self.doing = f"starting TLS with {excerpt(step.server_hostname or '')}"
        wire = self._open_wire
        if wire.ended:
            raise SecurityError("the stream has ended before TLS had started")
        context = step.context or default_tls_context()
        await wire.start_tls(context, step.server_hostname, server_side)
