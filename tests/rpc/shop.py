"""Routes with types of all sorts, for descriptions and for calls from a shell."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from longwire import rpc

ROOT = Path(__file__).resolve().parents[2]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Order:
    """What somebody wants."""

    item: str
    color: Color | None = None
    tags: list[str | int] = dataclasses.field(default_factory=list)
    size: tuple[int, int] = (0, 0)


class SoldOut(rpc.ApplicationError):
    """There is nothing left."""


routes = rpc.Routes()


@routes.route
def buy(order: Order, count: int = 1, *, gift: bool = False) -> tuple[int, str]:
    """Buy something.

    As a gift, too.
    """
    return count, f"{order.item}, wrapped" if gift else order.item


@routes.route("prices.of")
async def prices(item: str) -> AsyncIterator[float]:
    """Prices of one thing, one after the other."""
    for number in range(3):
        yield number / 2


@routes.route
def anything(a, /, *rest: int):  # type: ignore[no-untyped-def]
    return [a, rest, {}]


@routes.route
def named(*, a: int, **others: str) -> Any:
    return [a, others]


@routes.route
def nothing() -> None: ...


@routes.route
def sold_out(item: str) -> None:
    raise SoldOut(f"no \x1b[31m{item}")


@routes.route
async def wait() -> None:
    await asyncio.Event().wait()


server = rpc.Server(routes)


class Handler(rpc.Server):
    ROUTES = {route.name: route.function for route in routes}
