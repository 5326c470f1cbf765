"""Watching: what metrics and tracing can be told to watch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from ..observer import Observer, joined

__all__ = ["check_calls", "needs_one_of", "observe"]


def observe(target: Any, observer_of: Callable[[str], Observer]) -> None:
    """Add an observer to what ``serve()`` or ``connect()`` returns, or to ``connect``.

    ``observer_of`` is given the side, ``"server"`` or ``"client"``. Raises TypeError
    for anything else.
    """
    from .. import Server, connect

    if isinstance(target, Server):
        side = "server"
    elif isinstance(target, connect) or (
        isinstance(target, type) and issubclass(target, connect)
    ):
        side = "client"
    else:
        kind = type(target).__name__
        instead = "for an rpc.Server, there is watch_calls()"
        module = getattr(target, "__module__", None) or ""
        package = ".".join(module.split(".")[:2])
        if package in ("longwire.sync", "longwire.trio"):
            instead = f"connections of {package} are not counted"
        elif getattr(target, "__name__", "") == "serve":
            instead = "write watch(serve(handler, ...))"
        raise TypeError(
            "watch() takes what serve() or connect() returns, or connect, not "
            f"{kind}; {instead}"
        )
    target.observer = joined(target.observer, observer_of(side))


def needs_one_of(what: str, extra: str, *modules: str) -> None:
    """Raise ModuleNotFoundError if none of the modules is installed, and say how."""
    if any(importlib.util.find_spec(name) is not None for name in modules):
        return
    names = " or ".join(modules)
    raise ModuleNotFoundError(
        f"{what} needs {names}; in a checkout: pip install '.[{extra}]'",
        name=modules[0],
    )


def check_provider(name: str, found: Any, method: str, written: str) -> None:
    """Raise TypeError for what is neither None nor an object with ``method``."""
    if found is None:
        return
    if isinstance(found, type) or not callable(getattr(found, method, None)):
        kind = found.__name__ if isinstance(found, type) else type(found).__name__
        raise TypeError(
            f"{name} must be None or an object, not {kind}: write {written}"
        )


def check_calls(server: Any) -> None:
    """Raise TypeError for what is no ``rpc.Server``."""
    if not hasattr(server, "signals") or not hasattr(server, "routes"):
        kind = type(server).__name__
        raise TypeError(f"watch_calls() takes an rpc.Server, not {kind}")
