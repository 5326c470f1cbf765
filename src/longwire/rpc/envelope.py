"""Envelopes: what goes over the wire around a call, an answer, an item of a stream.

``Wire`` is what all wires have in common; this module has JSON-RPC 2.0 with our two
extensions (https://www.jsonrpc.org/specification; docs/rpc/wire.md), ``wsrpc.py`` the
two older ones. Knows nothing of which calls there are. ``read`` takes any bytes a
stranger may send and never raises.
"""

from __future__ import annotations

import abc
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from .codecs import ABSENT, Codec
from .errors import ErrorValue, InvalidRequest, MethodNotFound, ParseError
from .limits import MOST_WINDOW

__all__ = [
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

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What decoding raises for bytes that are not what they should be."""


class Batch:
    """Calls that came in one frame, and their answers so far."""

    __slots__ = ("answers", "waiting")

    def __init__(self, waiting: int) -> None:
        self.answers: list[bytes] = []
        self.waiting = waiting

    def add(self, answer: bytes) -> list[bytes] | None:
        """Keep ``answer``; return all of them when it was the last."""
        self.answers.append(answer)
        self.waiting -= 1
        return None if self.waiting else self.answers


class Call:
    """A call of the other side's, or a notification: then ``id`` is None.

    What :func:`current` returns in a route: ``peer`` is who calls, ``method`` the name
    that was called, ``stream`` how many items of a stream are wanted to begin with, 0
    for a plain call.
    """

    __slots__ = ("batch", "begun", "id", "method", "params", "peer", "stream")

    peer: Any

    def __init__(
        self, id: CallId | None, method: str, params: Raw, stream: int = 0
    ) -> None:
        self.id = id
        self.method = method
        self.params = params
        self.stream = stream
        self.batch: Batch | None = None
        self.begun = 0.0  # for signals only

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
    """A call of ours has failed; ``id`` is None where no call is meant."""

    id: CallId | None
    error: ErrorValue


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
    """An object that is no call and no answer; only the wsrpc wire has them."""

    value: Any


class Bad(msgspec.Struct):
    """What came makes no sense: to be answered with ``error``."""

    id: CallId | None
    error: ErrorValue
    batch: Batch | None = None


Message = Call | Answer | Failure | Cancel | Item | More | Event | Bad


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

    @abc.abstractmethod
    def read(self, frame: str | bytes) -> list[Message]:
        """Return what a frame says; what makes no sense is a `Bad`."""

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

    def item(self, id: CallId, value: Any) -> bytes:
        """Return the frame of one item of a stream."""
        raise AssertionError("this wire has no streams")

    def more(self, id: int, count: int) -> bytes:
        """Return the frame that grants more items."""
        raise AssertionError("this wire has no streams")


def parse_error(what: str) -> Bad:
    """Return the answer to a frame that cannot be read."""
    return Bad(None, ErrorValue(ParseError.code, f"not valid {what}", "ParseError"))


def invalid(why: str, id: CallId | None = None) -> Bad:
    """Return the answer to a frame that can be read and means nothing."""
    return Bad(id, ErrorValue(InvalidRequest.code, why, "InvalidRequest"))


def as_id(value: Any) -> CallId | None:
    """Return ``value`` if it may be a call's id; None, true and 1.5 may not."""
    kind = type(value)
    return value if kind is int or kind is str else None


# --- JSON-RPC 2.0 ----------------------------------------------------------------


class _Envelope(msgspec.Struct):
    jsonrpc: Any = None
    id: Any = UNSET
    method: Any = UNSET
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Any = UNSET
    stream: Any = UNSET


class _Reference(msgspec.Struct):
    """Params of the protocol's own notifications."""

    id: int | str
    value: Raw = ABSENT
    count: int = 0


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
        self._decode = codec.decoder(_Envelope)
        self._reference = codec.decoder(_Reference)

    # --- reading -----------------------------------------------------------------

    def read(self, frame: str | bytes) -> list[Message]:
        """Return what a frame says, of each part if it is a batch."""
        try:
            envelope = self._decode(frame)
        except msgspec.ValidationError:
            return self._read_batch(frame)
        except UNREADABLE:
            return [parse_error(self.codec.name)]
        message = self._message(envelope)
        return [] if message is None else [message]

    def _read_batch(self, frame: str | bytes) -> list[Message]:
        try:
            parts = self.codec.decode_array(frame)
        except msgspec.ValidationError:
            return [invalid("neither an object nor an array")]
        except UNREADABLE:
            return [parse_error(self.codec.name)]
        if not 0 < len(parts) <= self.max_batch:
            return [invalid(f"a batch of {len(parts)}; 1 to {self.max_batch} may be")]
        messages = []
        for part in parts:
            try:
                message = self._message(self._decode(part))
            except UNREADABLE:
                message = invalid("not an object")
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

    def _message(self, envelope: _Envelope) -> Message | None:
        """Return what an object says; None if there is nothing to do about it."""
        method, id = envelope.method, envelope.id
        if type(method) is not str:
            return self._answer(envelope)
        if id is UNSET:
            id = None
        elif type(id) is not int and type(id) is not str:
            return invalid("an id is a string or an integer")
        if envelope.jsonrpc != VERSION:
            return invalid(f'jsonrpc must be "{VERSION}"', id)
        if method.startswith("$/"):
            return self._own(method, id, envelope.params)
        # What params are is found when they are bound.
        params, stream = envelope.params, envelope.stream
        if stream is UNSET:
            return Call(id, method, params)
        if type(stream) is not int or not 1 <= stream <= MOST_WINDOW or id is None:
            return invalid(f"stream must be 1 to {MOST_WINDOW}, with an id", id)
        return Call(id, method, params, stream)

    def _answer(self, envelope: _Envelope) -> Message:
        id = as_id(envelope.id)
        if envelope.method is not UNSET:
            return invalid("method must be a string", id)
        if envelope.error is not UNSET and envelope.error is not None:
            return Failure(id, _error_value(envelope.error))
        if envelope.result is ABSENT or id is None:
            return invalid("neither a call nor an answer", id)
        return Answer(id, envelope.result)

    def _own(self, method: str, id: CallId | None, params: Raw) -> Message | None:
        """Return what a message of the protocol itself says."""
        if id is not None:
            error = ErrorValue(
                MethodNotFound.code, "no such method of the protocol", "MethodNotFound"
            )
            return Bad(id, error)
        try:
            reference = self._reference(params)
        except UNREADABLE:
            return None
        if method == "$/item" and reference.value is not ABSENT:
            return Item(reference.id, reference.value)
        if method == "$/more" and reference.count > 0:
            return More(reference.id, reference.count)
        if method == "$/cancel":
            return Cancel(reference.id)
        return None  # of a later version, or without sense: both are ignored

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

    def more(self, id: int, count: int) -> bytes:
        """Return the frame that grants more items."""
        return self.notification("$/more", {"id": id, "count": count})


def _error_value(error: Any) -> ErrorValue:
    """Return what an error of JSON-RPC says, however little of it is there."""
    if not isinstance(error, dict):
        return ErrorValue(InvalidRequest.code, text_of(error), None)
    code, data = error.get("code"), error.get("data", UNSET)
    value = ErrorValue(
        code if type(code) is int else 0,
        text_of(error.get("message", "")),
        data=data,
    )
    if isinstance(data, dict) and isinstance(data.get("type"), str):
        value.type = data["type"]
        value.data = data.get("data", UNSET)
        value.id = _text_or_none(data.get("id"))
        value.traceback = _text_or_none(data.get("traceback"))
    return value


def text_of(value: Any) -> str:
    """Return a message; who sends something else gets it described."""
    return value if isinstance(value, str) else f"({type(value).__name__})"


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
