"""Which build of the core runs: compiled extension modules or their Python sources.

The core is ordinary Python that Cython also compiles (``src/longwire/core``). Where an
extension lies beside its source, Python takes the extension; `use_pure` turns that
around for the whole process. Imports nothing of longwire, so it can come first.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    ModuleSpec,
    PathFinder,
)
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

PACKAGE = __name__.rpartition(".")[0]

BUILD: str  # "compiled" or "pure"; found out when it is read


class SourceFinder(MetaPathFinder):
    """Finds the ``.py`` of a module of ours where Python would take the extension."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{PACKAGE}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not is_extension(spec):
            return spec
        assert spec.origin is not None
        source = Path(spec.origin).with_name(fullname.rpartition(".")[2] + ".py")
        if not source.is_file():
            raise ModuleNotFoundError(f"{fullname} has no Python source", name=fullname)
        return spec_from_file_location(fullname, source)


def is_extension(spec: ModuleSpec) -> bool:
    """Whether ``spec`` loads compiled code."""
    return isinstance(spec.loader, ExtensionFileLoader)


def use_pure() -> None:
    """Make every module of longwire load from its Python source from now on.

    Called by ``longwire`` itself when the environment variable ``LONGWIRE_PURE`` is set
    to anything but 0. Raises RuntimeError when a compiled module was imported before,
    because it would be mixed with interpreted ones.
    """
    if any(isinstance(finder, SourceFinder) for finder in sys.meta_path):
        return
    loaded = [
        name
        for name, module in sys.modules.items()
        if name.startswith(f"{PACKAGE}.")
        and str(getattr(module, "__file__", "")).endswith(tuple(EXTENSION_SUFFIXES))
    ]
    if loaded:
        raise RuntimeError(f"compiled modules are imported already: {loaded}")
    sys.meta_path.insert(0, SourceFinder())


def _current_build() -> str:
    spec = find_spec(f"{PACKAGE}.core.frames")
    return "compiled" if spec is not None and is_extension(spec) else "pure"


def why_pure() -> str:
    """Return why the pure build runs, "" where the compiled one does."""
    if _current_build() == "compiled":
        return ""
    if os.environ.get("LONGWIRE_PURE", "0") not in ("", "0"):
        return "LONGWIRE_PURE is set"
    if platform.python_implementation() != "CPython":
        return f"{platform.python_implementation()} compiles it by itself"
    core = Path(__file__).with_name("core")
    others = sorted(file.name for file in core.glob("frames.*.so"))
    if others:
        tag = others[0].split(".")[1]
        return f"it was compiled for {tag}: install it again for this Python"
    return (
        "nothing was compiled when it was installed: install a C compiler and Python's "
        "headers, then longwire again (in a checkout: make build)"
    )


def described() -> str:
    """Return which build runs, and why, as ``longwire --version`` shows it."""
    why = why_pure()
    return f"{_current_build()} build{': ' * bool(why)}{why}"


if not TYPE_CHECKING:  # an attribute for readers; a question underneath

    def __getattr__(name: str) -> str:
        if name == "BUILD":
            return _current_build()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
