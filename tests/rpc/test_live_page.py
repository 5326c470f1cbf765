"""The tutorial's page does what the tutorial says, in Chromium."""

from __future__ import annotations

import signal

import pytest

from tests.docs.programs import EXAMPLES, program, until_listening
from tests.support.browser import Browser
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]

SERVER = EXAMPLES / "rpc" / "live_page.py"


def shows(selector: str, text: str) -> str:
    return f"document.querySelector('{selector}').textContent === '{text}'"


PRICE = "document.querySelector('#price').textContent"
HAS_PRICE = f"/^[34][.][0-9][0-9]$/.test({PRICE})"


async def test_the_page_is_live(chromium: str) -> None:
    port = free_port()
    url = f"http://localhost:{port}/"
    async with Browser(chromium) as browser:
        with program(SERVER, PORT=str(port)) as server:
            await until_listening(port, server)
            first, second = await browser.open(url), await browser.open(url)
            for tab in (first, second):
                await tab.until(HAS_PRICE)

            await first.click("#buy")
            await first.until(shows("#said", "Thank you."))
            await second.until(shows("#left", "1"))
            await second.click("#buy")
            await first.until(shows("#left", "0"))
            await first.click("#buy")
            await first.until(shows("#said", "SoldOut: no more tea"))

            server.stop(signal.SIGINT)
            assert "internal error" not in server.output
        for tab in (first, second):
            await tab.evaluate(f"{PRICE} = 'gone'")

        with program(SERVER, PORT=str(port)) as server:
            await until_listening(port, server)
            for tab in (first, second):
                await tab.until(HAS_PRICE, 30)
            await first.click("#buy")
            await second.until(shows("#left", "1"))
            assert "Traceback" not in server.output
