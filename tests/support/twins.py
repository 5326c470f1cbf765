"""Both builds of the core in one process, so that a test can compare them.

``longwire.core.frames`` is what Python takes: the compiled module where it is built.
Its interpreted twin is loaded from the same ``.py`` as ``longwire_pure.core.frames``.
The twins share `longwire.errors`, `longwire.messages` and `longwire.options`, so an
exception or a value of one equals that of the other; classes of the core itself differ.

    frames = twins("core.frames")
    assert frames.pure.encode(...) == frames.compiled.encode(...)

    @pytest.mark.once           # says all about both builds in one run
    @given(...)
    def test_both_builds_decode_alike(...): ...
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import longwire
from longwire.build import is_extension
from tests.support.needs import needs_build

PURE = "longwire_pure"
SHARED = ("errors", "messages", "options")
SOURCES = Path(longwire.__file__).parent


class Twins(NamedTuple):
    """One module in both builds."""

    pure: ModuleType
    compiled: ModuleType


class PureFinder(MetaPathFinder):
    """Finds ``longwire_pure.a.b`` in the file ``longwire/a/b.py``."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{PURE}."):
            return None
        place = SOURCES.joinpath(*fullname.split(".")[1:])
        if place.is_dir():
            return spec_from_file_location(
                fullname,
                place / "__init__.py",
                submodule_search_locations=[str(place)],
            )
        return spec_from_file_location(fullname, place.with_suffix(".py"))


def pure(name: str) -> ModuleType:
    """Return the interpreted module, as ``pure("core.frames")``; always there."""
    if PURE not in sys.modules:
        package = ModuleType(PURE, "longwire, loaded from its Python sources")
        package.__path__ = [str(SOURCES)]
        sys.modules[PURE] = package
        for shared in SHARED:
            module = importlib.import_module(f"longwire.{shared}")
            sys.modules[f"{PURE}.{shared}"] = module
            setattr(package, shared, module)
        sys.meta_path.insert(0, PureFinder())
    return importlib.import_module(f"{PURE}.{name}")


def compiled(name: str) -> ModuleType:
    """Return the compiled module, or leave the test out where there is none."""
    module = importlib.import_module(f"longwire.{name}")
    if module.__spec__ is None or not is_extension(module.__spec__):
        needs_build(name)
    return module


def twins(name: str) -> Twins:
    """Return ``name`` (without the package: "core.frames") in both builds."""
    return Twins(pure(name), compiled(name))


def builds(name: str) -> dict[str, ModuleType]:
    """Every build of ``name`` that is here, to parametrise a test with.

    {"pure": ...} and, where it is built, "compiled"; never skips.
    """
    found = {"pure": pure(name)}
    module = importlib.import_module(f"longwire.{name}")
    if module.__spec__ is not None and is_extension(module.__spec__):
        found["compiled"] = module
    return found
