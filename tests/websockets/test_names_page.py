"""The table of documented names in docs/migration.md is what was found.

``python -m tests.websockets.test_names_page`` writes it anew.
"""

from __future__ import annotations

import pytest

from tests.docs.programs import ROOT
from tests.websockets.parity import documented
from tests.websockets.test_parity import find

pytestmark = pytest.mark.once

PAGE = ROOT / "docs" / "migration.md"
BEGIN, END = "<!-- begin names -->\n", "<!-- end names -->\n"


def is_there(module: str, name: str) -> bool:
    try:
        find(module, name)
    except (AttributeError, ImportError):
        return False
    return True


def listed(names: list[str]) -> str:
    """Names for a cell of the table, the parts of a class after it."""
    owners: dict[str, list[str]] = {}
    for name in sorted(names):
        owner, _, part = name.partition(".")
        parts = owners.setdefault(owner, [])
        if part:
            parts.append(f"`.{part}`")
    cells = []
    for owner, parts in owners.items():
        whole = f"`{owner}`" if owner in names else f"of `{owner}`:"
        cells.append(" ".join([whole, *parts]))
    return ", ".join(cells)


def table() -> str:
    """What belongs between the marks in the page."""
    rows, there, total = [], 0, 0
    for module, names in sorted(documented().items()):
        present = [name for name in names if is_there(module, name)]
        missing = [name for name in names if name not in present]
        there, total = there + len(present), total + len(names)
        title = f"`websockets.{module}`".replace(".`", "`")
        rows.append(f"| {title} | {listed(present)} | {listed(missing) or '–'} |\n")
    return "".join(
        [
            f"{there} of {total} names.\n\n",
            "| module | there | not there |\n|---|---|---|\n",
            *rows,
        ]
    )


def parts_of_page() -> tuple[str, str, str]:
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    written, _, after = rest.partition(END)
    return before, written, after


def test_the_page_lists_every_documented_name_with_its_status():
    _, written, _ = parts_of_page()

    assert written == table(), "python -m tests.websockets.test_names_page writes it"


def test_a_missing_name_would_be_in_the_table():
    assert not is_there("legacy.server", "serve.nothing")
    assert listed(["serve.nothing", "Server"]) == "`Server`, of `serve`: `.nothing`"


def test_no_documented_name_is_missing():
    missing = [
        f"{module}: {name}"
        for module, names in documented().items()
        for name in names
        if not is_there(module, name)
    ]

    assert missing == []


if __name__ == "__main__":
    before, _, after = parts_of_page()
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{after}", "utf-8")
