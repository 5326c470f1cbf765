"""A site whose page has the JavaScript client and whose server speaks RPC.

    async with Site(routes, wire="wsrpc") as site, Browser(chromium) as browser:
        tab = await browser.open(site.url)

The page has the module as ``window.lw`` and what the classic script defines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from longwire import Headers, Response, rpc
from tests.support.browser import Browser, Tab

PAGE = b"""<!DOCTYPE html>
<link rel="icon" href="data:,">
<script src="/longwire.classic.js"></script>
<script type="module">
  import * as lw from "/longwire.min.js";
  window.lw = lw;
</script>
"""

# Notes what happens to `rpc`, and gives a failure as what a page can see of it.
PRELUDE = """
  window.events = [];
  for (const event of ["onconnect", "onclose", "onerror", "onchange"]) {
    rpc.addEventListener(event, () => events.push(event));
  }
  window.outcome = (promise) => promise.then(
    (result) => ({ result }),
    ({ name, message, type, code, data, report }) => (
      { name, message, type, code, data, cause: report?.cause }
    ),
  );
"""

MAKERS = {
    # As the article has it, without `new`; then as today's; then ours.
    "wsrpc.1": "RPC = WSRPC('/ws/', 200, {wire: 'wsrpc.1'})",
    "wsrpc": "new WSRPC('/ws/', 200)",
    "jsonrpc": "new lw.Rpc('/ws/', {reconnect: 200})",
}


class _Files:
    """Answers with a page or a file of a client; with None for the WebSocket."""

    def __init__(self, page: bytes, folder: Path) -> None:
        self.page = page
        self.scripts = {f"/{file.name}": file for file in folder.glob("*.js")}

    def __call__(self, connection: Any, request: Any) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/ws/":
            return None
        if path == "/":
            return _file(self.page, "text/html")
        if path not in self.scripts:
            refusal: Response = connection.respond(404, "nothing here\n")
            return refusal
        return _file(self.scripts[path].read_bytes(), "text/javascript")


def _file(body: bytes, kind: str) -> Response:
    headers = Headers()
    headers["Content-Type"] = f"{kind}; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(200, "OK", headers, body)


class Site:
    """A running server; ``server`` is its `rpc.Server`.

    ``page`` and the scripts in ``folder`` are what it serves.
    """

    def __init__(
        self,
        routes: Any,
        *,
        port: int = 0,
        page: bytes = PAGE,
        folder: Path = rpc.STATIC,
        **options: Any,
    ) -> None:
        self.server = rpc.Server(routes, **options)
        self._listening = self.server.serve(
            "127.0.0.1", port, process_request=_Files(page, folder)
        )

    async def __aenter__(self) -> Self:
        started = await self._listening.__aenter__()
        self.port: int = started.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._listening.__aexit__(*exc_info)


async def open_page(browser: Browser, url: str, wire: str = "jsonrpc") -> Tab:
    """Return a tab with ``window.rpc``, which is not connected yet."""
    tab = await browser.open(url)
    await tab.until("Boolean(window.lw && window.WSRPC)")
    await tab.evaluate(f"window.rpc = {MAKERS[wire]};{PRELUDE}; 0")
    return tab


async def outcome(tab: Tab, promise: str) -> dict[str, Any]:
    """Return how a promise of the page ended, ``{"result": …}`` or an error."""
    found: dict[str, Any] = await tab.evaluate(f"outcome({promise})")
    return found
