"""What a call can end with, other than a result.

::

    WebSocketException
    └── RpcError
        ├── RemoteError            the other side's answer: code, type, message, data
        │   ├── ApplicationError     -32000  declared by the application: subclass it
        │   ├── ParseError           -32700
        │   ├── InvalidRequest       -32600
        │   ├── MethodNotFound       -32601
        │   ├── InvalidParams        -32602  names the parameter
        │   ├── InternalError        -32603  `id` is in the log of the other side
        │   ├── NotAuthorised        -32001
        │   ├── TooBusy              -32002  a limit on calls
        │   ├── DeadlineExceeded     -32003  stopped by the other side
        │   ├── StreamMismatch       -32004
        │   └── Cancelled            -32800
        ├── CallTimeout            no answer in time, also a TimeoutError
        ├── InvalidResult          the result is not of the type asked for
        └── Disconnected           -32005  the connection ended first, never on the wire

A route raises these to answer with them; what is raised there and is none of them
goes out as InternalError, unless its class was declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ..errors import WebSocketException
from ..messages import CloseReport
from .texts import escaped, indented, text_of

__all__ = [
    "ApplicationError",
    "CallTimeout",
    "Cancelled",
    "DeadlineExceeded",
    "Disconnected",
    "ErrorValue",
    "InternalError",
    "InvalidParams",
    "InvalidRequest",
    "InvalidResult",
    "MethodNotFound",
    "NotAuthorised",
    "ParseError",
    "RemoteError",
    "RpcError",
    "StreamMismatch",
    "TooBusy",
]


class ErrorValue(msgspec.Struct):
    """An error as the wires carry it, whatever they call its parts."""

    code: int
    message: str
    type: str | None = None
    data: Any = msgspec.UNSET
    id: str | None = None
    traceback: str | None = None


class RpcError(WebSocketException):
    """A call did not end with a result."""


class RemoteError(RpcError):
    """The other side answered with an error.

    ``type`` is the name of its exception's class, ``message`` the text, ``data``
    whatever was sent along (None if nothing was), ``code`` the number of JSON-RPC,
    ``id`` where the other side's log has the rest, ``traceback`` the other side's, if
    it shows them; it is a note of the exception, too. Raised in a route, it is what the
    call is answered with.
    """

    code = -32000

    def __init__(
        self,
        message: str = "",
        data: Any = None,
        *,
        type: str | None = None,
        code: int | None = None,
        id: str | None = None,
        traceback: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        self.type = type or self.__class__.__name__
        if code is not None:
            self.code = code
        self.id = id
        self.traceback = traceback
        # Whether it came over the wire: then it is no answer to somebody else's call.
        self.arrived = False

    def __str__(self) -> str:
        # Words of the other side, on their way to a log or a terminal.
        named = self.type not in ("", self.__class__.__name__)
        text = f"{self.type}: {self.message}" if named else f"{self.message}"
        return escaped(f"{text} [{self.id}]" if self.id else text)


class ApplicationError(RemoteError):
    """A declared error: the other side sees its type, its message and its data.

    Subclass it and raise the subclass in a route. Where the other side has the class
    among its ``errors`` it arrives as itself, else as this.
    """

    code = -32000


class ParseError(RemoteError):
    """What came is not JSON, or not MessagePack."""

    code = -32700


class InvalidRequest(RemoteError):
    """What came is neither a call nor an answer."""

    code = -32600


class MethodNotFound(RemoteError):
    """There is no such route, or it is out of reach."""

    code = -32601


class InvalidParams(RemoteError):
    """An argument is missing, too many, or of another type; the route was not called.

    The message names the parameter and the type expected.
    """

    code = -32602


class InternalError(RemoteError):
    """The route failed; ``id`` is in the log of the other side."""

    code = -32603


class NotAuthorised(RemoteError):
    """The call, or the connection, is not allowed."""

    code = -32001


class TooBusy(RemoteError):
    """A limit on calls was reached."""

    code = -32002


class DeadlineExceeded(RemoteError):
    """The other side stopped the call: it took too long."""

    code = -32003


class StreamMismatch(RemoteError):
    """A stream was called as a plain route, or the other way round."""

    code = -32004


class Cancelled(RemoteError):
    """The call was cancelled."""

    code = -32800


class CallTimeout(RpcError, TimeoutError):
    """No answer came in time; the call was cancelled.

    ``detail`` says why, where it was not even sent.
    """

    def __init__(self, method: str, timeout: float, detail: str = "") -> None:
        super().__init__(method, timeout)
        self.method = method
        self.timeout = timeout
        self.detail = detail

    def __str__(self) -> str:
        text = f"no answer from {self.method} within {self.timeout:g} seconds"
        return f"{text}: {self.detail}" if self.detail else text


class InvalidResult(RpcError):
    """What the other side returned is not of the type that ``returns=`` asks for."""


class Disconnected(RpcError):
    """The connection ended before the answer came; ``report`` says how.

    ``report`` is the :class:`~longwire.CloseReport`, None if there was no connection
    to lose. Whether the call was carried out is not known.
    """

    code = -32005

    def __init__(self, report: CloseReport | None = None, message: str = "") -> None:
        super().__init__(report, message)
        self.report = report
        self.message = message

    def __str__(self) -> str:
        if self.message:
            return escaped(self.message)
        if self.report is None:
            return "not connected"
        return escaped(f"connection ended before the answer: {self.report}")


BY_CODE: Mapping[int, type[RemoteError]] = {
    kind.code: kind
    for kind in (
        ApplicationError,
        ParseError,
        InvalidRequest,
        MethodNotFound,
        InvalidParams,
        InternalError,
        NotAuthorised,
        TooBusy,
        DeadlineExceeded,
        StreamMismatch,
        Cancelled,
    )
}


Errors = Mapping[str, type[Exception]] | Iterable[type[Exception]]
"""Exception classes that cross the wire as themselves, under a name or their own."""


# No future takes the one, and a stream would end by the other as if it were complete.
_ENDS = (StopIteration, StopAsyncIteration)


class Registry:
    """Exception classes that are shown to the other side and arrive as themselves."""

    def __init__(self, errors: Errors = ()) -> None:
        if isinstance(errors, Mapping):
            named = list(errors.items())
        else:
            named = [(getattr(kind, "__name__", ""), kind) for kind in errors]
        for _, kind in named:
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                raise TypeError(f"errors: {kind!r} is not an exception class")
            if issubclass(kind, _ENDS):
                raise TypeError(
                    f"errors: {kind.__name__} ends an iteration and cannot be raised "
                    "by a call; register a class of your own"
                )
        self._classes = dict(named)
        self._names = {kind: name for name, kind in self._classes.items()}

    @property
    def classes(self) -> tuple[type[Exception], ...]:
        """The classes registered."""
        return tuple(self._names)

    def declared(self, exc: BaseException) -> ErrorValue | None:
        """Return what the other side may know of ``exc``; None if nothing."""
        if isinstance(exc, RemoteError):
            if exc.arrived:
                return None  # another peer's answer is not ours
            return _value_of(exc, exc.type)
        for kind in type(exc).__mro__:
            if kind in self._names:
                name = self._names.get(type(exc), type(exc).__name__)
                return _value_of(exc, name)
        return None

    def revive(self, value: ErrorValue) -> Exception:
        """Return the exception that ``value`` stands for, to be raised here.

        An application's class that cannot be made from one text, whatever it raises
        then, is left out: the other side's error is a RemoteError in its place.
        """
        remote = _remote(BY_CODE.get(value.code, RemoteError), value)
        kind = self._classes.get(value.type or "")
        if kind is None:
            return remote
        try:
            if issubclass(kind, RemoteError):
                return _remote(kind, value)
            exc = kind(escaped(value.message))
            if not isinstance(exc, Exception) or isinstance(exc, _ENDS):
                return remote
            exc.__cause__ = remote
        except Exception:
            return remote
        return exc


def _value_of(exc: BaseException, name: str) -> ErrorValue:
    """Return what an exception says of itself; each part of it may be anything."""
    is_remote = isinstance(exc, RemoteError)
    code = getattr(exc, "code", None) if is_remote else None
    data = getattr(exc, "data", None)
    return ErrorValue(
        code=code if type(code) is int else ApplicationError.code,
        message=text_of(exc.message if isinstance(exc, RemoteError) else exc),
        type=text_of(name),
        data=msgspec.UNSET if data is None else data,
    )


def _remote(kind: type[RemoteError], value: ErrorValue) -> RemoteError:
    """Return an exception of ``kind``, whatever arguments that asks for."""
    exc: RemoteError = kind.__new__(kind)
    RemoteError.__init__(
        exc,
        value.message,
        None if value.data is msgspec.UNSET else value.data,
        type=value.type,
        code=value.code,
        id=value.id,
        traceback=value.traceback,
    )
    exc.arrived = True
    if value.traceback:
        exc.add_note(f"traceback of the other side:\n{indented(value.traceback)}")
    return exc
