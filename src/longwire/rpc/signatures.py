"""Signatures: the arguments of a call, checked against a function's annotations.

Each argument is read as the type its parameter is annotated with; what is not of that
type is an error that names the parameter, and nothing is called. A parameter annotated
with ``Peer`` is not the caller's to give: it gets the peer that calls.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from .codecs import ABSENT, Codec
from .envelope import UNREADABLE
from .errors import InvalidParams, InvalidRequest

__all__ = ["Parameter", "Signature"]

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
_STREAMS = (AsyncIterable, AsyncIterator, typing.AsyncGenerator)


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
    rest: Callable[[Any], Any] | None
    others: Callable[[Any], Any] | None


class Signature:
    """What a function takes and returns.

    ``parameters`` are those that callers give, ``returns`` is the type of the result,
    or of the items of a stream; Any where nothing is annotated. Raises TypeError for
    what cannot be called from afar.
    """

    def __init__(
        self, function: Callable[..., Any], *, bound: bool, peer_type: type
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
            if isinstance(kind, type) and issubclass(kind, peer_type):
                self._inject(parameter, first=parameter is found[0])
            else:
                self.parameters.append(
                    Parameter(parameter.name, kind, parameter.kind, parameter.default)
                )
        self.is_stream, self.returns = _returned(function, hints.get("return", Any))
        self._by_position = [p for p in self.parameters if p.kind in _BY_POSITION]
        self._required = [
            p.name
            for p in self.parameters
            if p.is_required and p.kind is not inspect.Parameter.POSITIONAL_ONLY
        ]
        self._least = sum(1 for p in self._by_position if p.is_required)
        # Keyword-only parameters without default cannot be given by position.
        self._keyword_only = [
            p.name
            for p in self.parameters
            if p.kind is inspect.Parameter.KEYWORD_ONLY and p.is_required
        ]
        self._plans: dict[Codec, _Plan] = {}
        self._check_types()

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

    def _check_types(self) -> None:
        """Raise TypeError now for what no codec could ever read."""
        types = [(p.name, p.type) for p in self.parameters]
        for name, kind in [*types, ("return", self.returns)]:
            try:
                msgspec.json.Decoder(kind)
            except (TypeError, NameError) as exc:
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
        if shape == "array":
            values = self._bind_by_position(codec.decode_array(params), plan)
        elif shape == "object":
            values = []
            named = self._bind_by_name(codec.decode_object(params), plan)
        elif shape == "null":
            if self._least or self._keyword_only:
                raise self._missing([])
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
            None if rest is msgspec.UNSET else codec.decoder(rest),
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
            name = self._name_of(inspect.Parameter.VAR_POSITIONAL)
            values += [_read(name, plan.rest, raw) for raw in raws[most:]]
        return values

    def _bind_by_name(self, raws: dict[str, Raw], plan: _Plan) -> dict[str, Any]:
        named = {}
        for name, raw in raws.items():
            decode = plan.by_name.get(name) or plan.others
            if decode is None or name == self.peer_name:
                known = ", ".join(plan.by_name) or "none"
                raise InvalidParams(
                    f"parameter {_short(name)} is unknown; allowed: {known}"
                )
            named[name] = _read(name, decode, raw)
        missing = [name for name in self._required if name not in named]
        if missing or len(self._required) < self._least:
            # What is positional-only can be given by position alone.
            raise self._missing(list(named))
        return named

    def _missing(self, given: list[str]) -> InvalidParams:
        names = [p.name for p in self.parameters if p.is_required]
        missing = [name for name in names if name not in given]
        if len(missing) == 1:
            return InvalidParams(f"parameter {missing[0]!r} is missing")
        return InvalidParams(f"parameters {', '.join(map(repr, missing))} are missing")

    def _name_of(self, kind: Any) -> str:
        return next(p.name for p in self.parameters if p.kind is kind)


def _read(name: str, decode: Callable[[Any], Any], raw: Raw) -> Any:
    try:
        return decode(raw)
    except UNREADABLE as exc:
        raise InvalidParams(f"parameter {_short(name)}: {describe(exc)}") from None


def describe(exc: BaseException) -> str:
    """Return what ``msgspec`` found wrong, as one of our own messages says it."""
    if isinstance(exc, RecursionError):
        return "nested too deeply"
    text = re.sub(r" - at `\$(.*)`$", r" at \1", str(exc)).replace("`", "")
    return text[:1].lower() + text[1:]


def _short(name: str) -> str:
    """Return a name as a peer sent it, fit for a message."""
    return repr(name if len(name) <= 64 else f"{name[:61]}...")


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as exc:
        raise TypeError(
            f"{name}: an annotation cannot be read: {exc}; "
            "its types must be defined at module level"
        ) from None


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
