"""The wires of the wsrpc family: ``wsrpc``, today's, and ``wsrpc.1`` of 2016.

For talking to clients and servers of that family (docs/rpc/wire.md has the tables).
They have neither streams nor cancellation nor notifications. Unlike there, ``0``,
``false`` and ``""`` arrive as themselves, and every answer has its id.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from .codecs import ABSENT, Codec
from .envelope import (
    FAR,
    Answer,
    Call,
    CallId,
    Event,
    Failure,
    Message,
    Params,
    Wire,
    as_id,
    invalid,
    message_of,
    traceback_of,
)
from .errors import ApplicationError, ErrorValue

__all__ = ["Wsrpc", "Wsrpc1"]


class _Family(Wire):
    """What both have in common: Python's calls have even numbers, 2 at first."""

    first_id = 2
    step = 2

    def __init__(self, codec: Codec, *, client: bool = False) -> None:
        super().__init__(codec)
        self.client = client

    def _params(self, raw: Raw) -> Raw:
        """Return arguments as JSON-RPC has them: a lone value is one by position."""
        if raw is ABSENT:
            return raw
        shape = self.codec.shape(raw)
        if shape == "array":  # nearly all of them are
            return raw
        if shape == "null":
            return ABSENT
        if shape == "other":
            return Raw(self.codec.array([bytes(raw)]))
        return raw

    def _error_value(self, error: Any) -> ErrorValue:
        """Return what an error says: an object with type and message, or a text."""
        if not isinstance(error, dict):
            return ErrorValue(ApplicationError.code, message_of(error))
        kind = error.get("type")
        return ErrorValue(
            ApplicationError.code,
            message_of(error.get("message", "")),
            kind if isinstance(kind, str) else None,
            traceback=traceback_of(error),
        )


class _Envelope(msgspec.Struct):
    """As nearly all messages are; another type is found before its value is read."""

    id: int | str | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Raw = ABSENT


class _Odd(msgspec.Struct):
    """Any object: what its members are is looked at when they are short."""

    id: Raw = ABSENT
    method: Raw = ABSENT
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Raw = ABSENT


class _CallOut(msgspec.Struct):
    id: int
    method: str
    params: Any


class _ResultOut(msgspec.Struct):
    id: Any
    result: Any


class _FailureOut(msgspec.Struct):
    id: Any
    error: Any


class Wsrpc(_Family):
    """Today's: ``{"id", "method", "params"}``, ``{"id", "result"}``."""

    name = "wsrpc"

    def __init__(self, codec: Codec, *, client: bool = False) -> None:
        super().__init__(codec, client=client)
        self._decode = codec.struct_decoder(_Envelope)
        self._decode_odd = codec.struct_decoder(_Odd)

    def _read(self, data: bytes) -> list[Message]:
        try:
            envelope = self._decode(data)
        except msgspec.ValidationError:
            envelope = self._read_odd(data)
            if envelope is None:
                return [invalid("not an object")]
        id, method = envelope.id, envelope.method
        if type(id) is not int or not 0 <= id < FAR:  # nearly all of them are
            id = as_id(id)
        if type(method) is str and id is not None:
            return [Call(id, method, self._params(envelope.params), 0, len(data))]
        error = envelope.error
        if envelope.id is UNSET and method is UNSET and error is ABSENT:
            return [Event(self.codec.decode(data))]
        if method is not UNSET:
            return [invalid("a call has a method and an id", id)]
        if error is not ABSENT and self.codec.shape(error) != "null":
            return [Failure(id, error)]
        if id is None:
            return [invalid("neither a call nor an answer")]
        # An answer with nothing in it is null.
        nothing = envelope.result is ABSENT
        return [Answer(id, Raw(b"null") if nothing else envelope.result)]

    def _read_odd(self, data: bytes) -> _Envelope | None:
        try:
            odd = self._decode_odd(data)
        except msgspec.ValidationError:
            return None
        return _Envelope(
            self._short(odd.id),
            self._short(odd.method),
            odd.params,
            odd.result,
            odd.error,
        )

    def call(self, id: int, method: str, params: Params, stream: int = 0) -> bytes:
        """Return the frame of a call."""
        return self.codec.encode(_CallOut(id, method, params))

    def result(self, id: CallId, value: Any) -> bytes:
        """Return the answer to a call."""
        return self.codec.encode(_ResultOut(id, value))

    def failure(self, id: CallId | None, error: ErrorValue) -> bytes:
        """Return the answer to a call that failed."""
        return self.codec.encode(_FailureOut(id, _error_out(error)))

    def event(self, value: Any) -> bytes:
        """Return the frame of an event: an object that is no call and no answer."""
        frame = self.codec.encode(value)
        if frame[:1] != b"{":
            kind = type(value).__name__
            raise TypeError(f"an event is an object with members, not {kind}")
        envelope = self._decode_odd(frame)
        for name in ("id", "method", "error"):
            if getattr(envelope, name) is not ABSENT:
                raise ValueError(f"an event has no member {name!r}: that makes a call")
        return frame


