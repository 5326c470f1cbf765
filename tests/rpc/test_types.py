"""Types of arguments and results: which are read, by whom, and which are refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import numbers
import pathlib
import re
import subprocess
import sys
import typing
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python
needs("pydantic")
needs("attrs")

import attrs
import msgspec
import pydantic
import pydantic.dataclasses

from longwire import rpc
from longwire.rpc.codecs import ABSENT, Json, MessagePack
from longwire.rpc.describing import described
from longwire.rpc.routes import Caller
from longwire.rpc.signatures import Signature
from longwire.rpc.typescript import declarations
from tests.rpc.links import Line
from tests.support.commands import environment

pytestmark = pytest.mark.once


class Color(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    fast: bool


class Pair(NamedTuple):
    left: int
    right: str


class Struct(msgspec.Struct):
    width: float


@attrs.define
class Attrs:
    name: str
    count: int = 1


class Model(pydantic.BaseModel):
    """Something of Pydantic's."""

    name: str
    count: int = pydantic.Field(default=1, ge=0)
    when: datetime.datetime | None = None
    nick: str | None = pydantic.Field(default=None, alias="nickName")


class Strict(pydantic.BaseModel, strict=True):
    when: datetime.date
    ids: set[int] = set()


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str]


@pydantic.dataclasses.dataclass
class Checked:
    age: int = pydantic.Field(ge=0)


@dataclasses.dataclass
class Holder:
    model: Model
    models: list[Model] = dataclasses.field(default_factory=list)


NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
ID = uuid.UUID(int=5)

