"""Routes: which names can be called, and what each of them calls.

Every name is looked up in one table that is made beforehand: nothing a peer sends ever
becomes an attribute lookup, so what is not in the table is out of reach.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .signatures import Signature

if TYPE_CHECKING:
    from .peer import Peer

__all__ = ["Caller", "Method", "Route", "Routes", "Service", "method"]

F = TypeVar("F", bound=Callable[..., Any])

UNSET = object()  # None is a deadline: none at all


class Caller:
    """What :class:`Peer` is derived from, so that routes know it without its I/O.

    A parameter annotated with it, or with ``Peer``, gets the peer that calls.
    """


class Service:
    """A class with an instance for each connection, made at its first call.

    Its public methods are routes: ``name.method``, and ``name`` alone calls ``init``.
    With :func:`method` on some of them only those are. ``peer`` is the other side;
    ``on_close``, plain or async, is called when the connection has ended.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def on_close(self) -> Awaitable[None] | None:
        """The connection has ended; ``peer.close_report`` says how."""
        return None


class Method:
    """What :func:`method` leaves on a function."""

    def __init__(self, name: str | None, options: dict[str, Any]) -> None:
        self.name = name
        self.options = options


_MARK = "_longwire_rpc_method"


@overload
def method(target: F, /) -> F: ...


@overload
def method(
    target: str | None = None,
    /,
    *,
    threads: bool = False,
    deadline: float | object | None = UNSET,
) -> Callable[[F], F]: ...


def method(
    target: Any = None,
    /,
    *,
    threads: bool = False,
    deadline: float | object | None = UNSET,
) -> Any:
    """Mark a method as a route, under its own name or the one given.

    Where a class marks some of its methods, the others are out of reach. ``threads``
    and ``deadline`` are as for :meth:`Routes.route`.
    """
    options = {"threads": threads, "deadline": deadline}
    if callable(target):
        setattr(target, _MARK, Method(None, options))
        return target

    def mark(function: F) -> F:
        setattr(function, _MARK, Method(target, options))
        return function

    return mark


class Route:
    """One name and what it calls."""

    __slots__ = (
        "attribute",
        "deadline",
        "doc",
        "function",
        "is_async",
        "is_plain",
        "name",
        "owner",
        "signature",
        "threads",
    )

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        owner: type | None = None,
        attribute: str = "",
        threads: bool = False,
        deadline: float | object | None = UNSET,
    ) -> None:
        self.name = name
        self.function = function
        self.owner = owner
        self.attribute = attribute
        self.threads = threads
        self.deadline = deadline
        self.doc = inspect.getdoc(function) or ""
        self.signature = Signature(function, bound=owner is not None, peer_type=Caller)
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
        self.is_plain = not (self.is_async or threads or self.signature.is_stream)
        if threads and (self.is_async or self.signature.is_stream):
            raise TypeError(f"{name}: threads=True is for plain functions")

    @property
    def is_stream(self) -> bool:
        """Whether it gives items instead of a result."""
        return self.signature.is_stream

    def __repr__(self) -> str:
        return f"<Route {self.name}>"