class _Envelope1(msgspec.Struct):
    """As nearly all messages are; another type is found before its value is read."""

    serial: int | UnsetType = UNSET
    type: str = "call"
    call: str | UnsetType = UNSET
    arguments: Raw = ABSENT
    data: Raw = ABSENT


class _Odd1(msgspec.Struct):
    """Any object: what its members are is looked at when they are short."""

    serial: Raw = ABSENT
    type: Raw = ABSENT
    call: Raw = ABSENT
    arguments: Raw = ABSENT
    data: Raw = ABSENT


class _Call1Out(msgspec.Struct):
    serial: int
    type: str
    call: str
    arguments: Any


class _Answer1Out(msgspec.Struct):
    serial: Any
    type: str
    data: Any


class Wsrpc1(_Family):
    """That of 2016: ``{"serial", "type", "call", "arguments"}``, then ``"data"``."""

    name = "wsrpc.1"

    def __init__(self, codec: Codec, *, client: bool = False) -> None:
        super().__init__(codec, client=client)
        self._decode = codec.struct_decoder(_Envelope1)
        self._decode_odd = codec.struct_decoder(_Odd1)

    def _read(self, data: bytes) -> list[Message]:
        """Return what a frame says; nothing for one without a serial number."""
        try:
            envelope = self._decode(data)
        except msgspec.ValidationError:
            envelope = self._read_odd(data)
            if envelope is None:
                return [invalid("not an object")]
        serial, kind = envelope.serial, envelope.type
        if type(serial) is not int or not 0 <= serial < FAR:
            found = as_id(serial)
            if not isinstance(found, int) or found < 0:
                return []
            serial = found
        if kind == "call" and type(envelope.call) is str:
            params = self._params(envelope.arguments)
            return [Call(serial, envelope.call, params, 0, len(data))]
        value = Raw(b"null") if envelope.data is ABSENT else envelope.data
        if kind == "callback":
            return [Answer(serial, value)]
        if kind == "error":
            return [Failure(serial, value)]
        return [invalid("type is none of call, callback, error", serial)]

    def _glimpsed(self, seen: dict[str, Any]) -> tuple[CallId | None, bool]:
        is_answer = seen.get("type") in ("callback", "error")
        if not is_answer and "call" not in seen:
            return None, False
        serial = as_id(seen.get("serial"))
        return serial if isinstance(serial, int) else None, is_answer

    def _read_odd(self, data: bytes) -> _Envelope1 | None:
        try:
            odd = self._decode_odd(data)
        except msgspec.ValidationError:
            return None
        kind = "call" if odd.type is ABSENT else self._short(odd.type)
        return _Envelope1(
            self._short(odd.serial),
            kind,
            self._short(odd.call),
            odd.arguments,
            odd.data,
        )

    def call(self, id: int, method: str, params: Params, stream: int = 0) -> bytes:
        """Return the frame of a call."""
        return self.codec.encode(_Call1Out(id, "call", method, params))

    def result(self, id: CallId, value: Any) -> bytes:
        """Return the answer to a call."""
        return self.codec.encode(_Answer1Out(id, "callback", value))

    def failure(self, id: CallId | None, error: ErrorValue) -> bytes:
        """Return the answer to a call that failed: a text, if we are the client."""
        is_text = self.client and error.traceback is None
        data = error.message if is_text else _error_out(error)
        return self.codec.encode(_Answer1Out(id, "error", data))


def _error_out(error: ErrorValue) -> dict[str, Any]:
    found = {"type": error.type or "Error", "message": error.message}
    if error.traceback is not None:
        found["traceback"] = error.traceback
    return found
