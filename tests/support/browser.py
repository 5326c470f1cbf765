"""Headless Chromium for tests, driven over its DevTools protocol by longwire itself.

    def chromium(tmp_path_factory): yield from run_chromium(...)    # in a conftest.py

    async with Browser(chromium) as browser:          # a fresh profile for each
        tab = await browser.open("http://localhost:8765/")
        await tab.until("document.title === 'ready'")
        await tab.click("#plus")
        assert await tab.evaluate("...") == ...

The protocol: https://chromedevtools.github.io/devtools-protocol/. Tabs of one `Browser`
share a profile; nothing outlives it. `tab.errors` has what the page's console
complained of.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import longwire
from tests.support.needs import needs

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing beyond this machine is looked for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--window-size=900,820",
    "--remote-debugging-port=0",
)
START = 20.0  # seconds that Chromium may take to start


class BrowserError(Exception):
    """Chromium refused a command, or a script in a page threw."""


def run_chromium(folder: Path, *flags: str) -> Iterator[str]:
    """Start Chromium with its profile in ``folder``; yield its DevTools URI; end it.

    For a fixture: ``yield from run_chromium(...)``. Leaves the test out where there is
    no Chromium.
    """
    program = needs("chromium")
    log = folder / "chromium.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _devtools_uri(process, folder / "profile" / "DevToolsActivePort", log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _devtools_uri(process: subprocess.Popen[bytes], file: Path, log: Path) -> str:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:  # a port and a path
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise AssertionError(
        f"Chromium did not start:\n{log.read_text('utf-8', 'replace')}"
    )


class Browser:
    """A fresh profile in a running Chromium, for the length of an ``async with``."""

    def __init__(self, uri: str) -> None:
        self._connecting = longwire.connect(
            uri, max_size=None, ping_interval=None, compression=None, proxy=None
        )
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}

    async def __aenter__(self) -> Self:
        self._ws = await self._connecting
        self._reading = asyncio.create_task(self._read())
        context = await self.call("Target.createBrowserContext")
        self._context: str = context["browserContextId"]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self.call(
                "Target.disposeBrowserContext", browserContextId=self._context
            )
        finally:
            await self._ws.close()
            await self._reading

    async def open(self, url: str) -> Tab:
        """Return a new tab with ``url`` loaded."""
        target = await self.call(
            "Target.createTarget", url="about:blank", browserContextId=self._context
        )
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        session = attached["sessionId"]
        tab = self._tabs[session] = Tab(self, session, target["targetId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.call(f"{domain}.enable")
        await tab.load(url)
        return tab

    async def call(
        self, method: str, session: str | None = None, **params: Any
    ) -> dict[str, Any]:
        """Return the result of a DevTools command."""
        number = next(self._ids)
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            command["sessionId"] = session
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            await self._ws.send(json.dumps(command))
            async with asyncio.timeout(20):
                return await reply
        finally:
            del self._replies[number]

    async def _read(self) -> None:
        """Give each reply to its command and each event to its tab, to the end."""
        try:
            async for message in self._ws:
                self._take(json.loads(message))
        except longwire.ConnectionClosed:
            pass  # commands that wait are told below
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(BrowserError("Chromium has gone"))

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message:
            tab = self._tabs.get(message.get("sessionId", ""))
            if tab is not None:
                tab.note(message["method"], message["params"])
            return
        reply = self._replies.get(message["id"])
        if reply is None or reply.done():
            return
        if "error" in message:
            reply.set_exception(BrowserError(message["error"]["message"]))
        else:
            reply.set_result(message["result"])


class Tab:
    """One page. Scripts are JavaScript expressions, results come as JSON values."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser = browser
        self._session = session
        self._target = target
        self._loaded = asyncio.Event()
        self.errors: list[str] = []
        """Exceptions and errors of the page's console, as text."""
        self.headers: dict[str, str] = {}
        """Headers of the last document, names in lower case."""

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a DevTools command for this tab."""
        return await self._browser.call(method, self._session, **params)

    async def load(self, url: str) -> None:
        """Go to ``url`` and wait until it is loaded."""
        self._loaded.clear()
        result = await self.call("Page.navigate", url=url)
        if "errorText" in result:
            raise BrowserError(f"{url}: {result['errorText']}")
        await self._wait_until_loaded()

    async def reload(self) -> None:
        """Load the page anew, as a user would."""
        self._loaded.clear()
        await self.call("Page.reload")
        await self._wait_until_loaded()

    async def close(self) -> None:
        """Close the tab."""
        await self._browser.call("Target.closeTarget", targetId=self._target)

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        result = await self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            thrown = details.get("exception", {}).get("description", details["text"])
            raise BrowserError(f"{script}: {thrown}")
        return result["result"].get("value")

    async def until(self, script: str, seconds: float = 15.0) -> Any:
        """Return the value of an expression as soon as it is true."""
        deadline = time.monotonic() + seconds
        while True:
            value = await self.evaluate(script)
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"still false after {seconds} seconds: {script}\n"
                    f"console: {self.errors}\npage: {await self.text()!r}"
                )
            await asyncio.sleep(0.03)

    async def text(self, selector: str = "body") -> str:
        """Return the text of an element as a user sees it."""
        found = await self.evaluate(f"{_query(selector)}.innerText")
        return str(found)

    async def click(self, selector: str) -> None:
        """Click an element with the mouse, at its middle."""
        x, y = await self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(({_query(selector)}.scrollIntoView(), "
            f"{_query(selector)}.getBoundingClientRect()))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="left",
                clickCount=1,
            )

    async def type(self, selector: str, text: str) -> None:
        """Replace what is in an input field by ``text``, as typed."""
        await self.evaluate(f"{_query(selector)}.focus(), {_query(selector)}.select()")
        await self.call("Input.insertText", text=text)

    async def press_enter(self) -> None:
        """Press the Enter key where the focus is."""
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                text="\r" if kind == "keyDown" else "",
                windowsVirtualKeyCode=13,
            )

    async def screenshot(self, file: Path) -> None:
        """Write what the tab shows as PNG."""
        result = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(result["data"]))

    def note(self, event: str, params: dict[str, Any]) -> None:
        """Remember what an event says; for `Browser`."""
        if event == "Page.loadEventFired":
            self._loaded.set()
        elif event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            thrown = details.get("exception", {}).get("description", "")
            self.errors.append(f"{details['text']} {thrown}")
        elif event == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif event == "Network.responseReceived" and params["type"] == "Document":
            headers = params["response"]["headers"]
            self.headers = {name.lower(): value for name, value in headers.items()}

    async def _wait_until_loaded(self) -> None:
        async with asyncio.timeout(20):
            await self._loaded.wait()


def _query(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"
