"""The guide to Django and Redis, editions 10.1 to 12.0: S50 and S51."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator

import pytest
import websockets as peer

from tests.docs.test_exports import check_types
from tests.support.browser import Browser
from tests.support.needs import needs
from tests.websockets.snippets.django_site import (
    FOLDER,
    PASSWORD,
    Site,
    Visitor,
    running_site,
)
from tests.websockets.snippets.harness import EXAMPLES, connect, interactive

pytestmark = [pytest.mark.long, pytest.mark.once, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Django and Redis, running; the WebSocket server is started by the test."""
    with running_site(tmp_path_factory.mktemp("django")) as site:
        yield site


def test_type_checkers_accept_the_example():
    files = [*FOLDER.glob("*.py"), *FOLDER.glob("experiments/*.py")]
    assert check_types(*files).startswith("Success")


def test_the_page_runs_programs_and_commands_that_exist():
    page = EXAMPLES.parent / "docs" / "howto" / "django.md"
    runs = re.findall(r"python (\w+\.py)(?: (\w+))?", page.read_text("utf-8"))
    commands = {command for _, command in runs if command}

    assert {"authentication.py", "notifications.py"} < {program for program, _ in runs}
    assert all((FOLDER / program).exists() for program, _ in runs)
    assert commands == {"migrate", "createsuperuser", "runserver"}


async def test_s50_the_token_of_the_page_says_who_connects(site):
    bob = await asyncio.to_thread(Visitor, site, "bob")
    token = await asyncio.to_thread(bob.token)
    with site.websockets("authentication.py"):
        async with connect(site.uri) as websocket:
            await websocket.send(token)
            assert await websocket.recv() == "Hello bob!"
            await websocket.wait_closed()
            assert websocket.close_code == 1000


async def test_s50_a_forged_token_is_refused(site):
    with site.websockets("authentication.py"):
        async with connect(site.uri) as websocket:
            await websocket.send("MQ:1x:forged")
            with pytest.raises(peer.ConnectionClosedError) as closed:
                await websocket.recv()

    assert closed.value.rcvd == peer.Close(1011, "authentication failed")


async def test_s50_the_documented_session_of_the_interactive_client(site):
    bob = await asyncio.to_thread(Visitor, site, "bob")
    token = await asyncio.to_thread(bob.token)
    with site.websockets("authentication.py"):
        with interactive(site.uri) as client:
            await client.until(f"Connected to {site.uri}.")
            client.press(token.encode() + b"\r")
            await client.until("< Hello bob!")
            await client.until("Connection closed: 1000 (OK).")
        with interactive(site.uri) as client:
            await client.until("\n>")
            client.press(b"hello\r")
            await client.until(
                "Connection closed: 1011 (internal error) authentication failed."
            )


def add_group_and_user(site, name):
    ada = Visitor(site, "ada")
    ada.post("admin/auth/group/add/", name=name)
    ada.post(
        "admin/auth/user/add/",
        username=name,
        password1=PASSWORD,
        password2=PASSWORD,
        usable_password="true",
    )


async def test_s51_notifications_reach_who_may_know_and_nobody_else(site):
    visitors = await asyncio.gather(
        *(asyncio.to_thread(Visitor, site, name) for name in ("bob", "eve", "ada"))
    )
    with site.websockets("notifications.py"):
        connections = [await connect(site.uri) for _ in visitors]
        for websocket, visitor in zip(connections, visitors, strict=True):
            await websocket.send(await asyncio.to_thread(visitor.token))
        bob, eve, ada = connections
        assert await bob.recv() == "Hello bob!"
        assert await eve.recv() == "Hello eve!"
        assert await ada.recv() == "Hello ada!"

        await asyncio.to_thread(add_group_and_user, site, "grace")

        group = json.loads(await bob.recv())
        user = json.loads(await eve.recv())
        assert [json.loads(await ada.recv()) for _ in range(2)] == [group, user]
        for websocket in connections:
            await websocket.close()

    assert (group["model"], group["object"], group["message"]) == (
        "group",
        "grace",
        "Added.",
    )
    assert (user["model"], user["object"], user["user"]) == ("user", "grace", "ada")
    assert group["content_type_id"] != user["content_type_id"]


async def test_s51_the_page_shows_what_is_changed_in_the_admin(site, chromium):
    with site.websockets("notifications.py"):
        async with Browser(chromium) as browser:
            tab = await browser.open(site.url)  # which leads to the login first
            await tab.type("#id_username", "bob")
            await tab.type("#id_password", PASSWORD)
            await tab.press_enter()
            await tab.until("document.title === 'notifications'")
            await tab.until("document.querySelector('#greeting').innerText")
            assert await tab.text("#greeting") == "Hello bob!"

            await asyncio.to_thread(add_group_and_user, site, "alan")

            await tab.until("document.querySelector('li') !== null")
            assert await tab.text("#notifications") == "group “alan”: Added."


async def test_s51_the_server_says_goodbye_and_ends_when_redis_goes_away(tmp_path):
    needs("redis")
    site = Site(tmp_path)
    with contextlib.ExitStack() as redis:
        redis.enter_context(site.redis())
        with site.websockets("notifications.py") as running:
            async with connect(site.uri) as websocket:
                await asyncio.to_thread(redis.close)
                await websocket.wait_closed()

                assert websocket.close_code == 1001
            assert await asyncio.to_thread(running.wait) == 1
            assert "ConnectionError" in running.output
