"""Write the tables of RPC's calls into docs/explain/states.md.

    python tools/calls_page.py

They are made from ``longwire.rpc.calls_table``; tests/rpc/test_states.py checks that
the page has them.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longwire.rpc import calls_table as table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explain" / "states.md"
BEGIN = "<!-- made by tools/calls_page.py from rpc/calls_table.py -->"
END = "<!-- end of what tools/calls_page.py makes -->"

TABLES: list[tuple[str, type[enum.IntEnum], Mapping[Any, Any]]] = [
    ("A call of the peer's", table.State, table.THEIRS),
    ("A call of ours", table.Mine, table.OURS),
    ("The connection of the calls", table.Connected, table.CONNECTION),
]


def tables() -> str:
    """Return for each of the three its states and its steps, in Markdown."""
    parts = []
    for title, states, steps in TABLES:
        lines = [f"| {title} is | that means |", "|---|---|"]
        lines += [
            f"| {_name(state)} | {table.MEANINGS[states][state]} |" for state in states
        ]
        lines += ["", "| while | when | then |", "|---|---|---|"]
        for (event, after), before in _rows(steps).items():
            while_ = ", ".join(map(_name, before))
            lines.append(f"| {while_} | {table.EVENTS[event]} | {_name(after)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _rows(
    steps: Mapping[tuple[Any, table.Happens], Any],
) -> dict[tuple[table.Happens, Any], list[Any]]:
    """Return the states in which an event leads to the same one."""
    rows: dict[tuple[table.Happens, Any], list[Any]] = {}
    for (before, event), after in steps.items():
        rows.setdefault((event, after), []).append(before)
    return rows


def _name(state: enum.IntEnum) -> str:
    return f"*{state.name.lower().replace('_', ' ')}*"


def page_with(text: str, made: str) -> str:
    """Return the page with ``made`` between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def main() -> None:
    """Write the page."""
    text = PAGE.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"{PAGE} has no place for the tables")
    PAGE.write_text(page_with(text, tables()))


if __name__ == "__main__":
    main()
