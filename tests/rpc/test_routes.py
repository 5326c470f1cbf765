"""Routes: what can be called, what cannot, and what is made of the arguments."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from longwire.rpc.codecs import ABSENT, Json, MessagePack
from longwire.rpc.routes import Caller
from longwire.rpc.signatures import Signature
from tests.rpc.links import Line


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Size(msgspec.Struct):
    width: float


class Options(TypedDict):
    fast: bool


# --- what can be called ----------------------------------------------------------


class Base:
    def inherited(self) -> str:
        return "inherited"

    def hidden_below(self) -> str:
        return "base"


class Things(Base):
    attribute = 5
    helper = len
    Nested = Point
    partial = functools.partial(print)
    hidden_below = None  # type: ignore[assignment]

    def __init__(self, peer: rpc.Peer) -> None:
        self.peer = peer
        self.callback = print

    def __call__(self) -> str:
        return "called"

    def init(self) -> str:
        return "init"

    def public(self) -> str:
        return "public"

    def _private(self) -> str:
        return "private"

    @property
    def prop(self) -> Any:
        return print

    @classmethod
    def make(cls) -> str:
        return "class method"

    def on_close(self) -> None:
        raise AssertionError("nobody may call this")


class Marked(rpc.Service):
    @rpc.method
    def shown(self) -> str:
        return "shown"

    @rpc.method("other.name")
    def renamed(self) -> str:
        return "renamed"

    def helper(self) -> str:
        return "hidden"


REACHABLE = {
    "things": "init",
    "things.public": "public",
    "things.inherited": "inherited",
    "marked.shown": "shown",
    "marked.other.name": "renamed",
    "deep.er.name": "deep",
}
OUT_OF_REACH = [
    "",
    ".",
    "things.",
    ".things",
    "things.init",
    "things._private",
    "things.__init__",
    "things.__class__",
    "things.__class__.__subclasses__",
    "things.__call__",
    "things.__dict__",
    "things.public.__globals__",
    "things.public.__call__",
    "things.attribute",
    "things.attribute.bit_length",
    "things.helper",
    "things.Nested",
    "things.partial",
    "things.prop",
    "things.make",
    "things.on_close",
    "things.callback",
    "things.peer",
    "things.peer.call",
    "things.peer.connection.close",
    "things.hidden_below",
    "marked",
    "marked.helper",
    "marked.renamed",
    "marked.peer",
    "marked.on_close",
    "deep",
    "deep.er",
    "deep.er.name.__code__",
    "__import__",
    "print",
    "eval",
    "rpc.shutdown",
    "rpc.describe.x",
    "$/cancel",
    "things\x00.public",
    "Things.public",
]
ROUTES = {
    "things": Things,
    "marked": Marked,
    "deep": {"er": {"name": lambda: "deep"}},
}


@pytest.mark.parametrize("name", REACHABLE)
async def test_what_is_meant_to_be_called_can_be(name):
    line = Line("wsrpc")
    async with rpc.Peer(line, ROUTES):
        line.put({"id": 3, "method": name})

        assert await line.sent() == {"id": 3, "result": REACHABLE[name]}


@pytest.mark.parametrize("wire", ["longwire.jsonrpc", "wsrpc"])
@pytest.mark.parametrize("name", OUT_OF_REACH)
async def test_what_is_not_meant_to_be_called_is_out_of_reach(name, wire):
    line = Line(wire)
    async with rpc.Peer(line, ROUTES):
        line.put({"jsonrpc": "2.0", "id": 3, "method": name, "params": []})
        error = (await line.sent())["error"]

    assert error.get("code", rpc.MethodNotFound.code) == rpc.MethodNotFound.code
    if wire == "wsrpc":
        assert error["type"] == "MethodNotFound"


async def test_state_set_on_an_instance_adds_no_route():
    class Sneaky(rpc.Service):
        def add(self, name: str) -> None:
            setattr(self, name, lambda: "reached")

    line = Line("wsrpc")
    async with rpc.Peer(line, {"sneaky": Sneaky}):
        line.put({"id": 3, "method": "sneaky.add", "params": "new"})
        assert await line.sent() == {"id": 3, "result": None}
        line.put({"id": 5, "method": "sneaky.new"})
        assert "error" in await line.sent()


@pytest.mark.parametrize(
    "name", ["_x", "a._b", "a..b", "", "a.", "rpc", "rpc.x", "$/x", "a\nb"]
)
def test_a_name_that_nobody_could_call_is_refused(name):
    with pytest.raises(ValueError, match="cannot be a route"):
        rpc.Routes({name: print})


@pytest.mark.parametrize("target", [5, "print", None, object(), [print]])
def test_what_is_neither_function_nor_class_is_refused(target):
    with pytest.raises(TypeError, match="a route is a function or a class"):
        rpc.Routes({"x": target})


def test_a_name_is_taken_once():
    routes = rpc.Routes({"x": lambda: 1})

    with pytest.raises(ValueError, match="there is a route 'x' already"):
        routes.add("x", lambda: 2)


def test_a_class_without_public_methods_is_refused():
    class Empty(rpc.Service):
        pass

    with pytest.raises(TypeError, match="class Empty has no public methods"):
        rpc.Routes({"x": Empty})


def test_routes_are_made_by_decorators_with_and_without_a_name():
    routes = rpc.Routes()

    @routes.route
    def one() -> None: ...

    @routes.route("number.two", deadline=5)
    async def two() -> None: ...

    @routes.route
    class three:
        def four(self) -> None: ...

    @routes.route("five")
    class Six:
        def seven(self) -> None: ...

    names = [route.name for route in routes]
    assert names == ["one", "number.two", "three.four", "five.seven"]
    assert routes.find("number.two").deadline == 5
    assert one() is None
    assert three().four() is None


def test_routes_are_included_after_a_prefix_and_removed_again():
    admin = rpc.Routes({"stop": lambda: None, "things": Things})
    routes = rpc.Routes({"ping": lambda: None})
    routes.include(admin, prefix="admin")

    assert "admin.stop" in routes
    assert "admin.things.public" in routes
    routes.remove("admin.things")
    assert {route.name for route in routes} == {"ping", "admin.stop"}


def test_threads_are_for_plain_functions():
    async def wait() -> None: ...

    with pytest.raises(TypeError, match="threads=True is for plain functions"):
        rpc.Routes().add("wait", wait, threads=True)


def test_a_generator_that_is_not_asynchronous_is_refused():
    def numbers() -> Any:
        yield 1

    with pytest.raises(TypeError, match="must be asynchronous to be a stream"):
        rpc.Routes({"numbers": numbers})


def gives_iterator(n: int) -> AsyncIterator[int]:
    return count_to(n)


async def gives_iterator_later(n: int) -> AsyncIterator[int]:
    return count_to(n)


async def count_to(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


@pytest.mark.parametrize("route", [count_to, gives_iterator, gives_iterator_later])
async def test_what_returns_an_asynchronous_iterator_is_a_stream(route):
    line = Line()
    call = {"jsonrpc": "2.0", "id": 3, "method": "x", "params": [2], "stream": 5}
    async with rpc.Peer(line, {"x": route}):
        line.put(call)
        frames = [await line.sent() for _ in range(3)]

    assert [frame["params"]["value"] for frame in frames[:2]] == [0, 1]
    assert frames[2]["result"] is None


# --- arguments -------------------------------------------------------------------


def signature(function: Any) -> Signature:
    return Signature(function, bound=False, peer_type=Caller)


def bind(function: Any, params: Any, codec: Any = None) -> Any:
    """What the function is called with, for params as a peer sends them."""
    codec = codec or Json()
    raw = ABSENT if params is None else msgspec.Raw(codec.encode(params))
    args, named = signature(function).bind(raw, codec, "the peer")
    return function(*args, **named)


def plain(a: int, b: str = "x", *, c: bool = False) -> Any:
    return a, b, c


def variadic(a: int, *rest: int, **others: str) -> Any:
    return a, rest, others


def positional(a: int, b: int = 2, /, c: int = 3) -> Any:
    return a, b, c


def keyword_only(*, a: int) -> Any:
    return a


def two_keywords(*, a: int, b: int) -> Any:
    return a, b


def with_peer(peer: rpc.Peer, a: int = 1) -> Any:
    return peer, a


def with_peer_by_name(a: int = 1, *, peer: rpc.Peer) -> Any:
    return peer, a


def positional_and_others(a: int, /, **others: int) -> Any:
    return a, others


def optional_and_others(a: int = 1, /, **others: int) -> Any:
    return a, others


def untyped(a, b=None):
    return a, b


@pytest.mark.parametrize("codec", [Json(), MessagePack()], ids=["json", "msgpack"])
@pytest.mark.parametrize(
    ("function", "params", "result"),
    [
        (plain, [1], (1, "x", False)),
        (plain, [1, "y"], (1, "y", False)),
        (plain, {"a": 1, "c": True}, (1, "x", True)),
        (variadic, [1, 2, 3], (1, (2, 3), {})),
        (variadic, {"a": 1, "z": "q"}, (1, (), {"z": "q"})),
        (positional, [1], (1, 2, 3)),
        (keyword_only, {"a": 1}, 1),
        (with_peer, [5], ("the peer", 5)),
        (with_peer, None, ("the peer", 1)),
        (with_peer, {"a": 5}, ("the peer", 5)),
        (with_peer_by_name, [5], ("the peer", 5)),
        (untyped, [[1, {"x": None}]], ([1, {"x": None}], None)),
        (positional_and_others, [1], (1, {})),
        (optional_and_others, {"a": 5}, (1, {"a": 5})),
    ],
)
def test_arguments_go_where_they_belong(function, params, result, codec):
    assert bind(function, params, codec) == result


@pytest.mark.parametrize(
    ("function", "params", "message"),
    [
        (plain, None, "parameter 'a' is missing"),
        (plain, [], "parameter 'a' is missing"),
        (plain, ["1"], "parameter 'a': expected int, got str"),
        (plain, [True], "parameter 'a': expected int, got bool"),
        (plain, [1, None], "parameter 'b': expected str, got null"),
        (plain, [1, "x", True], "at most 2 arguments are taken, 3 given"),
        (plain, {"a": 1, "d": 2}, "parameter 'd' is unknown; allowed: a, b, c"),
        (plain, {"a": 1, "c": 0}, "parameter 'c': expected bool, got int"),
        (plain, {"b": "x"}, "parameter 'a' is missing"),
        (variadic, [1, 2, "x"], "parameter 'rest': expected int, got str"),
        (variadic, {"a": 1, "z": 5}, "parameter 'z': expected str, got int"),
        (positional, {"c": 1}, "parameter 'a' is missing"),
        (positional, {"a": 1}, "parameter 'a' is unknown; allowed: c"),
        (keyword_only, [1], "parameter 'a' is missing"),
        (positional_and_others, {}, "parameter 'a' is missing"),
        (positional_and_others, {"b": 1}, "parameter 'a' is missing"),
        (positional_and_others, {"a": 1}, "parameter 'a' is unknown; allowed: none"),
        (plain, {}, "parameter 'a' is missing"),
        (two_keywords, [], "parameters 'a', 'b' are missing"),
        (two_keywords, None, "parameters 'a', 'b' are missing"),
        (positional, {}, "parameter 'a' is missing"),
        (keyword_only, None, "parameter 'a' is missing"),
        (with_peer, {"peer": 1}, "parameter 'peer' is unknown; allowed: a"),
        (with_peer_by_name, {"peer": 1}, "parameter 'peer' is unknown; allowed: a"),
        (untyped, {"x" * 100: 1}, "parameter 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_expected(function, params, message):
    with pytest.raises(rpc.InvalidParams) as raised:
        bind(function, params)

    assert raised.value.message.startswith(message)


def rich(
    point: Point | None = None,
    size: Size | None = None,
    options: Options | None = None,
    color: Color | None = None,
    when: datetime.datetime | None = None,
    data: bytes | None = None,
    number: Annotated[int, msgspec.Meta(ge=0)] | None = None,
    word: Literal["yes", "no"] | None = None,
    many: list[Point] | None = None,
) -> Any:
    return next(value for value in locals().values() if value is not None)


NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize("codec", [Json(), MessagePack()], ids=["json", "msgpack"])
@pytest.mark.parametrize(
    ("params", "value"),
    [
        ({"point": {"x": 1}}, Point(1)),
        ({"size": {"width": 2}}, Size(2.0)),
        ({"options": {"fast": True}}, {"fast": True}),
        ({"color": "red"}, Color.RED),
        ({"when": NOON}, NOON),
        ({"data": b"\x00\xff"}, b"\x00\xff"),
        ({"word": "yes"}, "yes"),
        ({"many": [{"x": 1}, {"x": 2, "y": 3}]}, [Point(1), Point(2, 3)]),
    ],
)
def test_arguments_become_what_they_are_annotated_as(params, value, codec):
    found = bind(rich, params, codec)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"point": {"x": "1"}}, "parameter 'point': expected int, got str at .x"),
        ({"point": {}}, "parameter 'point': object missing required field x"),
        ({"many": [{"x": 1}, 5]}, "parameter 'many': expected object, got int at [1]"),
        ({"color": "blue"}, "parameter 'color': invalid enum value 'blue'"),
        ({"when": "noon"}, "parameter 'when': invalid RFC3339 encoded datetime"),
        ({"number": -1}, "parameter 'number': expected int >= 0"),
        ({"options": {"fast": 1}}, "parameter 'options': expected bool, got int"),
    ],
)
def test_a_wrong_part_of_an_argument_is_found(params, message):
    with pytest.raises(rpc.InvalidParams) as raised:
        bind(rich, params)

    assert raised.value.message.startswith(message)


def test_a_type_that_cannot_be_read_is_refused_when_the_route_is_made():
    def bad(a: list[int] | list[str]) -> None: ...

    with pytest.raises(TypeError, match="bad: a: "):
        rpc.Routes({"bad": bad})


def test_an_annotation_that_cannot_be_resolved_is_refused_with_its_name():
    def bad(a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="'Missing' is not defined"):
        rpc.Routes({"bad": bad})


def test_the_peer_is_the_first_parameter_or_a_keyword():
    def bad(a: int, peer: rpc.Peer) -> None: ...

    with pytest.raises(TypeError, match="must be the first one or keyword-only"):
        rpc.Routes({"bad": bad})


# --- results ---------------------------------------------------------------------


class Wide(Point):
    secret: str = "hidden"


def returns_point() -> Point:
    return Point(1, 2)


def returns_wrong() -> int:
    return "five"  # type: ignore[return-value]


def returns_attributes() -> Point:
    class Row:
        x, y, password = 1, 2, "hidden"

    return Row()  # type: ignore[return-value]


def returns_bytes() -> bytes:
    return b"\x00"


def returns_enum() -> Color:
    return Color.RED


def returns_nothing() -> None:
    return None


async def points() -> AsyncIterator[Point]:
    yield Point(1)
    yield "wrong"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (returns_point, {"x": 1, "y": 2}),
        (returns_attributes, {"x": 1, "y": 2}),
        (returns_bytes, "AA=="),
        (returns_enum, "red"),
        (returns_nothing, None),
    ],
)
async def test_results_are_written_as_they_are_annotated(function, result):
    line = Line("wsrpc")
    async with rpc.Peer(line, {"x": function}):
        line.put({"id": 3, "method": "x"})

        assert await line.sent() == {"id": 3, "result": result}


async def test_a_result_that_is_not_as_annotated_is_an_error_of_ours(caplog):
    line = Line()
    async with rpc.Peer(line, {"x": returns_wrong}):
        line.put({"jsonrpc": "2.0", "id": 3, "method": "x"})
        error = (await line.sent())["error"]

    assert error["code"] == rpc.InternalError.code
    assert "x returned what is not as annotated: expected int, got str" in caplog.text


async def test_items_of_a_stream_are_checked_as_results_are(caplog):
    line = Line()
    async with rpc.Peer(line, {"points": points}):
        line.put({"jsonrpc": "2.0", "id": 3, "method": "points", "stream": 5})
        item, end = await line.sent(), await line.sent()

    assert item["params"]["value"] == {"x": 1, "y": 0}
    assert end["error"]["code"] == rpc.InternalError.code


async def test_types_of_an_application_are_written_and_read_by_hooks():
    class Money:
        def __init__(self, cents: int) -> None:
            self.cents = cents

    def double(amount: Any) -> Any:
        return Money(amount.cents * 2)

    double.__annotations__ = {"amount": Money, "return": Money}
    line = Line("wsrpc")
    hooks: dict[str, Any] = {
        "enc_hook": lambda value: value.cents,
        "dec_hook": lambda kind, value: kind(value),
    }
    async with rpc.Peer(line, {"double": double}, **hooks):
        line.put({"id": 3, "method": "double", "params": [21]})

        assert await line.sent() == {"id": 3, "result": 42}
