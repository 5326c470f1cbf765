"""What a route was given stays with it, however it comes into a table of routes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from tests.rpc.links import Line

pytestmark = pytest.mark.once


def where() -> str:
    """The kind of thread that this runs in."""
    return threading.current_thread().name.partition("_")[0]


class Files(rpc.Service):
    @rpc.method(threads=True, deadline=5)
    def read(self) -> str:
        return where()

    @rpc.method("other", deadline=None)
    async def later(self) -> str:
        return where()


class Plain:
    def read(self) -> str:
        return where()

    async def later(self) -> None: ...


@rpc.method(threads=True, deadline=5)
def marked() -> str:
    return where()


class Bound:
    @rpc.method(threads=True, deadline=5)
    def read(self) -> str:
        return where()


def made() -> rpc.Routes:
    routes = rpc.Routes()
    routes.add("read", where, threads=True, deadline=5)
    return routes


def included() -> rpc.Routes:
    routes = rpc.Routes()
    routes.include(made())
    return routes


def included_after_a_prefix() -> rpc.Routes:
    routes = rpc.Routes()
    routes.include(made(), prefix="a.b")
    return routes


def twice_included() -> rpc.Routes:
    routes = rpc.Routes()
    routes.include(included_after_a_prefix(), prefix="c")
    return routes


def decorated() -> rpc.Routes:
    routes = rpc.Routes()
    routes.route("read", threads=True, deadline=5)(where)
    return routes


def decorated_class() -> rpc.Routes:
    routes = rpc.Routes()

    @routes.route("files", threads=True, deadline=5)
    class Inner:
        def read(self) -> str:
            return where()

    return routes


class WithRoutes(rpc.Server):
    ROUTES = {"files": made()}


class WithTable(rpc.Server):
    ROUTES = made()


WAYS: dict[str, Callable[[], Any]] = {
    "added": made,
    "decorated": decorated,
    "decorated as a class": decorated_class,
    "included": included,
    "included after a prefix": included_after_a_prefix,
    "included twice": twice_included,
    "in a mapping": lambda: rpc.Routes({"files": made()}),
    "in a mapping of a mapping": lambda: rpc.Routes({"a": {"files": made()}}),
    "a mapping with options": lambda: _added("x", {"read": where}),
    "a class with options": lambda: _added("x", Plain),
    "routes with options": lambda: _added("x", rpc.Routes({"read": where})),
    "ROUTES": lambda: WithRoutes().routes,
    "ROUTES that are Routes": lambda: WithTable().routes,
    "ROUTES and more": lambda: WithRoutes({"more": where}).routes,
    "beside ROUTES": lambda: WithRoutes(made()).routes,
    "of a server": lambda: rpc.Server(made()).routes,
    "marked method": lambda: rpc.Routes({"files": Files}),
    "marked method, included": lambda: _included(rpc.Routes({"files": Files})),
    "marked function": lambda: rpc.Routes({"read": marked}),
    "marked, of a bound method": lambda: rpc.Routes({"read": Bound().read}),
}


def _added(name: str, target: Any) -> rpc.Routes:
    routes = rpc.Routes()
    routes.add(name, target, threads=True, deadline=5)
    return routes


def _included(routes: rpc.Routes) -> rpc.Routes:
    outer = rpc.Routes()
    outer.include(routes, prefix="outer")
    return outer


@pytest.mark.parametrize("way", WAYS)
async def test_a_route_keeps_its_options_whichever_way_it_is_added(way):
    routes = WAYS[way]()
    route = next(route for route in routes if route.name.endswith("read"))

    assert route.deadline == 5
    line = Line("wsrpc")
    async with rpc.Peer(line, routes):
        line.put({"id": 3, "method": route.name})
        assert (await line.sent())["result"] == "longwire-rpc"


def test_options_of_many_are_those_of_routes_that_have_none_of_their_own():
    routes = rpc.Routes()
    routes.add("files", Files, deadline=7, threads=True)

    found = {route.name: (route.deadline, route.threads) for route in routes}
    assert found == {"files.read": (5, True), "files.other": (None, False)}


@pytest.mark.parametrize("deadline", [0, -1, "5", float("inf"), True])
def test_a_deadline_that_is_none_is_refused(deadline):
    with pytest.raises((ValueError, TypeError), match="deadline"):
        rpc.Routes().add("x", where, deadline=deadline)


# --- one class under several names -----------------------------------------------


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self) -> int:
        self.count += 1
        return self.count


def twice() -> rpc.Routes:
    return rpc.Routes({"one": Counter, "two": Counter})


def twice_after_prefixes() -> rpc.Routes:
    inner = rpc.Routes({"counter": Counter})
    routes = rpc.Routes()
    routes.include(inner, prefix="one")
    routes.include(inner, prefix="two")
    return routes


@pytest.mark.parametrize("routes", [twice, twice_after_prefixes])
async def test_one_class_under_two_names_has_two_instances(routes):
    line, table = Line("wsrpc"), routes()
    first, second = [route.name for route in table]
    async with rpc.Peer(line, table):
        results = []
        for name in (first, first, second):
            line.put({"id": 3, "method": name})
            results.append((await line.sent())["result"])

    assert results == [1, 2, 1]


# --- removing --------------------------------------------------------------------


def test_what_one_call_added_is_removed_whole():
    inner = rpc.Routes({"a": where})
    routes = rpc.Routes({"keep": where})
    routes.add("many", {"inner": inner, "class": Plain, "function": where})
    inner.add("b", where)  # not part of `routes`
    assert len(routes) == 5

    routes.remove("many")

    assert [route.name for route in routes] == ["keep"]
    routes.add("many", {"again": where})


def test_a_name_in_use_leaves_the_table_as_it_was():
    routes = rpc.Routes({"b": where})

    with pytest.raises(ValueError, match="there is a route 'b' already"):
        routes.include({"a": where, "b": where})
    with pytest.raises(ValueError, match=r"there is a route 'x\.y' already"):
        routes.include({"x.y": where, "x": {"y": where}})

    assert [route.name for route in routes] == ["b"]
    with pytest.raises(KeyError):
        routes.remove("a")


async def test_routes_can_be_removed_and_added_while_the_server_serves():
    server = rpc.Server({"x": lambda: 1})
    line = Line("wsrpc")
    async with server.make_peer(line):
        server.routes.remove("x")
        line.put({"id": 3, "method": "x"})
        assert (await line.sent())["error"]["type"] == "MethodNotFound"
        server.routes.add("x", lambda: 2)
        line.put({"id": 5, "method": "x"})
        assert (await line.sent())["result"] == 2


async def test_a_function_behind_a_decorator_runs_as_what_it_is():
    import functools

    def awaited(function: Any) -> Any:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return function(*args, **kwargs)

        return wrapper

    line = Line("wsrpc")
    async with rpc.Peer(line, {"x": awaited(lambda: 5)}):
        line.put({"id": 3, "method": "x"})
        assert (await line.sent())["result"] == 5
