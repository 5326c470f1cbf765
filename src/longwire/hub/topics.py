"""Topics: their names, and the declarations that say what a topic is like.

A name is segments with ``:`` between them. Its first segment and the number of its
segments choose the declaration: one look-up in a dict, whatever clients send. A name
that was not declared is refused, so that a typo does not become an empty topic.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Literal, get_args

from .broker import Storage
from .errors import TooLarge, UnknownTopic

__all__ = [
    "CONTROL",
    "INTERNAL",
    "MAX_NAME",
    "NODES",
    "PRESENCE",
    "Declaration",
    "Declarations",
    "Rule",
    "Slow",
    "check_name",
]

MAX_NAME = 128
"""Most bytes of a name, in UTF-8."""

REMEMBERED = 4096
"""Names whose declarations are remembered."""

INTERNAL = "$"
"""What the names of the hub's own topics begin with."""
CONTROL = "$control"
NODES = "$nodes"
PRESENCE = "$presence:"

Slow = Literal["catch_up", "latest", "drop", "disconnect"]
SLOW: tuple[str, ...] = get_args(Slow)

Readers = Literal["subscribers", "nobody"]
"""Who may read history, or presence."""

RULES = ("nobody", "user", "anyone", "own", "token")
Rule = str | Callable[[Any], Any]
"""Who may: one of `RULES`, or a function of a context."""

Snapshot = Callable[[str, Mapping[str, str]], Awaitable[Any]]

MIN_META_TTL = 24 * 3600.0
"""Least seconds that epoch and top are remembered after a topic's last use."""


@dataclasses.dataclass(frozen=True, slots=True)
class Declaration:
    """What all topics of one pattern are like; made by ``Hub.topic()``."""

    pattern: str
    segments: tuple[str, ...]
    history: int
    subscribe: Rule
    publish: Rule
    presence: bool
    latest: bool
    slow: Slow
    snapshot: Snapshot | None
    read_history: Readers
    read_presence: Readers

    storage: Storage
    """How a broker stores these topics: history, times, durability."""

    def params_of(self, segments: list[str]) -> dict[str, str] | None:
        """Return the parameters that a name's segments give; None if it is another."""
        params = {}
        for own, given in zip(self.segments, segments, strict=True):
            if own.startswith("{"):
                params[own[1:-1]] = given
            elif own != given:
                return None
        return params


class Declarations:
    """All that a hub was told of topics."""

    def __init__(self, max_history: int | None) -> None:
        self._max_history = max_history
        self._table: dict[tuple[str, int], Declaration] = {}
        # Names that were checked, with their declarations: some are published to often.
        self._known: dict[str, Declaration] = {}

    def __iter__(self) -> Iterator[Declaration]:
        return iter(self._table.values())

    def __len__(self) -> int:
        return len(self._table)

    def add(self, declaration: Declaration) -> None:
        """Take a declaration; ValueError if another one has its names."""
        most = self._max_history
        if most is not None and declaration.history > most:
            raise ValueError(
                f"history is {declaration.history}; at most {most} are allowed "
                "(HubLimits.history)"
            )
        key = (declaration.segments[0], len(declaration.segments))
        other = self._table.get(key)
        if other is not None:
            raise ValueError(
                f"{declaration.pattern!r} has as many segments as {other.pattern!r} "
                "and the same first one, which choose the declaration: give it "
                "another first segment"
            )
        self._table[key] = declaration

    def find(self, name: str) -> tuple[Declaration, dict[str, str]]:
        """Return the declaration of a topic and the parameters in its name.

        Raises UnknownTopic, TooLarge, or TypeError for what is no str.
        """
        check_name(name)
        segments = name.split(":")
        declaration = self._table.get((segments[0], len(segments)))
        params = None if declaration is None else declaration.params_of(segments)
        if declaration is None or params is None:
            raise UnknownTopic(f"no topic {name!r} is declared")
        return declaration, params

    def declaration_of(self, name: str) -> Declaration:
        """Return the declaration of a topic; raises as ``find()`` does."""
        declaration = self._known.get(name)
        if declaration is None:
            declaration, _ = self.find(name)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[name] = declaration
        return declaration


def check_name(name: object) -> None:
    """Raise UnknownTopic or TooLarge for a text that cannot be a topic's name."""
    if not isinstance(name, str):
        raise TypeError(f"a topic's name must be str, not {type(name).__name__}")
    if len(name) > MAX_NAME or len(name.encode(errors="replace")) > MAX_NAME:
        raise TooLarge(f"a topic's name has more than {MAX_NAME} bytes")
    problem = _problem_of(name)
    if problem is not None:
        raise UnknownTopic(f"{name!a} cannot be a topic: {problem}")


