"""The demo's server: what tabs are told, what is let in, what is left out."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os

import pytest

import longwire
from tests.support.commands import SOURCES, run
from tests.support.needs import needs

needs("msgspec")  # RPC's, which is not there on every Python

from longwire.cli.demo import server as demo  # noqa: E402


@contextlib.asynccontextmanager
async def serving():
    async with demo.Demo().make_server(["127.0.0.1"], 0) as server:
        yield server.sockets[0].getsockname()[1]


def open_tab(port, path="/ws", **options):
    return longwire.connect(f"ws://127.0.0.1:{port}{path}", proxy=None, **options)


async def next_of(ws, name):
    """Return what the tab is told next by one name."""
    while (message := json.loads(await ws.recv())).get("method") != name:
        pass
    return message["params"]


async def told(ws, name, **params):
    """Wait until the tab is told exactly this."""
    while await next_of(ws, name) != params:
        pass


async def ask(ws, method, params=None, *, id=1):
    """Call what the server has; return the answer, a result or an error."""
    await ws.send(call(method, params, id=id))
    return await answer(ws, id)


async def answer(ws, id=1):
    """Return the answer to a call; it has a result or an error."""
    while "id" not in (message := json.loads(await ws.recv())) or message["id"] != id:
        pass
    return message


async def say(ws, text, name=""):
    return await ask(ws, "chat.say", {"text": text, "name": name})


def call(method, params, **members):
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.dumps({**call, **members})


def watch(window):
    return call("latency", [], stream=window)


async def fetch(port, path="/", method="GET", headers=None):
    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


@pytest.fixture
def no_errors_logged(caplog):
    caplog.set_level(logging.INFO)
    yield
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []
    assert [r for r in caplog.records if r.exc_info] == []


# --- the counter -----------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ws", "/", "/ws?tab=1"])
async def test_a_new_tab_learns_state_and_users(path):
    async with serving() as port, open_tab(port, path) as ws:
        joined = await ask(ws, "join")

    assert joined["result"] == {"value": 0, "users": 1, "messages": []}


async def test_the_counter_goes_up_and_down_for_everybody():
    async with serving() as port, open_tab(port) as first, open_tab(port) as second:
        for by, value in ((1, 1), (1, 2), (-1, 1), (-1, 0)):
            await ask(first, "counter.add", [by])
            await told(second, "counter", value=value)
        await ask(second, "counter.add", [-1])
        await told(first, "counter", value=-1)


async def test_the_counter_s_new_value_is_the_answer():
    async with serving() as port, open_tab(port) as ws:
        assert (await ask(ws, "counter.add", [1]))["result"] == 1
        assert (await ask(ws, "counter.add", {"by": 1}))["result"] == 2


async def test_the_number_of_users_is_told_when_one_comes_and_when_one_goes():
    async with serving() as port, open_tab(port) as first:
        async with open_tab(port):
            await told(first, "users", count=2)
        await told(first, "users", count=1)


async def test_a_tab_that_is_cut_off_no_longer_counts(no_errors_logged):
    async with serving() as port, open_tab(port) as first:
        second = await open_tab(port)
        await told(first, "users", count=2)

        second.transport.abort()

        await told(first, "users", count=1)
        await second.wait_closed()


# --- what makes no sense ---------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code", "says"),
    [
        (call("explode", []), -32601, "no such method: 'explode'"),
        (call("join.__init__", []), -32601, "no such method"),
        ('{"jsonrpc": "2.0", "id": 1, "method": null}', -32600, "method"),
        ("{}", -32600, ""),
        ("[]", -32600, ""),
        ("1", -32600, ""),
        ('"plus"', -32600, ""),
        ("null", -32600, ""),
        ("", -32700, "json"),
        ("plus", -32700, "json"),
        ('{"method": "join"', -32700, "json"),
        ("[" * 16000, -32700, "json"),
        (call("counter.add", [2]), -32602, "parameter 'by'"),
        (call("counter.add", ["1"]), -32602, "parameter 'by'"),
        (call("counter.add", [1, 1]), -32602, ""),
        (call("counter.add", []), -32602, "parameter 'by' is missing"),
        (call("chat.say", {}), -32602, "parameter 'text' is missing"),
        (call("chat.say", {"text": 7}), -32602, "parameter 'text'"),
        (call("chat.say", {"text": "a", "name": {}}), -32602, "parameter 'name'"),
        (call("latency", []), -32004, "stream"),
        (call("chat.say", {"text": " \n "}), -32000, "text is empty"),
        (
            call("chat.say", {"text": "é" * 501}),
            -32000,
            "text of 501 characters exceeds the limit of 500 characters",
        ),
        (
            call("chat.say", {"text": "a", "name": "n" * 33}),
            -32000,
            "name of 33 characters exceeds the limit of 32 characters",
        ),
    ],
)
async def test_a_wrong_message_is_answered_and_changes_nothing(
    message, code, says, no_errors_logged
):
    async with serving() as port, open_tab(port) as ws:
        await ws.send(message)
        while "error" not in (found := json.loads(await ws.recv())):
            pass
        assert found["error"]["code"] == code
        assert says in found["error"]["message"]

        joined = await ask(ws, "join")
        assert joined["result"] == {"value": 0, "users": 1, "messages": []}


async def test_what_a_tab_sends_is_not_logged(caplog):
    caplog.set_level(logging.INFO)
    async with serving() as port, open_tab(port) as ws:
        for text in ("hello", "\x1b[1m\n" * 1000):
            await say(ws, text)
        await ws.send("\x1b[1m\n" * 1000)
        await answer(ws, None)

    lines = [record.getMessage() for record in caplog.records]
    assert "a tab came: 1 open" in lines
    assert not [line for line in lines if "hello" in line or not line.isprintable()]


async def test_a_flood_of_nonsense_closes_the_connection(no_errors_logged):
    async with serving() as port, open_tab(port) as ws:
        for _ in range(demo.LIMITS.strange):
            await ws.send("nonsense")
        await ws.wait_closed()

        assert ws.close_code == 1008


async def test_binary_data_closes_the_connection_with_1003(no_errors_logged):
    async with serving() as port, open_tab(port) as ws:
        await ws.send(call("counter.add", [1]).encode())
        await ws.wait_closed()

        assert ws.close_code == 1003


async def test_a_message_over_the_limit_closes_the_connection_with_1009(
    no_errors_logged,
):
    async with serving() as port, open_tab(port) as ws:
        await ws.send("x" * (demo.MAX_SIZE + 1))
        await ws.wait_closed()

        assert ws.close_code == 1009


# --- the chat --------------------------------------------------------------------


async def test_what_is_said_reaches_everybody_in_one_line():
    async with serving() as port, open_tab(port) as first, open_tab(port) as second:
        await say(second, " two\nlines <b> ", " Ada \t")
        await say(first, "again")

        for ws in (first, second):
            joined = await ask(ws, "join")
            said = joined["result"]["messages"][0]
            assert said["name"] == "Ada"
            assert said["text"] == "two lines <b>"
            assert said["time"].endswith("+00:00")


async def test_what_is_said_is_told_at_once():
    async with serving() as port, open_tab(port) as first, open_tab(port) as second:
        await say(first, "hello", "Ada")

        said = await next_of(second, "said")
        assert (said["name"], said["text"]) == ("Ada", "hello")


async def test_who_has_no_name_is_a_guest():
    async with serving() as port, open_tab(port) as ws, open_tab(port) as other:
        await ask(ws, "chat.say", ["hello"])

        assert (await next_of(other, "said"))["name"] == "guest"


async def test_the_longest_message_fits_however_it_is_escaped():
    text = "\U0001f600" * demo.MAX_TEXT  # 12 bytes each, escaped
    async with serving() as port, open_tab(port) as ws, open_tab(port) as other:
        await say(ws, text, "\U0001f600" * demo.MAX_NAME)

        assert (await next_of(other, "said"))["text"] == text


async def test_half_a_character_does_no_harm(no_errors_logged):
    half = call("chat.say", []).replace("[]", '["\\ud800"]')
    async with serving() as port, open_tab(port) as ws:
        await ws.send(half)
        assert (await answer(ws, None))["error"]["code"] == -32700

        assert (await ask(ws, "join"))["result"]["messages"] == []


async def test_the_last_messages_are_kept_for_those_who_come_later():
    async with serving() as port, open_tab(port) as first:
        for number in range(demo.HISTORY + 5):
            await say(first, str(number))

        async with open_tab(port) as second:
            joined = await ask(second, "join")

    texts = [said["text"] for said in joined["result"]["messages"]]
    assert texts == [str(number) for number in range(5, demo.HISTORY + 5)]


# --- latency ---------------------------------------------------------------------


async def test_every_tab_gets_figures_of_its_latency(monkeypatch):
    monkeypatch.setattr(demo, "PING_INTERVAL", 0.05)
    async with serving() as port, open_tab(port) as first, open_tab(port) as second:
        for ws in (first, second):
            await ws.send(watch(3))
        for ws in (first, second):
            for _ in range(3):
                item = await next_of(ws, "$/item")
                assert 0 <= item["value"] < 20_000


async def test_a_tab_that_takes_no_figures_is_not_pinged(monkeypatch):
    monkeypatch.setattr(demo, "PING_INTERVAL", 0.01)
    async with serving() as port, open_tab(port) as ws:
        await ws.send(watch(1))
        await next_of(ws, "$/item")

        await asyncio.sleep(0.1)

        assert (await ask(ws, "join", id=2))["id"] == 2  # and no item before it


async def test_nobody_is_pinged_when_all_have_left(monkeypatch, no_errors_logged):
    monkeypatch.setattr(demo, "PING_INTERVAL", 0.01)
    async with serving() as port:
        for _ in range(3):
            async with open_tab(port) as ws:
                await ws.send(watch(99))
                await next_of(ws, "$/item")
        # The hook that runs this test fails it for a task left behind.


# --- HTTP ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "begins"),
    [
        ("/", "text/html", b"<!DOCTYPE html>"),
        ("/?a=b", "text/html", b"<!DOCTYPE html>"),
        ("/page.css", "text/css", b":root"),
        ("/page.js", "text/javascript", b"//"),
        ("/longwire.min.js", "text/javascript", b"/*! longwire"),
    ],
)
async def test_the_page_is_served(path, kind, begins):
    async with serving() as port:
        response, body = await fetch(port, path)

    assert response.status == 200
    assert response.headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert body.startswith(begins)


async def test_the_page_forbids_everything_it_does_not_need():
    async with serving() as port:
        response, _ = await fetch(port)

    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_an_offer_of_another_protocol_still_gets_the_page():
    offer = {"Upgrade": "h2c", "Connection": "Upgrade"}  # what curl --http2 sends
    async with serving() as port:
        response, body = await fetch(port, "/", headers=offer)

    assert response.status == 200
    assert body.startswith(b"<!DOCTYPE html>")


async def test_head_has_the_headers_and_no_body():
    async with serving() as port:
        response, body = await fetch(port, "/", "HEAD")

    assert response.status == 200
    assert int(response.headers["Content-Length"]) > 1000
    assert body == b""


@pytest.mark.parametrize(
    "path", ["/nothing", "/page.py", "/../page.html", "//", "/ws/"]
)
async def test_nothing_else_is_served(path):
    async with serving() as port:
        response, _ = await fetch(port, path)

    assert response.status == 404


async def test_other_methods_are_refused_by_name():
    async with serving() as port:
        response, _ = await fetch(port, "/", "POST")

    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


async def test_the_socket_s_path_asks_for_an_upgrade():
    async with serving() as port:
        response, _ = await fetch(port, "/ws")

    assert response.status == 426
    assert response.headers["Upgrade"] == "websocket"


async def test_the_health_check_answers():
    async with serving() as port:
        response, body = await fetch(port, "/healthz")

    assert response.status == 200
    assert body == b"OK\n"


async def test_only_its_own_pages_are_let_in():
    async with serving() as port:
        async with open_tab(port, origin=f"http://127.0.0.1:{port}") as ws:
            await told(ws, "users", count=1)
        with pytest.raises(longwire.InvalidStatus) as refused:
            await open_tab(port, origin="http://elsewhere.example")

    assert refused.value.response.status_code == 403


# --- what it needs ---------------------------------------------------------------


def test_without_msgspec_it_says_what_to_install(tmp_path):
    (tmp_path / "msgspec.py").write_text("raise ImportError('not here')")

    done = run("demo", PYTHONPATH=f"{tmp_path}{os.pathsep}{SOURCES}")

    assert done.returncode == 1
    assert done.stderr == (
        b"Error: longwire.rpc needs msgspec; in a checkout: pip install '.[rpc]'\n"
    )
