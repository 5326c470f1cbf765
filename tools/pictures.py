"""Draw the flows of docs/explain as SVG, from the text files beside them.

    python tools/pictures.py            draw all of docs/explain/*.flow anew

A flow is a title line, ``# title``, and then steps from top to bottom. A step is
``layer | file | what happens there``, a line ``> text`` says what goes on to the next.
tests/docs/test_pictures.py checks that the pictures are up to date.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "explain"

WIDTH, LEFT, TOP = 760, 150, 50
BOX_HEIGHT, GAP = 46, 30
COLORS = {
    "system": "#e8e8e8",
    "front end": "#d6e6f5",
    "session": "#dcefd9",
    "core": "#f7ecd0",
    "program": "#f0dcea",
}


class Step(NamedTuple):
    """One box, and what goes from it to the next."""

    layer: str
    file: str
    what: str
    passes: str


def read(text: str) -> tuple[str, list[Step]]:
    """Return the title and the steps of a flow."""
    title, steps = "", list[Step]()
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            title = line[1:].strip()
        elif line.startswith(">"):
            steps[-1] = steps[-1]._replace(passes=line[1:].strip())
        else:
            layer, file, what = (cell.strip() for cell in line.split("|"))
            if layer not in COLORS:
                raise ValueError(f"{layer!r} is none of {', '.join(COLORS)}")
            steps.append(Step(layer, file, what, ""))
    return title, steps


def draw(text: str) -> str:
    """Return a flow as SVG."""
    title, steps = read(text)
    height = TOP + len(steps) * (BOX_HEIGHT + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="16" y="28" font-size="17">{escape(title)}</text>',
    ]
    y = TOP
    for number, step in enumerate(steps):
        lines += _box(step, y)
        if number < len(steps) - 1:
            lines += _arrow(step.passes, y + BOX_HEIGHT)
        y += BOX_HEIGHT + GAP
    return "\n".join([*lines, "</svg>", ""])


def _box(step: Step, y: int) -> list[str]:
    width = WIDTH - LEFT - 16
    return [
        f'<text x="16" y="{y + 28}" fill="#555">{escape(step.layer)}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{width}" height="{BOX_HEIGHT}" rx="4" '
        f'fill="{COLORS[step.layer]}" stroke="#666"/>',
        f'<text x="{LEFT + 12}" y="{y + 19}" font-family="monospace">'
        f"{escape(step.file)}</text>",
        f'<text x="{LEFT + 12}" y="{y + 37}">{escape(step.what)}</text>',
    ]


def _arrow(text: str, y: int) -> list[str]:
    x, end = LEFT + 30, y + GAP
    return [
        f'<path d="M{x} {y} V{end - 6}" stroke="#333" fill="none"/>',
        f'<path d="M{x - 4} {end - 7} h8 l-4 7 z" fill="#333"/>',
        f'<text x="{x + 14}" y="{y + 20}" fill="#333" font-style="italic">'
        f"{escape(text)}</text>",
    ]


def main() -> None:
    """Draw every flow."""
    for path in sorted(FOLDER.glob("*.flow")):
        path.with_suffix(".svg").write_text(draw(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