class Routes:
    """Names and the functions and classes they call.

    ::

        routes = rpc.Routes()

        @routes.route
        def add(a: int, b: int) -> int:
            return a + b

    ``routes`` may be given as a mapping from names to functions, classes, other
    mappings (whose names follow after a dot) or Routes.
    """

    def __init__(self, routes: Mapping[str, Any] | None = None) -> None:
        self._table: dict[str, Route] = {}
        self._tops: dict[str, Any] = {}
        for name, target in (routes or {}).items():
            self.add(name, target)

    @classmethod
    def of(cls, routes: Any) -> Routes:
        """Return ``routes`` as Routes: they may be that, a mapping, or None."""
        if isinstance(routes, Routes):
            return routes
        if routes is None or isinstance(routes, Mapping):
            return cls(routes)
        kind = type(routes).__name__
        raise TypeError(f"routes must be Routes or a mapping, not {kind}")

    # --- making ------------------------------------------------------------------

    @overload
    def route(self, target: F, /) -> F: ...

    @overload
    def route(
        self,
        target: str | None = None,
        /,
        *,
        threads: bool = False,
        deadline: float | object | None = UNSET,
    ) -> Callable[[F], F]: ...

    def route(
        self,
        target: Any = None,
        /,
        *,
        threads: bool = False,
        deadline: float | object | None = UNSET,
    ) -> Any:
        """Make a function, or a class, a route: a decorator, with or without a name.

        ``threads=True`` runs a plain function in the server's pool of threads.
        ``deadline`` is the seconds it may take, None for any; not given,
        ``RpcLimits.deadline``.
        """
        if callable(target):
            self.add(target.__name__, target)
            return target

        def add(function: F) -> F:
            name = target or function.__name__
            if inspect.isclass(function):
                self.add(name, function)
            else:
                self.add(name, function, threads=threads, deadline=deadline)
            return function

        return add

    def add(
        self,
        name: str,
        target: Any,
        *,
        threads: bool = False,
        deadline: float | object | None = UNSET,
    ) -> None:
        """Make ``target`` callable as ``name``.

        Raises ValueError for a name that is taken or out of reach, TypeError for what
        cannot be called from afar.
        """
        check_name(name)
        found = list(_routes_of(name, target, threads, deadline))
        for route in found:
            if route.name in self._table:
                raise ValueError(f"there is a route {route.name!r} already")
        self._table.update({route.name: route for route in found})
        self._tops[name] = target

    def include(self, routes: Routes | Mapping[str, Any], prefix: str = "") -> None:
        """Add other routes, their names after ``prefix`` and a dot."""
        for name, target in Routes.of(routes)._tops.items():
            self.add(f"{prefix}.{name}" if prefix else name, target)

    def remove(self, name: str) -> None:
        """Take back what was added as ``name``; KeyError if nothing was."""
        target = self._tops.pop(name)
        for route in _routes_of(name, target, False, UNSET):
            del self._table[route.name]

    # --- asking ------------------------------------------------------------------

    def find(self, name: str) -> Route | None:
        """Return the route called ``name``, None if there is none."""
        return self._table.get(name)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._table.values())

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, name: object) -> bool:
        return name in self._table


def check_name(name: str) -> None:
    """Raise ValueError for a name that nobody could or should call."""
    if not isinstance(name, str):
        raise TypeError(f"a route's name must be str, not {type(name).__name__}")
    for part in name.split("."):
        if not part or not part.isprintable() or part[0] in "_$":
            raise ValueError(
                f"{name!r} cannot be a route: each part between dots must be "
                "printable and not begin with _ or $"
            )
    if name.partition(".")[0] == "rpc":
        raise ValueError(f"{name!r} cannot be a route: rpc. is the protocol's own")


def _routes_of(name: str, target: Any, threads: bool, deadline: Any) -> Iterator[Route]:
    if isinstance(target, Routes):
        target = target._tops
    if isinstance(target, Mapping):
        for key, value in target.items():
            check_name(f"{name}.{key}")
            yield from _routes_of(f"{name}.{key}", value, threads, deadline)
    elif inspect.isclass(target):
        yield from _methods_of(name, target)
    elif inspect.isroutine(target):
        yield Route(name, target, threads=threads, deadline=deadline)
    else:
        kind = type(target).__name__
        raise TypeError(f"{name}: a route is a function or a class, not {kind}")


def _methods_of(name: str, owner: type) -> Iterator[Route]:
    """Yield the routes of a class: its own and inherited public functions.

    Functions only: properties, class attributes and nested classes are not called by
    anybody, nor is what every object and every Service has.
    """
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(owner.__mro__):
        if base in (object, Service):
            continue
        for attribute, value in vars(base).items():
            # A subclass takes a method out of reach by making it something else.
            found.pop(attribute, None)
            if inspect.isfunction(value) and attribute[0] != "_":
                found[attribute] = value
    found.pop("on_close", None)
    marks = {key: vars(value).get(_MARK) for key, value in found.items()}
    if any(marks.values()):
        found = {key: value for key, value in found.items() if marks[key]}
    if not found:
        raise TypeError(f"{name}: class {owner.__name__} has no public methods")
    for attribute, function in found.items():
        mark = marks[attribute] or Method(None, {})
        own = mark.name or attribute
        check_name(own)
        full = name if own == "init" else f"{name}.{own}"
        yield Route(full, function, owner=owner, attribute=attribute, **mark.options)
