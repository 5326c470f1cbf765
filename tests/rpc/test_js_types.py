"""What `longwire rpc types` writes compiles in the strictest projects of TypeScript."""

from __future__ import annotations

import dataclasses
import enum
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import pytest

from tests.support.needs import needs

needs("msgspec")

import msgspec

from longwire import rpc
from longwire.rpc.describing import described
from longwire.rpc.typescript import declarations

pytestmark = [pytest.mark.once, pytest.mark.timeout(120)]

STRICT = {
    "target": "es2022",
    "lib": ["es2022", "dom", "dom.iterable"],
    "types": [],
    "noEmit": True,
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    "noPropertyAccessFromIndexSignature": True,
    "noUnusedLocals": True,
    "verbatimModuleSyntax": True,
    "isolatedModules": True,
}
PROJECTS: dict[str, dict[str, Any]] = {
    "bundler": {"module": "esnext", "moduleResolution": "bundler"},
    "node16": {"module": "node16", "moduleResolution": "node16"},
    "nodenext": {"module": "nodenext", "moduleResolution": "nodenext"},
}


def complaints(folder: Path, options: dict[str, Any], **sources: str) -> str:
    """Return what tsc says of a project with the client's types in ``static``."""
    for name, text in sources.items():
        (folder / f"{name}.ts").write_text(text)
    (folder / "static").mkdir(exist_ok=True)
    for file in rpc.STATIC.glob("*.d.ts"):
        (folder / "static" / file.name).write_bytes(file.read_bytes())
    (folder / "package.json").write_text('{"type": "module"}')
    config = {"compilerOptions": {**STRICT, **options}, "include": ["*.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [needs("tsc"), "-p", str(folder)], capture_output=True, text=True
    )
    return done.stdout + done.stderr


# --- routes of every kind ---------------------------------------------------------

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    PIPE = "a | b & c"


class Size(enum.IntEnum):
    SMALL = -1
    LARGE = 2**60


class Record(msgspec.Struct):
    """Is called as a type of TypeScript's own. */ export const oops = 1; /*"""

    values: dict[str, int]
    by_number: dict[int, float | None]


class string(msgspec.Struct):
    """Is called as a type that cannot be declared."""

    class_: Literal["a", 1, None, True]
    other: Record | None = None


class Routes(msgspec.Struct):
    """Is called as the table."""

    colors: list[Color] | None
    sizes: tuple[Size, ...]
    pair: tuple[int, str | None]


class Box(msgspec.Struct, Generic[T]):
    content: T
    inner: Box[T] | None = None


class Box_int(msgspec.Struct):
    """Is called as `Box[int]` will be."""

    content: str


class Größe(msgspec.Struct, rename={"höhe": "Höhe in cm", "breite": "class"}):
    höhe: int
    breite: int = 0


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


@dataclasses.dataclass
class Tree:
    value: int
    children: list[Tree] = dataclasses.field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: int = 0


UserId = NewType("UserId", int)


def everything(
    a: int,
    b: str = "",
    /,
    c: float = 0.0,
    *rest: int | str,
    d: bool = True,
    e: Annotated[int, msgspec.Meta(ge=0, description="not */ the end")] = 1,
    **more: Color,
) -> Routes: ...


def function(default: str, new: int, this: bool | None = None) -> string: ...


def nothing() -> None: ...


def optional(size: int | None = None) -> list[dict[str, Any]]: ...


def uncallable(a: int, /, *, b: int) -> None: ...


def untyped(a, *b, c=None, **d): ...  # type: ignore[no-untyped-def]


def boxes(of: Box[int], other: Box_int, text: Box[str]) -> Box[Color]: ...


def animals(one: Cat | Dog) -> tuple[Tree, Point, UserId, bytes]: ...


def sizes(of: Größe, größe: int = 1) -> Record: ...


async def stream(n: int) -> AsyncIterator[Record | None]:
    yield None


TABLE = {
    "everything": everything,
    "uncallable": uncallable,
    "function": function,
    "nothing": nothing,
    "optional": optional,
    "untyped": untyped,
    "boxes": boxes,
    "animals": animals,
    "sizes": sizes,
    "stream": stream,
    "a.b": nothing,
    "a.b.c": {"d": optional},
    "a-b": nothing,
    'with "quotes" and \\': nothing,
    "größe": nothing,
    "constructor": nothing,
    "class": {"delete": nothing},
}

PROGRAM = """
import { Rpc } from "./static/longwire.min.js";
import type { Routes, Box_int, Color } from "./routes.js";

const rpc = new Rpc<Routes>("/rpc").connect();
const { colors, sizes: [first], pair: [, second] } =
  await rpc.call("everything", [1, "x", 2, 3, "more"]);
const red: Color | undefined = colors?.[0];
const size: -1 | 1152921504606846976 | undefined = first;
const { values } = await rpc.call("sizes", [{ "Höhe in cm": 180 }]);
const value: number | undefined = values["x"];
for await (const item of rpc.stream("stream", [2])) item?.by_number["1"]?.toFixed(2);
await rpc.call("a.b");
await rpc.proxy.a.b();
const [dict] = await rpc.proxy.a.b.c.d();
await rpc.proxy["a-b"]();
await rpc.call('with "quotes" and \\\\');
await rpc.proxy["größe"]();
await rpc.proxy.class.delete();
const other: Box_int = { content: "text" };
const boxed = await rpc.call("boxes", [{ content: 1 }, other, { content: "x" }]);
const inner: Color | undefined = boxed.inner?.inner?.content;
const cat = { type: "Cat", lives: 9 } as const;
const [tree, point, id, bytes] = await rpc.call("animals", { one: cat });
tree.children?.[0]?.value.toFixed(point[0] + id + bytes.length);
await rpc.call("function", ["x", 1]);
await rpc.call("function", { default: "x", new: 1, this: null });
await rpc.call("untyped", [1, 2, 3]);
// @ts-expect-error: nobody can call it
rpc.call("uncallable", [1]);
// @ts-expect-error: arguments are missing
rpc.call("function");
// @ts-expect-error: an argument is missing
rpc.call("function", ["x"]);
// @ts-expect-error: an argument by name is missing
rpc.call("boxes", { of: { content: 1 }, other });
// @ts-expect-error: not one of them
rpc.call("animals", [{ type: "Cow", lives: 9 }]);
// @ts-expect-error: there is no such route
rpc.proxy.a.c();
// @ts-expect-error: it may be missing
values["x"].toFixed(2);
console.log(red, size, second, value, dict, inner);
"""


@pytest.mark.parametrize("project", list(PROJECTS))
def test_what_is_written_compiles_and_finds_what_is_wrong(
    tmp_path: Path, project: str
) -> None:
    routes = declarations(described(rpc.Routes(TABLE)))

    found = complaints(tmp_path, PROJECTS[project], routes=routes, program=PROGRAM)

    assert found == "", routes


def test_the_table_may_have_any_name_even_that_of_a_type(tmp_path: Path) -> None:
    description = described(rpc.Routes(TABLE))
    sources = {
        f"table_{name}": declarations(description, name)
        for name in ("Color", "Record_2", "Box_int", "_", "$", "Table")
    }

    assert complaints(tmp_path, PROJECTS["bundler"], **sources) == ""


# --- whatever a server describes --------------------------------------------------

SCHEMAS: list[Any] = [
    True,
    False,
    None,
    7,
    {},
    {"type": "unheard of"},
    {"type": ["string", "null"]},
    {"type": []},
    {"enum": []},
    {"enum": [None, 1, -1.5, "x", True, float("nan"), float("inf"), [1], {}]},
    {"const": float("nan")},
    {"const": "*/ '\" \\ \u2028"},
    {"anyOf": []},
    {"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]},
    {"oneOf": [{"type": "string"}, {"allOf": [{"type": "integer"}]}]},
    {"allOf": []},
    {"allOf": [{"$ref": "#/$defs/Order"}]},
    {"allOf": [{"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string"}]},
    {"$ref": "#/$defs/Nobody"},
    {"$ref": 7},
    {"not": {"type": "string"}},
    {"type": "array"},
    {"type": "array", "items": False},
    {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    {"type": "array", "items": {"allOf": [{"$ref": "#/$defs/Order"}, {}]}},
    {"type": "array", "prefixItems": []},
    {"type": "array", "prefixItems": [{"type": "string"}, True], "items": False},
    {"type": "array", "prefixItems": [{"type": "string"}], "items": {}, "minItems": 0},
    {"type": "array", "prefixItems": [{}, {}], "minItems": 1, "maxItems": 2},
    {"type": "object"},
    {"type": "object", "properties": {}},
    {"type": "object", "additionalProperties": False},
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {
        "type": "object",
        "properties": {"a b": {"type": "integer"}, "__proto__": {}, "": {}, "c": {}},
        "required": ["c", "not there"],
        "additionalProperties": True,
    },
]
NAMES = [
    *("Order", "order", "Routes", "Record", "string", "any", "void", "class", "type"),
    *("await", "let", "Promise", "Array", "1st", "", "²", "a.b.Order", "a_b_Order"),
    *("Box[int]", "Box_int", "Box[int, str]", "Größe", "ﬁ", "名前", "__proto__"),
]
PARAMS = [
    {"name": name, "schema": {}, "required": required, "by": by, "variadic": variadic}
    for name, required, by, variadic in [
        ("a", False, "both", None),
        ("not a name", True, "both", None),
        ("not a name", True, "position", None),
        ("class", False, "name", None),
        ("rest", False, "position", "list"),
        ("more", False, "name", "dict"),
    ]
]


def test_whatever_a_server_describes_compiles(tmp_path: Path) -> None:
    noted = [{"description": "*/", **s} for s in SCHEMAS if isinstance(s, dict)]
    schemas = [*noted, *SCHEMAS]
    types = [*NAMES, *(f"Type{at}" for at in range(len(schemas) - len(NAMES)))]
    routes = [*NAMES, 'a"b', "a\\b", "a\nb", "a.b", "\u2028", *map(str, range(20))]
    description = {
        "types": dict(zip(types, schemas, strict=True)),
        "routes": [
            {
                "name": name,
                "doc": "Says */ this.\nAnd \u2028 that.",
                "stream": at % 2 == 1,
                "params": PARAMS[at % 4 :],
                "returns": SCHEMAS[at % len(SCHEMAS)],
            }
            for at, name in enumerate(routes)
        ],
    }

    text = declarations(description)

    assert complaints(tmp_path, PROJECTS["bundler"], routes=text) == "", text


def test_no_two_types_have_the_same_name() -> None:
    schema = {"type": "integer"}
    names = ["Box[int]", "Box_int", "Box int", "Routes", "string"]

    text = declarations({"types": dict.fromkeys(names, schema), "routes": []})

    found = [line.split()[2] for line in text.splitlines() if line.endswith("number;")]
    assert found == ["Box_int_2", "Box_int", "Box_int_3", "Routes_2", "string_2"]
