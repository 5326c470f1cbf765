"""Envelopes: what goes over the wire around a call, an answer, an item of a stream.

``Wire`` is what all wires have in common; this module has JSON-RPC 2.0 with our two
extensions (https://www.jsonrpc.org/specification; docs/rpc/wire.md), ``wsrpc.py`` the
two older ones. Knows nothing of which calls there are. ``read`` takes any bytes that a
peer may send and never raises; values of a frame that may be large are not looked into
before it is known that somebody wants them.
"""

from __future__ import annotations

import abc
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from . import glimpse
from .codecs import ABSENT, UNREADABLE, Codec
from .errors import ErrorValue, InternalError, InvalidRequest, ParseError
from .limits import MOST_WINDOW

__all__ = [
    "FAR",
    "LIMITS",
    "PING",
    "Announced",
    "Answer",
    "Bad",
    "Batch",
    "Call",
    "Cancel",
    "Event",
    "Failure",
    "Item",
    "JsonRpc",
    "Message",
    "More",
    "Params",
    "Wire",
]

CallId = int | str
Params = list[Any] | tuple[Any, ...] | dict[str, Any] | None
"""Arguments: by position, by name, or none."""

PING = "$/ping"
"""A call that both sides answer with null: heartbeats of the JavaScript client."""

_MAX_ID = glimpse.MAX_TEXT
"""Characters of an id: each call under way keeps its own, and its answer has it."""
_INT64 = range(-(1 << 63), 1 << 64)
FAR = 1 << 53
"""Ids below are those of any peer that counts its calls."""
_MAX_TRACEBACK = 8192
"""Characters of a traceback of the other side's that we keep."""


class Batch:
    """Calls that came in one frame, and their answers so far: ``size`` bytes."""

    __slots__ = ("answers", "size", "waiting")

    def __init__(self, waiting: int) -> None:
        self.answers: list[bytes] = []
        self.size = 0
        self.waiting = waiting

    def add(self, answer: bytes) -> list[bytes] | None:
        """Keep ``answer``; return all of them when it was the last."""
        self.answers.append(answer)
        self.size += len(answer)
        self.waiting -= 1
        return None if self.waiting else self.answers


class Call:
    """A call of the other side's, or a notification: then ``id`` is None.

    What :func:`current` returns in a route: ``peer`` is who calls, ``method`` the name
    that was called, ``stream`` how many items of a stream are wanted to begin with, 0
    for a plain call.
    """

    __slots__ = (
        "batch",
        "begun",
        "id",
        "method",
        "params",
        "peer",
        "record",
        "size",
        "stream",
    )

    peer: Any

    def __init__(
        self,
        id: CallId | None,
        method: str,
        params: Raw,
        stream: int = 0,
        size: int = 0,
    ) -> None:
        self.id = id
        self.method = method
        self.params = params
        self.stream = stream
        self.size = size  # bytes it came in
        self.batch: Batch | None = None
        self.begun = 0.0  # for signals only
        self.record: Any = None  # its place among the calls under way, if it has one

    @property
    def connection(self) -> Any:
        """The connection that the call came by."""
        return self.peer.connection

    @property
    def request(self) -> Any:
        """The request of the opening handshake of that connection."""
        return self.peer.request

    def __repr__(self) -> str:
        # Never the arguments: this is what ends up in logs.
        return f"<Call {self.method!r} id={self.id!r}>"


class Answer(msgspec.Struct):
    """A call of ours has a result."""

    id: CallId
    result: Raw


class Failure(msgspec.Struct):
    """A call of ours has failed; ``id`` is None where no call is meant.

    ``error`` is as it came, for `Wire.error_of` to read if it is anybody's.
    """

    id: CallId | None
    error: Raw | ErrorValue


class Cancel(msgspec.Struct):
    """The other side wants no answer to its call any more."""

    id: CallId


class Item(msgspec.Struct):
    """One item of a stream that we read."""

    id: CallId
    value: Raw


class More(msgspec.Struct):
    """The other side takes ``count`` more items of a stream."""

    id: CallId
    count: int


class Event(msgspec.Struct):
    """An object that is no call and no answer; only the wire ``wsrpc`` has them."""

    value: Any


class Bad(msgspec.Struct):
    """What came makes no sense: to be answered with ``error``."""

    id: CallId | None
    error: ErrorValue
    batch: Batch | None = None


class Announced(msgspec.Struct):
    """The other side takes messages of up to ``message`` bytes."""

    message: int


Message = Announced | Call | Answer | Failure | Cancel | Item | More | Event | Bad


