"""Code in the pages can be what it claims: it compiles, and the names in it exist."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import importlib
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import longwire
from longwire.core import states
from tests.docs.programs import ROOT
from tests.support.tools import tool

pytestmark = pytest.mark.once

PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SIGNATURES = "architecture.md"  # its blocks are contracts, not programs
each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs"))
)

LISTEN = set(inspect.signature(asyncio.AbstractEventLoop.create_server).parameters)
REACH = {"ssl", "server_hostname", "sock", "host", "port"}
KEYWORDS: dict[str, set[str]] = {
    name: set(inspect.signature(getattr(longwire, name)).parameters) | extra
    for name, extra in {
        "serve": LISTEN,
        "unix_serve": set(inspect.signature(longwire.serve).parameters) | LISTEN,
        "connect": REACH,
        "Limits": set(),
        "Compression": set(),
        "basic_auth": set(),
        "broadcast": set(),
    }.items()
}


def blocks(page: Path) -> Iterator[ast.Module]:
    """The Python in a page; `await` may stand outside of a function there."""
    if page.name == SIGNATURES:
        return
    for _, text in BLOCK.findall(page.read_text("utf-8")):
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        source = textwrap.dedent(text)
        yield compile(source, page.name, "exec", flags)  # type: ignore[misc]


def has(module: str, name: str) -> bool:
    """Whether ``from module import name`` works; the name may be a submodule's."""
    found = hasattr(importlib.import_module(module), name)
    return found or importlib.util.find_spec(f"{module}.{name}") is not None


@each_page
def test_the_code_in_a_page_compiles_and_imports_what_exists(page):
    for block in blocks(page):
        for node in ast.walk(block):
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            if node.module.partition(".")[0] == "longwire":
                missing = [a.name for a in node.names if not has(node.module, a.name)]
                assert missing == []


@each_page
def test_the_code_in_a_page_uses_keywords_that_exist(page):
    for block in blocks(page):
        for node in ast.walk(block):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                known = KEYWORDS.get(node.func.id)
                given = {keyword.arg for keyword in node.keywords}
                assert known is None or given <= known, ast.unparse(node)


@each_page
def test_files_that_a_page_includes_or_links_to_are_there(page):
    text = page.read_text("utf-8")
    names = re.findall(r"^```\{(?:literal)?include\} (\S+)$", text, re.MULTILINE)
    names += re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", text)

    assert [name for name in names if not (page.parent / name).is_file()] == []


def test_the_table_of_states_is_the_one_of_the_program():
    rows = table_rows(ROOT / "docs" / "explain" / "states.md", states.STATE_NAMES)
    events = (states.SENT_CLOSE, states.GOT_CLOSE, states.LOST)
    shown: dict[tuple[int, int], str] = {}
    for name, *cells in rows[: len(states.STATE_NAMES)]:
        state = states.STATE_NAMES.index(name)
        shown.update({(state, e): c for e, c in zip(events, cells, strict=True) if c})

    assert shown == {move: states.name(to) for move, to in states.NEXT.items()}


def test_the_table_of_what_may_be_sent_is_the_one_of_the_program():
    rows = table_rows(ROOT / "docs" / "explain" / "states.md", states.STATE_NAMES)
    words = {True: "yes", False: "no"}

    assert rows[len(states.STATE_NAMES) :] == [
        [name, words[states.may_send_data(state)], words[states.may_send_pong(state)]]
        for state, name in enumerate(states.STATE_NAMES)
    ]


def test_the_tables_of_the_end_of_a_connection_are_those_of_the_program():
    closing_page = tool("closing_page")
    text = closing_page.PAGE.read_text()

    assert text == closing_page.page_with(text, closing_page.tables()), (
        "run python tools/closing_page.py"
    )


def test_the_table_of_a_slot_is_that_of_the_program():
    slots_page = tool("slots_page")
    text = slots_page.PAGE.read_text()

    assert text == slots_page.page_with(text, slots_page.tables()), (
        "run python tools/slots_page.py"
    )


def test_every_limit_is_in_the_table_of_limits_with_its_default():
    defaults = dataclasses.asdict(longwire.Limits())
    units = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
    text = (ROOT / "docs" / "explain" / "limits.md").read_text("utf-8")
    row = re.compile(r"^\| `(\w+)` \| ([\d,]+)(?: (\w+))? \|", re.MULTILINE)

    shown = {
        name: int(number.replace(",", "")) * units[unit]
        for name, number, unit in row.findall(text)
    }

    # A limit that is None by default is described in words, and so are those that
    # depend on the machine; those for going on again belong to the limit before them.
    machine = {"connections", "connections_per_address", "server_memory"}
    numbers = {name for name, n in defaults.items() if isinstance(n, int)}
    assert shown == {name: defaults[name] for name in numbers - machine}
    assert all(f"`{name}`" in text for name in defaults if not name.endswith("_low"))


def table_rows(page: Path, first_cells: tuple[str, ...]) -> list[list[str]]:
    """The rows of the page's tables that begin with one of these cells."""
    rows: list[list[str]] = []
    for line in page.read_text("utf-8").splitlines():
        cells: Any = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells[0] in first_cells:
            rows.append(cells)
    return rows
