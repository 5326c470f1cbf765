"""Performing: carries out the calls of a peer and says how each of them ended.

Authorises, binds arguments, runs the route in the right way, converts the result. What
goes wrong becomes the error that the peer may see; the rest of it goes to our log, by
an id. Arguments and results go to no log. Whatever a route raises, its caller gets an
answer: the last form of it is constant.

A call is a plan: a generator that yields what it waits for, an awaitable of the
application's or one of the steps below, and is sent what came of it. A front end drives
it.
"""

from __future__ import annotations

import contextvars
import datetime
import decimal
import functools
import inspect
import logging
import secrets
import time
import traceback
import types
import uuid
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import msgspec

from . import memory
from .callbacks import STOPS, log
from .calls import Theirs
from .codecs import ABSENT
from .construction import Owner
from .envelope import Call, Wire
from .errors import (
    ApplicationError,
    ErrorValue,
    InternalError,
    NotAuthorised,
)
from .routes import Route
from .settings import Settings
from .texts import text_of, what_is_wrong, writable

if TYPE_CHECKING:
    from .link import Link

__all__ = [
    "ROOM",
    "Close",
    "Credit",
    "InThread",
    "Later",
    "Next",
    "Performer",
    "Plan",
    "Room",
    "Send",
    "close_instance",
    "current",
    "current_call",
    "lend_place",
]

T = TypeVar("T")
Plan = Generator[Any, Any, T]

_current: contextvars.ContextVar[Call] = contextvars.ContextVar("longwire_rpc_call")

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

_END = object()
_MAX_MESSAGE = 1000
"""Characters of an error's message where the whole of the error cannot be sent."""


class Room:
    """Wait until a call may begin, or a stream go on to its next item."""

    __slots__ = ()


class Credit:
    """Wait until the peer takes more items of a stream."""

    __slots__ = ()


ROOM, CREDIT = Room(), Credit()


class Send:
    """Send a frame, and wait until the peer's side takes it."""

    __slots__ = ("frame",)

    def __init__(self, frame: bytes) -> None:
        self.frame = frame


class Next(NamedTuple):
    """The next item of a stream route, ``end`` when there is none."""

    iterator: Any
    end: Any


class Close(NamedTuple):
    """Close what a stream route gave, if it can be closed."""

    items: Any


class InThread(NamedTuple):
    """The result of a function that is to run in a thread."""

    function: Callable[..., Any]
    args: list[Any]
    named: dict[str, Any]


class Later(NamedTuple):
    """What a plain function returned that has to be awaited."""

    awaitable: Any
    size: int
    """Bytes that the arguments of the call take."""


def current() -> Call:
    """Return the call that is being carried out: its peer, connection and request.

    Raises LookupError outside of a route.
    """
    call = _current.get(None)
    if call is None:
        raise LookupError("rpc.current() is for routes, while they carry out a call")
    return call


def current_call() -> Call | None:
    """Return the call that is being carried out, None outside of a route."""
    return _current.get(None)


def lend_place() -> Callable[[], None] | None:
    """Let another call have the place of this one, which waits for a peer.

    Returns what takes it back; None outside of a route, or in one without a place.
    """
    call = _current.get(None)
    if call is None or call.record is None:
        return None
    incoming = call.peer.incoming
    incoming.lend(call.record)
    return functools.partial(incoming.resume, call.record)


