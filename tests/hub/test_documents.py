"""The pages of the hub: every name is described, every program runs, every frame is."""

import dataclasses
import json
import re

import pytest

from tests.docs.programs import ROOT, program, until_listening
from tests.docs.test_exports import check_types
from tests.hub.serving import eventually, serving
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")

from longwire import hub
from longwire.hub.entries import Verdict
from longwire.hub.errors import BY_CODE
from longwire.hub.topics import SLOW
from longwire.rpc.codecs import Json
from longwire.rpc.envelope import JsonRpc

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]

PAGES = ROOT / "docs" / "hub"
PROGRAMS = sorted(PAGES.glob("*.py"))


def page(name):
    return (PAGES / f"{name}.md").read_text("utf-8")


def test_the_reference_has_every_public_name_once():
    kinds = "auto(?:class|exception|function)|py:data"
    names = re.findall(
        rf"^\.\. (?:{kinds}):: longwire\.hub\.(\w+)$", page("python"), re.M
    )

    assert sorted(names) == sorted(hub.__all__)


@pytest.mark.parametrize("name", hub.__all__)
def test_a_public_name_is_there(name):
    assert hasattr(hub, name)


def test_every_limit_is_on_its_page_with_its_default():
    text = page("limits").replace(",", "")
    sizes = {64 << 10: "64 KiB", 1 << 10: "1 KiB", 512 << 10: "512 KiB"}
    sizes |= {1 << 20: "1 MiB", 16 << 20: "16 MiB", 64 << 20: "64 MiB"}
    for name, value in dataclasses.asdict(hub.HubLimits()).items():
        (row,) = re.findall(rf"^\| `{name}` \| (.*?) \|", text, re.M)
        assert sizes.get(value, f"{value:g}") in row, name


def test_every_error_is_on_the_page_about_the_wire():
    rows = dict(re.findall(r"^\| (-32\d+) \| .*?\| `(\w+)`", page("wire"), re.M))

    assert rows == {str(code): kind.__name__ for code, kind in BY_CODE.items()}


def test_every_verdict_and_every_policy_is_explained():
    text = page("guarantees")

    for verdict in Verdict:
        if verdict is not Verdict.COMPLETE:
            assert f'"{verdict.value}"' in text
    for slow in SLOW:
        assert f'| `"{slow}"` |' in text


def test_the_frames_on_the_pages_are_read():
    wire = JsonRpc(Json())
    text = page("wire") + page("tutorial")
    frames = re.findall(r'^[→←<>] (\{"jsonrpc".*\})$', text, re.M)

    assert len(frames) == 6
    for frame in frames:
        (message,) = wire.read(frame)
        assert type(message).__name__ != "Bad", frame


async def test_the_answers_on_the_page_have_the_members_of_real_ones():
    frames = re.findall(r'^← (\{"jsonrpc".*\})$', page("wire"), re.M)
    shown = [json.loads(frame) for frame in frames]
    async with serving() as it:
        first = await it.hub.publish("chat:42", "hi")
        await it.hub.publish("chat:42", "you")
        client = await it.by_hand()
        answer = await client.call(
            "hub.subscribe", topic="chat:42", since=first.position
        )
        await it.hub.publish("chat:42", "all")
        message = await client.pushes_of("hub.message")
        await it.hub.clear("chat:42")
        gap = await client.pushes_of("hub.gap")

    for real, found in (
        (answer, shown[0]["result"]),
        (message, shown[1]["params"]),
        (gap, shown[2]["params"]),
    ):
        assert real.keys() == found.keys()
        for entry, other in zip(
            real.get("entries", ()), found.get("entries", ()), strict=True
        ):
            assert entry.keys() == other.keys()


def test_type_checkers_accept_the_programs():
    assert check_types(*PROGRAMS).startswith("Success")


async def test_the_programs_of_the_tutorial_do_what_it_says():
    port = str(free_port())
    with program(PAGES / "chat_server.py", PORT=port) as server:
        await until_listening(int(port), server)
        unbuffered = {"PORT": port, "PYTHONUNBUFFERED": "1"}
        with program(PAGES / "chat_client.py", **unbuffered) as client:
            await eventually(lambda: client.output == "1 ann hello\n")

            with program(PAGES / "chat_client.py", **unbuffered) as other:
                both = "1 ann hello\n2 ann hello\n"
                await eventually(lambda: other.output == client.output == both)
