"""Routes: which names can be called, and what each of them calls.

Every name is looked up in one table that is made beforehand: nothing a peer sends ever
becomes an attribute lookup, so what is not in the table is out of reach.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar, overload

from .construction import Owner
from .kinds import NO_HOOKS, Hooks
from .limits import check_seconds
from .signatures import Signature, is_peer

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


class Method(NamedTuple):
    """What :func:`method` leaves on a function."""

    name: str | None
    threads: bool = False
    deadline: Any = UNSET


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
    if callable(target):
        setattr(target, _MARK, Method(None, threads, deadline))
        return target

    def mark(function: F) -> F:
        setattr(function, _MARK, Method(target, threads, deadline))
        return function

    return mark


class Route:
    """One name and what it calls.

    ``owner`` is the class it is a method of, ``deadline`` `UNSET` where that of the
    limits holds.
    """

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
        owner: Owner | None = None,
        attribute: str = "",
        threads: bool = False,
        deadline: float | object | None = UNSET,
        hooks: Hooks = NO_HOOKS,
        blocking: bool = False,
    ) -> None:
        self.name = name
        self.function = function
        self.owner = owner
        self.attribute = attribute
        self.threads = threads
        self.deadline = deadline
        self.doc = inspect.getdoc(function) or ""
        self.signature = Signature(
            function,
            bound=owner is not None,
            peer_type=Caller,
            hooks=hooks,
            blocking=blocking,
        )
        self.is_async = _is_async(function)
        self.is_plain = not (self.is_async or threads or self.signature.is_stream)
        if threads and (self.is_async or self.signature.is_stream):
            raise TypeError(f"{name}: threads=True is for plain functions")
        if deadline is not UNSET:
            check_seconds("deadline", deadline)

    def copy(self, name: str, owner: Owner | None) -> Route:
        """Return the same route under another name, for the instances of ``owner``."""
        other = Route.__new__(Route)
        for attribute in self.__slots__:
            setattr(other, attribute, getattr(self, attribute))
        other.name = name
        other.owner = owner
        return other

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
    mappings (whose names follow after a dot) or Routes. ``enc_hook`` and ``dec_hook``
    are those of :class:`Server`, for annotations of types that ``msgspec`` does not
    know; without them such an annotation is a TypeError.
    """

    _blocking: ClassVar[bool] = False  # whether they run where nothing is awaited

    def __init__(
        self,
        routes: Mapping[str, Any] | None = None,
        *,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self.enc_hook = enc_hook
        self.dec_hook = dec_hook
        self._table: dict[str, Route] = {}
        # What was added by one call, and is removed by one.
        self._added: dict[str, list[str]] = {}
        if routes is not None and not isinstance(routes, Mapping):
            raise _no_routes(routes)
        for name, target in (routes or {}).items():
            self.add(name, target)

    @classmethod
    def of(
        cls,
        routes: Any,
        *,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[Any, Any], Any] | None = None,
    ) -> Routes:
        """Return ``routes`` as Routes: they may be that, a mapping, or None."""
        if isinstance(routes, Routes):
            routes.enc_hook = routes.enc_hook or enc_hook
            routes.dec_hook = routes.dec_hook or dec_hook
            return routes
        if routes is None or isinstance(routes, Mapping):
            return cls(routes, enc_hook=enc_hook, dec_hook=dec_hook)
        raise _no_routes(routes)

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
        ``RpcLimits.deadline``. For a class, or a mapping, they are those of all its
        routes that have none of their own; ``threads`` of the plain ones.
        """
        if callable(target):
            self.add(target.__name__, target)
            return target

        def add(function: F) -> F:
            name = target or function.__name__
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
        options = Options(threads, deadline, self._hooks(), self._blocking)
        self._enter({name: list(_routes_of(name, target, options))})

    def include(self, routes: Routes | Mapping[str, Any], prefix: str = "") -> None:
        """Add other routes, their names after ``prefix`` and a dot.

        Each keeps its options. What is added to ``routes`` later is not included.
        """
        included = Routes.of(routes, enc_hook=self.enc_hook, dec_hook=self.dec_hook)
        owners: dict[Owner, Owner] = {}
        groups: dict[str, list[Route]] = {}
        for name, added in included._added.items():
            group = groups[_joined(prefix, name)] = []
            for full in added:
                check_name(_joined(prefix, full))
                route = included._table[full]
                group.append(_copied(route, _joined(prefix, full), owners))
        self._enter(groups)
        self.enc_hook = self.enc_hook or included.enc_hook
        self.dec_hook = self.dec_hook or included.dec_hook

    def _hooks(self) -> Hooks:
        return Hooks(self.dec_hook is not None, self.enc_hook is not None)

    def _enter(self, groups: dict[str, list[Route]]) -> None:
        """Add all of these routes, or none."""
        new: dict[str, Route] = {}
        for group in groups.values():
            for route in group:
                if route.name in self._table or route.name in new:
                    raise ValueError(f"there is a route {route.name!r} already")
                new[route.name] = route
        self._table.update(new)
        for name, group in groups.items():
            self._added.setdefault(name, []).extend(route.name for route in group)

    def remove(self, name: str) -> None:
        """Take back all that was added as ``name``; KeyError if nothing was."""
        for full in self._added.pop(name):
            del self._table[full]

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


def _no_routes(found: object) -> TypeError:
    """Return the error of what is neither Routes nor a mapping."""
    kind = type(found).__name__
    text = f"routes must be Routes or a mapping, not {kind}"
    several = found if isinstance(found, (list, tuple, set)) else [found]
    names = [getattr(each, "__name__", "") for each in several]
    if names and all(map(callable, several)) and all(names):
        written = ", ".join(f"{name!r}: {name}" for name in names[:3])
        text = f"{text}: write {{{written}}}"
    return TypeError(text)


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


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


class Options(NamedTuple):
    """What is true of all routes that one call adds, unless they say otherwise."""

    threads: bool
    deadline: Any
    hooks: Hooks
    blocking: bool


def _routes_of(name: str, target: Any, options: Options) -> Iterator[Route]:
    if isinstance(target, Routes):
        owners: dict[Owner, Owner] = {}
        for route in target:
            full = f"{name}.{route.name}"
            check_name(full)
            yield _with_options(_copied(route, full, owners), options)
    elif isinstance(target, Mapping):
        for key, value in target.items():
            check_name(f"{name}.{key}")
            yield from _routes_of(f"{name}.{key}", value, options)
    elif inspect.isclass(target):
        for route in _methods_of(name, target, options):
            yield _with_options(route, options)
    elif inspect.isroutine(target):
        mark = _mark_of(target)
        deadline = options.deadline
        yield Route(
            name,
            target,
            threads=options.threads or mark.threads,
            deadline=mark.deadline if deadline is UNSET else deadline,
            hooks=options.hooks,
            blocking=options.blocking,
        )
    else:
        kind = type(target).__name__
        raise TypeError(f"{name}: a route is a function or a class, not {kind}")


def _copied(route: Route, name: str, owners: dict[Owner, Owner]) -> Route:
    """Return ``route`` under another name, with instances of its own if of a class."""
    owner = route.owner
    if owner is not None:
        if owner not in owners:
            owners[owner] = owner.copy()
        owner = owners[owner]
    return route.copy(name, owner)


def _with_options(route: Route, options: Options) -> Route:
    """Give one route of many the options of all, where it has none of its own."""
    if options.threads and route.is_plain:
        route.threads, route.is_plain = True, False
    if route.deadline is UNSET:
        route.deadline = options.deadline
    return route


def _mark_of(function: Any) -> Method:
    """Return what `method` has left on a function, or on that of a bound method."""
    found = getattr(function, "__dict__", {}).get(_MARK)
    if found is None and inspect.ismethod(function):
        found = vars(function.__func__).get(_MARK)
    return found if isinstance(found, Method) else Method(None)


def _methods_of(name: str, cls: type, options: Options) -> Iterator[Route]:
    """Yield the routes of a class: its own and inherited public functions.

    Functions only: properties, class attributes and nested classes are not called by
    anybody, nor is what every object and every Service has.
    """
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(cls.__mro__):
        if base in (object, Service):
            continue
        for attribute, value in vars(base).items():
            # A subclass takes a method out of reach by making it something else.
            found.pop(attribute, None)
            if inspect.isfunction(value) and attribute[0] != "_":
                found[attribute] = value
    found.pop("on_close", None)
    marked = {key: value for key, value in found.items() if _MARK in vars(value)}
    found = marked or found
    if not found:
        raise TypeError(f"{name}: class {cls.__name__} has no public methods")
    wants_peer = functools.partial(is_peer, peer_type=Caller)
    owner = Owner(cls, wants_peer, always=issubclass(cls, Service))
    for attribute, function in found.items():
        mark = _mark_of(function)
        own = mark.name or attribute
        check_name(own)
        yield Route(
            name if own == "init" else f"{name}.{own}",
            function,
            owner=owner,
            attribute=attribute,
            threads=mark.threads,
            deadline=mark.deadline,
            hooks=options.hooks,
            blocking=options.blocking,
        )


def _is_async(function: Any) -> bool:
    """Whether a call of ``function``, or of what it wraps, gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        inspect.unwrap(function)
    )
