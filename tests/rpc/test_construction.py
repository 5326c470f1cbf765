"""Classes as routes: whatever their constructor takes, it is handed the peer."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Optional

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from tests.rpc.links import Line

pytestmark = pytest.mark.once


class Base(rpc.Service):
    def who(self) -> bool:
        return isinstance(self.peer, rpc.Peer)


class Inherited(Base):
    pass


class Named(Base):
    def __init__(self, peer: rpc.Peer) -> None:
        super().__init__(peer)


class Unannotated(Base):
    def __init__(self, p) -> None:  # type: ignore[no-untyped-def]
        super().__init__(p)


class WithDefault(Base):
    def __init__(self, peer: rpc.Peer | None = None) -> None:
        self.peer = peer  # type: ignore[assignment]


class WithOldDefault(Base):
    def __init__(self, peer: Optional[rpc.Peer] = None) -> None:  # noqa: UP045
        self.peer = peer  # type: ignore[assignment]


class UnannotatedDefault(Base):
    def __init__(self, p=None) -> None:  # type: ignore[no-untyped-def]
        self.peer = p


class AnyArguments(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class AnyPositions(Base):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)


class AnyKeywords(Base):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class OptionFirst(Base):
    def __init__(self, option: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.option = option

    def who(self) -> bool:
        return super().who() and self.option == 5


class PeerBehindOption(Base):
    def __init__(self, option: int = 5, peer: Any = None) -> None:
        super().__init__(peer)
        assert option == 5


class KeywordOnly(Base):
    def __init__(self, *, peer: rpc.Peer) -> None:
        super().__init__(peer)


class KeywordWithDefault(Base):
    def __init__(self, *, other: int = 5, peer: Any = None) -> None:
        super().__init__(peer)
        assert other == 5


class PositionalOnly(Base):
    def __init__(self, p: Any, /) -> None:
        super().__init__(p)


class ArgumentsAndKeyword(Base):
    def __init__(self, *args: Any, option: int = 5) -> None:
        super().__init__(*args)
        assert option == 5


class AnnotatedAs(Base):
    def __init__(self, owner: Annotated[rpc.Peer, "the other side"]) -> None:
        super().__init__(owner)


class Nothing(Base):
    def __init__(self) -> None:
        pass


class MadeByNew(Base):
    def __new__(cls, peer: Any) -> MadeByNew:
        return super().__new__(cls)


@dataclasses.dataclass
class Data(Base):
    peer: rpc.Peer
    items: list[str] = dataclasses.field(default_factory=list)


class Mixin:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Mixed(Mixin, Base):
    pass


SERVICES = [
    *(Inherited, Named, Unannotated, WithDefault, WithOldDefault, UnannotatedDefault),
    *(AnyArguments, AnyPositions, AnyKeywords, OptionFirst, PeerBehindOption),
    *(KeywordOnly, KeywordWithDefault, PositionalOnly, ArgumentsAndKeyword),
    *(AnnotatedAs, Nothing, MadeByNew, Data, Mixed),
]


async def result_of(cls: type) -> Any:
    line = Line("wsrpc")
    async with rpc.Peer(line, {"x": cls}):
        line.put({"id": 3, "method": "x.who"})
        return await line.sent()


@pytest.mark.parametrize("cls", SERVICES, ids=lambda cls: cls.__name__)
async def test_a_service_is_handed_the_peer_whatever_its_constructor_takes(cls):
    assert await result_of(cls) == {"id": 3, "result": True}


# --- classes that are no Service ---------------------------------------------------


class Required:
    def __init__(self, them: Any) -> None:
        self.them = them

    def who(self) -> bool:
        return isinstance(self.them, rpc.Peer)


class Optionally(Required):
    def __init__(self, count: int = 1, them: rpc.Peer | None = None) -> None:
        super().__init__(them)


class ByName(Required):
    def __init__(self, *, peer: Any = None) -> None:
        super().__init__(peer)


class HandsOn(Required):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class HandsOnByName(Required):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)


@pytest.mark.parametrize(
    "cls", [Required, Optionally, ByName, HandsOn, HandsOnByName], ids=str
)
async def test_another_class_is_handed_the_peer_where_it_asks_for_it(cls):
    assert await result_of(cls) == {"id": 3, "result": True}


class Bare:
    def who(self) -> str:
        return "nobody asked"


class HasDefault(Bare):
    def __init__(self, count: int = 5) -> None:
        assert count == 5


class TakesAnything(Bare):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        assert not args
        assert not kwargs


@pytest.mark.parametrize("cls", [Bare, HasDefault, TakesAnything], ids=str)
async def test_another_class_that_does_not_ask_is_not_handed_anything(cls):
    assert await result_of(cls) == {"id": 3, "result": "nobody asked"}


# --- what cannot be instantiated -----------------------------------------------------


class AsksForMore(Base):
    def __init__(self, peer: rpc.Peer, database: Any) -> None:
        super().__init__(peer)


class AsksByName(Base):
    def __init__(self, peer: rpc.Peer, *, database: Any) -> None:
        super().__init__(peer)


@dataclasses.dataclass
class DataForMore(Bare):
    host: str
    port: int


@pytest.mark.parametrize("cls", [AsksForMore, AsksByName, DataForMore], ids=str)
def test_a_constructor_that_asks_for_more_is_refused_when_the_route_is_made(cls):
    with pytest.raises(TypeError, match=r"its constructor asks for (database|port)"):
        rpc.Routes({"x": cls})


# --- parameters of routes ------------------------------------------------------------


def plain(peer: rpc.Peer) -> Any:
    return peer


def optional(peer: rpc.Peer | None = None) -> Any:
    return peer


def old_optional(peer: Optional[rpc.Peer]) -> Any:  # noqa: UP045
    return peer


def annotated(peer: Annotated[rpc.Peer, "x"]) -> Any:
    return peer


def by_name(a: int = 1, *, peer: rpc.Peer | None = None) -> Any:
    return peer


class OwnPeer(rpc.Peer):
    pass


def subclass(peer: OwnPeer) -> Any:
    return peer


@pytest.mark.parametrize(
    "function", [plain, optional, old_optional, annotated, by_name, subclass]
)
@pytest.mark.parametrize("params", [[], {}, None], ids=str)
async def test_a_route_gets_the_peer_however_it_says_so(function, params):
    line, found = Line("wsrpc"), []

    def told(*args: Any, **kwargs: Any) -> None:
        found.append(function(*args, **kwargs))

    import functools

    functools.update_wrapper(told, function)
    async with rpc.Peer(line, {"x": told}) as peer:
        line.put({"id": 3, "method": "x", "params": params})
        assert await line.sent() == {"id": 3, "result": None}

    assert found == [peer]