class Wire(abc.ABC):
    """One kind of envelope.

    ``extended`` says whether it has streams, cancellation and notifications;
    ``first_id`` and ``step`` how our calls are numbered.
    """

    name: str
    extended = False
    first_id = 1
    step = 1

    def __init__(self, codec: Codec, max_batch: int = 100) -> None:
        self.codec = codec
        self.max_batch = max_batch

    def read(self, frame: str | bytes) -> list[Message]:
        """Return what a frame says; what makes no sense is a `Bad`. Never raises."""
        try:
            # What is kept of it then takes one byte for each of its bytes, not four.
            data = frame.encode() if type(frame) is str else frame
            return self._read(data)  # type: ignore[arg-type]
        except UNREADABLE as exc:
            return [self._unreadable(frame, isinstance(exc, RecursionError))]

    @abc.abstractmethod
    def _read(self, data: bytes) -> list[Message]:
        """Return what a frame says, or raise one of `UNREADABLE`."""

    def _glimpsed(self, seen: dict[str, Any]) -> tuple[CallId | None, bool]:
        """Return whose message it is of which only some members can be seen: its id if
        it is a call or an answer, and whether it is an answer.
        """
        is_answer = "method" not in seen
        if is_answer and not ("result" in seen or "error" in seen):
            return None, False
        return as_id(seen.get("id")), is_answer

    def _unreadable(self, frame: str | bytes, is_deep: bool) -> Message:
        """Return what to do about a frame that cannot be read.

        A call or answer that is nested too deep is valid, and an answer ends the call
        that it names in any case: it would wait for ever. For a call that is no JSON
        the id is null: "If there was an error in detecting the id in the Request object
        (e.g. Parse error/Invalid Request), it MUST be Null" (JSON-RPC 2.0, section 5).
        """
        name = self.codec.name
        text = f"{name} nested too deep" if is_deep else f"not valid {name}"
        error = ErrorValue(ParseError.code, text, PARSE_ERROR)
        if self.codec.is_text or isinstance(frame, str):
            seen = glimpse.in_json(frame)
        else:
            seen = glimpse.in_msgpack(frame, self.codec.decode)
        id, is_answer = self._glimpsed(seen)
        if id is not None and is_answer:
            return Failure(id, error)
        return Bad(id if is_deep else None, error)

    def error_of(self, failure: Failure) -> ErrorValue:
        """Return what the error of a failed call says, however little that is."""
        if isinstance(failure.error, ErrorValue):
            return failure.error
        try:
            error = self.codec.decode(failure.error)
        except UNREADABLE:
            text = "the call failed with an error that cannot be read"
            return ErrorValue(InternalError.code, text)
        return self._error_value(error)

    @abc.abstractmethod
    def _error_value(self, error: Any) -> ErrorValue:
        """Return what a plain value, sent as an error, says."""

    def _short(self, raw: Raw) -> Any:
        """Return the value of a member that is never long; `LONG` if it is."""
        if raw is ABSENT:
            return UNSET
        if len(raw) > 4 * _MAX_ID:
            return LONG
        try:
            return self.codec.decode(raw)
        except UNREADABLE:
            return LONG

    @abc.abstractmethod
    def call(self, id: int, method: str, params: Params, stream: int = 0) -> bytes:
        """Return the frame of a call, or of a stream wanted."""

    @abc.abstractmethod
    def result(self, id: CallId, value: Any) -> bytes:
        """Return the answer to a call."""

    @abc.abstractmethod
    def failure(self, id: CallId | None, error: ErrorValue) -> bytes:
        """Return the answer to a call that failed."""

    def notification(self, method: str, params: Params) -> bytes:
        """Return the frame of a call that wants no answer."""
        raise AssertionError("this wire has no notifications")

    def cancel(self, id: int) -> bytes:
        """Return the frame that cancels our call."""
        raise AssertionError("this wire has no cancellation")

    def event(self, value: Any) -> bytes:
        """Return the frame of an event; raise TypeError or ValueError for a wrong one.

        Only the wire ``wsrpc`` has events.
        """
        raise TypeError(f"the wire {self.name} has no events: notify instead")

    def item(self, id: CallId, value: Any) -> bytes:
        """Return the frame of one item of a stream."""
        raise AssertionError("this wire has no streams")

    def more(self, id: int, count: int) -> bytes:
        """Return the frame that grants more items."""
        raise AssertionError("this wire has no streams")


PARSE_ERROR = "ParseError"
LONG = object()
"""Stands for a value that was not looked at: it can be neither an id nor a name."""


def invalid(why: str, id: CallId | None = None) -> Bad:
    """Return the answer to a frame that can be read and means nothing."""
    return Bad(id, ErrorValue(InvalidRequest.code, why, "InvalidRequest"))


