"""Verdicts: what the suite found, what we expect, and the difference of the two.

Knows the files ``index.json`` of the suite and our ``expected-results.json``;
nothing of processes.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cases

__all__ = [
    "Difference",
    "Expected",
    "Verdict",
    "compare",
    "count",
    "read_index",
    "table",
    "write_index",
]

# Best first; what is not named here is worse than all of these.
ORDER = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED"]

LONGEST_LIST = 20


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the suite says of one case: of our behaviour, and of our closing."""

    behavior: str
    closing: str

    def ranks(self) -> tuple[int, int]:
        return rank(self.behavior), rank(self.closing)

    def is_worse_than(self, other: Verdict) -> bool:
        ours, theirs = self.ranks(), other.ranks()
        return ours[0] > theirs[0] or ours[1] > theirs[1]

    def __str__(self) -> str:
        return f"{self.behavior} / {self.closing}"


def rank(verdict: str) -> int:
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER)


@dataclasses.dataclass(frozen=True)
class Difference:
    """A case with another verdict than expected, or with none: ``found`` is None."""

    case: str
    expected: Verdict
    found: Verdict | None

    @property
    def is_failure(self) -> bool:
        return self.found is None or self.found.is_worse_than(self.expected)


class Expected:
    """The committed verdicts: for each role the cases with what we expect of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = json.loads(path.read_text())
        for role in ("server", "client"):
            if len(self._file[role]) != cases.COUNT:
                found = len(self._file[role])
                raise ValueError(
                    f"{path.name} has {found} cases for role {role}; "
                    f"the suite has {cases.COUNT}"
                )

    def of(self, role: str) -> dict[str, Verdict]:
        """Return the expected verdict of every case for "server" or "client"."""
        return {case: Verdict(*pair) for case, pair in self._file[role].items()}

    def update(self, role: str, found: Mapping[str, Verdict]) -> None:
        """Expect from now on what was found; other cases stay as they are."""
        for case, verdict in found.items():
            self._file[role][case] = [verdict.behavior, verdict.closing]
        self._path.write_text(self._text())

    def _text(self) -> str:
        """Return the file with one line for each case, to be read as a diff."""
        parts = [f'  "about": {json.dumps(self._file["about"])}']
        for role in ("server", "client"):
            ordered = sorted(
                self._file[role].items(), key=lambda i: cases.by_number(i[0])
            )
            lines = [f'    "{case}": {json.dumps(pair)}' for case, pair in ordered]
            parts.append(f'  "{role}": {{\n' + ",\n".join(lines) + "\n  }")
        return "{\n" + ",\n".join(parts) + "\n}\n"


def read_index(directory: Path) -> dict[str, dict[str, object]]:
    """Return the suite's entries by case, report files named from the parent.

    Empty if the suite has written no index: it does so at the very end.
    """
    index = directory / "index.json"
    if not index.is_file():
        return {}
    [entries] = json.loads(index.read_text()).values() or [{}]
    return {
        case: {**entry, "reportfile": f"{directory.name}/{entry['reportfile']}"}
        for case, entry in entries.items()
    }


def write_index(
    path: Path, agent: str, entries: Mapping[str, Mapping[str, object]]
) -> dict[str, Verdict]:
    """Write the merged ``index.json`` of all shares and return its verdicts."""
    ordered = {case: entries[case] for case in sorted(entries, key=cases.by_number)}
    path.write_text(json.dumps({agent: ordered}, indent=2) + "\n")
    return {
        case: Verdict(str(entry["behavior"]), str(entry["behaviorClose"]))
        for case, entry in ordered.items()
    }


def compare(
    wanted: Iterable[str],
    expected: Mapping[str, Verdict],
    found: Mapping[str, Verdict],
) -> list[Difference]:
    """Return the wanted cases whose verdict is missing, worse or better, in order."""
    return [
        Difference(case, expected[case], found.get(case))
        for case in wanted
        if found.get(case) != expected[case]
    ]


def count(found: Iterable[Verdict]) -> str:
    """Return how often each verdict was given, the best first, as one line of text."""
    counts = collections.Counter(map(str, sorted(found, key=Verdict.ranks)))
    return ", ".join(f"{number} {name}" for name, number in counts.items()) or "none"


def table(differences: Sequence[Difference]) -> str:
    """Return the differences as lines of text: case, expected, found, what it means.

    Cases without a verdict are counted and named on one line.
    """
    rows = [("case", "expected", "found", "")]
    missing = []
    for one in differences:
        if one.found is None:
            missing.append(one.case)
            continue
        effect = "worse" if one.is_failure else "better: --update records it"
        rows.append((one.case, str(one.expected), str(one.found), effect))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if missing:
        named = ", ".join(missing[:LONGEST_LIST])
        more = ", ..." if len(missing) > LONGEST_LIST else ""
        lines.append(f"  {len(missing)} without a verdict: {named}{more}")
    return "\n".join(lines[1:] if len(rows) == 1 else lines)