# Annotation, what is sent (as JSON would have it), what the route gets.
READ: dict[str, tuple[Any, Any, Any]] = {
    "int": (int, 5, 5),
    "float": (float, 5.5, 5.5),
    "float from an integer": (float, 5, 5.0),
    "str": (str, "x", "x"),
    "bool": (bool, True, True),
    "bytes": (bytes, b"\x00\xff", b"\x00\xff"),
    "None": (None, None, None),
    "Any": (Any, {"a": [1]}, {"a": [1]}),
    "object": (object, {"a": [1]}, {"a": [1]}),
    "an abstract number": (numbers.Number, 5, 5),
    "enum": (Color, "red", Color.RED),
    "IntEnum": (Size, 3, Size.LARGE),
    "UUID": (uuid.UUID, str(ID), ID),
    "datetime": (datetime.datetime, NOON.isoformat(), NOON),
    "date": (datetime.date, "2026-11-21", NOON.date()),
    "time": (datetime.time, "12:00:00", datetime.time(12)),
    "timedelta": (datetime.timedelta, "PT5S", datetime.timedelta(seconds=5)),
    "Decimal": (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
    "list": (list[int], [1, 2], [1, 2]),
    "tuple": (tuple[int, str], [1, "a"], (1, "a")),
    "set": (set[int], [1, 2], {1, 2}),
    "frozenset": (frozenset[str], ["a"], frozenset("a")),
    "dict": (dict[str, int], {"a": 1}, {"a": 1}),
    "dict with other keys": (dict[int, str], {"1": "a"}, {1: "a"}),
    "Sequence": (Sequence[int], [1], [1]),
    "Mapping": (Mapping[str, int], {"a": 1}, {"a": 1}),
    "Union": (int | str, "a", "a"),
    "Optional": (typing.Optional[int], None, None),  # noqa: UP045
    "Literal": (Literal["yes", 5], 5, 5),
    "Annotated": (Annotated[int, msgspec.Meta(ge=0)], 5, 5),
    "NewType": (typing.NewType("UserId", int), 5, 5),
    "dataclass": (Point, {"x": 1}, Point(1)),
    "TypedDict": (Options, {"fast": True}, {"fast": True}),
    "NamedTuple": (Pair, [1, "a"], Pair(1, "a")),
    "msgspec.Struct": (Struct, {"width": 2}, Struct(2.0)),
    "attrs": (Attrs, {"name": "a"}, Attrs("a")),
    "Pydantic": (Model, {"name": "a", "nickName": "b"}, Model(name="a", nickName="b")),
    "Pydantic, optional": (Model | None, None, None),
    "list of Pydantic": (list[Model], [{"name": "a"}], [Model(name="a")]),
    "dict of Pydantic": (
        dict[str, Model],
        {"k": {"name": "a"}},
        {"k": Model(name="a")},
    ),
    "Pydantic, one of two": (Cat | Dog, {"kind": "dog", "tricks": []}, Dog(tricks=[])),
    "Pydantic, strict": (
        Strict,
        {"when": "2026-11-21", "ids": [1]},
        Strict(when=NOON.date(), ids={1}),
    ),
    "Pydantic's dataclass": (Checked, {"age": 5}, Checked(age=5)),
    "Pydantic in a dataclass": (
        Holder,
        {"model": {"name": "a"}, "models": [{"name": "b"}]},
        Holder(Model(name="a"), [Model(name="b")]),
    ),
    "Pydantic's Field": (Annotated[int, pydantic.Field(ge=0)], 5, 5),
    "Pydantic's type": (pydantic.PositiveInt, 5, 5),
}


def signature_of(annotation: Any) -> Signature:
    def route(value):  # type: ignore[no-untyped-def]
        return value

    route.__annotations__ = {"value": annotation, "return": annotation}
    return Signature(route, bound=False, peer_type=Caller)


def given(annotation: Any, value: Any, codec: Any) -> Any:
    """What a route with this annotation gets when ``value`` is sent."""
    params = msgspec.Raw(codec.encode([value]))
    (found,), _ = signature_of(annotation).bind(params, codec, None)
    return found


# MessagePack has numbers as keys, and no dates in texts for who is strict.
IN_BOTH = sorted(READ.keys() - {"Pydantic, strict", "dict with other keys"})


@pytest.mark.parametrize("name", READ)
def test_an_argument_of_each_kind_is_read_from_json(name):
    annotation, sent, wanted = READ[name]

    found = given(annotation, sent, Json())

    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize("name", IN_BOTH)
def test_an_argument_of_each_kind_is_read_from_messagepack(name):
    annotation, sent, wanted = READ[name]

    assert given(annotation, sent, MessagePack()) == wanted


@pytest.mark.parametrize("name", READ)
async def test_a_result_of_each_kind_is_written_and_read_again(name):
    annotation, _, value = READ[name]
    line = Line()

    def route():  # type: ignore[no-untyped-def]
        return value

    route.__annotations__ = {"return": annotation}
    async with rpc.Peer(line, {"x": route}):
        line.put({"jsonrpc": "2.0", "id": 1, "method": "x"})
        answer = await line.sent()

    assert given(annotation, answer["result"], Json()) == value


@pytest.mark.parametrize("name", READ)
def test_each_kind_is_described_and_has_a_type_in_typescript(name):
    annotation, sent, _ = READ[name]

    def route(value):  # type: ignore[no-untyped-def]
        return value

    route.__annotations__ = {"value": annotation, "return": annotation}
    description = described(rpc.Routes({"x": route}))
    text = declarations(description)

    json.dumps(description)
    assert text.count("x: {") == 1
    simple = (Any, object, numbers.Number, None)
    if annotation not in simple and sent is not None:
        assert "value: unknown" not in text


# --- what is wrong is named ------------------------------------------------------


@pytest.mark.parametrize("codec", [Json(), MessagePack()], ids=["json", "msgpack"])
@pytest.mark.parametrize(
    ("annotation", "sent", "message"),
    [
        (Model, {}, r"parameter 'value': field required at \.name"),
        (Model, {"name": 5}, r"parameter 'value': input should be a valid string"),
        (Model, 5, r"parameter 'value': input should be"),
        (list[Model], [{"name": "a"}, {}], r"field required at \[1\]\.name"),
        (Model, {"name": "a", "count": -1}, r"greater than or equal to 0 at \.count"),
        (Checked, {"age": -1}, r"greater than or equal to 0 at \.age"),
        (Annotated[int, pydantic.Field(ge=0)], -1, r"greater than or equal to 0"),
        (Holder, {"model": {}}, r"field required at \.model\.name"),
        (Attrs, {"name": 5}, r"expected str, got int at \.name"),
        (Cat | Dog, {"kind": "fish"}, r"parameter 'value': "),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_wrong(annotation, sent, message, codec):
    with pytest.raises(rpc.InvalidParams, match=message) as raised:
        given(annotation, sent, codec)

    assert "pydantic" not in raised.value.message.lower()
    assert len(raised.value.message) < 500


class Secret(pydantic.BaseModel):
    number: int


def test_the_value_of_a_wrong_argument_is_in_no_message():
    with pytest.raises(rpc.InvalidParams) as raised:
        given(Secret, {"number": "hunter2"}, Json())

    assert "hunter2" not in raised.value.message


class Verbose(enum.Enum):
    A = "a"


def test_a_message_is_short_and_found_at_once_whatever_was_sent():
    sent = " - at `$" * 100_000

    with pytest.raises(rpc.InvalidParams, match=r"invalid enum value") as raised:
        given(Verbose, sent, Json())

    assert len(raised.value.message) < 500


# --- what is refused when the route is made --------------------------------------


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


class Text(str):
    pass


@dataclasses.dataclass
class Wallet:
    money: Money


UNREADABLE: list[Any] = [
    pathlib.Path,
    Money,
    list[Money],
    Money | None,
    dict[str, Money],
    Wallet,
    Text,
    complex,
    collections.deque,
    collections.OrderedDict,
    re.Pattern,
    typing.Callable[[int], int],
    type,
    Exception,
    typing.Iterator[int],
]


@pytest.mark.parametrize("annotation", UNREADABLE, ids=str)
def test_a_parameter_that_cannot_be_read_is_refused_when_the_route_is_made(annotation):
    def route(value):  # type: ignore[no-untyped-def]
        pass

    route.__annotations__ = {"value": annotation}

    with pytest.raises(TypeError, match=r"route: value: .*(cannot|not)"):
        rpc.Routes({"x": route})
    with pytest.raises(TypeError, match="route: value: "):
        rpc.Server({"x": route})
    with pytest.raises(TypeError, match="route: value: "):
        rpc.Client("ws://localhost/").routes.add("x", route)


@pytest.mark.parametrize("annotation", [pathlib.Path, Money, list[Money]], ids=str)
def test_a_result_that_cannot_be_written_is_refused_when_the_route_is_made(annotation):
    def route():  # type: ignore[no-untyped-def]
        pass

    async def stream():  # type: ignore[no-untyped-def]
        yield

    route.__annotations__ = {"return": annotation}
    stream.__annotations__ = {"return": AsyncIterator[annotation]}

    for function in (route, stream):
        with pytest.raises(TypeError, match=r": return: .*cannot be written"):
            rpc.Routes({"x": function})


@pytest.mark.parametrize("annotation", [5, "Missing", "1 +", list[5]], ids=str)
def test_an_annotation_that_is_no_type_is_refused(annotation):
    def route(value):  # type: ignore[no-untyped-def]
        pass

    route.__annotations__ = {"value": annotation}

    with pytest.raises(TypeError, match="route: "):
        rpc.Routes({"x": route})


# --- types of an application, by hooks -------------------------------------------


def double(amount: Money) -> Money:
    return Money(amount.cents * 2)


HOOKS: dict[str, Any] = {
    "enc_hook": lambda value: value.cents,
    "dec_hook": lambda kind, value: kind(value),
}


def with_routes() -> rpc.Server:
    routes = rpc.Routes(**HOOKS)
    routes.add("double", double)
    return rpc.Server(routes)


def with_included_routes() -> rpc.Server:
    routes = rpc.Routes()
    routes.include(rpc.Routes({"double": double}, **HOOKS))
    return rpc.Server(routes)


def with_later_routes() -> rpc.Server:
    server = rpc.Server(rpc.Routes(), **HOOKS)
    server.routes.add("double", double)
    return server


class WithTable(rpc.Server):
    ROUTES = {"double": double}


@pytest.mark.parametrize(
    "make",
    [
        lambda: rpc.Server({"double": double}, **HOOKS),
        lambda: WithTable(**HOOKS),
        with_routes,
        with_included_routes,
        with_later_routes,
    ],
)
async def test_types_of_an_application_are_read_and_written_by_its_hooks(make):
    line = Line("wsrpc")
    async with make().make_peer(line):
        line.put({"id": 3, "method": "double", "params": [21]})

        assert await line.sent() == {"id": 3, "result": 42}


def test_hooks_for_one_direction_are_not_enough_for_both():
    with pytest.raises(TypeError, match=r"return: .*cannot be written"):
        rpc.Server({"x": double}, dec_hook=HOOKS["dec_hook"])
    with pytest.raises(TypeError, match=r"amount: .*cannot be read"):
        rpc.Server({"x": double}, enc_hook=HOOKS["enc_hook"])


# --- Pydantic, from end to end ---------------------------------------------------


def rename(model: Model, *, name: str) -> Model:
    return model.model_copy(update={"name": name})


def untyped(value):  # type: ignore[no-untyped-def]
    return Model(name="untyped", nickName="n")


async def models(count: int) -> AsyncIterator[Model]:
    for number in range(count):
        yield Model(name=str(number))


def like_a_model() -> Model:
    class Row:
        name, count, when, nickName, password = "row", 2, None, None, "hidden"

    return Row()  # type: ignore[return-value]


def not_a_model() -> Model:
    return "five"  # type: ignore[return-value]


@pytest.mark.parametrize("wire", ["jsonrpc", "msgpack"])
async def test_models_go_there_and_back(wire):
    server = rpc.Server({"rename": rename, "untyped": untyped, "models": models})
    async with server.serve("localhost", 0) as listening:
        uri = f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"
        async with rpc.Client(uri, wire=wire) as client:
            model = Model(name="a", when=NOON, nickName="b")
            found = await client.call("rename", model=model, name="c", returns=Model)
            items = [item async for item in client.stream("models", 2, returns=Model)]
            plain = await client.call("untyped", [model])
            with pytest.raises(rpc.InvalidResult, match=r"field required at \.name"):
                await client.call("rpc.describe", returns=Model)

    assert found == Model(name="c", when=NOON, nickName="b")
    assert items == [Model(name="0"), Model(name="1")]
    assert plain == {"name": "untyped", "count": 1, "when": None, "nickName": "n"}


async def test_a_result_has_the_fields_of_its_model_and_no_others(caplog):
    line = Line()
    async with rpc.Peer(line, {"like": like_a_model, "not": not_a_model}):
        line.put({"jsonrpc": "2.0", "id": 1, "method": "like"})
        line.put({"jsonrpc": "2.0", "id": 2, "method": "not"})
        like, wrong = await line.sent(), await line.sent()

    assert like["result"] == {"name": "row", "count": 2, "when": None, "nickName": None}
    assert wrong["error"]["code"] == rpc.InternalError.code
    assert "not returned what is not as annotated: input should be" in caplog.text


def test_models_are_described_by_their_own_schema():
    class Other:
        class Model(pydantic.BaseModel):
            other: int

    def route(a: Model, b: Any) -> list[Model]:
        return []

    route.__annotations__["b"] = Other.Model
    description = described(rpc.Routes({"x": route, "point": lambda: Point(1)}))
    (found,) = [r for r in description["routes"] if r["name"] == "x"]

    first, second = (param["schema"] for param in found["params"])
    assert first["properties"].keys() == {"name", "count", "when", "nickName"}
    assert second["properties"].keys() == {"other"}
    assert found["returns"]["items"] == {"$ref": "#/types/Model"}
    assert description["types"]["Model"]["description"] == "Something of Pydantic's."
    text = declarations(description)
    assert "nickName?: string | null;" in text
    assert "result: Model[]" in text


def test_types_of_the_same_name_are_kept_apart():
    first = pydantic.create_model("Same", a=(int, ...))
    second = pydantic.create_model("Same", b=(int, ...))

    def route(a: Any, b: Any) -> None: ...

    route.__annotations__.update(a=list[first], b=list[second])
    description = described(rpc.Routes({"x": route}))

    (found,) = description["routes"]
    refs = [param["schema"]["items"]["$ref"] for param in found["params"]]
    assert refs == ["#/types/Same", "#/types/Same2"]
    properties = [t["properties"].keys() for t in description["types"].values()]
    assert properties == [{"a"}, {"b"}]


def test_nothing_of_pydantic_is_needed_or_imported():
    script = "import sys; from longwire import rpc; rpc.Server({'x': print}); "
    script += "print('pydantic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )

    assert done.stdout == "False\n"


def test_a_missing_argument_is_absent_in_the_types_too():
    def route(model: Model | None = None) -> None: ...

    assert signature_of(Model).parameters[0].is_required
    args, named = Signature(route, bound=False, peer_type=Caller).bind(
        ABSENT, Json(), None
    )
    assert (args, named) == ([], {})
