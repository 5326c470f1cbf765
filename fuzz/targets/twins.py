"""Twins: the compiled and the interpreted build do the same with the same input.

The first byte says which of the core's targets plays; what it traces (events, errors
with their texts, output, counters, flags, deadlines) is compared.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from fuzz import builds, targets
from fuzz.choices import Choices


@cache
def _both() -> tuple[builds.Build, builds.Build]:
    return builds.interpreted(), builds.compiled()


def check(data: bytes) -> list[Any]:
    """Decisions: the target; the rest is its own."""
    choices = Choices(data)
    target = targets.module(choices.pick(targets.CORE))
    rest = choices.rest()

    pure, compiled = (target.check(rest, build) for build in _both())

    assert pure == compiled, _difference(pure, compiled)
    return pure  # type: ignore[no-any-return]


def _difference(pure: list[Any], compiled: list[Any]) -> str:
    for i, (ours, theirs) in enumerate(zip(pure, compiled, strict=False)):
        if ours != theirs:
            return f"at {i}: interpreted {ours!r}, compiled {theirs!r}"
    return f"{len(pure)} steps interpreted, {len(compiled)} compiled"
