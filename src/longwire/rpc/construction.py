"""Construction: how the class of a route is instantiated, and handed the peer.

Decided once, when the route is made, so that a class which cannot be instantiated is a
TypeError then and not at each call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["Owner"]

_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

WantsPeer = Callable[[Any], bool]


class Owner:
    """One registration of a class: it has one instance for each connection.

    The peer goes to the parameter of the constructor that is annotated with it
    (``wants_peer(annotation)``) or called ``peer``, else to the first required one. A
    class that ``always`` gets the peer, a Service, gets it whatever its constructor
    takes. Raises TypeError for a constructor that asks for more.
    """

    __slots__ = ("_always", "_by_position", "_name", "cls")

    def __init__(self, cls: type, wants_peer: WantsPeer, *, always: bool) -> None:
        self.cls = cls
        self._always = always
        parameters = _parameters(cls)
        chosen = _chosen(cls, parameters, wants_peer, always)
        # The keyword to hand the peer in; None where it is not handed in so.
        self._name: str | None = None
        self._by_position = False
        if chosen is not None:
            self._by_position = chosen.kind in _POSITIONAL and chosen is parameters[0]
            self._name = chosen.name
            if chosen.kind is inspect.Parameter.VAR_KEYWORD:
                self._name = _name_in_base(cls, wants_peer) or "peer"
        missing = [
            parameter.name
            for parameter in parameters
            if parameter is not chosen
            and parameter.kind not in _VARIADIC
            and parameter.default is inspect.Parameter.empty
        ]
        if missing:
            raise TypeError(
                f"class {cls.__name__} cannot be instantiated for a connection: its "
                f"constructor asks for {', '.join(missing)}; only the peer is given"
            )

    def instance(self, peer: Any) -> Any:
        """Return a new instance, for the connection of ``peer``."""
        if self._by_position:
            made = self.cls(peer)
        elif self._name is not None:
            made = self.cls(**{self._name: peer})
        else:
            made = self.cls()
        if self._always and not hasattr(made, "peer"):
            made.peer = peer  # a constructor without parameters did not set it
        return made

    def copy(self) -> Owner:
        """Return another registration of the same class."""
        other = Owner.__new__(Owner)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other


def _parameters(cls: type) -> list[inspect.Parameter]:
    """Return what the constructor takes, as far as it can be known."""
    try:
        return list(inspect.signature(cls, eval_str=True).parameters.values())
    except Exception:
        pass  # an annotation that only type checkers can read
    try:
        return list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):
        return []  # written in C: it does not tell


def _chosen(
    cls: type,
    parameters: list[inspect.Parameter],
    wants_peer: WantsPeer,
    always: bool,
) -> inspect.Parameter | None:
    """Return the parameter that takes the peer, None if there is none."""
    if not parameters:
        return None
    for parameter in parameters:
        if wants_peer(parameter.annotation):
            return parameter
    for parameter in parameters:
        if parameter.name == "peer" and parameter.kind not in _VARIADIC:
            return parameter
    first = parameters[0]
    if first.kind not in _VARIADIC and first.default is inspect.Parameter.empty:
        return first
    if not always and _name_in_base(cls, wants_peer) is None:
        return None
    if first.kind is inspect.Parameter.VAR_POSITIONAL:
        return first
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return parameter  # handed on to the constructor of a base
    return first if always else None


def _name_in_base(cls: type, wants_peer: WantsPeer) -> str | None:
    """Return the name by which the next constructor among the bases takes the peer."""
    for base in cls.__mro__[1:-1]:
        if "__init__" in vars(base):
            found = _chosen(base, _parameters(base), wants_peer, False)
            return None if found is None else found.name
    return None
