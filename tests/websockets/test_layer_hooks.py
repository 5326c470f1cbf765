"""What the drop-in layer uses of the layers below, beyond their public names.

docs/explain/hooks.md lists these names; nothing else that begins with an underscore may
cross. The names keep their underscore because programs subclass connections, and have
public methods and attributes of their own.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import longwire
from tests.docs.programs import ROOT

pytestmark = pytest.mark.once

PACKAGE = Path(longwire.__file__).parent
PAGE = ROOT / "docs" / "explain" / "hooks.md"
ROW = re.compile(r"^\| `(_\w+)` \|", re.MULTILINE)

# The layers that the drop-in layer is built on, and the part of it that is looked at.
BELOW = ("asyncio", "connection", "opening", "session", "sync", "trio")
# What the front ends without asyncio have in common.
BELOW += ("dialing", "hosting", "link", "verbs", "wire")
ABOVE = "longwire.websockets"

# How the sources of the drop-in layer call objects of the layers below.
OBJECTS_BELOW = {
    *("client", "connecting", "connection", "ended", "engine", "inner", "server"),
    *("self._connection", "self._live", "self._session", "self.connection"),
    *("self.inner", "session", "settings", "ws", "wire", "driver", "plan"),
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def sources_below() -> list[Path]:
    paths = [PACKAGE / f"{name}.py" for name in BELOW]
    folders = [path for name in BELOW for path in (PACKAGE / name).rglob("*.py")]
    return [path for path in paths if path.is_file()] + folders


def defined(paths: list[Path]) -> set[str]:
    """Private names that these files define: methods, functions and attributes."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
            elif isinstance(node, ast.ClassDef):
                for each in node.body:
                    targets = getattr(each, "targets", ())
                    names |= {t.id for t in targets if isinstance(t, ast.Name)}
    return {name for name in names if is_private(name)}


def classes_above() -> Iterator[type]:
    package = importlib.import_module(ABOVE)
    for info in pkgutil.walk_packages(package.__path__, f"{ABOVE}."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for cls in vars(module).values():
            if inspect.isclass(cls) and cls.__module__ == info.name:
                yield cls


def is_below(cls: type) -> bool:
    top, _, rest = cls.__module__.partition(".")
    return top == "longwire" and rest.partition(".")[0] in BELOW


def overridden() -> dict[str, set[str]]:
    """Private names of classes below that classes above define anew, and where."""
    found: dict[str, set[str]] = defaultdict(set)
    for cls in classes_above():
        for base in filter(is_below, cls.__mro__[1:]):
            for name in vars(cls).keys() & vars(base).keys():
                if is_private(name):
                    found[name].add(cls.__qualname__)
    return found


def used() -> dict[str, set[str]]:
    """Private names of the layers below that the sources above use, and where."""
    paths = sorted((PACKAGE / "websockets").rglob("*.py"))
    below, own = defined(sources_below()), defined(paths)
    redefined = overridden()
    inherited = {(c.__module__, c.__name__): taken_over(c) for c in classes_above()}
    found: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        place = path.relative_to(PACKAGE)
        module = ".".join(("longwire", *place.with_suffix("").parts))
        for owner, node in attributes(path):
            name, whose = node.attr, ast.unparse(node.value)
            if whose in ("self", "cls", "super()"):
                crosses = name in inherited.get((module, owner), set())
            else:
                # A name that both define is the lower one's where the object is.
                crosses = name in below and (
                    name not in own or name in redefined or whose in OBJECTS_BELOW
                )
            if crosses:
                found[name].add(f"{place}:{node.lineno}")
    return found


def attributes(path: Path) -> Iterator[tuple[str, ast.Attribute]]:
    """Yield every private attribute in a file, with the class that it is used in."""

    def walk(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.Attribute]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Attribute) and is_private(child.attr):
                yield owner, child
            named = child.name if isinstance(child, ast.ClassDef) else owner
            yield from walk(child, named)

    yield from walk(ast.parse(path.read_text("utf-8")), "")


def taken_over(cls: type) -> set[str]:
    """Private names that a class has from the modules of its bases below."""
    sources = {
        Path(file) for base in cls.__mro__[1:] if is_below(base) for file in files(base)
    }
    names = defined(sorted(sources))
    above = [base for base in cls.__mro__ if base.__module__.startswith(ABOVE)]
    return names - {
        name
        for base in above
        for name in vars(base)
        if not any(name in vars(each) for each in cls.__mro__ if is_below(each))
    }


def files(cls: type) -> Iterator[Path]:
    path = PACKAGE.joinpath(*cls.__module__.split(".")[1:]).with_suffix(".py")
    if path.is_file():
        yield path


def test_only_the_hooks_that_the_page_lists_cross_between_the_layers() -> None:
    crossing = {name: sorted(where) for name, where in used().items()}
    for name, where in overridden().items():
        crossing.setdefault(name, sorted(where))
    listed = set(ROW.findall(PAGE.read_text("utf-8")))

    assert {n: w for n, w in crossing.items() if n not in listed} == {}
    assert listed - crossing.keys() == set(), "not used any more"


def test_a_hook_is_defined_below() -> None:
    assert set(ROW.findall(PAGE.read_text("utf-8"))) <= defined(sources_below())
