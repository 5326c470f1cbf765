"""Errors of TLS are those of Python's own, whoever does TLS: asyncio or aiofastnet."""

from __future__ import annotations

import pickle
import re
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.certificates import Certificates

import longwire
from longwire import websockets

Connect = Callable[..., Any]


async def handler(websocket: Any) -> None:
    await websocket.wait_closed()


async def error_of(connect: Connect, uri: str, **keywords: Any) -> ssl.SSLError:
    with pytest.raises(ssl.SSLError) as caught:
        await connect(uri, **keywords)
    return caught.value


def fields(error: ssl.SSLError) -> dict[str, Any]:
    """Return what an error has, without the line of CPython's source in its text."""
    names = ("errno", "library", "reason", "verify_code", "verify_message")
    number, text = error.args
    return {
        "type": type(error),
        "args": (number, re.sub(r" \(_ssl\.c:\d+\)$", "", text)),
        "pickled": pickle.loads(pickle.dumps(error)).args == error.args,
        **{name: getattr(error, name, None) for name in names},
    }


@pytest.mark.parametrize(
    "connect", [longwire.connect, websockets.asyncio.client.connect]
)
@pytest.mark.parametrize("fault", ["stranger", "other name", "other address", "plain"])
async def test_an_error_is_the_same_on_both_engines(
    connect: Connect,
    fault: str,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {"other name": "example.com", "other address": "192.0.2.7"}
    keywords: dict[str, Any] = {"ssl": certificates.client, "proxy": None}
    if fault == "stranger":
        keywords["ssl"] = certificates.stranger
    if fault in names:
        keywords["server_hostname"] = names[fault]
    tls = None if fault == "plain" else certificates.server
    found = {}
    async with longwire.serve(handler, "127.0.0.1", 0, ssl=tls) as server:
        uri = f"wss://localhost:{server.sockets[0].getsockname()[1]}/"
        for engine in ("native", "transport"):
            monkeypatch.setenv("LONGWIRE_ENGINE", engine)
            found[engine] = fields(await error_of(connect, uri, **keywords))

    assert found["native"] == found["transport"]
    assert found["native"]["args"][1].startswith("[SSL: ")
