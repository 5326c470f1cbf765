"""Small pictures as SVG: dots, lines and bars. Text in, text out; no dependencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

# Colours that stay apart for the colour-blind, and on light and dark pages.
COLOURS = {
    "c": "#7f7f7f",
    "longwire": "#d6336c",
    "picows": "#1c7ed6",
    "picows.websockets": "#0ca678",
    "websockets": "#f08c00",
    "aiohttp": "#7950f2",
}
SHOWN = {"c": "C"}
WIDTH, LABELS, RIGHT, ROW = 760, 270, 24, 24
GREY, INK = "#dee2e6", "#343a40"

Point = tuple[float, float]


def text(x: float, y: float, words: str, anchor: str = "start", **more: object) -> str:
    given = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, **more}
    attributes = (f'{key.replace("_", "-")}="{value}"' for key, value in given.items())
    return f"<text {' '.join(attributes)}>{escape(words)}</text>"


def line(x1: float, y1: float, x2: float, y2: float, colour: str = GREY) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"/>'


def dot(x: float, y: float, colour: str, label: str) -> str:
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}">'
    return f"{circle}<title>{escape(label)}</title></circle>"


def document(height: float, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
        f' font-family="sans-serif" font-size="12" fill="{INK}" role="img">'
    )
    paper = f'<rect width="{WIDTH}" height="{height:.0f}" rx="6" fill="#ffffff"/>'
    heading = text(16, 24, title, font_size=14, font_weight="bold")
    return "\n".join(
        [head, f"<title>{escape(title)}</title>", paper, heading, *parts, "</svg>\n"]
    )


def legend(names: Sequence[str], y: float) -> list[str]:
    parts, x = [], 16.0
    for name in names:
        parts.append(dot(x + 5, y - 4, COLOURS[name], name))
        parts.append(text(x + 15, y, SHOWN.get(name, name)))
        x += 32 + 7 * len(name)
    return parts


def decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten from at most ``low`` to at least ``high``."""
    ticks = [
        digit * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digit in (1, 2, 5)
    ]
    first = max(i for i, tick in enumerate(ticks) if tick <= low * 1.0001)
    last = min(i for i, tick in enumerate(ticks) if tick >= high * 0.9999)
    return ticks[first : last + 1]


def scale(low: float, high: float, start: float, end: float):  # type: ignore[no-untyped-def]
    """A function from values to places, logarithmic."""
    factor = (end - start) / math.log(high / low)
    return lambda value: start + factor * math.log(value / low)


def dots(title: str, rows: dict[str, dict[str, float]], names: Sequence[str]) -> str:
    """A row for each label, with a dot for each name on one logarithmic axis."""
    values = [value for row in rows.values() for value in row.values()]
    ticks = decades(min(values), max(values))
    place = scale(ticks[0], ticks[-1], LABELS, WIDTH - RIGHT)
    top, bottom = 72, 72 + ROW * len(rows)
    parts = legend(names, 48)
    for tick in ticks:
        parts.append(line(place(tick), top - 8, place(tick), bottom))
        parts.append(text(place(tick), bottom + 16, f"{tick:g}", "middle"))
    for index, (label, row) in enumerate(rows.items()):
        y = top + ROW * (index + 0.5)
        parts.append(text(LABELS - 14, y + 4, label, "end"))
        parts.append(line(LABELS, y, WIDTH - RIGHT, y))
        # The first name is drawn last, where it hides the others.
        for name in reversed(names):
            if name in row:
                hint = f"{name}: {row[name]:.3g}"
                parts.append(dot(place(row[name]), y, COLOURS[name], hint))
    return document(bottom + 30, title, parts)


def lines(title: str, series: dict[str, list[Point]], x_label: str) -> str:
    """One line for each name through its points; both axes are logarithmic."""
    points = [point for each in series.values() for point in each]
    x_ticks = sorted({x for x, _ in points})
    y_ticks = decades(min(y for _, y in points), max(y for _, y in points))
    left, top, bottom = 64, 76, 316
    across = scale(x_ticks[0], x_ticks[-1], left, WIDTH - 40)
    up = scale(y_ticks[0], y_ticks[-1], bottom, top)
    parts = legend(list(series), 48)
    for tick in y_ticks:
        parts.append(line(left, up(tick), WIDTH - 40, up(tick)))
        parts.append(text(left - 8, up(tick) + 4, f"{tick:g}", "end"))
    for tick in x_ticks:
        parts.append(text(across(tick), bottom + 18, f"{tick:,.0f}", "middle"))
    parts.append(text((left + WIDTH - 40) / 2, bottom + 38, x_label, "middle"))
    for name, each in series.items():
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in sorted(each))
        stroke = f'stroke="{COLOURS[name]}" stroke-width="2"'
        parts.append(f'<polyline points="{path}" fill="none" {stroke}/>')
        for x, y in each:
            hint = f"{name}, {x:,.0f}: {y:.3g}"
            parts.append(dot(across(x), up(y), COLOURS[name], hint))
    return document(bottom + 52, title, parts)


def bars(title: str, rows: dict[str, list[tuple[str, float]]], unit: str) -> str:
    """A group of bars for each label, from (name, value)."""
    most = max(value for row in rows.values() for _, value in row)
    parts, y = [], 44.0
    for label, row in rows.items():
        parts.append(text(16, y + 12, label, font_weight="bold"))
        y += 20
        for name, value in row:
            width = (WIDTH - 170 - 90) * value / most
            box = f'x="170" y="{y:.1f}" width="{max(width, 1):.1f}" height="14"'
            parts.append(f'<rect {box} rx="2" fill="{COLOURS[name]}"/>')
            parts.append(text(162, y + 11, SHOWN.get(name, name), "end"))
            parts.append(text(176 + width, y + 11, f"{value:.3g} {unit}"))
            y += 19
        y += 8
    return document(y + 4, title, parts)
