"""Describing: routes and their types as plain values, for people and generators.

Types are JSON Schema (2020-12), as ``msgspec`` derives it from annotations.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

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
    kinds: list[Any] = []
    for route in routes:
        kinds += [parameter.type for parameter in route.signature]
        kinds.append(route.signature.returns)
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


def _schemas(kinds: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the schemas of types; one that has none is described as anything."""
    try:
        schemas, types = msgspec.json.schema_components(kinds, ref_template=_REF)
        return list(schemas), types
    except TypeError:
        pass  # one of them is of an application's own making: ask one by one
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