def as_id(value: Any) -> CallId | None:
    """Return ``value`` if it may be a call's id; None, true, 1.5 and 2**70 may not."""
    kind = type(value)
    if kind is int:
        return value if value in _INT64 else None
    if kind is str and len(value) <= _MAX_ID:
        return value  # type: ignore[no-any-return]
    return None


# --- JSON-RPC 2.0 ----------------------------------------------------------------


class _Envelope(msgspec.Struct):
    """As nearly all messages are; another type is found before its value is read."""

    jsonrpc: str | UnsetType = UNSET
    id: int | str | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Raw = ABSENT
    stream: int | UnsetType = UNSET


class _Odd(msgspec.Struct):
    """Any object: what its members are is looked at when they are short."""

    jsonrpc: Raw = ABSENT
    id: Raw = ABSENT
    method: Raw = ABSENT
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Raw = ABSENT
    stream: Raw = ABSENT


class _Reference(msgspec.Struct):
    """Params of the protocol's own notifications."""

    id: int | str | UnsetType = UNSET
    value: Raw = ABSENT
    count: int = 0
    message: int = 0


LIMITS = "$/limits"
"""Tells how large a message the side that sends it takes; a server's first frame."""
_CANCELS = ("$/cancel", "$/cancelRequest")  # the second is that of editors
_OF_DATA = {"type", "data", "id", "traceback"}


class _CallOut(msgspec.Struct, omit_defaults=True):
    jsonrpc: str | None  # omit_defaults leaves out what has its default
    id: int
    method: str
    params: Any = None
    stream: int = 0


class _NotificationOut(msgspec.Struct, omit_defaults=True):
    jsonrpc: str | None
    method: str
    params: Any = None


class _ResultOut(msgspec.Struct):
    jsonrpc: str
    id: Any
    result: Any


class _FailureOut(msgspec.Struct):
    jsonrpc: str
    id: Any
    error: Any


class _ErrorOut(msgspec.Struct):
    code: int
    message: str
    data: Any = UNSET


class _DataOut(msgspec.Struct, omit_defaults=True):
    type: str | None = None
    data: Any = UNSET
    id: str | None = None
    traceback: str | None = None


VERSION = "2.0"


