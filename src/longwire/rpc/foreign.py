"""Foreign types: annotations that Pydantic reads, writes and describes, not msgspec.

One hook for each such library: whether an annotation is its business, how a value is
read and written, and its JSON Schema, from which TypeScript follows. An annotation that
mentions one of its types anywhere is read as a whole by it. Nothing is imported: an
annotation cannot mention what the application has not imported already.
"""

from __future__ import annotations

import abc
import functools
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

__all__ = ["Hook", "hook_for", "write_foreign"]

_MAX_TEXT = 300


class Hook(abc.ABC):
    """How a library other than msgspec deals with one annotation."""

    @abc.abstractmethod
    def read_json(self, data: bytes) -> Any:
        """Return the value of a JSON text; raise ValidationError for a wrong one."""

    @abc.abstractmethod
    def read(self, value: Any) -> Any:
        """Return what a plain value stands for; ValidationError for a wrong one."""

    @abc.abstractmethod
    def write(self, value: Any) -> Any:
        """Return a result as plain values; raise ValidationError for a wrong one."""

    @abc.abstractmethod
    def schema(self, ref: str, *, writing: bool) -> tuple[Any, dict[str, Any]]:
        """Return a JSON Schema and the named ones it refers to as ``ref.format``."""


class _Pydantic(Hook):
    """An annotation that mentions a model or a type of Pydantic, version 2."""

    def __init__(self, kind: Any) -> None:
        pydantic: Any = sys.modules["pydantic"]
        try:
            self._adapter = pydantic.TypeAdapter(kind)
        except Exception as exc:
            raise TypeError(f"Pydantic cannot read it: {_first_line(exc)}") from None
        self._error: type[Exception] = pydantic.ValidationError

    def read_json(self, data: bytes) -> Any:
        return self._checked(self._adapter.validate_json, data)

    def read(self, value: Any) -> Any:
        return self._checked(self._adapter.validate_python, value)

    def write(self, value: Any) -> Any:
        validate = functools.partial(
            self._adapter.validate_python, from_attributes=True
        )
        valid = self._checked(validate, value)
        return self._adapter.dump_python(valid, mode="json", by_alias=True)

    def schema(self, ref: str, *, writing: bool) -> tuple[Any, dict[str, Any]]:
        schema = self._adapter.json_schema(
            ref_template=ref.replace("{name}", "{model}"),
            mode="serialization" if writing else "validation",
        )
        return schema, schema.pop("$defs", {})

    def _checked(self, validate: Callable[[Any], Any], value: Any) -> Any:
        try:
            return validate(value)
        except self._error as exc:
            raise msgspec.ValidationError(_what_is_wrong(exc)) from None


def _what_is_wrong(exc: Any) -> str:
    """Return the first thing that is wrong, in the words msgspec would have."""
    first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    path = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]
    )
    text = str(first["msg"])[:_MAX_TEXT]
    return f"{text} - at `${path[:_MAX_TEXT]}`" if path else text


def _first_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0][:_MAX_TEXT]


def hook_for(kind: Any) -> Hook | None:
    """Return what reads an annotation in msgspec's place; None for msgspec itself.

    Raises TypeError where neither can.
    """
    if "pydantic" in sys.modules and _mentions(kind, _is_pydantic, set()):
        return _Pydantic(kind)
    return None


def write_foreign(value: Any) -> Any:
    """Return a value that msgspec cannot write as one it can, or NotImplemented."""
    if hasattr(type(value), "__pydantic_serializer__"):
        return value.model_dump(mode="json", by_alias=True)
    return NotImplemented


def _is_pydantic(part: Any) -> bool:
    """Whether one part of an annotation is read by Pydantic's rules."""
    if hasattr(part, "__get_pydantic_core_schema__"):
        return True
    if isinstance(part, type):
        return "__pydantic_validator__" in part.__dict__
    return type(part).__module__.partition(".")[0] == "pydantic"


def _mentions(kind: Any, test: Callable[[Any], bool], seen: set[int]) -> bool:
    """Whether ``test`` is true of an annotation or of anything inside of it."""
    if id(kind) in seen:
        return False
    seen.add(id(kind))
    return test(kind) or any(_mentions(part, test, seen) for part in _parts(kind))


def _parts(kind: Any) -> Iterator[Any]:
    """Yield what an annotation is made of: arguments, metadata, types of fields."""
    yield from getattr(kind, "__metadata__", ())
    yield from typing.get_args(kind)
    alias = getattr(kind, "__value__", None)  # type X = ...
    if alias is not None:
        yield alias
    has_fields = (
        "__dataclass_fields__",
        "__total__",
        "_fields",
        "__attrs_attrs__",
        "__struct_fields__",
    )
    target = typing.get_origin(kind) or kind
    if isinstance(target, type) and any(hasattr(target, name) for name in has_fields):
        try:
            yield from typing.get_type_hints(target, include_extras=True).values()
        except Exception:
            return  # whoever reads the type says what is wrong with it
