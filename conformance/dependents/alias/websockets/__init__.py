"""``import websockets``, answered by ``longwire.websockets``.

With this folder's parent first on ``PYTHONPATH`` every program of the process, and of
the processes that it starts, uses longwire: ``websockets`` and each module below it are
the modules of ``longwire.websockets`` themselves, under both names.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

OURS = "longwire.websockets"


class Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``websockets.NAME`` and loads ``longwire.websockets.NAME`` in its place."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith("websockets."):
            return None
        found = importlib.util.find_spec(OURS + name.removeprefix("websockets"))
        if found is None:
            return None
        is_package = found.submodule_search_locations is not None
        return importlib.machinery.ModuleSpec(name, self, is_package=is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(OURS + spec.name.removeprefix("websockets"))
        # The import system is about to give the module the alias's spec.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        alias = module.__spec__
        assert alias is not None
        module.__spec__ = alias.loader_state

    def get_code(self, name: str) -> object:
        """Return what ``python -m websockets`` runs."""
        real = OURS + name.removeprefix("websockets")
        return compile(
            f"import runpy; runpy.run_module({real!r}, run_name='__main__')",
            name,
            "exec",
        )


sys.meta_path.insert(0, Alias())
sys.modules["websockets"] = importlib.import_module(OURS)
