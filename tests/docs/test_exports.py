"""Public names and the pages of the reference name each other, each exactly once."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import longwire
from longwire import sync
from longwire import trio as on_trio
from longwire.testing import serving
from tests.docs.programs import EXAMPLES, ROOT
from tests.support.commands import environment
from tests.support.needs import needs

pytestmark = pytest.mark.once

DIRECTIVE = re.compile(
    r"^\.\. (?:auto(?:class|exception|function)|py:data):: longwire\.(\w+)$",
    re.MULTILINE,
)


def documented_names() -> list[str]:
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    return [name for page in pages for name in DIRECTIVE.findall(page.read_text())]


def test_every_public_name_is_in_the_reference():
    assert sorted(set(longwire.__all__) - set(documented_names())) == []


def test_every_name_in_the_reference_is_public():
    assert sorted(set(documented_names()) - set(longwire.__all__)) == []


@pytest.mark.parametrize("front_end", ["sync", "trio"])
def test_every_public_name_of_a_front_end_is_in_its_reference(front_end):
    module = pytest.importorskip(f"longwire.{front_end}")
    page = (ROOT / "docs" / "reference" / f"{front_end}.md").read_text("utf-8")
    found = re.findall(rf"^\.\. auto\w+:: longwire\.{front_end}\.(\w+)$", page, re.M)

    assert sorted(found) == sorted(set(module.__all__) - {"BroadcastResult"})


def test_no_name_is_in_the_reference_twice():
    names = documented_names()

    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_the_list_of_names_is_the_table_of_where_they_are_from():
    assert longwire.__all__ == sorted(longwire._HOME_OF)


@pytest.mark.parametrize("name", longwire.__all__)
def test_a_public_name_can_be_imported(name):
    namespace: dict[str, object] = {}

    exec(f"from longwire import {name}", namespace)

    assert name in namespace


def test_a_star_import_brings_exactly_the_public_names():
    namespace: dict[str, object] = {}

    exec("from longwire import *", namespace)

    assert sorted(namespace.keys() - {"__builtins__"}) == longwire.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'longwire' has no attribute 'served'"):
        longwire.served  # noqa: B018


def test_importing_the_package_loads_no_front_end():
    script = "import sys, longwire; print('asyncio' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )

    assert done.stdout == "False\n"


def check_types(*files: Path) -> str:
    """Return what mypy --strict says of ``files``, which use our installed types."""
    needs("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", ROOT / ".mypy_cache", *files],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    return done.stdout


def test_type_checkers_accept_the_names_as_exported(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(f"from longwire import {', '.join(longwire.__all__)}\n")

    assert check_types(program).startswith("Success")


def test_type_checkers_refuse_a_name_that_is_not_there(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("from longwire import served\n")

    assert 'Module "longwire" has no attribute "served"' in check_types(program)


def test_type_checkers_accept_the_examples():
    assert check_types(*EXAMPLES.glob("*.py")).startswith("Success")


PROGRAM = """
from longwire import ServerConnection, connect, serve, sync

async def handler(websocket: ServerConnection) -> None:
    print(websocket.request.path, websocket.request.headers)
    websocket.data = {"user": 1}
    await websocket.send("text")
    await websocket.send(b"bytes")
    await websocket.send(["a", "b"])
    await websocket.send(piece for piece in "ab")

def threads(websocket: sync.ServerConnection) -> None:
    print(websocket.request.path)
    websocket.send(iter(["a", "b"]))

serve(handler, "localhost", 8765, reuse_port=True, ssl=None, backlog=9)
connect("ws://localhost", host="127.0.0.1", server_hostname=None)
"""
WRONG = {
    "await websocket.send({'a': 1})": "arg-type",
    "await websocket.send(1)": "arg-type",
    "await websocket.send([{'a': 1}])": "list-item",
    "websocket.usr": "attr-defined",
    "serve(handler, 'localhost', 8765, max_connections=9)": "call-arg",
    "serve(handler, 'localhost', 8765, ping_intervall=9)": "call-arg",
    "connect('ws://localhost', reuse_port=True)": "call-arg",
    "connect('ws://localhost', ssl=True)": "arg-type",
}


def test_type_checkers_accept_what_handlers_do(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    assert check_types(program).startswith("Success")


def test_type_checkers_refuse_mistakes(tmp_path):
    program = tmp_path / "program.py"
    lines = "".join(f"    {wrong}\n" for wrong in WRONG)
    head = "from longwire import ServerConnection, connect, serve\n"
    program.write_text(
        f"{head}async def handler(websocket: ServerConnection) -> None:\n{lines}"
    )

    said = check_types(program)

    for number, (wrong, code) in enumerate(WRONG.items(), 3):
        found = [
            line for line in said.splitlines() if f"program.py:{number}: error" in line
        ]
        assert any(f"[{code}]" in line for line in found), (wrong, said)


def test_the_keywords_for_type_checkers_are_those_that_are_accepted():
    import asyncio
    import inspect

    from longwire.asyncio import client, keywords

    listen = inspect.signature(asyncio.AbstractEventLoop.create_server).parameters
    assert keywords.ListenOptions.__annotations__.keys() <= listen.keys()
    reach = keywords.ReachOptions.__annotations__.keys() - {"all_errors"}
    assert reach <= client._TCP


async def test_what_a_shell_offers_of_a_connection_is_in_the_reference():
    """Also where it is no use on this front end: one page is for all of them."""
    documented = {
        name
        for page in (ROOT / "docs" / "reference").glob("*.md")
        for name in re.findall(r"\w+", page.read_text("utf-8"))
    }
    offered: dict[str, list[str]] = {}

    async def handler(websocket):
        offered["asyncio server"] = dir(websocket)
        await websocket.wait_closed()

    async def connect_on_trio():
        async with on_trio.connect(server.uri) as websocket:
            offered["trio"] = dir(websocket)

    def connect_in_a_thread():
        with sync.connect(server.uri) as websocket:
            offered["threads"] = dir(websocket)

    async with serving(handler) as server:
        async with longwire.connect(server.uri) as websocket:
            offered["asyncio"] = dir(websocket)
        await asyncio.to_thread(connect_in_a_thread)
        await asyncio.to_thread(trio.run, connect_on_trio)
    threads = sync.ServerConnection.__new__(sync.ServerConnection)
    offered["threads server"] = threads.__dir__()
    for name, names in offered.items():
        public = {each for each in names if not each.startswith("_")}
        assert sorted(public - documented) == [], name
        assert {"send", "close_report", "state"} <= public, name
