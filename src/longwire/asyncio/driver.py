"""Runs a plan on asyncio: every step of ``opening/steps.py`` carried out on a wire.

Decides nothing. A server's stream has its wire from the start; a client's makes one
each time the plan opens a connection. A step that fails throws its exception into
the plan; a cancellation ends the plan at once, and :meth:`Stream.abort` leaves no
socket behind wherever that happens.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .. import errors
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
from .network import method_of
from .usage import is_from_outside

if TYPE_CHECKING:
    from . import transport
    from .wire import Wire

__all__ = ["Stream", "run"]

T = TypeVar("T")


async def run(plan: Plan[T], stream: Stream) -> T:
    """Return the plan's result, having carried out its steps on ``stream``.

    Raises what the plan raises. The stream stays open in either case: what becomes
    of it is for the caller to say, who also knows the time limit.
    """
    try:
        step = plan.send(None)
        while True:
            try:
                result = await stream.carry_out(step)
            except Exception as exc:
                step = plan.throw(exc)
            except BaseException as exc:
                if not _is_failed_call(step, exc):
                    raise
                step = plan.throw(exc)
            else:
                step = plan.send(result)
                del result  # what was read is the plan's to keep, or not
    except StopIteration as stop:
        return cast(T, stop.value)
    finally:
        # After a cancellation the plan is still at its step; it has nothing to say.
        plan.close()


def _is_failed_call(step: Step, exc: BaseException) -> bool:
    """Return whether a function that the plan called has failed with ``exc``.

    An interrupt, or the cancellation of our own task, is no failure of a function; a
    CancelledError of something that it awaited is.
    """
    stops = isinstance(exc, (KeyboardInterrupt, SystemExit)) or is_from_outside(exc)
    return isinstance(step, Call) and not stops


class Stream:
    """What a plan's steps happen on: at most one open wire.

    ``make_wire`` is called for each connection the plan opens; a server passes the
    ``wire`` it has instead. ``doing`` says in words what the current step waits for,
    for the texts of timeouts; ``ends_at`` is when the whole plan has to be over, None
    if it may take any time.
    """

    def __init__(
        self,
        wire: Wire | None = None,
        make_wire: Callable[[], transport.Wire] | None = None,
    ) -> None:
        self.wire = wire
        self.doing = "starting"
        self.ends_at: float | None = None
        self._read_by: float | None = None
        self._make_wire = make_wire

    async def carry_out(self, step: Step) -> Any:
        """Return the result of ``step``, as ``opening/steps.py`` defines it."""
        match step:
            case Read():
                self.doing = "waiting for the peer"
                wire = self._open_wire()
                if self._read_by is None:
                    return await wire.read()
                async with asyncio.timeout_at(self._read_by):
                    return await wire.read()
            case LimitReads():
                self._read_by = self._in_time(step.seconds)
            case Write():
                wire = self._open_wire()
                wire.write(step.data)
                await wire.drain()
            case Call():
                result = step.function(*step.args)
                return await result if inspect.isawaitable(result) else result
            case Sleep():
                await asyncio.sleep(step.seconds)
            case OpenTcp() | OpenUnix() | OpenSocks():
                await self._open(step)
            case StartTls():
                await self._start_tls(step)
            case Hangup():
                self.abort()
        return None

    def _in_time(self, seconds: float) -> float:
        """Return when ``seconds`` are over, or half of what the plan has left."""
        now = asyncio.get_running_loop().time()
        left = seconds if self.ends_at is None else (self.ends_at - now) / 2
        return now + min(seconds, left)

    def abort(self) -> None:
        """Close the wire, if there is one, losing what it has not sent."""
        self._read_by = None
        wire, self.wire = self.wire, None
        if wire is not None and wire.transport is not None:
            wire.abort()

    def _open_wire(self) -> Wire:
        if self.wire is None:
            raise RuntimeError("a plan reads or writes while nothing is open")
        return self.wire

    async def _open(self, step: OpenTcp | OpenUnix | OpenSocks) -> None:
        make_wire = self._make_wire
        if make_wire is None:
            raise RuntimeError("this stream cannot open connections")

        def new_wire() -> transport.Wire:
            # Remembered before it is connected: an attempt that is cancelled
            # between the two must not lose it.
            self.wire = wire = make_wire()
            return wire

        match step:
            case OpenTcp():
                await self._open_tcp(step, new_wire)
            case OpenUnix():
                await self._open_unix(step, new_wire)
            case OpenSocks():
                await self._open_socks(step, new_wire)

    async def _open_tcp(
        self, step: OpenTcp, new_wire: Callable[[], transport.Wire]
    ) -> None:
        options = {**step.options, **_tls_options(step.tls)}
        if "sock" in options:
            self.doing = "connecting"
        else:
            options.update(host=step.host, port=step.port)
            self.doing = f"connecting to {excerpt(step.host)} port {step.port}"
        loop = asyncio.get_running_loop()
        create = method_of(loop, "create_connection", "ssl" in options)
        await create(new_wire, **options)

    async def _open_unix(
        self, step: OpenUnix, new_wire: Callable[[], transport.Wire]
    ) -> None:
        options = {**step.options, **_tls_options(step.tls)}
        if "sock" not in options:
            options.update(path=step.path)
        self.doing = f"connecting to {step.path}"
        loop = asyncio.get_running_loop()
        create = method_of(loop, "create_unix_connection", "ssl" in options)
        await create(new_wire, **options)

    async def _open_socks(
        self, step: OpenSocks, new_wire: Callable[[], transport.Wire]
    ) -> None:
        proxy = proxy_for(step.proxy, "async_.asyncio")
        self.doing = f"connecting through the SOCKS proxy {step.proxy.host}"
        with translated():
            sock = await proxy.connect(
                step.host, step.port, timeout=NO_LIMIT, **step.options
            )
        loop = asyncio.get_running_loop()
        await loop.create_connection(new_wire, sock=sock)

    async def _start_tls(self, step: StartTls) -> None:
        wire = self._open_wire()
        self.doing = f"starting TLS with {excerpt(step.server_hostname)}"
        options = _tls_options(step)
        if wire.unread:
            # Bytes from before TLS must not be taken for the server's own.
            raise errors.SecurityError(
                f"received {wire.unread} bytes in plain before TLS had started"
            )
        try:
            await wire.start_tls(options.pop("ssl"), **options)
        except TypeError as exc:
            # CPython 3.11 fails with this on its way to report a failed handshake
            # inside another TLS; what failed is the context.
            if isinstance(exc.__context__, OSError):
                raise exc.__context__ from None
            raise


def _tls_options(tls: StartTls | None) -> dict[str, Any]:
    """Return the loop's keywords for ``tls``."""
    if tls is None:
        return {}
    context = tls.context or default_tls_context()
    return {
        "ssl": context,
        "server_hostname": tls.server_hostname,
        **tls.options,
    }
