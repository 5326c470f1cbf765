"""The pages and examples of RPC: every name is described, every program runs."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tests.docs.programs import EXAMPLES, ROOT, output_of, program, until_listening
from tests.docs.test_exports import check_types
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from longwire.rpc.codecs import Json
from longwire.rpc.envelope import JsonRpc
from longwire.rpc.errors import BY_CODE

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]

PAGES = ROOT / "docs" / "rpc"
FILES = sorted((EXAMPLES / "rpc").glob("*.py"))


# --- the pages -------------------------------------------------------------------


def test_the_reference_has_every_public_name_once():
    text = (PAGES / "python.md").read_text("utf-8")
    kinds = "auto(?:class|exception|function)|py:data"
    names = re.findall(rf"^\.\. (?:{kinds}):: longwire\.rpc\.(\w+)$", text, re.M)

    assert sorted(names) == sorted(rpc.__all__)


@pytest.mark.parametrize("name", rpc.__all__)
def test_a_public_name_is_there(name):
    assert hasattr(rpc, name)


def test_every_limit_is_on_the_page_about_safety_with_its_default():
    text = (PAGES / "safety.md").read_text("utf-8").replace(",", "")
    for name, value in dataclasses.asdict(rpc.RpcLimits()).items():
        (row,) = re.findall(rf"^\| `RpcLimits\.{name}` \| (.*?) \|", text, re.M)
        sizes = {1 << 20: "1 MiB", 4 << 20: "4 MiB", 64 << 20: "64 MiB"}
        shown = "None" if value is None else sizes.get(value, f"{value:g}")
        assert shown in row, name


def test_every_code_is_on_the_page_about_the_wire():
    text = (PAGES / "wire.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (-32\d+) \| .*?\| `(\w+)`", text, re.M))

    codes = {str(code): kind.__name__ for code, kind in BY_CODE.items()}
    assert rows == {**codes, "-32005": "Disconnected"}


def test_the_frames_on_the_page_about_the_wire_are_read():
    text = (PAGES / "wire.md").read_text("utf-8")
    frames = re.findall(r'^[→←] (\{"jsonrpc".*\})$', text, re.M)
    wire = JsonRpc(Json())

    assert len(frames) > 8
    for frame in frames:
        (message,) = wire.read(frame)
        assert type(message).__name__ != "Bad", frame


# --- the examples ----------------------------------------------------------------


def test_type_checkers_accept_the_examples():
    assert check_types(*FILES).startswith("Success")


def test_the_live_page_takes_40_lines_of_python():
    text = (EXAMPLES / "rpc" / "live_page.py").read_text("utf-8")

    assert len([line for line in text.splitlines() if line.strip()]) <= 40


async def test_the_client_prints_what_is_left_an_error_and_three_prices():
    port = free_port()
    with program(EXAMPLES / "rpc" / "live_page.py", PORT=str(port)) as running:
        await until_listening(port, running)
        printed = await output_of(EXAMPLES / "rpc" / "client.py", PORT=str(port))

    first, second, *prices = printed.splitlines()
    assert first == "1 left"
    assert second == "SoldOut: no more tea"
    assert len(prices) == 3
    assert all(re.fullmatch(r"tea costs \d\.\d\d", line) for line in prices)
