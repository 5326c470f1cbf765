"""Write the table of a slot's life into docs/howto/serving.md.

    python tools/slots_page.py

It is made from ``longwire.workers.slot_table``; tests/docs/test_pages.py checks that
the page has it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from longwire.workers import slot_table as table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "howto" / "serving.md"
BEGIN = "<!-- made by tools/slots_page.py from workers/slot_table.py -->"
END = "<!-- end of what tools/slots_page.py makes -->"


def tables() -> str:
    """Return the two tables, of states and of steps, in Markdown."""
    lines = ["| state | what it means |", "|---|---|"]
    lines += [f"| *{name}* | {text} |" for name, text in table.STATES.values()]
    lines += ["", "| while | when | what is done | then |", "|---|---|---|---|"]
    for event, text in table.EVENTS.items():
        rows: dict[table.Step, list[int]] = {}
        for state in table.STATES:
            step = table.STEPS.get((state, event))
            if step is not None:
                rows.setdefault(step, []).append(state)
        for step, states in rows.items():
            done = "; ".join(table.ACTIONS[each] for each in step.does)
            while_ = ", ".join(_name(state) for state in states)
            lines.append(f"| {while_} | {text} | {done} | {_name(step.after)} |")
    return "\n".join(lines)


def _name(state: int) -> str:
    return f"*{table.STATES[state][0]}*"


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
