"""What the figures look like: a table for each scenario."""

from __future__ import annotations

from processes import Figures
from scenarios import Scenario

BASELINE = "websockets"


def microseconds(seconds: float) -> str:
    """Three digits that mean something."""
    value = seconds * 1e6
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(scenario: Scenario, results: dict[str, Figures]) -> str:
    """One line for each server: CPU, rate, latency, and how they compare."""
    latency = any("p50" in figures for figures in results.values())
    title = f"\n{scenario.name}: {scenario.title}"
    head = f"  {'':26}{'CPU µs':>9}{'rate/s':>12}"
    head += f"{'p50 µs':>9}{'p99 µs':>9}" if latency else ""
    lines = [title, head + f"{'less CPU ×':>12}{'× C':>8}"]
    base, least = results.get(BASELINE), results.get("c")
    for name, figures in results.items():
        line = f"  {name:26}{microseconds(figures['cpu']):>9}{figures['rate']:12,.0f}"
        if latency:
            cells = [figures.get(key) for key in ("p50", "p99")]
            line += "".join(
                f"{microseconds(cell) if cell else '':>9}" for cell in cells
            )
        line += f"{ratio(base and base['cpu'] / figures['cpu']):>12}"
        lines.append(line + f"{ratio(least and figures['cpu'] / least['cpu']):>8}")
    if not results:
        lines.append("  nothing could be measured")
    return "\n".join(lines)
