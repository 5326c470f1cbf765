"""Drives ``serve()`` of either asyncio API: requests, hooks, and what is answered."""

import asyncio
import contextlib
import http
import importlib
import logging
import socket
import sys
import time

from live import Peer, clock, guarded
from values import describe


def hooks(side, options):
    """Return options with functions in place of the words that ask for them."""
    options = dict(options)
    kind = options.pop("process_request", None)
    if kind is not None:
        options["process_request"] = (NEW if side == "new" else LEGACY)[kind]
    kind = options.pop("process_response", None)
    if kind is not None:
        options["process_response"] = RESPONSES[kind]
    kind = options.pop("select_subprotocol", None)
    if kind is not None:
        options["select_subprotocol"] = SELECTS[side, kind]
    kind = options.pop("extra_headers", None)
    if kind is not None:
        options["extra_headers"] = EXTRA[kind]
    return options


def failing(*args):
    raise ValueError("of the hook")


async def failing_later(*args):
    raise ValueError("of the hook")


async def nothing(*args):
    return None


async def page(connection, request):
    return connection.respond(http.HTTPStatus.OK, "page\n")


def other_page(connection, request):
    response = connection.respond(404, "none\n")
    response.headers["X-Added"] = "yes"
    return response


async def closing(connection, request):
    await connection.close()


async def old_page(path, headers):
    return http.HTTPStatus.OK, [("X-Path", path)], b"page\n"


async def old_number(path, headers):
    return 404, {"X-Seen": headers.get("X-Other", "no")}, b"none\n"


def changing(connection, request, response):
    response.headers["X-Changed"] = "yes"


async def replacing(connection, request, response):
    return connection.respond(503, "later\n")


NEW = {
    "nothing": nothing,
    "plain nothing": lambda connection, request: None,
    "page": page,
    "plain page": other_page,
    "failing": failing,
    "failing later": failing_later,
    "wrong": lambda connection, request: "a text",
    "closing": closing,
}
LEGACY = {
    "nothing": nothing,
    "plain nothing": lambda path, headers: None,
    "page": old_page,
    "plain page": lambda path, headers: (200, [], b"page\n"),
    "failing": failing,
    "failing later": failing_later,
    "wrong": old_number,
    "closing": old_number,
}
RESPONSES = {
    "changing": changing,
    "replacing": replacing,
    "failing": failing,
    "nothing": nothing,
}
SELECTS = {
    ("new", "first"): lambda connection, offered: offered[0] if offered else None,
    ("new", "none"): lambda connection, offered: None,
    ("new", "foreign"): lambda connection, offered: "foreign",
    ("new", "failing"): failing,
    ("legacy", "first"): lambda offered, known: offered[0] if offered else None,
    ("legacy", "none"): lambda offered, known: None,
    ("legacy", "foreign"): lambda offered, known: "foreign",
    ("legacy", "failing"): failing,
}
EXTRA = {
    "dict": {"X-Extra": "one", "Server": "mine"},
    "list": [("X-Extra", "one"), ("X-Extra", "two")],
    "callable": lambda path, headers: {"X-Path": path},
    "callable none": lambda path, headers: None,
    "failing": failing,
}


class Records(logging.Handler):
    """Keeps the levels of what the server's logger says."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.levels = []

    def emit(self, record):
        self.levels.append(record.levelname)


def run(program):
    return asyncio.run(play(program))


async def play(program):
    side = program["side"]
    where = "websockets.asyncio.server" if side == "new" else "websockets.legacy.server"
    seen = []

    async def handler(connection, path=None):
        seen.append(facts(side, connection))
        await connection.send("hello")
        seen.append(describe(await connection.recv()))

    records = Records()
    logger = logging.getLogger("of this server")
    logger.propagate = False
    logger.handlers = [records]
    serve = importlib.import_module(where).serve
    options = hooks(side, program["options"])
    options.setdefault("logger", logger)
    options.setdefault("compression", None)
    trace = []
    if sys.modules["worker"].OF_39 in sys.argv:
        del options["logger"]  # an option since 10.0
    try:
        server = await serve(handler, "127.0.0.1", 0, **options)
    except Exception as error:
        return [{"did": "serve", "result": describe(error)}]
    sock = socket.create_connection(server.sockets[0].getsockname()[:2])
    peer = Peer(sock, http=True)
    peer.write(program["data"].encode("latin-1"))
    wrote = await answered(peer)
    trace.append({"did": "request", "wrote": wrote, "seen": list(seen)})
    # A text, masked with a key of zeros.
    peer.write(b"\x81\x82\x00\x00\x00\x00hi")
    wrote = await answered(peer)
    trace.append({"did": "text", "wrote": wrote, "seen": seen, "log": records.levels})
    sock.close()
    server.close()
    await answered(peer)
    clock()[0] += 1000
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await server.wait_closed()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)
    return trace


async def answered(peer):
    found, quiet = [], 0
    while quiet < 8:
        for _ in range(6):
            await asyncio.sleep(0)
        new = peer.read()
        quiet = 0 if new else quiet + 1
        found += new
        time.sleep(0.0003)
    return found


def facts(side, connection):
    if side == "new":
        names = ("subprotocol", "state")
        request = connection.request
        found = {"path": request.path, "other": request.headers.get("X-Other")}
        found["status"] = connection.response.status_code
    else:
        names = ("path", "subprotocol", "open", "closed", "host", "secure", "origin")
        found = {"other": connection.request_headers.get("X-Other")}
        found["added"] = guarded(lambda: connection.response_headers.get("X-Extra"))
    for name in names:
        found[name] = guarded(lambda name=name: getattr(connection, name))
    return found
