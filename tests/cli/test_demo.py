"""The demo's server: what tabs are told, what is let in, what is left out."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging

import pytest

import longwire
from longwire.cli.demo import server as demo


@contextlib.asynccontextmanager
async def serving():
    async with demo.Demo().make_server(["127.0.0.1"], 0) as server:
        yield server.sockets[0].getsockname()[1]


def open_tab(port, path="/ws", **options):
    return longwire.connect(f"ws://127.0.0.1:{port}{path}", proxy=None, **options)


async def told(ws, kind, **content):
    """Wait until the tab is told exactly this."""
    expected = {"type": kind, **content}
    while (event := json.loads(await ws.recv())) != expected:
        pass
    return event


async def next_of(ws, kind):
    """Return what the tab is told next that is of one kind."""
    while (event := json.loads(await ws.recv()))["type"] != kind:
        pass
    return event


async def act(ws, action, **content):
    await ws.send(json.dumps({"action": action, **content}))


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
async def test_a_new_tab_is_told_state_and_users(path):
    async with serving() as port, open_tab(port, path) as ws:
        await told(ws, "state", value=0)
        await told(ws, "users", count=1)


async def test_the_counter_goes_up_and_down_for_everybody():
    async with serving() as port, open_tab(port) as first, open_tab(port) as second:
        for action, value in (("plus", 1), ("plus", 2), ("minus", 1), ("minus", 0)):
            await act(first, action)
            await told(first, "state", value=value)
            await told(second, "state", value=value)
        await act(second, "minus")
        await told(first, "state", value=-1)


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
    ("message", "answer"),
    [
        ('{"action": "explode"}', "unknown action"),
        ('{"action": null}', "unknown action"),
        ('{"action": ["plus"]}', "unknown action"),
        ("{}", "unknown action"),
        ("[]", "unknown action"),
        ("1", "unknown action"),
        ('"plus"', "unknown action"),
        ("null", "unknown action"),
        ("", "not valid JSON"),
        ("plus", "not valid JSON"),
        ('{"action": "plus"', "not valid JSON"),
        ("[" * 16000, "not valid JSON"),
        ("1" * 5000, "not valid JSON"),
        ('{"action": "chat"}', "text is empty"),
        ('{"action": "chat", "text": " \\n "}', "text is empty"),
        ('{"action": "chat", "text": 7}', "text must be text"),
        ('{"action": "chat", "text": "a", "name": {}}', "name must be text"),
        (
            json.dumps({"action": "chat", "text": "é" * 501}),
            "text of 501 characters exceeds the limit of 500 characters",
        ),
        (
            json.dumps({"action": "chat", "text": "a", "name": "n" * 33}),
            "name of 33 characters exceeds the limit of 32 characters",
        ),
    ],
)
async def test_a_wrong_message_is_answered_and_changes_nothing(
    message, answer, no_errors_logged
):
    async with serving() as port, open_tab(port) as ws:
        await ws.send(message)
        await told(ws, "error", message=answer)

        await act(ws, "plus")
        await told(ws, "state", value=1)


async def test_a_wrong_message_is_logged_in_one_line_of_bounded_length(caplog):
    caplog.set_level(logging.WARNING, "longwire.demo")
    async with serving() as port, open_tab(port) as ws:
        await ws.send("\x1b[1m\n" * 1000)
        await next_of(ws, "error")

    (line,) = [r.getMessage() for r in caplog.records if "ignored" in r.getMessage()]
    assert line.startswith("ignored a message: not valid JSON: '\\x1b[1m\\n")
    assert line.isprintable()
    assert len(line) < 300


async def test_binary_data_closes_the_connection_with_1003(no_errors_logged):
    async with serving() as port, open_tab(port) as ws:
        await ws.send(b'{"action": "plus"}')
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
        await act(first, "chat", name=" Ada \t", text=" two\nlines <b> ")

        for ws in (first, second):
            said = await next_of(ws, "chat")
            assert said["name"] == "Ada"
            assert said["text"] == "two lines <b>"
            assert said["time"].endswith("+00:00")


async def test_who_has_no_name_is_a_guest():
    async with serving() as port, open_tab(port) as ws:
        await act(ws, "chat", text="hello")

        assert (await next_of(ws, "chat"))["name"] == "guest"


async def test_the_longest_message_fits_however_it_is_escaped():
    text = "\U0001f600" * demo.MAX_TEXT  # 12 bytes each, escaped
    async with serving() as port, open_tab(port) as ws:
        await act(ws, "chat", name="\U0001f600" * demo.MAX_NAME, text=text)

        assert (await next_of(ws, "chat"))["text"] == text


async def test_half_a_character_does_no_harm(no_errors_logged):
    async with serving() as port, open_tab(port) as ws:
        await ws.send('{"action": "chat", "text": "\\ud800"}')

        assert (await next_of(ws, "chat"))["text"] == "\ud800"


async def test_the_last_messages_are_kept_for_those_who_come_later():
    async with serving() as port, open_tab(port) as first:
        for number in range(demo.HISTORY + 5):
            await act(first, "chat", text=str(number))
        while (await next_of(first, "chat"))["text"] != str(demo.HISTORY + 4):
            pass

        async with open_tab(port) as second:
            history = await next_of(second, "history")

    texts = [said["text"] for said in history["messages"]]
    assert texts == [str(number) for number in range(5, demo.HISTORY + 5)]


# --- latency ---------------------------------------------------------------------


async def test_every_tab_gets_figures_of_its_latency(monkeypatch):
    monkeypatch.setattr(demo, "PING_INTERVAL", 0.05)
    async with serving() as port, open_tab(port) as first, open_tab(port) as second:
        for ws in (first, second):
            for _ in range(3):
                figure = await next_of(ws, "latency")
                assert 0 <= figure["ms"] < 20_000


async def test_nobody_is_pinged_when_all_have_left(monkeypatch):
    monkeypatch.setattr(demo, "PING_INTERVAL", 0.01)
    async with serving() as port:
        for _ in range(3):
            async with open_tab(port) as ws:
                await next_of(ws, "latency")
        # The hook that runs this test fails it for a task left behind.


# --- HTTP ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "begins"),
    [
        ("/", "text/html", b"<!DOCTYPE html>"),
        ("/?a=b", "text/html", b"<!DOCTYPE html>"),
        ("/page.css", "text/css", b":root"),
        ("/page.js", "text/javascript", b"//"),
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
            await told(ws, "state", value=0)
        with pytest.raises(longwire.InvalidStatus) as refused:
            await open_tab(port, origin="http://elsewhere.example")

    assert refused.value.response.status_code == 403
