"""Performing: carries out the calls of a peer and says how each of them ended.

Authorises, binds arguments, runs the route in the right way, converts the result. What
goes wrong becomes the error that the peer may see; the rest of it goes to our log, by
an id. Arguments and results go to no log.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import decimal
import inspect
import logging
import secrets
import time
import traceback
import types
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from .calls import Theirs
from .envelope import Call, Wire
from .errors import (
    ApplicationError,
    ErrorValue,
    InternalError,
    NotAuthorised,
)
from .routes import Route
from .settings import Settings
from .signatures import describe

if TYPE_CHECKING:
    from .peer import Peer

__all__ = ["Performer", "current"]

logger = logging.getLogger("longwire.rpc")

_current: contextvars.ContextVar[Call] = contextvars.ContextVar("longwire_rpc_call")

LEAVING = 5.0
"""Seconds that routes and ``on_close`` get to end after the connection has."""

_LATER = (types.CoroutineType, asyncio.Future)
"""What a plain function may return that has to be awaited."""

_NATIVE = (
    bytes,
    bytearray,
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    decimal.Decimal,
)


def current() -> Call:
    """Return the call that is being carried out: its peer, connection and request.

    Raises LookupError outside of a route.
    """
    return _current.get()


class Performer:
    """Carries out the calls of one peer."""

    def __init__(self, settings: Settings, wire: Wire, peer: Peer) -> None:
        self.settings = settings
        self.wire = wire
        self.peer = peer
        self.services: dict[type, Any] = {}
        # Whether it takes a task of its own to find out what is allowed.
        self.awaits = inspect.iscoroutinefunction(settings.authorize_call)

    # --- one call ----------------------------------------------------------------

    def perform_plain(self, call: Call, route: Route) -> Any:
        """Run a plain function; return the frame of the answer.

        Or a coroutine, when that is what the function returned: it is to be awaited
        in a task, by `perform`.
        """
        token = _current.set(call)
        begun = self._begin(call)
        try:
            if self.settings.authorize_call is not None:
                self._authorize(call)
            args, named = route.signature.bind(call.params, self.wire.codec, self.peer)
            result = self._function(route)(*args, **named)
            if isinstance(result, _LATER):
                return result
            frame = self.result(call, route, result)
        except Exception as exc:
            return self.failure(call, exc, begun)
        finally:
            _current.reset(token)
        if begun:
            self._ended(call, begun)
        return frame

    async def perform(
        self, call: Call, route: Route, record: Theirs, coroutine: Any = None
    ) -> bytes:
        """Run any route; return the frame of the answer.

        ``coroutine`` is what a plain function returned, if it was run already.
        """
        _current.set(call)
        begun = self._begin(call)
        try:
            if coroutine is not None:
                result = await coroutine
            else:
                waiting = self._authorize(call)
                if waiting is not None:
                    _refuse_unless(await waiting)
                args, named = route.signature.bind(
                    call.params, self.wire.codec, self.peer
                )
                function = self._function(route)
                if route.signature.is_stream:
                    items = function(*args, **named)
                    await self._send_items(call, route, record, items)
                    result = None
                elif route.threads:
                    result = await self._in_thread(record, function, args, named)
                else:
                    result = function(*args, **named)
                    if inspect.isawaitable(result):
                        result = await result
            frame = self.result(call, route, result)
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            if record.answered or (task is not None and task.cancelling()):
                if begun:
                    self.settings.signals.call_failed.send(call, _since(begun), exc)
                raise
            # The route awaited something that was cancelled: its own failure.
            return self.failure(call, RuntimeError("the route was cancelled"), begun)
        except Exception as exc:
            return self.failure(call, exc, begun)
        if begun:
            self._ended(call, begun)
        return frame

    def _authorize(self, call: Call) -> Any:
        """Raise NotAuthorised; or return what has to be awaited to know, or None."""
        authorize = self.settings.authorize_call
        if authorize is None:
            return None
        verdict = authorize(call)
        if inspect.isawaitable(verdict):
            return verdict
        _refuse_unless(verdict)
        return None

    def _function(self, route: Route) -> Callable[..., Any]:
        """Return what the route calls, of this connection's instance if of a class."""
        owner = route.owner
        if owner is None:
            return route.function
        instance = self.services.get(owner)
        if instance is None:
            instance = self.services[owner] = _instance_of(owner, self.peer)
        return getattr(instance, route.attribute)  # type: ignore[no-any-return]

    async def _send_items(
        self, call: Call, route: Route, record: Theirs, items: Any
    ) -> None:
        """Send what a stream gives, no faster than it is wanted."""
        table, wire, returns = self.peer.table, self.wire, route.signature.returns
        if inspect.isawaitable(items):
            items = await items
        try:
            async for item in items:
                while not table.spend(record):
                    await self.peer.wait_for_credit(record)
                value = self._converted(item, returns, route)
                frame = wire.item(call.id, value)  # type: ignore[arg-type]
                self._check_size(frame)
                await self.peer.send(frame)
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    async def _in_thread(
        self,
        record: Theirs,
        function: Callable[..., Any],
        args: list[Any],
        named: dict[str, Any],
    ) -> Any:
        context = contextvars.copy_context()
        working = self.settings.pool.submit(context.run, function, *args, **named)
        future = asyncio.wrap_future(working)
        try:
            return await asyncio.shield(future)
        finally:
            # A thread cannot be stopped: until it ends, its call keeps its place.
            if not future.done() and not working.cancel():
                self.peer.hold_until(record, future)

    # --- how it ended ------------------------------------------------------------

    def result(self, call: Call, route: Route, value: Any) -> bytes:
        """Return the answer with a result, converted to the annotated type."""
        if call.id is None:
            return b""
        if not call.stream:
            value = self._converted(value, route.signature.returns, route)
        frame = self.wire.result(call.id, value)
        self._check_size(frame)
        return frame

    def _converted(self, value: Any, returns: Any, route: Route) -> Any:
        if returns is Any or type(value) is returns:
            return value
        if returns is None and value is None:
            return None
        try:
            return msgspec.convert(
                value,
                returns,
                from_attributes=True,
                builtin_types=_NATIVE,
                dec_hook=self.settings.dec_hook,
            )
        except msgspec.ValidationError as exc:
            raise TypeError(
                f"{route.name} returned what is not as annotated: {describe(exc)}"
            ) from None

    def _check_size(self, frame: bytes) -> None:
        limit = self.settings.limits.message
        if len(frame) > limit:
            raise _TooLarge(
                f"a result of {len(frame)} bytes exceeds the limit of {limit} bytes"
            )

    def failure(self, call: Call, exc: Exception, begun: float = 0.0) -> bytes:
        """Return the answer with an error: as much of ``exc`` as the peer may see."""
        if begun:
            self.settings.signals.call_failed.send(call, _since(begun), exc)
        value = self._error_value(call, exc)
        if self.settings.tracebacks:
            value.traceback = "".join(traceback.format_exception(exc))
        try:
            frame = self.wire.failure(call.id, value)
            self._check_size(frame)
        except Exception as bad:  # the data of the error cannot be written, or sent
            self._log(call, bad)
            value.data, value.traceback = msgspec.UNSET, None
            value.message = value.message[:1000]
            frame = self.wire.failure(call.id, value)
        return frame

    def _error_value(self, call: Call, exc: Exception) -> ErrorValue:
        value = self.settings.errors.declared(exc)
        if value is not None:
            return value
        id = self._log(call, exc)
        if self.settings.show_errors:
            kind = type(exc).__name__
            return ErrorValue(ApplicationError.code, str(exc), kind, id=id)
        text = str(exc) if isinstance(exc, _TooLarge) else "internal error"
        return ErrorValue(InternalError.code, text, "InternalError", id=id)

    def _log(self, call: Call, exc: BaseException) -> str:
        id = secrets.token_hex(6)
        logger.error(
            "call of %s failed [%s]", call.method, id, exc_info=exc, extra={"id": id}
        )
        return id

    # --- metrics -----------------------------------------------------------------

    def _begin(self, call: Call) -> float:
        """Return when the call began; 0 if nobody wants to know."""
        signals = self.settings.signals
        if not call.begun and signals.times_calls:
            signals.call_started.send(call)
            call.begun = time.perf_counter()
        return call.begun

    def _ended(self, call: Call, begun: float) -> None:
        self.settings.signals.call_ended.send(call, _since(begun))

    # --- the end -----------------------------------------------------------------

    async def close(self) -> None:
        """Tell this connection's instances that it has ended."""
        for instance in reversed(self.services.values()):
            on_close = getattr(instance, "on_close", None)
            if on_close is None:
                continue
            try:
                async with asyncio.timeout(LEAVING):
                    waiting = on_close()
                    if inspect.isawaitable(waiting):
                        await waiting
            except Exception:
                kind = type(instance).__name__
                logger.exception("on_close of %s failed", kind)
        self.services.clear()


class _TooLarge(Exception):
    """A result is larger than what we send; the caller may know."""


def _refuse_unless(allowed: bool) -> None:
    if not allowed:
        raise NotAuthorised("not authorised")


def _instance_of(owner: Callable[..., Any], peer: Any) -> Any:
    """Return an instance; it is told of the peer if it wants to be."""
    try:
        inspect.signature(owner).bind()
    except TypeError:
        return owner(peer)
    return owner()


def _since(begun: float) -> float:
    return time.perf_counter() - begun
