"""The JavaScript files that the package brings along, where there is no Node to ask."""

from __future__ import annotations

import gzip

import pytest

import longwire
from tests.support.needs import needs

needs("msgspec")

from longwire import rpc

pytestmark = pytest.mark.once

FILES = [
    *("longwire.classic.d.ts", "longwire.classic.js", "longwire.d.ts"),
    *("longwire.js", "longwire.min.d.ts", "longwire.min.js"),
]


def test_the_folder_has_the_client_and_nothing_else():
    assert sorted(file.name for file in rpc.STATIC.iterdir()) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_which_version_it_is(name):
    text = (rpc.STATIC / name).read_text()

    assert text.startswith(f"/*! longwire {longwire.__version__},")


@pytest.mark.parametrize("name", ["longwire.min.js", "longwire.classic.js"])
def test_a_page_loads_less_than_13_5_kilobytes(name):
    assert len(gzip.compress((rpc.STATIC / name).read_bytes())) < 13_500
