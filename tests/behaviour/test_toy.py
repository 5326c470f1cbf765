"""The toy front end is small, and made of the neutral parts alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support import toy

pytestmark = pytest.mark.once

MOST_LINES = 200
FRONT_ENDS = ("asyncio", "sync", "trio", "websockets")


def test_the_toy_is_small_and_owes_nothing_to_the_front_ends():
    text = Path(toy.__file__).read_text()
    lines = [line for line in text.splitlines() if line.strip()]
    modules = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules += [f"{node.module}.{name}".split(".") for name in names]

    assert len(lines) <= MOST_LINES
    assert ["longwire", "verbs", "Plan"] in modules
    assert not [m for m in modules if m[0] == "longwire" and m[1] in FRONT_ENDS]
