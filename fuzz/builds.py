"""The builds of the core that a target runs on: compiled, interpreted, or either."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import NamedTuple

from tests.support.twins import pure

from longwire.build import is_extension

MODULES = {
    "masking": "core.masking",
    "held": "core.partial",
    "frames": "core.frames",
    "deflate": "core.deflate",
    "protocol": "core.protocol",
    "intake": "session.intake",
    "closing": "session.closing",
    "session": "session.session",
}


class Build(NamedTuple):
    """The modules of one build; ``errors``, ``messages`` and ``options`` are shared."""

    name: str
    masking: ModuleType
    held: ModuleType
    frames: ModuleType
    deflate: ModuleType
    protocol: ModuleType
    intake: ModuleType
    closing: ModuleType
    session: ModuleType


def interpreted() -> Build:
    """Return the build without compiled modules; it is always there."""
    return Build("pure", **{key: pure(name) for key, name in MODULES.items()})


def compiled() -> Build:
    """Return the compiled build; raises RuntimeError where there is none."""
    found = {
        key: importlib.import_module(f"longwire.{name}")
        for key, name in MODULES.items()
    }
    for module in found.values():
        if module.__spec__ is None or not is_extension(module.__spec__):
            raise RuntimeError(f"{module.__name__} is not compiled: make build")
    return Build("compiled", **found)
