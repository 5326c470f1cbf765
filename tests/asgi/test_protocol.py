"""longwire.asgi.Protocol under uvicorn: what an ASGI application gets and may send."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import longwire
from longwire import connect
from longwire.asgi import ClientDisconnected, Protocol, protocol
from tests.asgi.serving import serving

uvicorn = pytest.importorskip("uvicorn")


@pytest.fixture(params=["native", "transport"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return str(request.param)


class Recording:
    """An application that accepts, echoes, and keeps all that it receives."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        while True:
            event = await receive()
            self.events.append(event)
            if event["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            elif event["type"] == "websocket.receive":
                back = {key: value for key, value in event.items() if key != "type"}
                await send({"type": "websocket.send", **back})
            else:
                self.ended.set()
                return


async def test_messages_of_both_kinds_go_there_and_back() -> None:
    application = Recording()
    async with serving(application) as uvicorn_, connect(uvicorn_.uri) as ws:
        for message in ("text \u263a", b"\x00\xff", "", b"", "x" * 200_000):
            await ws.send(message)
            assert await ws.recv() == message
        await ws.close(4001, "enough")
        await application.ended.wait()
    assert application.events[0] == {"type": "websocket.connect"}
    assert application.events[1] == {"type": "websocket.receive", "text": "text \u263a"}
    assert application.events[2] == {"type": "websocket.receive", "bytes": b"\x00\xff"}
    assert application.events[-1] == {
        "type": "websocket.disconnect",
        "code": 4001,
        "reason": "enough",
    }


async def test_the_scope_has_what_the_request_said() -> None:
    application = Recording()
    headers = {"X-There": "one", "Cookie": "a=b"}
    async with serving(application, root_path="/root") as uvicorn_:
        uri = f"{uvicorn_.uri}/n%C3%A9e/%2F?a=%20b"
        async with connect(
            uri, subprotocols=["first", "second"], additional_headers=headers
        ) as ws:
            await ws.send("x")
            await ws.recv()
            client = ws.local_address
    scope = application.scope
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert (scope["http_version"], scope["scheme"]) == ("1.1", "ws")
    assert scope["path"] == "/root/n\u00e9e//"
    assert scope["raw_path"] == b"/root/n%C3%A9e/%2F"
    assert scope["query_string"] == b"a=%20b"
    assert scope["root_path"] == "/root"
    assert scope["subprotocols"] == ["first", "second"]
    assert scope["client"] == client[:2]
    assert scope["server"] == ("127.0.0.1", uvicorn_.port)
    assert (b"x-there", b"one") in scope["headers"]
    assert (b"cookie", b"a=b") in scope["headers"]
    assert scope["extensions"] == {"websocket.http.response": {}}


async def test_client_and_scheme_are_those_behind_a_proxy() -> None:
    application = Recording()
    headers = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
    async with (
        serving(application, forwarded_allow_ips="*") as uvicorn_,
        connect(uvicorn_.uri, additional_headers=headers),
    ):
        pass
    assert application.scope["client"][0] == "198.51.100.7"
    assert application.scope["scheme"] == "wss"


async def test_an_application_chooses_subprotocol_and_headers() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [
            (b"X-Here", b"yes"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
        ]
        await send(
            {"type": "websocket.accept", "subprotocol": "second", "headers": headers}
        )
        await receive()

    async with (
        serving(application, headers=[("X-All", "too")]) as uvicorn_,
        connect(uvicorn_.uri, subprotocols=["first", "second"]) as ws,
    ):
        assert ws.subprotocol == "second"
        assert ws.response is not None
        assert ws.response.headers["X-Here"] == "yes"
        assert ws.response.headers["X-All"] == "too"
        assert ws.response.headers["Server"] == "uvicorn"
        assert "Date" in ws.response.headers
        assert ws.response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


async def refusal(application: Any, **settings: Any) -> longwire.Response:
    async with serving(application, **settings) as uvicorn_:
        with pytest.raises(longwire.InvalidStatus) as caught:
            async with connect(uvicorn_.uri):
                pass
    return caught.value.response  # type: ignore[no-any-return]


async def test_close_before_accept_is_403() -> None:
    received = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        received.append(await receive())
        await send({"type": "websocket.close", "code": 4003})
        received.append(await receive())

    response = await refusal(application)
    assert response.status_code == 403
    assert received[1] == {"type": "websocket.disconnect", "code": 1006}


@pytest.mark.parametrize("pieces", [[b"no ", b"entry"], [b"no entry"]])
async def test_a_response_refuses_as_it_says(pieces: list[bytes]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"text/x-there"), (b"x-more", b"1")]
        kind = "websocket.http.response"
        await send({"type": f"{kind}.start", "status": 401, "headers": headers})
        for index, piece in enumerate(pieces):
            more = index + 1 < len(pieces)
            await send({"type": f"{kind}.body", "body": piece, "more_body": more})

    response = await refusal(application)
    assert response.status_code == 401
    assert response.body == b"no entry"
    assert response.headers["Content-Type"] == "text/x-there"
    assert response.headers["X-More"] == "1"


async def test_an_application_that_fails_before_it_accepts_is_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("of the application")

    response = await refusal(application)
    assert response.status_code == 500
    assert b"of the application" not in response.body
    assert "Exception in ASGI application" in caplog.text
    assert "ValueError: of the application" in caplog.text


async def test_an_application_that_fails_later_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last"})
        raise ValueError("of the application")

    async with serving(application) as uvicorn_, connect(uvicorn_.uri) as ws:
        assert await ws.recv() == "last"
        with pytest.raises(longwire.ConnectionClosedError):
            await ws.recv()
        assert ws.close_code == 1006
    assert "ValueError: of the application" in caplog.text
    reports = [r for r in caplog.records if hasattr(r, "close_report")]
    assert [
        r.close_report.cause.name for r in reports if r.name == "uvicorn.error"
    ] == ["HANDLER"]


MISTAKES: list[tuple[str, list[dict[str, Any]], str]] = [
    (
        "send before accept",
        [{"type": "websocket.send", "text": "x"}],
        "Expected ASGI message 'websocket.accept', 'websocket.close' or "
        "'websocket.http.response.start' but got 'websocket.send'.",
    ),
    (
        "accept twice",
        [{"type": "websocket.accept"}, {"type": "websocket.accept"}],
        "Expected ASGI message 'websocket.send' or 'websocket.close' but got "
        "'websocket.accept'.",
    ),
    (
        "neither text nor bytes",
        [{"type": "websocket.accept"}, {"type": "websocket.send"}],
        "'websocket.send' needs either 'text' or 'bytes'; found neither",
    ),
    (
        "a dict for text",
        [{"type": "websocket.accept"}, {"type": "websocket.send", "text": {}}],
        "'websocket.send': 'text' must be a str, not dict",
    ),
    (
        "a str for bytes",
        [{"type": "websocket.accept"}, {"type": "websocket.send", "bytes": "x"}],
        "'websocket.send': 'bytes' must be bytes-like, not str",
    ),
    (
        "after close",
        [
            {"type": "websocket.accept"},
            {"type": "websocket.close"},
            {"type": "websocket.send", "text": "x"},
        ],
        "Unexpected ASGI message 'websocket.send', after sending 'websocket.close'",
    ),
    (
        "headers of str",
        [{"type": "websocket.accept", "headers": [("a", "b")]}],
        "'websocket.accept': headers must be pairs of bytes; found (str, str): "
        'write (b"name", b"value")',
    ),
    (
        "a status that is none",
        [{"type": "websocket.http.response.start", "status": 99}],
        "status is 99; 200 to 599 are allowed",
    ),
    (
        "a header that splits the response",
        [{"type": "websocket.accept", "headers": [(b"a", b"b\r\nc: d")]}],
        "invalid value for header a: control character",
    ),
    (
        "a close code that may not be sent",
        [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1006}],
        "1006",
    ),
]


