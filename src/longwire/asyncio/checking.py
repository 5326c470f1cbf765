"""What serve() is given for the loop: mistakes are told before anything listens."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from ..opening.settings import check_keywords

__all__ = ["check_network"]


def check_network(unix: bool, given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise TypeError for a keyword that nobody knows; ``own`` are those of serve()."""
    create = "create_unix_server" if unix else "create_server"
    known = {
        *inspect.signature(getattr(asyncio.AbstractEventLoop, create)).parameters,
        *inspect.signature(getattr(asyncio.SelectorEventLoop, create)).parameters,
        *own,
    }
    known -= {"self", "protocol_factory", "kwargs", "handler"}
    if unix:
        known -= {"host", "port"}
    names = given.keys() - {"make_server"}
    check_keywords("unix_serve" if unix else "serve", names, known)
