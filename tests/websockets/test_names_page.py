"""The table of documented names in docs/migration.md is what was found.

``python -m tests.websockets.test_names_page`` writes it anew.
"""

from __future__ import annotations

import pytest

from longwire.websockets.legacy.protocol import NOT_PROVIDED
from tests.docs.programs import ROOT
from tests.websockets.parity import NAMES
from tests.websockets.parity_adapted import ADAPTED
from tests.websockets.test_parity_adapted import find

pytestmark = pytest.mark.once

PAGE = ROOT / "docs" / "migration.md"
BEGIN, END = "<!-- begin names -->\n", "<!-- end names -->\n"
DOCUMENTED = {**ADAPTED, **NAMES}
LATER = ("sync", "trio")  # packages of front ends that are not there yet


def is_there(module: str, name: str) -> bool:
    if module.startswith(("legacy", "auth")) and name.partition(".")[2] in NOT_PROVIDED:
        return False
    try:
        find(module, name)
    except (AttributeError, ImportError):
        return False
    return True


def listed(names: list[str]) -> str:
    """Names for a cell of the table, the parts of a class after it."""
    owners = {name.partition(".")[0]: [] for name in sorted(names)}
    for name in sorted(names):
        owner, _, part = name.partition(".")
        if part:
            owners[owner].append(f"`.{part}`")
    cells = []
    for owner, parts in owners.items():
        whole = f"`{owner}`" if owner in names else f"of `{owner}`:"
        cells.append(" ".join([whole, *parts]))
    return ", ".join(cells)


def table() -> str:
    """What belongs between the marks in the page."""
    rows, there, total = [], 0, 0
    for module in sorted(DOCUMENTED):
        names = DOCUMENTED[module].split()
        present = [name for name in names if is_there(module, name)]
        missing = [name for name in names if name not in present]
        there, total = there + len(present), total + len(names)
        title = f"`websockets.{module}`".replace(".`", "`")
        rows.append(f"| {title} | {listed(present)} | {listed(missing) or '–'} |\n")
    rows += [f"| `websockets.{name}.*` | – | all |\n" for name in LATER]
    reasons = sorted({(NOT_PROVIDED[name], name) for name in NOT_PROVIDED})
    return "".join(
        [
            f"{there} of {total} names, without those of `sync` and `trio`, ",
            "which come with their front ends.\n\n",
            "| module | there | not there |\n|---|---|---|\n",
            *rows,
            "\nWhy, and what to do instead:\n\n",
            *(f"- `{name}`: {reason}\n" for reason, name in reasons),
        ]
    )


def parts_of_page() -> tuple[str, str, str]:
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    written, _, after = rest.partition(END)
    return before, written, after


def test_the_page_lists_every_documented_name_with_its_status():
    _, written, _ = parts_of_page()

    assert written == table(), "python -m tests.websockets.test_names_page writes it"


def test_only_what_the_engine_has_no_place_for_is_missing():
    missing = {
        name.rpartition(".")[2]
        for module, names in DOCUMENTED.items()
        for name in names.split()
        if not is_there(module, name)
    }

    assert missing <= NOT_PROVIDED.keys()


if __name__ == "__main__":
    before, _, after = parts_of_page()
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{after}", "utf-8")
