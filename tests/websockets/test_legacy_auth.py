"""Basic authentication by protocol class, and what it refuses."""

from __future__ import annotations

import pytest

from longwire.websockets.auth import (
    BasicAuthWebSocketServerProtocol,
    basic_auth_protocol_factory,
)
from longwire.websockets.legacy.client import connect
from longwire.websockets.legacy.server import serve
from tests.websockets.serving import ask, uri_of


async def tell_name(websocket):
    await websocket.send(websocket.username)


def listen(**kwargs):
    factory = basic_auth_protocol_factory(realm="staging", **kwargs)
    return serve(tell_name, "127.0.0.1", 0, create_protocol=factory)


async def log_in(server, user="ada", password="secret"):
    uri = uri_of(server).replace("//", f"//{user}:{password}@")
    async with connect(uri) as websocket:
        return await websocket.recv()


@pytest.mark.parametrize(
    "credentials", [("ada", "secret"), [("bob", "other"), ("ada", "secret")]]
)
async def test_who_has_credentials_is_let_in_by_name(credentials):
    async with listen(credentials=credentials) as server:
        assert await log_in(server) == "ada"


async def test_a_coroutine_may_check_them():
    async def check(username, password):
        return (username, password) == ("ada", "secret")

    async with listen(check_credentials=check) as server:
        assert await log_in(server) == "ada"


async def test_a_subclass_may_check_them_and_have_a_realm():
    class Protocol(BasicAuthWebSocketServerProtocol):
        realm = "mine"

        async def check_credentials(self, username, password):
            return password == "secret"

    async with serve(tell_name, "127.0.0.1", 0, create_protocol=Protocol) as server:
        assert await log_in(server, "anybody") == "anybody"
        assert b'Basic realm="mine"' in await ask(server)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"", b"Missing credentials\n"),
        (b"Authorization: Digest x\r\n", b"Unsupported credentials\n"),
        (b"Authorization: Basic !\r\n", b"Unsupported credentials\n"),
        (b"Authorization: Basic YQ==\r\n" * 2, b"Unsupported credentials\n"),
        (b"Authorization: Basic YWRhOnh4\r\n", b"Invalid credentials\n"),
    ],
    ids=["none", "another scheme", "no base64", "twice", "a wrong password"],
)
async def test_others_get_401_with_a_challenge(fields, body):
    async with listen(credentials=("ada", "secret")) as server:
        answer = await ask(server, b"/", fields)

    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b'\r\nWWW-Authenticate: Basic realm="staging", charset="UTF-8"' in answer
    assert answer.endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"credentials": ("a", "b"), "check_credentials": print},
        {"credentials": 5},
        {"credentials": [("a",)]},
        {"credentials": ("a", 2)},
        {"check_credentials": "no function"},
    ],
)
def test_wrong_arguments_are_type_errors(wrong):
    with pytest.raises(TypeError, match="credentials"):
        basic_auth_protocol_factory(**wrong)


def test_a_realm_that_is_not_ascii_is_refused():
    with pytest.raises(ValueError, match="not printable ASCII"):
        basic_auth_protocol_factory("é", ("a", "b"))
