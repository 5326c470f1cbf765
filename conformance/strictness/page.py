"""The tables of docs/explain/strictness.md, made of the verdicts."""

from __future__ import annotations

import json
from pathlib import Path

from .case import Case
from .cases import CASES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explain" / "strictness.md"
VERDICTS = Path(__file__).with_name("verdicts.json")
BEGIN = "<!-- Made by: python -m conformance.strictness --write -->"
END = "<!-- The end of what is made. -->"

OURS = "longwire"
PEERS = ("websockets", "aiohttp", "ws")
TITLES = {
    "request": "Requests to a server",
    "response": "Responses to a client",
    "to server": "Frames to a server",
    "to client": "Frames to a client",
}
Verdicts = dict[str, dict[str, dict[str, str]]]


def load() -> tuple[dict[str, str], Verdicts]:
    """Return versions, and verdicts by kind, name and library."""
    stored = json.loads(VERDICTS.read_text())
    return stored["versions"], stored["verdicts"]


def store(versions: dict[str, str], verdicts: Verdicts) -> None:
    """Write them to the file."""
    data = {"versions": versions, "verdicts": verdicts}
    VERDICTS.write_text(json.dumps(data, indent=1) + "\n")


def stricter(case: Case, verdicts: Verdicts) -> bool:
    """Return whether longwire refuses what another library accepts."""
    found = verdicts[case.kind][case.name]
    return found[OURS] != "yes" and any(found[name] == "yes" for name in PEERS)


def more_lenient(case: Case, verdicts: Verdicts) -> bool:
    """Return whether longwire accepts what another library refuses."""
    found = verdicts[case.kind][case.name]
    return found[OURS] == "yes" and any(found[name] != "yes" for name in PEERS)


def tables() -> str:
    """Return all tables, in Markdown."""
    versions, verdicts = load()
    compared = ", ".join(f"{name} {versions[name]}" for name in PEERS)
    parts = [
        f"{len(CASES)} cases were sent to longwire and to {compared}.",
        "## Where longwire refuses what others accept",
        *_tables([case for case in CASES if stricter(case, verdicts)], verdicts, True),
        "## Where longwire accepts what others refuse",
        *_tables([case for case in CASES if more_lenient(case, verdicts)], verdicts),
        "## Where all agree",
        _agreement(verdicts),
    ]
    return "\n\n".join(parts)


def _tables(cases: list[Case], verdicts: Verdicts, clauses: bool = False) -> list[str]:
    return [
        f"### {title}\n\n{_table(chosen, verdicts, clauses)}"
        for kind, title in TITLES.items()
        if (chosen := [case for case in cases if case.kind == kind])
    ]


def _table(cases: list[Case], verdicts: Verdicts, clauses: bool) -> str:
    head = ["what is sent", OURS, *PEERS, *(["what asks for it"] if clauses else [])]
    rows = [head, ["---"] * len(head)]
    for case in cases:
        found = verdicts[case.kind][case.name]
        row = [_name(case.name), *(found[library] for library in (OURS, *PEERS))]
        if clauses:
            row.append(f"{case.clause}. {case.why}".strip())
        rows.append(row)
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _name(name: str) -> str:
    """Return a case's name; what is beyond ASCII in it shows as an escape."""
    return name.encode("ascii", "backslashreplace").decode()


def _cell(text: str) -> str:
    """Return text for a cell of a table, where nothing in it means anything."""
    if text == "---":
        return text
    return "".join("\\" + c if c in "\\`*_{}[]<>|#" else c for c in text)


def _agreement(verdicts: Verdicts) -> str:
    rows = ["| | accepted by all | refused by all |", "| --- | --- | --- |"]
    for kind, title in TITLES.items():
        found = [verdicts[kind][case.name] for case in CASES if case.kind == kind]
        yes = sum(set(each.values()) == {"yes"} for each in found)
        no = sum("yes" not in each.values() for each in found)
        rows.append(f"| {title.lower()} | {yes} | {no} |")
    return "\n".join(rows)


def with_tables(text: str) -> str:
    """Return a page's text with the tables as they are now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"
