"""TypeScript declarations of routes: the table that ``Rpc<Routes>`` is checked by.

From the description alone (``describing.py``), so that a server's ``rpc.describe`` will
do as well. JSON Schema has more than TypeScript; what there is no type for is
``unknown``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["declarations"]

_NAMES = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")
_PLAIN = {
    "integer": "number",
    "number": "number",
    "string": "string",
    "boolean": "boolean",
    "null": "null",
}


def declarations(description: Mapping[str, Any], name: str = "Routes") -> str:
    """Return the declarations of all routes and of the types they use.

    ``name`` is that of the table.
    """
    parts = [
        _declared(_type_name(key), schema)
        for key, schema in description["types"].items()
    ]
    routes = "".join(_route(route) for route in description["routes"])
    parts.append(f"export interface {name} {{\n{routes}}}\n")
    return "\n".join(parts)


def _declared(name: str, schema: Mapping[str, Any]) -> str:
    comment = _comment(schema.get("description", ""), "")
    if "properties" in schema:
        return f"{comment}export interface {name} {_object(schema, chr(10))}\n"
    return f"{comment}export type {name} = {_type(schema)};\n"


def _route(route: Mapping[str, Any]) -> str:
    kind = "items" if route["stream"] else "result"
    params = _params(route["params"])
    comment = _comment(route["doc"], "  ")
    members = f"params: {params}; {kind}: {_type(route['returns'])}"
    return f"{comment}  {_key(route['name'])}: {{ {members} }};\n"


def _params(params: list[Mapping[str, Any]]) -> str:
    """Return the types of arguments by position and by name, as far as each can be."""
    forms = []
    needs_name = any(p["required"] and p["by"] == "name" for p in params)
    needs_position = any(p["required"] and p["by"] == "position" for p in params)
    if not needs_name:
        entries = [_entry(p) for p in params if p["by"] != "name"]
        forms.append(f"[{', '.join(entries)}]")
    named = [p for p in params if p["by"] != "position" and not p["variadic"]]
    others = [p for p in params if p["variadic"] == "dict"]
    if not needs_position and (named or others):
        members = "; ".join(
            f"{_key(p['name'])}{'' if p['required'] else '?'}: {_type(p['schema'])}"
            for p in named
        )
        form = f"{{ {members} }}" if members else ""
        for p in others:
            rest = f"Record<string, {_type(p['schema'])}>"
            # The named ones have types of their own, which the rest may not narrow.
            form = f"({form} & Record<string, unknown>)" if form else rest
        forms.append(form)
    return " | ".join(forms) or "never"


def _entry(param: Mapping[str, Any]) -> str:
    name = param["name"] if _NAMES.match(param["name"]) else "_"
    if param["variadic"]:
        return f"...{name}: {_wrapped(_type(param['schema']))}[]"
    optional = "" if param["required"] else "?"
    return f"{name}{optional}: {_type(param['schema'])}"


def _type(schema: Any) -> str:
    """Return the type that a schema describes."""
    if not isinstance(schema, Mapping):
        return "unknown"
    if "$ref" in schema:
        return _type_name(str(schema["$ref"]).rpartition("/")[2])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(_type(part) for part in schema[key]))
    if "allOf" in schema:
        return " & ".join(_wrapped(_type(part)) for part in schema["allOf"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}) for one in kind)
    if kind == "array":
        return _array(schema)
    if kind == "object":
        return _object(schema, " ")
    return _PLAIN.get(str(kind), "unknown")


def _array(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(_type(item) for item in schema['prefixItems'])}]"
    return f"{_wrapped(_type(schema.get('items')))}[]"


def _object(schema: Mapping[str, Any], separator: str) -> str:
    if "properties" not in schema:
        values = schema.get("additionalProperties")
        return f"Record<string, {_type(values)}>"
    required = schema.get("required", ())
    indent = "  " if separator == "\n" else ""
    members = "".join(
        f"{separator}{indent}{_key(name)}{'' if name in required else '?'}: "
        f"{_type(value)};"
        for name, value in schema["properties"].items()
    )
    return f"{{{members}{separator}}}"


def _wrapped(kind: str) -> str:
    return f"({kind})" if " | " in kind else kind


def _key(name: str) -> str:
    return name if _NAMES.match(name) else json.dumps(name)


def _type_name(name: str) -> str:
    """Return a name that TypeScript allows: generic classes have brackets in theirs."""
    return re.sub(r"\W+", "_", name).strip("_")


def _comment(text: str, indent: str) -> str:
    if not text:
        return ""
    lines = text.replace("*/", "* /").splitlines()
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    body = "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines)
    return f"{indent}/**\n{body}{indent} */\n"
