"""Values of keywords that the documents refuse, and how."""

from __future__ import annotations

import functools
import warnings

import pytest

from longwire import websockets
from longwire.websockets import legacy
from tests.trio_.running import trio


def serve_in_threads(handler, **kwargs):
    return websockets.sync.server.serve(lambda websocket: None, **kwargs)


def serve_on_trio(*args, **kwargs):
    trio.run(functools.partial(websockets.trio.server.serve, *args, **kwargs))


CONNECTS = {
    "old": legacy.client.connect,
    "today's": websockets.asyncio.client.connect,
    "top level": websockets.connect,
    "for threads": websockets.sync.client.connect,
    "for trio": websockets.trio.client.connect,
}
SERVES = {
    "old": legacy.server.serve,
    "today's": websockets.asyncio.server.serve,
    "top level": websockets.serve,
    "for threads": serve_in_threads,
    "for trio": serve_on_trio,
}


async def handler(websocket):
    pass


@pytest.mark.parametrize("value", ["gzip", "", False, True, 1, ["deflate"], b"deflate"])
@pytest.mark.parametrize("call", [*CONNECTS, *[f"serve {name}" for name in SERVES]])
def test_compression_is_deflate_or_none(call, value):
    with pytest.raises(ValueError, match="unsupported compression"):
        if call in CONNECTS:
            CONNECTS[call]("ws://localhost:1", compression=value)
        else:
            SERVES[call.removeprefix("serve ")](handler, compression=value)


@pytest.mark.parametrize("connect", CONNECTS.values(), ids=CONNECTS)
@pytest.mark.parametrize("keyword", ["ssl", "server_hostname"])
def test_what_is_for_tls_needs_wss(connect, keyword):
    value = True if keyword == "ssl" else "example.com"

    with pytest.raises(ValueError, match=f"^{keyword} is given, but the URI is ws://"):
        connect("ws://localhost:1", **{keyword: value})


@pytest.mark.parametrize("connect", ["today's", "top level"])
@pytest.mark.parametrize(
    ("uri", "keywords", "text"),
    [
        ("wss://localhost:1", {"ssl": None}, "ssl=None is incompatible with a wss"),
        (
            "ws://localhost:1",
            {"proxy": "https://localhost:1", "proxy_ssl": None},
            "proxy_ssl=None is incompatible with an https",
        ),
        (
            "ws://localhost:1",
            {"proxy": "http://localhost:1", "proxy_ssl": True},
            "proxy_ssl is given, but the proxy is http",
        ),
    ],
)
def test_tls_and_none_are_told_apart_where_the_address_asks_for_one(
    connect, uri, keywords, text
):
    with pytest.raises(ValueError, match=f"^{text}"):
        CONNECTS[connect](uri, **keywords)


def test_the_old_way_to_write_a_missing_origin_is_warned_of():
    with pytest.warns(DeprecationWarning, match="use None instead of '' in origins"):
        legacy.server.serve(handler, origins=["https://here", ""])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        legacy.server.serve(handler, origins=["https://here", None])
