"""The wires of the wsrpc family: ``wsrpc``, today's, and ``wsrpc.1`` of 2016.

For talking to clients and servers of that family (docs/rpc/wire.md has the tables).
They have neither streams nor cancellation nor notifications. Unlike there, ``0``,
``false`` and ``""`` arrive as themselves, and every answer has its id.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw

from .codecs import ABSENT, Codec
from .envelope import (
    UNREADABLE,
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
    parse_error,
    text_of,
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
        if shape == "null":
            return ABSENT
        if shape == "other":
            return Raw(self.codec.array([bytes(raw)]))
        return raw


class _Envelope(msgspec.Struct):
    id: Any = UNSET
    method: Any = UNSET
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Any = UNSET


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
        self._decode = codec.decoder(_Envelope)

    def read(self, frame: str | bytes) -> list[Message]:
        """Return what a frame says."""
        try:
            envelope = self._decode(frame)
        except msgspec.ValidationError:
            return [invalid("not an object")]
        except UNREADABLE:
            return [parse_error(self.codec.name)]
        id, method = as_id(envelope.id), envelope.method
        if isinstance(method, str) and id is not None:
            return [Call(id, method, self._params(envelope.params))]
        if envelope.id is UNSET and method is UNSET and envelope.error is UNSET:
            return [Event(self.codec.decode(frame))]
        if method is not UNSET:
            return [invalid("a call has a method and an id", id)]
        if envelope.error is not UNSET and envelope.error is not None:
            return [Failure(id, _error_value(envelope.error))]
        if id is None:
            return [invalid("neither a call nor an answer")]
        # An answer with nothing in it is null.
        nothing = envelope.result is ABSENT
        return [Answer(id, Raw(b"null") if nothing else envelope.result)]

    def call(self, id: int, method: str, params: Params, stream: int = 0) -> bytes:
        """Return the frame of a call."""
        return self.codec.encode(_CallOut(id, method, params))

    def result(self, id: CallId, value: Any) -> bytes:
        """Return the answer to a call."""
        return self.codec.encode(_ResultOut(id, value))

    def failure(self, id: CallId | None, error: ErrorValue) -> bytes:
        """Return the answer to a call that failed."""
        return self.codec.encode(_FailureOut(id, _type_and_message(error)))


class _Envelope1(msgspec.Struct):
    serial: Any = UNSET
    type: Any = "call"
    call: Any = UNSET
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
        self._decode = codec.decoder(_Envelope1)

    def read(self, frame: str | bytes) -> list[Message]:
        """Return what a frame says; nothing for one without a serial number."""
        try:
            envelope = self._decode(frame)
        except msgspec.ValidationError:
            return [invalid("not an object")]
        except UNREADABLE:
            return [parse_error(self.codec.name)]
        serial, kind = envelope.serial, envelope.type
        if type(serial) is not int or serial < 0:
            return []
        if kind == "call" and isinstance(envelope.call, str):
            return [Call(serial, envelope.call, self._params(envelope.arguments))]
        data = Raw(b"null") if envelope.data is ABSENT else envelope.data
        if kind == "callback":
            return [Answer(serial, data)]
        if kind == "error":
            return [Failure(serial, _error_value(self.codec.decode(data)))]
        return [invalid("type is none of call, callback, error", serial)]

    def call(self, id: int, method: str, params: Params, stream: int = 0) -> bytes:
        """Return the frame of a call."""
        return self.codec.encode(_Call1Out(id, "call", method, params))

    def result(self, id: CallId, value: Any) -> bytes:
        """Return the answer to a call."""
        return self.codec.encode(_Answer1Out(id, "callback", value))

    def failure(self, id: CallId | None, error: ErrorValue) -> bytes:
        """Return the answer to a call that failed: a text, if we are the client."""
        data = error.message if self.client else _type_and_message(error)
        return self.codec.encode(_Answer1Out(id, "error", data))


def _type_and_message(error: ErrorValue) -> dict[str, Any]:
    return {"type": error.type or "Error", "message": error.message}


def _error_value(error: Any) -> ErrorValue:
    """Return what an error says: an object with type and message, or a text."""
    if isinstance(error, dict):
        kind = error.get("type")
        return ErrorValue(
            ApplicationError.code,
            text_of(error.get("message", "")),
            kind if isinstance(kind, str) else None,
        )
    return ErrorValue(ApplicationError.code, text_of(error))
