"""What the table of options says is allowed, is allowed, and nothing below it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import longwire

pytestmark = pytest.mark.once

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "options.md"
ROW = re.compile(
    r"^\| `(\w+)` \| (?:both|serve|connect) \|[^|]*\|[^|]*\| (.*) \|$", re.M
)
BOUND = re.compile(r"^([>≥]) (\d+)(, None)?(?:[;:].*)?$")
BOUNDED = {
    name: bound
    for name, allowed in ROW.findall(PAGE.read_text())
    if (bound := BOUND.match(allowed.partition("; or (")[0])) is not None
}


async def handler(websocket: Any) -> None: ...


def takes(name: str, value: Any) -> bool:
    try:
        longwire.serve(handler, **{name: value}).close()
    except ValueError:
        return False
    return True


def test_the_table_has_bounds() -> None:
    assert {"max_size", "max_queue", "write_limit", "open_timeout"} <= BOUNDED.keys()


@pytest.mark.parametrize("name", BOUNDED)
def test_the_bound_in_the_table_is_the_bound(name: str) -> None:
    sign, number, none = BOUNDED[name].groups()
    least = int(number)
    assert takes(name, least) == (sign == "≥")
    assert takes(name, least + 1)
    assert not takes(name, least - 1)
    assert not takes(name, -1)
    if none:
        assert takes(name, None)


@pytest.mark.parametrize("name", ["max_size", "max_queue", "write_limit"])
def test_a_pair_is_allowed_where_the_table_says_so(name: str) -> None:
    assert takes(name, (2, 1))
    with pytest.raises(TypeError, match="or a pair of these"):
        longwire.serve(handler, **{name: "2"})
