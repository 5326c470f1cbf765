"""The page and its plots are made from what is stored."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tests.support.needs import ROOT

pytestmark = pytest.mark.once

# In a process of its own: the programs of bench/ import each other by plain names.
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {bench!r})
import page, results
folder = Path(sys.argv[1])
results.FILE = folder / "suite.jsonl"
page.CORE, page.PAGE, page.PICTURES = folder / "core.jsonl", folder / "page.md", folder
page.write()
"""
SECTIONS = ("machine", "asyncio", "uvloop", "latency", "memory", "core")
FACTS = {"format": 1, "date": "2026-01-02 03:04", "commit": "abc1234", "machine": "M"}


def cost(cpu: float) -> dict[str, float]:
    return {"cpu": cpu, "rate": 1 / cpu, "p50": cpu, "p99": 2 * cpu}


ECHO = {"c": cost(5e-6), "longwire": cost(6e-6), "websockets": cost(36e-6)}
IDLE = {"longwire": {"connections": 10000, "opened": 5100, "used": 6200}}


def write(folder, *runs: dict) -> str:
    """Store the runs; return the page made of them."""
    lines = [json.dumps({**FACTS, **run}) for run in runs]
    (folder / "suite.jsonl").write_text("\n".join(lines) + "\n")
    sections = (f"<!-- {name} -->\nold\n<!-- end -->\n" for name in SECTIONS)
    (folder / "page.md").write_text("Words before.\n\n" + "\nBetween.\n".join(sections))
    program = PROGRAM.format(bench=str(ROOT / "bench"))
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
    return (folder / "page.md").read_text()


def test_tables_have_figures_and_ratios(tmp_path):
    page = write(tmp_path, {"scenarios": {"echo-64x1": ECHO, "idle-plain": IDLE}})

    row = "| echo, 64 connections × 1 in flight, 32 B | 5 | 6 | 36 |  |  |  | 6 | 1.2 |"
    assert row in page
    assert "| longwire | 10,000 | 5.1 | 6.2 |  |" in page
    assert "2026-01-02 03:04 UTC, commit abc1234, M." in page


def test_words_around_the_tables_stay(tmp_path):
    page = write(tmp_path, {"scenarios": {"round-trip": ECHO}})

    assert page.startswith("Words before.\n")
    assert page.count("Between.") == len(SECTIONS) - 1
    assert "| C | 5 | 10 |" in page


def test_a_section_without_figures_stays(tmp_path):
    page = write(tmp_path, {"scenarios": {"round-trip": ECHO}})

    assert "<!-- memory -->\nold\n<!-- end -->" in page


def test_the_newest_figures_of_each_scenario_are_shown(tmp_path):
    slower = {name: cost(figures["cpu"] * 10) for name, figures in ECHO.items()}
    page = write(
        tmp_path,
        {"scenarios": {"echo-64x1": slower, "echo-1k": ECHO}},
        {"commit": "def5678", "scenarios": {"echo-64x1": ECHO, "echo-1k": {}}},
    )

    assert "| echo, 64 connections × 1 in flight, 32 B | 5 | 6 | 36 |" in page
    assert "commit abc1234, M: echo-1k." in page
    assert "commit def5678, M: echo-64x1." in page


def test_plots_are_svg_with_a_dot_for_each_figure(tmp_path):
    counts = (1, 10, 100)
    scenarios = {f"active-{count}": ECHO for count in counts}
    write(tmp_path, {"scenarios": {**scenarios, "idle-plain": IDLE}})

    names = ("cpu", "connections", "memory")
    plots = {
        name: ElementTree.parse(tmp_path / f"{name}.svg").getroot() for name in names
    }
    dots = [
        title.text
        for title in plots["connections"].iter("{http://www.w3.org/2000/svg}title")
    ]
    assert [f"longwire, {count}: 6" in dots for count in counts] == [True] * 3


def test_the_page_that_is_published_has_every_section():
    page = (ROOT / "docs" / "benchmarks.md").read_text()

    for name in SECTIONS:
        assert f"<!-- {name} -->\n\n" in page
