"""The demo in a real browser: what a user of `make demo` sees."""

from __future__ import annotations

import base64
import os
import signal
import struct

import pytest

from tests.support.browser import Browser, Tab
from tests.support.commands import Running, running
from tests.support.needs import ROOT, needs
from tests.support.ports import free_port

needs("msgspec")  # RPC's, which is not there on every Python

pytestmark = pytest.mark.timeout(60)

CONNECTED = "document.querySelector('#connection').textContent === 'connected'"
MESSAGES = "[...document.querySelectorAll('#messages span')].map(e => e.textContent)"


async def open_demo(browser: Browser, demo: Running) -> Tab:
    tab = await browser.open(demo.url())
    await tab.until(CONNECTED)
    return tab


def shows(selector: str, text: str) -> str:
    return f"document.querySelector('{selector}').textContent === '{text}'"


def says(*messages: str) -> str:
    return f"JSON.stringify({MESSAGES}) === JSON.stringify({list(messages)!r})"


async def test_two_tabs_share_the_counter(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            first = await open_demo(browser, demo)
            second = await open_demo(browser, demo)

            for button in ("#plus", "#plus", "#minus", "#plus"):
                await first.click(button)
            await second.until(shows("#value", "2"))
            await second.click("#minus")

            await first.until(shows("#value", "1"))
            assert first.errors == second.errors == []


async def test_the_number_of_users_follows_the_tabs(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            first = await open_demo(browser, demo)
            await first.until(shows("#users", "1"))

            second = await open_demo(browser, demo)
            await first.until(shows("#users", "2"))
            await second.until(shows("#users", "2"))
            await second.close()

            await first.until(shows("#users", "1"))


async def test_chat_reaches_other_tabs_as_text_and_never_as_markup(chromium):
    said = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            first = await open_demo(browser, demo)
            second = await open_demo(browser, demo)

            await first.type("#name", "<i>Eve</i>")
            await first.type("#text", said)
            await first.press_enter()

            await second.until(says(said))
            assert await second.text("#messages b") == "<i>Eve</i>"
            markup = "document.querySelectorAll('#messages :is(img, i, span b)').length"
            assert await second.evaluate(markup) == 0
            assert await second.evaluate("document.title") == "longwire demo"
            assert await first.evaluate("document.querySelector('#text').value") == ""


async def test_who_comes_later_sees_what_was_said(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            first = await open_demo(browser, demo)
            for text in ("one", "two"):
                await first.type("#text", text)
                await first.click("#send")
            await first.until(says("one", "two"))

            second = await open_demo(browser, demo)

            await second.until(says("one", "two"))


async def test_a_latency_figure_appears(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            tab = await open_demo(browser, demo)

            figure = await tab.until(
                "document.querySelector('#latency').textContent"
                ".match(/^([0-9.]+) ms$/)?.[1]"
            )

            assert float(figure) > 0


async def test_latency_is_plotted_as_it_comes_and_goes_on_after_a_restart(chromium):
    lines = "document.querySelector('#curve').getAttribute('d')?.match(/L/g)?.length"
    port = str(free_port())
    async with Browser(chromium) as browser:
        with running("demo", "--port", port) as demo:
            tab = await open_demo(browser, demo)
            await tab.until(f"{lines} > 4")
            assert (await tab.text("#plot-range")).startswith("at most ")
        await tab.until(shows("#connection", "reconnecting"))
        before = await tab.evaluate(lines)

        with running("demo", "--port", port) as demo:
            demo.url()
            await tab.until(f"{lines} > {before + 2}", 30)

        gaps = "document.querySelector('#curve').getAttribute('d').match(/M/g).length"
        assert await tab.evaluate(gaps) == 2


async def test_the_page_says_what_it_is(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            tab = await open_demo(browser, demo)

            assert "longwire.rpc" in await tab.text("#about")
            link = "document.querySelector('#about a').getAttribute('href')"
            assert await tab.evaluate(link) == "page.js"


async def test_what_is_said_wrongly_is_shown_and_given_back(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            tab = await open_demo(browser, demo)

            await tab.type("#text", " \u00a0 ")
            await tab.press_enter()
            await tab.until(shows("#error", "text is empty"))
            assert (
                await tab.evaluate("document.querySelector('#text').value.length") > 0
            )

            await tab.type("#text", "better")
            await tab.press_enter()
            await tab.until(says("better"))
            await tab.until(shows("#error", ""))


async def test_a_reload_comes_back_to_the_same_state(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            tab = await open_demo(browser, demo)
            await tab.click("#plus")
            await tab.until(shows("#value", "1"))
            await tab.type("#text", "still here")
            await tab.press_enter()
            await tab.until(says("still here"))

            await tab.reload()

            await tab.until(CONNECTED)
            await tab.until(shows("#value", "1"))
            await tab.until(says("still here"))
            await tab.until(shows("#users", "1"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
async def test_the_page_comes_back_by_itself_after_a_restart(chromium, how):
    port = str(free_port())
    async with Browser(chromium) as browser:
        with running("demo", "--port", port) as demo:
            tab = await open_demo(browser, demo)
            await tab.click("#plus")
            await tab.until(shows("#value", "1"))
            status = demo.stop(how)
        await tab.until(shows("#connection", "reconnecting"))
        assert await tab.evaluate("document.querySelector('#plus').disabled")
        assert "Next try in" in await tab.text("#why")

        with running("demo", "--port", port) as demo:
            demo.url()
            await tab.until(CONNECTED, 30)
            await tab.until(shows("#why", ""))
            await tab.until(shows("#value", "0"))
            await tab.click("#plus")
            await tab.until(shows("#value", "1"))

    assert status == (0 if how == signal.SIGTERM else -signal.SIGKILL)


async def test_the_server_ends_properly_while_tabs_are_open(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            await open_demo(browser, demo)
            await open_demo(browser, demo)

            status = demo.stop(signal.SIGINT)

        assert status == 0
        assert "Traceback" not in demo.output


async def test_the_page_loads_nothing_from_elsewhere(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            tab = await open_demo(browser, demo)

            loaded = await tab.evaluate(
                "performance.getEntriesByType('resource').map(e => e.name)"
            )

            assert {name.removeprefix(demo.url()) for name in loaded} == {
                "page.css",
                "page.js",
                "longwire.min.js",
            }
            assert "default-src 'none'" in tab.headers["content-security-policy"]
            assert tab.errors == []


async def test_every_control_has_a_name_for_screen_readers(chromium):
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            tab = await open_demo(browser, demo)

            tree = await tab.call("Accessibility.getFullAXTree")

            names = {
                node["role"]["value"]: node.get("name", {}).get("value", "")
                for node in tree["nodes"]
                if node["role"]["value"] in ("button", "textbox", "log", "status")
            }
            nameless = [role for role, name in names.items() if not name]
            assert "button" in names
            assert nameless in ([], ["status"])  # a status speaks by its content


async def test_a_page_of_another_site_is_not_let_in(chromium):
    with (
        running("demo", "--port", "0") as demo,
        running("demo", "--port", "0") as other,
    ):
        async with Browser(chromium) as browser:
            stranger = await open_demo(browser, other)
            # The page's own policy forbids it, too; so from a page without one.
            await stranger.call("Page.setBypassCSP", enabled=True)
            await stranger.reload()
            uri = demo.url().replace("http", "ws") + "ws"

            outcome = await stranger.evaluate(
                f"new Promise(done => {{ const ws = new WebSocket('{uri}');"
                "ws.onopen = () => done('let in'); ws.onerror = () => done('refused');"
                "})"
            )

            assert outcome == "refused"


@pytest.mark.long
async def test_the_picture_in_the_readme_is_of_this_page(chromium, tmp_path):
    """LONGWIRE_PICTURES=1 keeps it in docs/_static; it is looked at in a review."""
    kept = ROOT / "docs" / "_static" / "demo.png"
    with running("demo", "--port", "0") as demo:
        async with Browser(chromium) as browser:
            tab = await open_demo(browser, demo)
            await tab.call(
                "Emulation.setDeviceMetricsOverride",
                width=760,
                height=920,
                deviceScaleFactor=1,
                mobile=False,
            )
            await tab.evaluate("document.querySelector('#name').value = 'ann'")
            chat = ("hello from this tab", "and the counter is shared, too")
            for said in chat:
                await tab.evaluate(f"document.querySelector('#text').value = '{said}'")
                await tab.click("#send")
            await tab.until(
                says("hello from this tab", "and the counter is shared, too")
            )
            await tab.click("#plus")
            await tab.until(shows("#value", "1"))
            lines = "document.querySelector('#curve').getAttribute('d')?.match(/L/g)"
            await tab.until(f"{lines}?.length > 6")
            await tab.evaluate("window.scrollTo(0, 0)")
            shot = await tab.call("Page.captureScreenshot", format="png")

    picture = base64.b64decode(shot["data"])
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == (760, 920)
    if os.environ.get("LONGWIRE_PICTURES"):
        kept.write_bytes(picture)
    assert kept.read_bytes().startswith(b"\x89PNG")
    assert "docs/_static/demo.png" in (ROOT / "README.md").read_text("utf-8")
