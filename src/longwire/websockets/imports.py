"""Names that a module gives without importing their home before they are used."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

__all__ = ["lazy_import", "lazy_modules"]


def import_name(name: str, source: str, namespace: Mapping[str, Any]) -> Any:
    """Return ``name`` of the module ``source``, which may be relative.

    ``namespace`` is the ``globals()`` of the module that a relative name is seen from.
    """
    module = importlib.import_module(source, namespace.get("__package__"))
    return getattr(module, name)


def lazy_import(
    namespace: dict[str, Any],
    aliases: Mapping[str, str] | None = None,
    deprecated_aliases: Mapping[str, str] | None = None,
) -> None:
    """Make a module give names that are imported when they are first asked for.

    ``namespace`` is the module's ``globals()``; the others map names to the modules
    they are in. A deprecated one warns each time. Raises ValueError when a name is
    there already.
    """
    aliases = dict(aliases or {})
    deprecated = dict(deprecated_aliases or {})
    homes = {**deprecated, **aliases}
    twice = sorted((homes.keys() & namespace.keys()) | (aliases.keys() & deprecated))
    if twice:
        raise ValueError(f"names are there already: {', '.join(twice)}")
    module = namespace["__name__"]

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = import_name(name, homes[name], namespace)
        if name in aliases:
            namespace[name] = value
        else:
            text = f"{module}.{name} is deprecated"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        return value

    def __dir__() -> list[str]:
        return sorted({*namespace, *homes})

    namespace["__getattr__"] = __getattr__
    namespace["__dir__"] = __dir__


def lazy_modules(namespace: dict[str, Any], *names: str) -> None:
    """Make a package give its modules ``names`` without an import line for them.

    ``namespace`` is the package's ``globals()``.
    """
    package = namespace["__name__"]

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f".{name}", package)

    namespace["__getattr__"] = __getattr__
