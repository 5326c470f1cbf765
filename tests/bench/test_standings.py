"""A run says of each row who is ahead, and what an operation costs in counts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.needs import ROOT

pytestmark = pytest.mark.once

# In a process of its own: the programs of bench/ import each other by plain names.
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import counting, report
results = json.loads(sys.argv[2])
print(json.dumps({
    "standings": report.standings(results),
    "end": report.end({"a": results, "b": {}}, [], [], 1.0),
    "each": counting.per_operation([(10, 1100), (30, 1500)]),
    "none": counting.per_operation([(10, 1100), (10, 1500)]),
}))
"""


def told(**results: dict[str, float]) -> dict:
    bench = str(ROOT / "bench")
    command = [sys.executable, "-c", PROGRAM, bench, json.dumps(results)]
    return json.loads(subprocess.check_output(command, text=True))


def test_each_loop_has_a_line_that_says_who_needs_less():
    said = told(
        **{
            "c": {"cpu": 1e-6},
            "longwire": {"cpu": 10e-6},
            "picows": {"cpu": 12e-6},
            "websockets": {"cpu": 40e-6},
            "longwire-transport": {"cpu": 5e-6},
            "longwire@uvloop": {"cpu": 9e-6},
            "picows@uvloop": {"cpu": 6e-6},
        }
    )
    assert said["standings"] == [
        "asyncio  longwire is ahead: 1.20× less CPU than picows",
        "uvloop   A RIVAL IS AHEAD: picows, 1.50× less CPU than longwire",
    ]
    assert said["end"].count("A RIVAL IS AHEAD: picows") == 1


def test_who_is_not_measured_is_neither_ahead_nor_behind():
    assert told(longwire={"cpu": 1e-6}, c={"cpu": 1e-7})["standings"] == []
    assert told(picows={"cpu": 1e-6})["standings"] == []
    assert "\n  none" in told(longwire={"cpu": 1e-6})["end"]


def test_memory_and_latency_are_compared_as_well():
    said = told(longwire={"cpu": 2e-6, "p50": 9e-6}, picows={"cpu": 2e-6, "p50": 8e-6})
    assert [line.split(":")[0] for line in said["standings"]] == [
        "asyncio  longwire is ahead",
        "asyncio  A RIVAL IS AHEAD",
    ]
    said = told(longwire={"opened": 4000}, websockets={"opened": 20000})
    assert said["standings"] == [
        "asyncio  longwire is ahead: 5.00× less memory than websockets"
    ]


def test_a_count_is_of_the_operations_that_the_longer_load_has_more():
    said = told()
    assert said["each"] == 20
    assert said["none"] is None
