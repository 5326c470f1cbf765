"""Looks for differences for as long as one likes, and groups what it finds.

``python -m tests.differential.explore [--programs 2000] [--seed 1] [--api new]``
prints, of each kind of difference that is not in intended.toml, how often it was met
and the shortest program that shows it. Status 1 where there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential.comparing import Difference, Rule, compare
from tests.differential.editions import EDITIONS, LAST, OURS, Worker, install
from tests.differential.programs import APIS, needs, programs

BATCH = 50


def generate(api: str, count: int, number: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(api))
    def collect(program: dict[str, Any]) -> None:
        made.append(program)

    collect()
    return made


class Findings:
    """Differences by kind, each with the shortest program that shows it."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.shortest: dict[str, tuple[dict[str, Any], list[Difference]]] = {}
        self.rules: Counter[Rule] = Counter()
        self.traces: Counter[tuple[str, str]] = Counter()

    def take(
        self, program: dict[str, Any], found: list[Difference], used: list[Rule]
    ) -> None:
        self.rules.update(set(used))
        if not found:
            return
        first = found[0]
        kind = " ".join([first.api, program["side"], *sorted({d.field for d in found})])
        kind += " " + str(first.step)[:9] + json.dumps(outline(first.theirs))
        kind += json.dumps(outline(first.ours))
        self.count[kind] += 1
        known = self.shortest.get(kind)
        if known is None or size(program) < size(known[0]):
            self.shortest[kind] = (program, found)

    def show(self, most: int) -> None:
        for (api, edition), number in sorted(self.traces.items()):
            print(f"{api:<8} {edition:<6} {number} traces compared")
        for rule, number in self.rules.most_common():
            print(f"{'open' if rule.open else 'meant'}, {number} times: {rule.reason}")
        for kind, number in self.count.most_common(most):
            program, found = self.shortest[kind]
            print(f"\n── {number} times: {program['side']}, {program.get('options')}")
            print(f"   {json.dumps(about(program))}")
            for difference in found:
                print(f"   {difference}")
        print(
            f"{len(self.count)} kinds of difference, {sum(self.count.values())} in all"
        )


def about(program: dict[str, Any]) -> Any:
    """Return what a program does: its steps, or the bytes of a handshake."""
    return program.get("steps", program.get("data"))


def size(program: dict[str, Any]) -> int:
    return len(about(program))


def outline(value: Any) -> Any:
    """Return a value without what differs from program to program."""
    if isinstance(value, dict):
        if "error" in value:
            return value["error"]
        return sorted({json.dumps(outline(each)) for each in value.values()})
    if isinstance(value, list):
        return [outline(each) for each in value[:1]]
    return value if isinstance(value, bool | None) else type(value).__name__


def explore(api: str, count: int, number: int, findings: Findings) -> None:
    made = generate(api, count, number)
    editions = EDITIONS if api in ("opening", "serving", "overriding") else APIS[api]
    workers = {name: Worker(name) for name in (OURS, *editions)}
    try:
        for start in range(0, len(made), BATCH):
            batch = made[start : start + BATCH]
            workers[OURS].start(batch)
            for edition in editions:
                workers[edition].start([p for p in batch if edition in needs(p)])
            for program in batch:
                ours = workers[OURS].trace()
                traces = {name: workers[name].trace() for name in needs(program)}
                for edition, theirs in traces.items():
                    findings.traces[api, edition] += 1
                    found = compare(program, edition, theirs, ours, traces[LAST])
                    findings.take(program, *found)
    finally:
        for worker in workers.values():
            worker.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--programs", type=int, default=1000, help="of each API")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--api", choices=list(APIS), action="append")
    parser.add_argument("--show", type=int, default=40, help="kinds to print")
    options = parser.parse_args()
    install()
    findings = Findings()
    start = time.monotonic()
    for api in options.api or APIS:
        explore(api, options.programs, options.seed, findings)
    findings.show(options.show)
    print(f"{time.monotonic() - start:.0f} s")
    return 1 if findings.count else 0


if __name__ == "__main__":
    sys.exit(main())