class Performer:
    """Carries out the calls of one peer."""

    later_types: ClassVar[tuple[type, ...]] = (types.CoroutineType,)
    """What a plain function may return that has to be awaited."""

    @staticmethod
    def iterate(items: Any) -> Any:
        """Return the iterator over what a stream route gives."""
        return aiter(items)

    def __init__(self, settings: Settings, wire: Wire, peer: Link) -> None:
        self.settings = settings
        self.wire = wire
        self.peer = peer
        self.services: dict[Owner, Any] = {}
        # Whether it takes a task of its own to find out what is allowed.
        self.awaits = inspect.iscoroutinefunction(settings.authorize_call)

    # --- one call ----------------------------------------------------------------

    def perform_plain(self, call: Call, route: Route) -> bytes | Later:
        """Run a plain function; return the frame of the answer.

        Or what the function returned, if that is to be awaited: by `perform`.
        """
        token = _current.set(call)
        begun = self._begin(call)
        try:
            if self.settings.authorize_call is not None:
                waiting = self._authorize(call)
                if waiting is not None:
                    return Later(self._when_allowed(waiting, call, route), memory.CALL)
            args, named = route.signature.bind(call.params, self.wire.codec, self.peer)
            result = self._function(route)(*args, **named)
            if isinstance(result, self.later_types):
                return Later(result, self._size(call, args, named))
            frame = self.result(call, route, result)
        except STOPS:
            raise
        except BaseException as exc:
            return self.failure(call, exc, begun)
        finally:
            _current.reset(token)
        if begun:
            self._ended(call, begun)
        return frame

    def perform(
        self, call: Call, route: Route, record: Theirs, later: Later | None = None
    ) -> Plan[bytes]:
        """Run any route; return the frame of the answer.

        ``later`` is what a plain function returned, if it was run already.
        """
        _current.set(call)
        begun = self._begin(call)
        try:
            if later is not None:
                self.peer.table.read(record, later.size)
                result = yield later.awaitable
            else:
                if self.settings.authorize_call is not None:
                    waiting = self._authorize(call)
                    if waiting is not None:
                        _refuse_unless((yield waiting))
                function, args, named = self._prepared(call, route, record)
                if route.signature.is_stream:
                    items = function(*args, **named)
                    yield from self._send_items(call, route, record, items)
                    result = None
                elif route.threads:
                    result = yield InThread(function, args, named)
                else:
                    result = function(*args, **named)
                    if inspect.isawaitable(result):
                        result = yield result
            frame = self.result(call, route, result)
        except STOPS:
            raise
        except BaseException as exc:
            if self.is_stopped(exc, record):
                if begun:
                    self.settings.signals.call_failed.send(call, _since(begun), exc)
                raise
            return self.failure(call, exc, begun)
        if begun:
            self._ended(call, begun)
        return frame

    def is_stopped(self, exc: BaseException, record: Theirs) -> bool:
        """Whether ``exc`` ends what runs a call; else a route raised it by itself."""
        return isinstance(exc, GeneratorExit)

    def _prepared(
        self, call: Call, route: Route, record: Theirs
    ) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
        """Return the function to call, and its arguments, which are counted now."""
        args, named = route.signature.bind(call.params, self.wire.codec, self.peer)
        self.peer.table.read(record, self._size(call, args, named))
        return self._function(route), args, named

    async def _when_allowed(self, waiting: Any, call: Call, route: Route) -> Any:
        """Return what a plain function returns, if it turns out to be allowed."""
        _refuse_unless(await waiting)
        args, named = route.signature.bind(call.params, self.wire.codec, self.peer)
        result = self._function(route)(*args, **named)
        return await result if inspect.isawaitable(result) else result

    def _size(self, call: Call, args: list[Any], named: dict[str, Any]) -> int:
        """Return what the arguments take, and let go of what they were read from."""
        was_small = len(call.params) <= memory.SMALL
        call.params = ABSENT
        if was_small:
            return memory.CALL
        # The peer is no argument: what hangs on it is counted where it is made.
        given: list[Any] = [arg for arg in args if arg is not self.peer]
        given.append({name: arg for name, arg in named.items() if arg is not self.peer})
        return memory.CALL + memory.size_of(given, self.settings.limits.memory)

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
            instance = self.services[owner] = owner.instance(self.peer)
        return getattr(instance, route.attribute)  # type: ignore[no-any-return]

    def _send_items(
        self, call: Call, route: Route, record: Theirs, items: Any
    ) -> Plan[None]:
        """Send what a stream gives, no faster than it is wanted."""
        table, wire = self.peer.table, self.wire
        if inspect.isawaitable(items):
            items = yield items
        try:
            iterator = self.iterate(items)
            while True:
                yield ROOM
                item = yield Next(iterator, _END)
                if item is _END:
                    return
                while not table.spend(record):
                    yield CREDIT
                value = self._converted(item, route)
                frame = wire.item(call.id, value)  # type: ignore[arg-type]
                self._check_size(frame)
                yield Send(frame)
        finally:
            yield Close(items)

    # --- how it ended ------------------------------------------------------------

    def result(self, call: Call, route: Route, value: Any) -> bytes:
        """Return the answer with a result, converted to the annotated type."""
        if call.id is None:
            return b""
        if not call.stream:
            value = self._converted(value, route)
        frame = self.wire.result(call.id, value)
        if len(frame) > self.peer.max_answer:
            self._check_size(frame)
        return frame

    def _converted(self, value: Any, route: Route) -> Any:
        signature = route.signature
        returns = signature.returns
        if returns is Any or (type(value) is returns and signature.writer is None):
            return value
        if returns is None and value is None:
            return None
        try:
            if signature.writer is not None:
                return signature.writer.write(value)
            return msgspec.convert(
                value,
                returns,
                from_attributes=True,
                builtin_types=_NATIVE,
                dec_hook=self.settings.dec_hook,
            )
        except msgspec.ValidationError as exc:
            found = what_is_wrong(exc)
            raise TypeError(
                f"{route.name} returned what is not as annotated: {found}"
            ) from None

    def _check_size(self, frame: bytes) -> None:
        limit = self.peer.max_answer
        if len(frame) > limit:
            raise TooLarge(
                f"a result of {len(frame)} bytes exceeds the limit of {limit} bytes"
            )

    def failure(self, call: Call, exc: BaseException, begun: float = 0.0) -> bytes:
        """Return the answer with an error: as much of ``exc`` as the peer may see.

        Whatever ``exc`` is, there is an answer: without its data, if that cannot be
        written, and constant, if nothing else can.
        """
        if begun:
            self.settings.signals.call_failed.send(call, _since(begun), exc)
        try:
            value = self._error_value(call, exc)
        except STOPS:
            raise
        except BaseException as bad:
            log(logging.ERROR, "an error could not be described", exc_info=bad)
            value = _constant()
        bare = ErrorValue(
            value.code, writable(value.message)[:_MAX_MESSAGE], value.type, id=value.id
        )
        for form in (value, bare):
            try:
                frame = self.wire.failure(call.id, form)
                self._check_size(frame)
                return frame
            except STOPS:
                raise
            except BaseException as bad:  # its data, or its size
                text = "the error of a call of %s cannot be sent whole"
                log(logging.ERROR, text, call.method, exc_info=bad)
        return self.wire.failure(call.id, _constant())

    def _error_value(self, call: Call, exc: BaseException) -> ErrorValue:
        value = self.settings.errors.declared(exc)
        if value is None:
            id = self._log(call, exc)
            if self.settings.show_errors:
                kind = type(exc).__name__
                value = ErrorValue(ApplicationError.code, text_of(exc), kind, id=id)
            else:
                text = str(exc) if isinstance(exc, TooLarge) else "internal error"
                value = ErrorValue(InternalError.code, text, "InternalError", id=id)
        if self.settings.tracebacks:
            value.traceback = writable("".join(traceback.format_exception(exc)))
        return value

    def _log(self, call: Call, exc: BaseException) -> str:
        id = secrets.token_hex(6)
        text, extra = "call of %s failed [%s]", {"id": id}
        log(logging.ERROR, text, call.method, id, exc_info=exc, extra=extra)
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


class TooLarge(Exception):
    """A result is larger than what we send; the caller may know."""


def _constant() -> ErrorValue:
    """Return the error that can always be written."""
    return ErrorValue(InternalError.code, "internal error", "InternalError")


def close_instance(instance: Any) -> Any:
    """Call what an instance of a class of routes has for its end."""
    on_close = getattr(instance, "on_close", None)
    return None if on_close is None else on_close()


def _refuse_unless(allowed: bool) -> None:
    if not allowed:
        raise NotAuthorised("not authorised")


def _since(begun: float) -> float:
    return time.perf_counter() - begun