def _problem_of(name: str) -> str | None:
    if not name:
        return "it is empty"
    # Spaces, controls, surrogates: whatever a log or a key would not show.
    if not name.isprintable() or " " in name:
        return "a name has no white space and no control characters"
    if "{" in name or "}" in name:
        return "braces are for declarations"
    if name.startswith(INTERNAL):
        return f"names that begin with {INTERNAL} are the hub's own"
    if "" in name.split(":"):
        return "a segment is empty"
    return None


# --- declaring -------------------------------------------------------------------


def declare(
    pattern: str,
    *,
    subscribe: Rule,
    publish: Rule = "nobody",
    history: int | None = None,
    ttl: float = 300.0,
    latest: bool = False,
    slow: Slow | None = None,
    presence: bool = False,
    snapshot: Snapshot | None = None,
    read_history: Readers = "subscribers",
    read_presence: Readers = "subscribers",
    idempotency: float = 300.0,
    durability: str | None = None,
) -> Declaration:
    """Return a declaration, checked; see ``Hub.topic()`` for what each option is."""
    segments = _segments_of(pattern)
    names = [name[1:-1] for name in segments if name.startswith("{")]
    if history is None:
        history = 1 if latest else 100
    if isinstance(history, bool) or not isinstance(history, int) or history < 0:
        raise ValueError(f"history is {history!r}; an int of 0 or more is allowed")
    _check_seconds("ttl", ttl)
    _check_seconds("idempotency", idempotency)
    for option, rule in (("subscribe", subscribe), ("publish", publish)):
        _check_rule(option, rule, names)
    if slow is None:
        slow = "latest" if latest else "catch_up" if history else "drop"
    if slow not in SLOW:
        raise ValueError(f"slow is {slow!r}; one of {', '.join(SLOW)} is allowed")
    if (slow == "latest") is not latest:
        raise ValueError("slow='latest' and latest=True go together")
    if history == 0 and (slow == "catch_up" or latest):
        wanted = "latest=True" if latest else "slow='catch_up'"
        raise ValueError(f"{wanted} needs history=1 or more")
    if snapshot is not None and not callable(snapshot):
        raise TypeError("snapshot must be an async function of a topic and its params")
    if durability not in (None, "replica"):
        raise ValueError(f"durability is {durability!r}; 'replica' or None is allowed")
    for option, who in (("history", read_history), ("presence", read_presence)):
        if who not in get_args(Readers):
            raise ValueError(
                f"read_{option} is {who!r}; 'subscribers' or 'nobody' is allowed"
            )
    for option, flag in (("latest", latest), ("presence", presence)):
        if not isinstance(flag, bool):
            raise TypeError(f"{option} must be a bool, not {type(flag).__name__}")
    return Declaration(
        pattern,
        segments,
        history,
        subscribe,
        publish,
        presence,
        latest,
        slow,
        snapshot,
        read_history,
        read_presence,
        Storage(
            history,
            float(ttl),
            max(MIN_META_TTL, 10.0 * ttl),
            float(idempotency),
            durability,
        ),
    )


def _segments_of(pattern: object) -> tuple[str, ...]:
    if not isinstance(pattern, str):
        raise TypeError(f"a topic must be str, not {type(pattern).__name__}")
    segments = pattern.split(":")
    names = [part[1:-1] for part in segments if part[:1] == "{" and part[-1:] == "}"]
    for name in names:
        if not name.isidentifier():
            raise ValueError(f"{pattern!r}: {{{name}}} must be a name in braces")
    if len(set(names)) != len(names):
        raise ValueError(f"{pattern!r} has a parameter twice")
    # With a letter for each parameter it must be a name like any other.
    plain = ":".join(
        "x" if part[:1] == "{" and part[-1:] == "}" else part for part in segments
    )
    problem = _problem_of(plain)
    if problem is None and segments[0].startswith("{"):
        problem = "the first segment chooses the declaration and cannot be a parameter"
    if "{" in plain or "}" in plain:
        problem = "a parameter is a whole segment in braces, such as {room}"
    if problem is not None:
        raise ValueError(f"{pattern!r} cannot be declared: {problem}")
    return tuple(segments)


def _check_rule(option: str, rule: object, names: list[str]) -> None:
    if isinstance(rule, str):
        if rule not in RULES:
            raise ValueError(
                f"{option} is {rule!r}; one of {', '.join(RULES)}, or a function "
                "of the context, is allowed"
            )
        if rule == "own" and "user" not in names:
            raise ValueError(f"{option}='own' needs a parameter {{user}} in the name")
    elif not callable(rule):
        kind = type(rule).__name__
        raise TypeError(f"{option} must be a function or one of its texts, not {kind}")
    else:
        try:
            inspect.signature(rule).bind(object())
        except ValueError:
            pass  # a builtin without a signature
        except TypeError:
            raise TypeError(f"{option} must be a function of one argument") from None


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a number of seconds, not {kind}")
    if not value > 0 or math.isinf(value):
        raise ValueError(f"{name} is {value}; a finite number > 0 is allowed")