class JsonRpc(Wire):
    """JSON-RPC 2.0, with ``$/cancel`` and streams; in JSON or MessagePack."""

    extended = True

    def __init__(self, codec: Codec, max_batch: int = 100) -> None:
        super().__init__(codec, max_batch)
        self.name = f"longwire.{'jsonrpc' if codec.is_text else codec.name}"
        self._decode = codec.struct_decoder(_Envelope)
        self._decode_odd = codec.struct_decoder(_Odd)
        self._reference = codec.struct_decoder(_Reference)

    # --- reading -----------------------------------------------------------------

    def _read(self, data: bytes) -> list[Message]:
        """Return what a frame says, of each part if it is a batch."""
        try:
            envelope = self._decode(data)
        except msgspec.ValidationError:
            return self._read_other(data)
        message = self._message(envelope, len(data))
        return [] if message is None else [message]

    def _read_other(self, data: bytes) -> list[Message]:
        """Return what a batch says, or an object of which a member is odd."""
        try:
            parts = self.codec.decode_array(data)
        except msgspec.ValidationError:
            message = self._read_odd(data)
            return [] if message is None else [message]
        if not 0 < len(parts) <= self.max_batch:
            return [invalid(f"a batch of {len(parts)}; 1 to {self.max_batch} may be")]
        return self._batch(parts)

    def _batch(self, parts: list[Raw]) -> list[Message]:
        messages = []
        for part in parts:
            message = self._read_part(part)
            if isinstance(message, Call) and message.stream:
                message = invalid("a stream cannot be part of a batch", message.id)
            if message is not None:
                messages.append(message)
        answered = [
            message
            for message in messages
            if isinstance(message, Bad)
            or (isinstance(message, Call) and message.id is not None)
        ]
        batch = Batch(len(answered))
        for message in answered:
            message.batch = batch
        return messages

    def _read_part(self, part: Raw) -> Message | None:
        try:
            return self._message(self._decode(part), len(part))
        except msgspec.ValidationError:
            return self._read_odd(part)
        except UNREADABLE:
            return invalid("not an object")

    def _read_odd(self, data: Raw | bytes) -> Message | None:
        try:
            odd = self._decode_odd(data)
        except msgspec.ValidationError:
            return invalid("neither an object nor an array")
        envelope = _Envelope(params=odd.params, result=odd.result, error=odd.error)
        for name in ("jsonrpc", "id", "method", "stream"):
            setattr(envelope, name, self._short(getattr(odd, name)))
        return self._message(envelope, len(data))

    def _message(self, envelope: _Envelope, size: int) -> Message | None:
        """Return what an object says; None if there is nothing to do about it."""
        method, id = envelope.method, envelope.id
        if type(method) is not str:
            return self._answer(envelope)
        if id is UNSET:
            id = None
        elif type(id) is not int or not 0 <= id < FAR:  # nearly all of them are
            id = as_id(id)
            if id is None:
                return invalid(
                    f"an id is an integer of 64 bits, or a text of up to {_MAX_ID} "
                    "characters"
                )
        if envelope.jsonrpc != VERSION:
            return invalid(f'jsonrpc must be "{VERSION}"', id)
        if id is None and method.startswith("$/"):
            return self._own(method, envelope.params)
        # What params are is found when they are bound.
        params, stream = envelope.params, envelope.stream
        if stream is UNSET:
            return Call(id, method, params, 0, size)
        if type(stream) is not int or not 1 <= stream <= MOST_WINDOW or id is None:
            return invalid(f"stream must be 1 to {MOST_WINDOW}, with an id", id)
        return Call(id, method, params, stream, size)

    def _answer(self, envelope: _Envelope) -> Message:
        id = as_id(envelope.id)
        if envelope.method is not UNSET:
            return invalid("method must be a string", id)
        error = envelope.error
        if error is not ABSENT and self.codec.shape(error) != "null":
            return Failure(id, error)
        if envelope.result is ABSENT or id is None:
            return invalid("neither a call nor an answer", id)
        return Answer(id, envelope.result)

    def _own(self, method: str, params: Raw) -> Message | None:
        """Return what a notification of the protocol itself says."""
        try:
            reference = self._reference(params)
        except UNREADABLE:
            return None
        if method == LIMITS:
            return Announced(reference.message) if reference.message > 0 else None
        id = as_id(reference.id)
        if id is None:
            return None
        if method == "$/item" and reference.value is not ABSENT:
            return Item(id, reference.value)
        if method == "$/more" and reference.count > 0:
            return More(id, reference.count)
        if method in _CANCELS:
            return Cancel(id)
        return None  # of a later version, or without sense: both are ignored

    def _error_value(self, error: Any) -> ErrorValue:
        if not isinstance(error, dict):
            return ErrorValue(InvalidRequest.code, message_of(error), None)
        code, data = error.get("code"), error.get("data", UNSET)
        value = ErrorValue(
            code if type(code) is int else 0,
            message_of(error.get("message", "")),
            data=data,
        )
        if isinstance(data, dict) and isinstance(data.get("type"), str):
            value.type = data["type"]
            if data.keys() <= _OF_DATA:
                value.data = data.get("data", UNSET)
                value.id = _text_or_none(data.get("id"))
                value.traceback = traceback_of(data)
        return value

    # --- writing -----------------------------------------------------------------

    def call(self, id: int, method: str, params: Params, stream: int = 0) -> bytes:
        """Return the frame of a call, or of a stream wanted."""
        return self.codec.encode(_CallOut(VERSION, id, method, params, stream))

    def notification(self, method: str, params: Params) -> bytes:
        """Return the frame of a call that wants no answer."""
        return self.codec.encode(_NotificationOut(VERSION, method, params))

    def result(self, id: CallId, value: Any) -> bytes:
        """Return the answer to a call."""
        return self.codec.encode(_ResultOut(VERSION, id, value))

    def failure(self, id: CallId | None, error: ErrorValue) -> bytes:
        """Return the answer to a call that failed."""
        data = _DataOut(error.type, error.data, error.id, error.traceback)
        return self.codec.encode(
            _FailureOut(VERSION, id, _ErrorOut(error.code, error.message, data))
        )

    def cancel(self, id: int) -> bytes:
        """Return the frame that cancels our call."""
        return self.notification("$/cancel", {"id": id})

    def item(self, id: CallId, value: Any) -> bytes:
        """Return the frame of one item of a stream."""
        return self.notification("$/item", {"id": id, "value": value})

    def limits(self, message: int) -> bytes:
        """Return the frame that tells how large a message we take."""
        return self.notification(LIMITS, {"message": message})

    def more(self, id: int, count: int) -> bytes:
        """Return the frame that grants more items."""
        return self.notification("$/more", {"id": id, "count": count})


def message_of(value: Any) -> str:
    """Return a message; who sends something else gets it described."""
    return value if isinstance(value, str) else f"({type(value).__name__})"


def traceback_of(error: Any) -> str | None:
    """Return the traceback that an error has, cut."""
    text = _text_or_none(error.get("traceback"))
    return None if text is None else text[:_MAX_TRACEBACK]


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
