"""Targets: each states what must hold for any bytes, as ``check(data, build)``.

``check`` raises AssertionError where the contract is broken and lets no other exception
pass, for none is allowed but those it expects. It returns a trace of what happened,
which is the same on every build; ``twins`` compares them. What there is only one of
(the layer of HTTP, RPC, the hub) takes no ``build``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from fuzz import builds

CORE = ("kernels", "frames", "protocol", "deflate", "session")
HTTP = ("requests", "responses", "fields", "negotiation")
HUB = ("hub_core", "hub_stored")
NAMES = (*CORE, "twins", *HTTP, "rpc", *HUB)

Trace = list[Any]


def module(name: str) -> Any:
    """Return the module of a target."""
    return importlib.import_module(f"fuzz.targets.{name}")


def checker(name: str, build: builds.Build) -> Callable[[bytes], object]:
    """Return the check of a target; a target of the core gets ``build``."""
    check = module(name).check
    if name in CORE:
        return lambda data: check(data, build)
    return check  # type: ignore[no-any-return]
