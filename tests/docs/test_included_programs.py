"""Programs that a page includes can be reached where the page is read as plain text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

DOCS = Path(__file__).resolve().parents[2] / "docs"
INCLUDES = re.compile(r"^```\{literalinclude\} (\S+)$", re.MULTILINE)
PAGES = [
    page for page in sorted(DOCS.rglob("*.md")) if INCLUDES.search(page.read_text())
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_each_included_program_has_a_link_above_it(page: Path) -> None:
    text = page.read_text()
    for found in INCLUDES.finditer(text):
        above = text[: found.start()].rstrip().splitlines()[-1]
        assert above.endswith(f"]({found[1]}):"), found[0]
        assert (page.parent / found[1]).is_file()
