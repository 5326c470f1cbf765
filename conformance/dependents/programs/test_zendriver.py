"""A browser driver of today's API with a real Chromium."""

import shutil

import zendriver
from fakes import run

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
PAGE = "data:text/html,<title>Tested</title><p id=one>first</p><p>second</p>"


def test_page_is_read_and_evaluated():
    async def main():
        assert CHROMIUM, "there is no Chromium"
        browser = await zendriver.start(
            headless=True,
            sandbox=False,
            browser_executable_path=CHROMIUM,
            browser_args=["--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            tab = await browser.get(PAGE)
            await tab.wait(0.5)
            assert await tab.evaluate("1 + 1") == 2
            assert await tab.evaluate("document.title") == "Tested"
            first = await tab.select("#one")
            assert first.text == "first"
            assert len(await tab.evaluate("'x'.repeat(300000)")) == 300_000
            assert "second" in await tab.get_content()
            other = await browser.get("data:text/html,<p>other", new_tab=True)
            assert "other" in await other.get_content()
        finally:
            await browser.stop()

    run(main())
