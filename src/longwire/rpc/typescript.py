"""TypeScript declarations of routes: the table that ``Rpc<Routes>`` is checked by.

From the description alone (``describing.py``), so that a server's ``rpc.describe`` will
do as well; whatever it says, what is written compiles. JSON Schema has more than
TypeScript; what there is no type for is ``unknown``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
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
# What is reserved: no type may be called so, and few elements of a tuple.
_RESERVED = re.compile(
    r"""(?x) (break | case | catch | class | const | continue | debugger | default
    | delete | do | else | enum | export | extends | false | finally | for | function
    | if | import | in | instanceof | new | return | super | switch | this | throw
    | true | try | typeof | var | while | with | implements | interface | let | package
    | private | protected | public | static | yield | await | async)\Z"""
)
# Types that cannot be declared again, and one of TypeScript's own that we write.
_PREDEFINED = re.compile(
    r"""(?x) (any | unknown | never | number | bigint | boolean | string | symbol | void
    | object | undefined | null | Record)\Z"""
)


def declarations(description: Mapping[str, Any], name: str = "Routes") -> str:
    """Return the declarations of all routes and of the types they use.

    ``name`` is that of the table.
    """
    schemas = description["types"]
    writer = _Writer(_type_names(schemas, taken=name))
    parts = [writer.declared(key, schema) for key, schema in schemas.items()]
    routes = "".join(writer.route(route) for route in description["routes"])
    parts.append(f"export interface {name} {{\n{routes}}}\n")
    return "\n".join(parts)


def _type_names(names: Iterable[str], taken: str) -> dict[str, str]:
    """Return what to call each type in TypeScript, no two the same."""
    bases = {name: _type_name(name) for name in names}
    found: dict[str, str] = {}
    used = {taken}
    # Who has a name already keeps it; those of generic classes have brackets.
    for name in sorted(bases, key=lambda name: bases[name] != name):
        free, number = bases[name], 1
        while free in used or _RESERVED.match(free) or _PREDEFINED.match(free):
            number += 1
            free = f"{bases[name]}_{number}"
        used.add(free)
        found[name] = free
    return found


def _type_name(name: str) -> str:
    base = re.sub(r"\W+", "_", name).strip("_")
    return base if base.isidentifier() else "_" + re.sub(r"[^A-Za-z0-9_]", "_", base)


class _Writer:
    """Writes types; ``names`` are those that are declared."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def declared(self, name: str, schema: Any) -> str:
        """Return the declaration of one named type."""
        name = self._names[name]
        text = schema.get("description") if isinstance(schema, Mapping) else None
        comment = _comment(text, "")
        if _is_closed_object(schema):
            return f"{comment}export interface {name} {self._members(schema, True)}\n"
        return f"{comment}export type {name} = {self.type(schema)};\n"

    def route(self, route: Mapping[str, Any]) -> str:
        """Return the line of one route."""
        kind = "items" if route["stream"] else "result"
        params = self._params(route["params"])
        comment = _comment(route["doc"], "  ")
        members = f"params: {params}; {kind}: {self.type(route['returns'])}"
        return f"{comment}  {_key(route['name'])}: {{ {members} }};\n"

    # --- arguments ---------------------------------------------------------------

    def _params(self, params: list[Mapping[str, Any]]) -> str:
        """Return the types of arguments by position and by name, as each can be."""
        needs_name = any(p["required"] and p["by"] == "name" for p in params)
        needs_position = any(p["required"] and p["by"] == "position" for p in params)
        forms = []
        if not needs_name:
            forms.append(self._by_position([p for p in params if p["by"] != "name"]))
        if not needs_position:
            forms += self._by_name([p for p in params if p["by"] != "position"])
        return " | ".join(forms) or "never"

    def _by_position(self, params: list[Mapping[str, Any]]) -> str:
        entries: list[str] = []
        for at, p in enumerate(params):
            name = p["name"] if p["name"].isidentifier() else ""
            name = f"_{name}" if not name or _RESERVED.match(name) else name
            if p["variadic"]:
                entries.append(f"...{name}: {_wrapped(self.type(p['schema']))}[]")
                continue
            # Nothing that is required may follow what is not.
            needed = any(q["required"] and not q["variadic"] for q in params[at:])
            entries.append(f"{name}{'' if needed else '?'}: {self.type(p['schema'])}")
        return f"[{', '.join(entries)}]"

    def _by_name(self, params: list[Mapping[str, Any]]) -> list[str]:
        """Return the form by name, if there is one."""
        members = "; ".join(
            f"{_key(p['name'])}{'' if p['required'] else '?'}: {self.type(p['schema'])}"
            for p in params
            if not p["variadic"]
        )
        form = f"{{ {members} }}" if members else ""
        for p in params:
            if p["variadic"]:
                rest = f"Record<string, {self.type(p['schema'])}>"
                # The named ones have types of their own, which the rest may not narrow.
                form = f"({form} & Record<string, unknown>)" if form else rest
        return [form] if form else []

    # --- types -------------------------------------------------------------------

    def type(self, schema: Any) -> str:
        """Return the type that a schema describes."""
        if not isinstance(schema, Mapping):
            return "never" if schema is False else "unknown"
        if "$ref" in schema:
            return self._names.get(str(schema["$ref"]).rpartition("/")[2], "unknown")
        if "const" in schema:
            return _literal(schema["const"])
        if "enum" in schema:
            return _joined(" | ", map(_literal, schema["enum"]))
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return _joined(" | ", map(self.type, schema[key]))
        if "allOf" in schema:
            parts = (_wrapped(self.type(part)) for part in schema["allOf"])
            return _joined(" & ", parts)
        kind = schema.get("type")
        if isinstance(kind, list):
            each = (self.type({**schema, "type": one}) for one in kind)
            return _joined(" | ", each)
        if kind == "array":
            return self._array(schema)
        if kind == "object":
            return self._object(schema)
        return _PLAIN.get(str(kind), "unknown")

    def _array(self, schema: Mapping[str, Any]) -> str:
        first, others = schema.get("prefixItems"), schema.get("items")
        if first is None:
            return f"{_wrapped(self.type(others))}[]"
        least = schema.get("minItems", len(first))
        entries = [
            self.type(item) if at < least else f"{_wrapped(self.type(item))}?"
            for at, item in enumerate(first)
        ]
        if isinstance(others, Mapping) and schema.get("maxItems") != len(first):
            entries.append(f"...{_wrapped(self.type(others))}[]")
        return f"[{', '.join(entries)}]"

    def _object(self, schema: Mapping[str, Any]) -> str:
        if _is_closed_object(schema):
            return self._members(schema, False)
        if "properties" in schema:
            return f"({self._members(schema, False)} & Record<string, unknown>)"
        return f"Record<string, {self.type(schema.get('additionalProperties'))}>"

    def _members(self, schema: Mapping[str, Any], in_lines: bool) -> str:
        required = schema.get("required", ())
        separator, indent = ("\n", "  ") if in_lines else (" ", "")
        members = "".join(
            f"{separator}{indent}{_key(name)}{'' if name in required else '?'}: "
            f"{self.type(value)};"
            for name, value in schema["properties"].items()
        )
        return f"{{{members}{separator}}}"


def _is_closed_object(schema: Any) -> bool:
    """Return whether a schema names all the members that there can be."""
    return (
        isinstance(schema, Mapping)
        and schema.get("type") == "object"
        and "properties" in schema
        and not schema.get("additionalProperties")
    )


def _literal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "number"
    if isinstance(value, (list, Mapping)):
        return "unknown"
    return json.dumps(value)


def _joined(operator: str, types: Iterable[str]) -> str:
    return operator.join(dict.fromkeys(types)) or "never"


def _wrapped(kind: str) -> str:
    return f"({kind})" if " | " in kind or " & " in kind else kind


def _key(name: str) -> str:
    return name if _NAMES.match(name) else json.dumps(name)


def _comment(text: Any, indent: str) -> str:
    if not text or not isinstance(text, str):
        return ""
    lines = text.replace("*/", "* /").splitlines()
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    body = "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines)
    return f"{indent}/**\n{body}{indent} */\n"
