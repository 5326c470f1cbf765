"""What the figures look like: a table for each scenario."""

from __future__ import annotations

from processes import Results
from scenarios import LOOPS, STOCK, Kind, Scenario

BASELINE = "websockets"
RIVALS = tuple(name for name in STOCK if name != "longwire")
AHEAD = "A RIVAL IS AHEAD:"
COUNTS = {"instructions": "instructions", "calls": "calls"}
"""What a run with --count adds for each operation, with the heads of its columns."""
COMPARED = {
    "cpu": "CPU",
    "p50": "time at the median",
    "opened": "memory",
    "idle_cpu": "CPU at rest",
}
"""What decides who is ahead: figures of which less is better."""


def microseconds(seconds: float) -> str:
    """Three digits that mean something."""
    value = seconds * 1e6
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(scenario: Scenario, results: Results) -> str:
    """One line for each server: CPU, rate, latency, and how they compare."""
    if scenario.kind is Kind.IDLE:
        return idle_table(scenario, results)
    latency = any("p50" in figures for figures in results.values())
    title = f"\n{scenario.name}: {scenario.title}"
    head = f"  {'':26}{'CPU µs':>9}{'rate/s':>12}"
    head += f"{'p50 µs':>9}{'p99 µs':>9}" if latency else ""
    counts = [
        key for key in COUNTS if any(key in figures for figures in results.values())
    ]
    head += f"{'less CPU ×':>12}{'× C':>8}"
    lines = [title, head + "".join(f"{COUNTS[key]:>14}" for key in counts)]
    base, least = results.get(BASELINE), results.get("c")
    for name, figures in results.items():
        line = f"  {name:26}{microseconds(figures['cpu']):>9}{figures['rate']:12,.0f}"
        if latency:
            cells = [figures.get(key) for key in ("p50", "p99")]
            line += "".join(
                f"{microseconds(cell) if cell else '':>9}" for cell in cells
            )
        line += f"{ratio(base and base['cpu'] / figures['cpu']):>12}"
        line += f"{ratio(least and figures['cpu'] / least['cpu']):>8}"
        for key in counts:
            line += f"{counted(figures.get(key)):>14}"
        lines.append(line)
    if not results:
        lines.append("  nothing could be measured")
    return "\n".join([*lines, *(f"  {each}" for each in standings(results))])


def counted(value: float | None) -> str:
    """A number of instructions or system calls."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def standings(results: Results) -> list[str]:
    """Who is ahead, on each event loop: longwire, or the rival that needs less."""
    lines = []
    for loop in LOOPS:
        ours = results.get(f"longwire{loop}", {})
        rivals = {
            name: results[f"{name}{loop}"]
            for name in RIVALS
            if f"{name}{loop}" in results
        }
        where = loop.removeprefix("@") or "asyncio"
        for key, what in COMPARED.items():
            costs = {name: each[key] for name, each in rivals.items() if key in each}
            if key in ours and costs:
                best = min(costs, key=costs.__getitem__)
                said = standing(ours[key], best, costs[best], what)
                lines.append(f"{where:9}{said}")
    return lines


def standing(ours: float, best: str, theirs: float, what: str) -> str:
    """One line about what longwire needs, and the ``best`` rival."""
    if ours <= theirs:
        times = f"{theirs / ours:.2f}× " if ours else ""
        return f"longwire is ahead: {times}less {what} than {best}"
    times = f"{ours / theirs:.2f}× " if theirs else ""
    return f"{AHEAD} {best}, {times}less {what} than longwire"


IDLE_COLUMNS = {
    "connections": ("connections", lambda value: f"{value:,.0f}"),
    "opened": ("KB each", lambda value: f"{value / 1000:.1f}"),
    "used": ("once used", lambda value: f"{value / 1000:.1f}"),
    "idle_cpu": ("CPU, idle", lambda value: f"{value:.1%}"),
}


def idle_table(scenario: Scenario, results: Results) -> str:
    """One line for each server: memory of a connection, and the CPU of pings."""
    columns = [
        key
        for key in IDLE_COLUMNS
        if any(key in figures for figures in results.values())
    ]
    head = "".join(f"{IDLE_COLUMNS[key][0]:>13}" for key in columns)
    lines = [f"\n{scenario.name}: {scenario.title}", f"  {'':26}{head}"]
    for name, figures in results.items():
        cells = (
            IDLE_COLUMNS[key][1](figures[key]) if key in figures else ""
            for key in columns
        )
        lines.append(f"  {name:26}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join([*lines, *(f"  {each}" for each in standings(results))])


def compared(results: Results) -> dict[str, float]:
    """How many times less CPU than the baseline each took; empty without figures."""
    if "cpu" not in results.get(BASELINE, {}):
        return {}
    base = results[BASELINE]["cpu"]
    return {name: base / figures["cpu"] for name, figures in results.items()}


def best_peer(results: Results) -> str:
    """Whoever took the least CPU and is neither longwire nor C."""
    peers = [
        name for name in results if name != "c" and not name.startswith("longwire")
    ]
    return min(peers, key=lambda name: results[name]["cpu"])


def summary(found: dict[str, Results]) -> list[str]:
    """One line for each scenario: how much less CPU than the baseline."""
    lines = []
    for name, results in found.items():
        times = compared(results)
        if not times:
            continue
        cells = [times.get(key) for key in ("longwire", "longwire@uvloop", "c")]
        line = f"  {name:20}{ratio(cells[0]):>10}{ratio(cells[1]):>10}"
        best = best_peer(results)
        lines.append(f"{line}{ratio(cells[2]):>8}  {ratio(times[best])} {best}")
    head = f"  {'':20}{'longwire':>10}{'@uvloop':>10}{'C':>8}  best peer"
    return [f"\ntimes less CPU than {BASELINE} on asyncio", head, *lines]


def behind(found: dict[str, Results]) -> list[str]:
    """The rows in which a rival is ahead; nobody fails for them."""
    lines = [
        f"  {name:20}{line}"
        for name, results in found.items()
        for line in standings(results)
        if AHEAD in line
    ]
    return ["\nrows in which a rival is ahead", *(lines or ["  none"])]


def end(
    found: dict[str, Results], left_out: list[str], failed: list[str], seconds: float
) -> str:
    """What is said at last: the ratios, what has no figures and why, the time."""
    lines = [*summary(found), *behind(found)] if len(found) > 1 else []
    for what, notes in (("left out", left_out), ("FAILED", failed)):
        lines += ["", *(f"{what}: {note}" for note in notes)] if notes else []
    return "\n".join([*lines, f"\n{seconds:.0f} s"])
