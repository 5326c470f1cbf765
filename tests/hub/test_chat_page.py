"""The example's page in Chromium: history in a new tab, presence, and the plug."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.docs.programs import EXAMPLES, program, until_listening
from tests.support.browser import Browser, Tab, run_chromium
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")

pytestmark = [pytest.mark.once, pytest.mark.timeout(90)]

SERVER = EXAMPLES / "hub" / "chat.py"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DevTools URI of a running Chromium."""
    yield from run_chromium(tmp_path_factory.mktemp("chromium"))


async def until_texts(tab: Tab, *texts: str) -> None:
    """Wait until the page has exactly these messages, in this order."""
    lines = "[...document.querySelectorAll('#messages li')]"
    said = f"{lines}.map((line) => line.textContent.replace(/^guest \\d+: /, ''))"
    await tab.until(f"JSON.stringify({said}) === {json.dumps(_compact(texts))}", 30)


def _compact(texts: tuple[str, ...]) -> str:
    return json.dumps(list(texts), separators=(",", ":"))


async def say(tab: Tab, text: str) -> None:
    await tab.type("#text", text)
    await tab.press_enter()


async def test_who_pulls_the_plug_misses_nothing(chromium: str) -> None:
    port = free_port()
    url = f"http://localhost:{port}/"
    async with Browser(chromium) as browser:
        with program(SERVER, PORT=str(port)) as server:
            await until_listening(port, server)
            first = await browser.open(url)
            await first.until("state.textContent === 'Connected.'")
            await say(first, "one")
            await until_texts(first, "one")
            second = await browser.open(url)  # with history
            await until_texts(second, "one")
            await first.until("here.textContent === '2'")

            await first.click("#plug")
            await first.until("state.textContent === 'No connection.'")
            for text in ("two", "three"):
                await say(second, text)
            await until_texts(second, "one", "two", "three")
            await say(first, "four")
            await until_texts(first, "one")
            await first.click("#plug")

            await until_texts(first, "one", "two", "three", "four")
            await until_texts(second, "one", "two", "three", "four")
            await first.until("state.textContent === 'Back, and nothing is missing.'")
            server.stop(signal.SIGINT)
            assert "internal error" not in server.output

        with program(SERVER, PORT=str(port)) as server:
            await until_listening(port, server)
            gap = "(messages are missing: epoch)"
            for tab in (first, second):
                await until_texts(tab, "one", "two", "three", "four", gap)
            await say(second, "on")
            await until_texts(first, "one", "two", "three", "four", gap, "on")
            assert "Traceback" not in server.output
