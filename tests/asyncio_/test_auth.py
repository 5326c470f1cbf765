"""Basic authentication, asked for by the server."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from tests.asyncio_.serving import UPGRADE, ask, listen, port_of, traces
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from longwire.asyncio.auth import basic_auth
from longwire.asyncio.server import Server, ServerConnection


async def greet(ws: ServerConnection) -> None:
    await ws.send(f"hello {ws.username}")


def uri(server: Server, user: str) -> str:
    return f"ws://{user}@127.0.0.1:{port_of(server)}/"


async def check_later(username: str, password: str) -> bool:
    await asyncio.sleep(0)
    return (username, password) == ("anna", "sesame")


ACCEPTING: list[dict[str, Any]] = [
    {"credentials": ("anna", "sesame")},
    {"credentials": [("bert", "x"), ("anna", "sesame")]},
    {"check_credentials": lambda user, password: password == "sesame"},
    {"check_credentials": check_later},
]


@pytest.mark.parametrize("kwargs", ACCEPTING)
async def test_the_right_credentials_open_and_name_the_user(
    kwargs: dict[str, Any],
) -> None:
    async with (
        listen(greet, process_request=basic_auth("staging", **kwargs)) as server,
        connect(uri(server, "anna:sesame"), proxy=None) as client,
    ):
        assert await client.recv() == "hello anna"


@pytest.mark.parametrize("kwargs", ACCEPTING)
async def test_wrong_credentials_are_answered_with_401(kwargs: dict[str, Any]) -> None:
    async with listen(greet, process_request=basic_auth("staging", **kwargs)) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(uri(server, "anna:wrong"), proxy=None)

    response = caught.value.response
    assert response.status_code == 401
    assert response.body == b"Invalid credentials\n"
    assert (
        response.headers["WWW-Authenticate"] == 'Basic realm="staging", charset="UTF-8"'
    )


def with_authorization(*values: bytes) -> bytes:
    fields = b"".join(b"Authorization: " + value + b"\r\n" for value in values)
    return UPGRADE[:-2] + fields + b"\r\n"


VALID = b"Basic " + base64.b64encode(b"anna:sesame")

REFUSED = [
    ((), b"Missing credentials\n"),
    ((b"Bearer abc",), b"Unsupported credentials\n"),
    ((b"Basic !!!",), b"Unsupported credentials\n"),
    ((b"Basic",), b"Unsupported credentials\n"),
    ((b"Basic " + base64.b64encode(b"anna"),), b"Unsupported credentials\n"),
    ((VALID, VALID), b"Unsupported credentials\n"),
]


@pytest.mark.parametrize(("values", "body"), REFUSED)
async def test_other_credentials_are_answered_with_401(
    values: tuple[bytes, ...], body: bytes
) -> None:
    check = basic_auth("staging", ("anna", "sesame"))
    async with listen(greet, process_request=check) as server:
        answer = await ask(server, with_authorization(*values))

    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n") or len(values) > 1
    assert answer.endswith(b"\r\n\r\n" + body) or len(values) > 1
    assert b" 101 " not in answer


async def test_credentials_may_be_any_text() -> None:
    check = basic_auth("staging", ("ünal", "säsam:€"))
    value = b"Basic " + base64.b64encode("ünal:säsam:€".encode())
    async with listen(greet, process_request=check) as server:
        async with connect(
            f"ws://127.0.0.1:{port_of(server)}/",
            additional_headers={"Authorization": value.decode()},
            proxy=None,
        ) as client:
            assert await client.recv() == "hello ünal"


async def test_a_failing_check_is_answered_with_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(username: str, password: str) -> bool:
        raise RuntimeError("no database")

    check = basic_auth("staging", check_credentials=fail)
    async with listen(greet, process_request=check) as server:
        answer = await ask(server, with_authorization(VALID))

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"database" not in answer
    assert traces(caplog) == ["opening handshake failed"]


MISTAKES: list[tuple[dict[str, Any], type[Exception]]] = [
    ({}, ValueError),
    ({"credentials": ("a", "b"), "check_credentials": check_later}, ValueError),
    ({"credentials": "anna:sesame"}, TypeError),
    ({"credentials": [("anna", "sesame", "x")]}, TypeError),
    ({"credentials": [("anna", 1)]}, TypeError),
    ({"credentials": 5}, TypeError),
    ({"check_credentials": "anna"}, TypeError),
    ({"realm": "Büro", "credentials": ("a", "b")}, ValueError),
]


@pytest.mark.parametrize(("kwargs", "kind"), MISTAKES)
def test_a_mistake_is_told_at_once(
    kwargs: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        basic_auth(**kwargs)
