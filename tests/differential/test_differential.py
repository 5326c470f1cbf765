"""Programs on longwire.websockets and on each edition of the real library.

Each made-up program is run by a process for each library, and the traces compared;
`python -m tests.differential.explore` does the same for as long as one likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from tests.differential.comparing import compare, rules
from tests.differential.editions import EDITIONS, LAST, OURS, Worker
from tests.differential.programs import needs as editions_for
from tests.differential.programs import programs
from tests.support.needs import needs

EXAMPLES = {
    "sansio": 150,
    "opening": 150,
    "serving": 80,
    "overriding": 120,
    "new": 100,
    "legacy": 80,
}

Workers = dict[str, Worker]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    needs("editions")
    running = {name: Worker(name) for name in (OURS, *EDITIONS)}
    yield running
    for worker in running.values():
        worker.close()


def differences(program: dict[str, Any], workers: Workers) -> list[str]:
    """Run a program with every library that has what it uses."""
    names = [OURS, *editions_for(program)]
    for name in names:
        workers[name].start([program])
    traces = {name: workers[name].trace() for name in names}
    ours, newest = traces.pop(OURS), traces[LAST]
    return [
        str(difference)
        for edition, theirs in traces.items()
        for difference in compare(program, edition, theirs, ours, newest)[0]
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("api", list(EXAMPLES))
def test_a_program_leaves_the_same_trace_as_on_the_real_library(
    api: str, workers: Workers
) -> None:
    @settings(
        max_examples=EXAMPLES[api],
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(api))
    def alike(program: dict[str, Any]) -> None:
        found = differences(program, workers)
        for difference in found:
            note(difference)
        assert not found

    alike()


def test_a_difference_that_nobody_meant_is_found() -> None:
    program = {"api": "new", "steps": [["recv"]]}
    theirs = [{"did": "open"}, {"did": "recv", "ended": {"0": "one"}, "state": "OPEN"}]
    ours = [{"did": "open"}, {"did": "recv", "ended": {"0": "two"}, "state": "OPEN"}]

    found, used = compare(program, LAST, theirs, ours, theirs)

    assert [difference.field for difference in found] == ["ended"]
    assert not used


def test_an_error_that_the_same_clause_catches_is_alike() -> None:
    program = {"api": "new", "steps": [["recv"]]}
    theirs = [{"result": {"error": "RuntimeError", "is also": [], "text": "one"}}]
    base = {"error": "ConcurrencyError", "is also": ["RuntimeError"], "text": "two"}
    other = {"error": "ValueError", "is also": ["Exception"], "text": "one"}

    assert not compare(program, LAST, theirs, [{"result": base}], theirs)[0]
    assert compare(program, LAST, theirs, [{"result": other}], theirs)[0]


def test_an_old_edition_may_differ_where_the_last_one_does() -> None:
    program = {"api": "new", "steps": [["recv"]]}
    old, new = [{"result": 1}], [{"result": 2}]

    assert not compare(program, "12.0", old, new, new)[0]
    assert compare(program, "12.0", old, [{"result": 3}], new)[0]


def test_every_intended_difference_has_a_reason_of_its_own() -> None:
    reasons = [rule.reason for rule in rules()]

    assert all(len(reason) > 20 for reason in reasons)
    assert len(set(reasons)) == len(reasons)
