"""Signatures: the arguments of a call, checked against a function's annotations.

Each argument is read as the type its parameter is annotated with; what is not of that
type is an error that names the parameter, and nothing is called. A parameter annotated
with ``Peer`` is not the caller's to give: it gets the peer that calls.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterator,
)
from typing import Any

import msgspec
from msgspec import Raw

from .codecs import ABSENT, UNREADABLE, Codec
from .errors import InvalidParams, InvalidRequest
from .foreign import hook_for
from .kinds import NO_HOOKS, Hooks, check_readable, check_writable
from .texts import quoted, what_is_wrong

__all__ = ["Parameter", "Signature", "is_peer"]

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
_STREAMS = (AsyncIterable, AsyncIterator, typing.AsyncGenerator)
_BLOCKING_STREAMS = (Iterator, Generator)


class Parameter(typing.NamedTuple):
    """A parameter that callers give."""

    name: str
    type: Any
    kind: Any
    default: Any
    """``inspect.Parameter.empty`` if there is none."""

    @property
    def is_required(self) -> bool:
        """Whether a call without it is refused."""
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return self.default is inspect.Parameter.empty and self.kind not in variadic


class _Plan(typing.NamedTuple):
    """How one codec reads the arguments."""

    by_position: list[Callable[[Any], Any]]
    by_name: dict[str, Callable[[Any], Any]]
    rest: Callable[[list[Raw]], list[Any]] | None
    others: Callable[[Any], Any] | None


class Signature:
    """What a function takes and returns.

    ``parameters`` are those that callers give, ``returns`` is the type of the result,
    or of the items of a stream; Any where nothing is annotated. ``blocking`` says that
    it is called where nothing can be awaited. Raises TypeError for what cannot be
    called from afar.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        bound: bool,
        peer_type: type,
        hooks: Hooks = NO_HOOKS,
        blocking: bool = False,
    ) -> None:
        self.name = getattr(function, "__qualname__", repr(function))
        hints = _hints(function, self.name)
        found = list(inspect.signature(function).parameters.values())
        if bound:
            found = found[1:]  # self
        self.peer_first = False
        self.peer_name: str | None = None
        self.parameters: list[Parameter] = []
        for parameter in found:
            kind = hints.get(parameter.name, Any)
            if is_peer(kind, peer_type):
                self._inject(parameter, first=parameter is found[0])
            else:
                self.parameters.append(
                    Parameter(parameter.name, kind, parameter.kind, parameter.default)
                )
        returned = _returned_blocking if blocking else _returned
        self.is_stream, self.returns = returned(function, hints.get("return", Any))
        self._by_position = [p for p in self.parameters if p.kind in _BY_POSITION]
        self._required = [p for p in self.parameters if p.is_required]
        self._least = sum(1 for p in self._by_position if p.is_required)
        # These cannot be given by position, and those not by name.
        self._keyword_only = _required_of(self, inspect.Parameter.KEYWORD_ONLY)
        self._positional_only = _required_of(self, inspect.Parameter.POSITIONAL_ONLY)
        self._plans: dict[Codec, _Plan] = {}
        self._check_types(hooks)
        # What writes the result, where msgspec does not.
        self.writer = hook_for(self.returns)

    def _inject(self, parameter: inspect.Parameter, first: bool) -> None:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            self.peer_name = parameter.name
        elif first and parameter.kind in _BY_POSITION:
            self.peer_first = True
        else:
            raise TypeError(
                f"{self.name}: the parameter that takes the peer, {parameter.name}, "
                "must be the first one or keyword-only"
            )

    def _check_types(self, hooks: Hooks) -> None:
        """Raise TypeError now for what no codec could ever read or write."""
        for parameter in self.parameters:
            self._check_type(parameter.name, parameter.type, check_readable, hooks)
        self._check_type("return", self.returns, check_writable, hooks)

    def _check_type(
        self, name: str, kind: Any, check: Callable[[Any, Hooks], None], hooks: Hooks
    ) -> None:
        try:
            check(kind, hooks)
        except (TypeError, NameError, AttributeError) as exc:
            raise TypeError(f"{self.name}: {name}: {exc}") from None

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def bind(
        self, params: Raw, codec: Codec, peer: Any
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments that ``params`` are, to be called with.

        Raises InvalidParams, with the name of the parameter and the type expected,
        InvalidRequest for what is neither by position nor by name.
        """
        plan = self._plans.get(codec) or self._make_plan(codec)
        named: dict[str, Any] = {}
        shape = "null" if params is ABSENT else codec.shape(params)
        try:
            if shape == "array":
                parts = codec.decode_array(params)
            elif shape == "object":
                parts = codec.decode_object(params)
        except UNREADABLE as exc:
            raise InvalidParams(f"params: {what_is_wrong(exc)}") from None
        if shape == "array":
            values = self._bind_by_position(parts, plan)
        elif shape == "object":
            values = []
            named = self._bind_by_name(parts, plan)
        elif shape == "null":
            if self._required:
                raise self._missing(())
            values = []
        else:
            raise InvalidRequest("params must be an array or an object")
        if self.peer_first:
            values.insert(0, peer)
        elif self.peer_name is not None:
            named[self.peer_name] = peer
        return values, named

    def _make_plan(self, codec: Codec) -> _Plan:
        kinds = {p.kind: p.type for p in self.parameters}
        rest = kinds.get(inspect.Parameter.VAR_POSITIONAL, msgspec.UNSET)
        others = kinds.get(inspect.Parameter.VAR_KEYWORD, msgspec.UNSET)
        named = (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        )
        plan = self._plans[codec] = _Plan(
            [codec.decoder(p.type) for p in self._by_position],
            {p.name: codec.decoder(p.type) for p in self.parameters if p.kind in named},
            None if rest is msgspec.UNSET else _read_rest(self, codec, rest),
            None if others is msgspec.UNSET else codec.decoder(others),
        )
        return plan

    def _bind_by_position(self, raws: list[Raw], plan: _Plan) -> list[Any]:
        count = len(raws)
        most = len(plan.by_position)
        if count < self._least or self._keyword_only:
            raise self._missing([p.name for p in self._by_position[:count]])
        if count > most and plan.rest is None:
            raise InvalidParams(f"at most {most} arguments are taken, {count} given")
        try:
            values = [
                decode(raw) for decode, raw in zip(plan.by_position, raws, strict=False)
            ]
        except UNREADABLE:
            names = [p.name for p in self._by_position]
            for name, decode, raw in zip(names, plan.by_position, raws, strict=False):
                _read(name, decode, raw)
            raise
        if count > most and plan.rest is not None:
            values += plan.rest(raws[most:])
        return values

    def _bind_by_name(self, raws: dict[str, Raw], plan: _Plan) -> dict[str, Any]:
        named = {}
        for name, raw in raws.items():
            decode = plan.by_name.get(name)
            if decode is None and name not in self._positional_only:
                decode = plan.others
            if decode is None or name == self.peer_name:
                known = ", ".join(plan.by_name) or "none"
                raise InvalidParams(
                    f"parameter {quoted(name)} is unknown; allowed: {known}"
                )
            named[name] = _read(name, decode, raw)
        if any(p.name not in named for p in self._required):
            raise self._missing(named)
        return named

    def _missing(self, given: Collection[str]) -> InvalidParams:
        missing = [p.name for p in self._required if p.name not in given]
        if len(missing) == 1:
            return InvalidParams(f"parameter {missing[0]!r} is missing")
        return InvalidParams(f"parameters {', '.join(map(repr, missing))} are missing")


def is_peer(kind: Any, peer_type: type) -> bool:
    """Whether an annotation stands for the peer: it may be optional, or annotated."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return is_peer(typing.get_args(kind)[0], peer_type)
    if origin is typing.Union or origin is types.UnionType:
        parts = [part for part in typing.get_args(kind) if part is not type(None)]
        return all(is_peer(part, peer_type) for part in parts)
    return isinstance(kind, type) and issubclass(kind, peer_type)


def _required_of(signature: Signature, kind: Any) -> list[str]:
    return [p.name for p in signature.parameters if p.is_required and p.kind is kind]


def _read_rest(
    signature: Signature, codec: Codec, kind: Any
) -> Callable[[list[Raw]], list[Any]]:
    """Return what reads the arguments of ``*args``: at once, as they may be many."""
    (name,) = (
        p.name
        for p in signature.parameters
        if p.kind is inspect.Parameter.VAR_POSITIONAL
    )
    decode, decode_all = codec.decoder(kind), codec.decoder(list[kind])

    def read(raws: list[Raw]) -> list[Any]:
        try:
            found: list[Any] = decode_all(
                Raw(codec.array([bytes(raw) for raw in raws]))
            )
        except UNREADABLE:
            return [_read(name, decode, raw) for raw in raws]
        return found

    return read


def _read(name: str, decode: Callable[[Any], Any], raw: Raw) -> Any:
    try:
        return decode(raw)
    except UNREADABLE as exc:
        raise InvalidParams(f"parameter {quoted(name)}: {what_is_wrong(exc)}") from None


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as exc:
        raise TypeError(
            f"{name}: an annotation cannot be read: {exc}; "
            "its types must be defined at module level"
        ) from None
    except Exception as exc:  # an annotation that is no type, or cannot be evaluated
        raise TypeError(f"{name}: an annotation cannot be read: {exc}") from None


def _returned(function: Callable[..., Any], hint: Any) -> tuple[bool, Any]:
    """Return whether ``function`` makes a stream, and the type of results or items."""
    if inspect.isgeneratorfunction(inspect.unwrap(function)):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name}: a generator must be asynchronous to be a stream")
    is_stream = inspect.isasyncgenfunction(inspect.unwrap(function))
    origin = typing.get_origin(hint) or hint
    iterates = isinstance(origin, type) and issubclass(origin, _STREAMS)
    if iterates:
        items = typing.get_args(hint)
        return True, items[0] if items else Any
    return is_stream, Any if is_stream else hint


def _returned_blocking(function: Callable[..., Any], hint: Any) -> tuple[bool, Any]:
    """Return the same for a function that runs in a thread."""
    inner = inspect.unwrap(function)
    origin = typing.get_origin(hint) or hint
    is_async = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
    if is_async or (isinstance(origin, type) and issubclass(origin, _STREAMS)):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name}: a route that runs in a thread cannot be asynchronous")
    is_stream = inspect.isgeneratorfunction(inner)
    if isinstance(origin, type) and issubclass(origin, _BLOCKING_STREAMS):
        items = typing.get_args(hint)
        return True, items[0] if items else Any
    return is_stream, Any if is_stream else hint