@pytest.mark.parametrize(
    ("events", "text"),
    [(events, text) for _, events, text in MISTAKES],
    ids=[name for name, _, _ in MISTAKES],
)
async def test_a_mistake_of_the_application_is_told(
    events: list[dict[str, Any]], text: str
) -> None:
    told: list[BaseException] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            for event in events:
                await send(event)
        except Exception as exc:
            told.append(exc)
            raise

    async with serving(application) as uvicorn_:
        try:
            async with connect(uvicorn_.uri) as ws:
                await ws.recv()
        except longwire.WebSocketException:
            pass
    assert text in str(told[0])


async def test_sending_to_a_client_that_has_gone_is_an_os_error() -> None:
    told: list[BaseException] = []
    ended = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        try:
            await send({"type": "websocket.send", "text": "x"})
        except OSError as exc:
            told.append(exc)
        # And the end can be received again.
        assert (await receive())["code"] == 1000
        ended.set()

    async with serving(application) as uvicorn_:
        async with connect(uvicorn_.uri):
            pass
        await ended.wait()
    assert isinstance(told[0], ClientDisconnected)
    assert isinstance(told[0].__cause__, longwire.ConnectionClosed)


async def test_a_client_that_leaves_before_it_is_accepted_is_told_of() -> None:
    asked, seen = asyncio.Event(), []
    ended = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        asked.set()
        seen.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.accept"})
        ended.set()

    async with serving(application) as uvicorn_:
        _, writer = await asyncio.open_connection("127.0.0.1", uvicorn_.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await asked.wait()
        writer.transport.abort()
        await ended.wait()
    assert seen == [{"type": "websocket.disconnect", "code": 1006}]


async def test_shutdown_closes_with_1012_and_tells_the_application() -> None:
    application = Recording()
    async with serving(application) as uvicorn_:
        ws = await connect(uvicorn_.uri)
        await ws.send("x")
        await ws.recv()
    with pytest.raises(longwire.ConnectionClosed):
        await ws.recv()
    assert ws.close_code == 1012
    assert application.events[-1] == {"type": "websocket.disconnect", "code": 1012}


async def test_shutdown_refuses_a_client_that_waits_with_500() -> None:
    asked = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        asked.set()
        await receive()

    async def client(uri: str) -> int:
        with pytest.raises(longwire.InvalidStatus) as caught:
            async with connect(uri):
                pass
        return int(caught.value.response.status_code)

    async with serving(application) as uvicorn_:
        task = asyncio.create_task(client(uvicorn_.uri))
        await asked.wait()
    assert await task == 500


async def test_the_graceful_timeout_cancels_an_application_that_goes_on() -> None:
    cancelled = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(application, timeout_graceful_shutdown=1) as uvicorn_:
        ws = await connect(uvicorn_.uri)
    assert cancelled.is_set()
    await ws.wait_closed()


async def test_the_settings_of_uvicorn_count(engine: str) -> None:
    application = Recording()
    async with serving(application, ws_max_size=10, ws_per_message_deflate=False) as u:
        async with connect(u.uri) as ws:
            assert "permessage-deflate" not in str(ws.response)
            await ws.send("x" * 11)
            with pytest.raises(longwire.ConnectionClosedError):
                await ws.recv()
            assert ws.close_code == 1009
        await application.ended.wait()
    assert application.events[-1]["code"] in (1006, 1009)


async def test_keepalive_follows_the_settings() -> None:
    async with serving(
        Recording(), ws_ping_interval=0.05, ws_ping_timeout=None
    ) as uvicorn_:
        reader, writer = await asyncio.open_connection("127.0.0.1", uvicorn_.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readexactly(2))[
            0
        ] == 0x89  # a ping, RFC 6455 section 5.5.2
        writer.close()


async def test_longwire_settings_of_a_class_of_its_own() -> None:
    own = protocol(
        limits=longwire.Limits(message=5), compression=None, origins=["https://a.test"]
    )
    async with serving(Recording(), ws=own) as uvicorn_:
        with pytest.raises(longwire.InvalidStatus) as caught:
            async with connect(uvicorn_.uri, origin="https://b.test"):
                pass
        assert caught.value.response.status_code == 403
        async with connect(uvicorn_.uri, origin="https://a.test") as ws:
            await ws.send("x" * 6)
            with pytest.raises(longwire.ConnectionClosedError):
                await ws.recv()
            assert ws.close_code == 1009


async def test_a_request_that_is_no_handshake_never_reaches_the_application() -> None:
    application = Recording()
    async with serving(application) as uvicorn_:
        reader, writer = await asyncio.open_connection("127.0.0.1", uvicorn_.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 12\r\n\r\n"
        )
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert application.events == []


async def test_nothing_is_kept_of_connections_that_have_ended() -> None:
    application = Recording()
    async with serving(application) as uvicorn_:
        for _ in range(3):
            async with connect(uvicorn_.uri):
                pass
        state = uvicorn_.server.server_state
        while state.connections or state.tasks:
            await asyncio.sleep(0.01)


async def test_the_native_engine_takes_over_the_socket(engine: str) -> None:
    kinds = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        kinds.append(str(send.__self__.wire))
        await receive()

    async with serving(application) as uvicorn_, connect(uvicorn_.uri):
        pass
    compiled = longwire.build.BUILD == "compiled"
    assert kinds == ["native" if engine == "native" and compiled else "transport"]


def test_the_class_is_found_by_its_name() -> None:
    config = uvicorn.Config(Recording, ws="longwire.asgi:Protocol")
    config.load()
    assert config.ws_protocol_class is Protocol
