"""The page docs/benchmarks.md: its tables and plots, made from the stored results.

    python bench/page.py

What is between `<!-- NAME -->` and `<!-- end -->` is written anew; the words around are
the page's own. Plots are in docs/_static/benchmarks.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import plots
import report
import results
from processes import Results
from results import Stored
from scenarios import SCENARIOS, STOCK, Kind, Scenario

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "benchmarks.md"
PICTURES = DOCS / "_static" / "benchmarks"
CORE = results.FILE.with_name("core.jsonl")
SERVERS = ("c", *STOCK)
ABOUT = (
    ("date", "{} UTC"),
    ("commit", "commit {}"),
    ("machine", "{}"),
    ("kernel", "kernel {}"),
    ("python", "CPython {}"),
    ("websockets", "websockets {}"),
    ("picows", "picows {}"),
    ("aiofastnet", "aiofastnet {}"),
    ("aiohttp", "aiohttp {}"),
    ("uvloop", "uvloop {}"),
    ("zlib-ng", "zlib-ng {}"),
    ("openssl", "{}"),
    ("load", "load average {}"),
)


def write() -> None:
    """Renew what the stored results say; a section without results stays as it is."""
    stored = results.newest()
    page = PAGE.read_text()
    for name, content in {
        "machine": about(stored),
        "asyncio": cpu_table(stored, ""),
        "uvloop": cpu_table(stored, "@uvloop"),
        "latency": latency_table(stored),
        "memory": memory_table(stored),
        "core": core_table(),
    }.items():
        if content:
            page = put(page, name, content)
    PAGE.write_text(page)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(stored).items():
        (PICTURES / f"{name}.svg").write_text(picture)


def put(page: str, name: str, content: str) -> str:
    """Replace a marked section."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no section marked {name!r}")
    return pattern.sub(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", page)


def about(stored: dict[str, Stored]) -> str:
    """What each run was of, with the scenarios that are of that run."""
    runs: dict[str, list[str]] = {}
    for name, (_, facts) in stored.items():
        known = [form.format(facts[key]) for key, form in ABOUT if key in facts]
        runs.setdefault(", ".join(known), []).append(name)
    if len(runs) == 1:
        return next(iter(runs)) + "."
    lines = [f"- {run}: {', '.join(names)}." for run, names in runs.items()]
    return "\n".join(lines)


def measured(stored: dict[str, Stored], *kinds: Kind) -> list[tuple[Scenario, Results]]:
    """The scenarios that there are figures of, in the order of their table."""
    return [
        (each, stored[each.name].results)
        for each in SCENARIOS
        if each.kind in kinds and each.name in stored
    ]


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Markdown; empty without rows."""
    if not rows:
        return ""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cpu_table(stored: dict[str, Stored], loop: str) -> str:
    """CPU for a message on one event loop, and the ratios that matter."""
    heads = ["CPU µs per message", *(plots.SHOWN.get(name, name) for name in SERVERS)]
    rows = []
    for scenario, found in measured(stored, Kind.SERVER, Kind.CLIENT):
        names = ["c", *(name + loop for name in STOCK)]
        if sum(name in found for name in names) < 3:
            continue
        cells = [
            report.microseconds(found[name]["cpu"]) if name in found else ""
            for name in names
        ]
        ours, least = found.get("longwire" + loop), found.get("c")
        times = report.compared(found).get("longwire" + loop)
        over = ours["cpu"] / least["cpu"] if ours and least else None
        row = [scenario.title, *cells, report.ratio(times), report.ratio(over)]
        rows.append(row)
    return table([*heads, "× less than websockets", "× C"], rows)


def latency_table(stored: dict[str, Stored]) -> str:
    """Round trips: half are shorter than the first number, 99 % than the second."""
    if "round-trip" not in stored:
        return ""
    found = stored["round-trip"].results
    rows = [
        [
            plots.SHOWN.get(name, name),
            report.microseconds(figures["p50"]),
            report.microseconds(figures["p99"]),
        ]
        for name, figures in found.items()
    ]
    return table(["round trip of 32 B, µs", "median", "99 %"], rows)


def memory_table(stored: dict[str, Stored]) -> str:
    rows = []
    for scenario, found in measured(stored, Kind.IDLE):
        for name, figures in found.items():
            cells = [
                form(figures[key]) if key in figures else ""
                for key, (_, form) in report.IDLE_COLUMNS.items()
            ]
            title = scenario.title if name == next(iter(found)) else ""
            rows.append([title, plots.SHOWN.get(name, name), *cells])
    heads = [head for head, _ in report.IDLE_COLUMNS.values()]
    return table(["", "", *heads], rows)


def core_table() -> str:
    """The last stored run of core.py."""
    if not CORE.exists():
        return ""
    run: dict[str, Any] = json.loads(CORE.read_text().splitlines()[-1])
    subjects = list(next(iter(run["medians"].values())))
    rows = [
        [case, *(f"{cells[subject]:,.0f}" for subject in subjects)]
        for case, cells in run["medians"].items()
    ]
    made = f"Of {run['date']} UTC, commit {run['commit']}, {run['machine']}."
    return table(["ns per frame", *subjects], rows) + "\n\n" + made


# --- plots ---


def pictures(stored: dict[str, Stored]) -> dict[str, str]:
    """Each plot that there are figures for."""
    found = {
        "cpu": cpu_plot(stored),
        "connections": connections_plot(stored),
        "memory": memory_plot(stored),
    }
    return {name: picture for name, picture in found.items() if picture}


def cpu_plot(stored: dict[str, Stored]) -> str:
    """CPU beside the C server's, on stock asyncio."""
    rows = {
        scenario.title: {
            name: found[name]["cpu"] / found["c"]["cpu"]
            for name in STOCK
            if name in found
        }
        for scenario, found in measured(stored, Kind.SERVER, Kind.CLIENT)
        if "c" in found and len(found) > 2
    }
    title = "CPU per message as many times that of a server in C, stock asyncio"
    return plots.dots(title, rows, STOCK) if rows else ""


def connections_plot(stored: dict[str, Stored]) -> str:
    series: dict[str, list[plots.Point]] = {}
    for scenario, found in measured(stored, Kind.SERVER):
        if scenario.name.startswith("active-"):
            for name in SERVERS:
                if name in found:
                    point = (float(scenario.connections), found[name]["cpu"] * 1e6)
                    series.setdefault(name, []).append(point)
    title = "CPU µs per echoed message, at most 10 connections active"
    whole = {name: points for name, points in series.items() if len(points) > 1}
    return plots.lines(title, whole, "connections") if whole else ""


def memory_plot(stored: dict[str, Stored]) -> str:
    rows = {
        scenario.title: [
            (name, figures["opened"] / 1000) for name, figures in found.items()
        ]
        for scenario, found in measured(stored, Kind.IDLE)
    }
    title = "Memory of the server's process for each idle connection"
    return plots.bars(title, rows, "KB") if rows else ""


if __name__ == "__main__":
    write()
