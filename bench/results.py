"""Stored runs: ``results/suite.jsonl``, a line each, the newest last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from processes import Results

FILE = Path(__file__).resolve().parent / "results" / "suite.jsonl"
FORMAT = 1
DIGITS = 4  # that mean something

Facts = dict[str, str]


class Stored(NamedTuple):
    """The newest figures of a scenario, and of which run they are."""

    results: Results
    facts: Facts


def run(facts: Facts, found: dict[str, Results], left_out: list[str]) -> dict[str, Any]:
    """What is kept of a run."""
    base = {"format": FORMAT, **facts, "left_out": left_out}
    return {**base, "scenarios": rounded(found)}


def store(run: dict[str, Any]) -> None:
    """Append a run."""
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("a") as file:
        file.write(json.dumps(run) + "\n")


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return float(f"{value:.{DIGITS}g}")


def newest() -> dict[str, Stored]:
    """The newest figures of each scenario, whichever runs they are from."""
    found: dict[str, Stored] = {}
    if not FILE.exists():
        return found
    for line in FILE.read_text().splitlines():
        run = json.loads(line)
        scenarios = run.pop("scenarios")
        for name, results in scenarios.items():
            if results:
                found[name] = Stored(results, run)
    return found
