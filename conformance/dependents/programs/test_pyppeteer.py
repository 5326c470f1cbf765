"""A browser driver of the old API with a real Chromium."""

import shutil

from fakes import run
from pyppeteer import launch

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
PAGE = "data:text/html,<title>Tested</title><p id=one>first</p><p>second</p>"


def test_page_is_read_clicked_and_pictured():
    async def main():
        assert CHROMIUM, "there is no Chromium"
        browser = await launch(
            executablePath=CHROMIUM,
            headless=True,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            handleSIGINT=False,
            handleSIGTERM=False,
            handleSIGHUP=False,
        )
        try:
            page = await browser.newPage()
            await page.goto(PAGE)
            assert await page.title() == "Tested"
            assert await page.evaluate("1 + 1") == 2
            texts = await page.querySelectorAllEval(
                "p", "found => found.map(one => one.textContent)"
            )
            assert texts == ["first", "second"]
            long = await page.evaluate("'x'.repeat(300000)")
            assert len(long) == 300_000
            picture = await page.screenshot()
            assert picture.startswith(b"\x89PNG")
        finally:
            await browser.close()

    run(main())
