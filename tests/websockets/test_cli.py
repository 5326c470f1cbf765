"""``python -m longwire.websockets``: what the documented session prints."""

from __future__ import annotations

import asyncio
import sys

import pytest
from websockets.asyncio.server import serve as peer_serve

import longwire
from longwire.websockets import cli
from tests.support.commands import environment
from tests.websockets.serving import echo, uri_of

pytestmark = pytest.mark.once


async def ran(*arguments, typed=b""):
    """Return the exit status and what the command printed, with ``typed`` as input."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "longwire.websockets", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(),
    )
    printed, _ = await process.communicate(typed)
    return process.returncode, printed.decode()


async def test_a_session_prints_what_comes_and_how_it_ends():
    async with peer_serve(echo, "127.0.0.1", 0) as server:
        uri = uri_of(server)

        status, printed = await ran(uri, typed=b"hello\n")

    assert printed.splitlines() == [
        f"Connected to {uri}.",
        "< hello",
        "Connection closed: 1000 (OK).",
    ]
    assert status == 0


async def test_a_binary_message_is_printed_in_hexadecimal():
    async def send(websocket):
        await websocket.send(b"\x00\xff\x10")

    async with peer_serve(send, "127.0.0.1", 0) as server:
        _, printed = await ran(uri_of(server))

    assert "< (binary) 00ff10" in printed.splitlines()


async def test_the_reason_of_a_server_that_closes_is_shown():
    async def refuse(websocket):
        await websocket.recv()
        await websocket.close(1011, "authentication failed")

    async with peer_serve(refuse, "127.0.0.1", 0) as server:
        status, printed = await ran(uri_of(server), typed=b"token\n")

    end = "Connection closed: 1011 (internal error) authentication failed."
    assert printed.splitlines()[-1] == end
    assert status == 0  # as there: programs tell by the text


async def test_escape_sequences_of_a_peer_are_shown_harmless():
    async def attack(websocket):
        await websocket.send("\x1b[2Jgone")

    async with peer_serve(attack, "127.0.0.1", 0) as server:
        _, printed = await ran(uri_of(server))

    assert "< \\x1b[2Jgone" in printed
    assert "\x1b[2J" not in printed


@pytest.mark.parametrize("uri", ["ws://127.0.0.1:1/", "http://localhost"])
async def test_no_connection_is_one_line_and_status_1(uri):
    status, printed = await ran(uri)

    assert printed.startswith(f"Failed to connect to {uri}: ")
    assert len(printed.splitlines()) == 1
    assert status == 1


def test_no_uri_is_the_usage_and_status_2(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([])

    assert ended.value.code == 2
    assert "[--insecure] [--version] [<uri>]" in capsys.readouterr().out


def test_the_version_is_ours(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"longwire.websockets {longwire.__version__}\n"
