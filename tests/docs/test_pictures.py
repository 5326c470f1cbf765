"""The pictures of docs/explain show the text beside them, and name real files."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tests.docs.programs import ROOT
from tests.support.tools import tool

pytestmark = pytest.mark.once

pictures = tool("pictures")
FLOWS = sorted(pictures.FOLDER.glob("*.flow"))
each_flow = pytest.mark.parametrize("flow", FLOWS, ids=lambda path: path.stem)
PAGE = pictures.FOLDER / "architecture.md"


@each_flow
def test_a_picture_is_up_to_date_and_in_the_page(flow) -> None:
    drawn = pictures.draw(flow.read_text("utf-8"))
    picture = flow.with_suffix(".svg")

    assert picture.read_text("utf-8") == drawn, "run python tools/pictures.py"
    assert f"]({picture.name})" in PAGE.read_text("utf-8")
    ElementTree.fromstring(drawn)


@each_flow
def test_the_files_that_a_flow_names_exist(flow) -> None:
    named = re.findall(r"\b[\w/]+\.pyx?\b", flow.read_text("utf-8"))
    missing = {name for name in named if not (ROOT / "src/longwire" / name).is_file()}

    assert named and not missing


def test_there_is_a_flow_each_way() -> None:
    assert [path.stem for path in FLOWS] == ["message_in", "message_out"]


def test_a_layer_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="attic"):
        pictures.draw("# title\nattic | a.py | b")
