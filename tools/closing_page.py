"""Write the tables of a connection's end into docs/explain/states.md.

    python tools/closing_page.py

They are made from ``longwire.session.closing_table``; tests/docs/test_pages.py checks
that the page has them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from longwire.session import closing_table as table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explain" / "states.md"
BEGIN = "<!-- made by tools/closing_page.py from session/closing_table.py -->"
END = "<!-- end of what tools/closing_page.py makes -->"


def tables() -> str:
    """Return the two tables, of states and of steps, in Markdown."""
    lines = ["| state | what it means | messages may be sent |", "|---|---|---|"]
    for state, (name, meaning) in table.STATES.items():
        may_send = "yes" if state in (table.OPEN, table.ANSWERING) else "no"
        lines.append(f"| *{name}* | {meaning} | {may_send} |")
    lines += ["", "| while | when | close frame | TCP | cause | then |"]
    lines.append("|---|---|---|---|---|---|")
    for (event, step), states in _rows().items():
        while_ = ", ".join(_name(state) for state in states)
        ends = step.after in (table.ENDED, table.GONE) and event in table.CAUSES
        makes_report = ends and any(
            state not in (table.ENDED, table.GONE) for state in states
        )
        cells = (
            while_,
            table.EVENTS[event],
            table.SENDS[step.sends],
            table.TCP[step.tcp],
            _cause(event) if makes_report else "",
            _name(step.after),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _rows() -> dict[tuple[int, table.Step], list[int]]:
    """Return the states in which an event does the same step."""
    rows: dict[tuple[int, table.Step], list[int]] = {}
    for event in table.EVENTS:
        for state in table.STATES:
            step = table.STEPS.get((state, event))
            if step is None:
                continue
            rows.setdefault((event, step), []).append(state)
    return rows


def _name(state: int) -> str:
    return f"*{table.STATES[state][0]}*"


def _cause(event: int) -> str:
    cause = table.CAUSES[event]
    if event in table.COMPLETES_CLOSE:
        assert cause is not None
        return f"that of `close()`, else `{cause.name}`"
    if cause is None:
        return "that of the error" if event == table.FAULT else "as the caller says"
    return f"`{cause.name}`"


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
