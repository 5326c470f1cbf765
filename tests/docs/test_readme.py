"""The programs in the README run as they are printed there."""

from __future__ import annotations

import re

import pytest

from tests.docs.programs import ROOT, output_of, program, until_listening
from tests.support.needs import needs
from tests.support.ports import free_port

pytestmark = pytest.mark.once

README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


async def test_the_client_of_the_readme_gets_an_answer_of_its_server(tmp_path):
    port = free_port()
    server, client = (tmp_path / "server.py", tmp_path / "client.py")
    for file, text in zip((server, client), PROGRAMS, strict=False):
        assert "8765" in text
        file.write_text(text.replace("8765", str(port)), "utf-8")

    with program(server) as running:
        await until_listening(port, running)
        printed = await output_of(client)

    assert printed == "hello\n"


@pytest.mark.parametrize(("number", "printed"), [(2, "3\n"), (3, "hello\n")])
async def test_the_other_programs_of_the_readme_print_what_they_should(
    tmp_path, number, printed
):
    needs("msgspec")
    assert len(PROGRAMS) == 4
    file = tmp_path / "program.py"
    file.write_text(PROGRAMS[number].replace("8765", str(free_port())), "utf-8")

    assert await output_of(file) == printed


def test_the_two_commands_are_the_first_thing_in_the_readme():
    first_block = README.split("```")[1]

    assert [line.split("  ")[0] for line in first_block.strip().splitlines()] == [
        "make demo",
        "make test",
    ]


def test_every_file_that_the_readme_names_is_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
