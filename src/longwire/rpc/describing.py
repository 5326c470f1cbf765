"""Describing: routes and their types as plain values, for people and generators.

Types are JSON Schema (2020-12), as ``msgspec`` derives it from annotations.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from .foreign import hook_for
from .routes import Route, Routes

__all__ = ["described"]

_REF = "#/types/{name}"


def described(routes: Routes) -> dict[str, Any]:
    """Return ``{"routes": [...], "types": {...}}``.

    Each route has ``name``, ``doc``, ``stream``, ``params`` and ``returns``: the schema
    of the result, or of the items of a stream. A param has ``name``, ``schema``,
    ``required``, ``by``: ``"position"``, ``"name"`` or ``"both"``, and ``variadic``:
    ``"list"`` or ``"dict"`` for those like ``*args`` and ``**kwargs``, else None.
    ``types`` has what the schemas refer to.
    """
    kinds: list[tuple[Any, bool]] = []
    for route in routes:
        kinds += [(parameter.type, False) for parameter in route.signature]
        kinds.append((route.signature.returns, True))
    schemas, types = _schemas(kinds)
    left = iter(schemas)
    return {
        "routes": [_route(route, left) for route in routes],
        "types": types,
    }


def _route(route: Route, schemas: Any) -> dict[str, Any]:
    params = [
        {
            "name": parameter.name,
            "schema": next(schemas),
            "required": parameter.is_required,
            "variadic": _VARIADIC.get(parameter.kind),
            "by": _BY.get(parameter.kind, "both"),
        }
        for parameter in route.signature
    ]
    return {
        "name": route.name,
        "doc": route.doc,
        "stream": route.is_stream,
        "params": params,
        "returns": next(schemas),
    }


_BY = {
    inspect.Parameter.POSITIONAL_ONLY: "position",
    inspect.Parameter.VAR_POSITIONAL: "position",
    inspect.Parameter.KEYWORD_ONLY: "name",
    inspect.Parameter.VAR_KEYWORD: "name",
}
_VARIADIC = {
    inspect.Parameter.VAR_POSITIONAL: "list",
    inspect.Parameter.VAR_KEYWORD: "dict",
}


def _schemas(kinds: list[tuple[Any, bool]]) -> tuple[list[Any], dict[str, Any]]:
    """Return the schemas of types, each with whether it is written, and named ones."""
    hooks = [hook_for(kind) for kind, _ in kinds]
    ours = [kind for (kind, _), hook in zip(kinds, hooks, strict=True) if hook is None]
    found, types = _schemas_of_ours(ours)
    schemas: list[Any] = []
    left = iter(found)
    for (_, is_written), hook in zip(kinds, hooks, strict=True):
        if hook is None:
            schemas.append(next(left))
        else:
            schema, more = hook.schema(_REF, writing=is_written)
            schemas.append(_added(schema, more, types))
    return schemas, types


def _schemas_of_ours(kinds: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the schemas of types that msgspec reads.

    One that has none, as an application's own, is described as anything.
    """
    try:
        schemas, types = msgspec.json.schema_components(kinds, ref_template=_REF)
        return list(schemas), types
    except TypeError:
        pass  # one of them: ask one by one
    found: list[Any] = []
    types = {}
    for kind in kinds:
        try:
            (schema,), more = msgspec.json.schema_components([kind], ref_template=_REF)
        except TypeError:
            schema, more = {}, {}
        found.append(schema)
        types.update(more)
    return found, types


def _added(schema: Any, more: dict[str, Any], types: dict[str, Any]) -> Any:
    """Add named schemas to ``types``; return ``schema``, which refers to them.

    A name that another type has already gets a number.
    """
    names = {}
    for name, value in more.items():
        free, number = name, 2
        while types.get(free, value) != value:
            free, number = f"{name}{number}", number + 1
        names[name] = free
    refs = {_REF.format(name=old): _REF.format(name=new) for old, new in names.items()}
    for name, value in more.items():
        types[names[name]] = _with_refs(value, refs)
    return _with_refs(schema, refs)


def _with_refs(schema: Any, refs: dict[str, str]) -> Any:
    if isinstance(schema, list):
        return [_with_refs(part, refs) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: refs.get(value, value) if key == "$ref" else _with_refs(value, refs)
        for key, value in schema.items()
    }
