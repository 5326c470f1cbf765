"""Values of keywords that the documents refuse, and how."""

from __future__ import annotations

import warnings

import pytest

from longwire import websockets
from longwire.websockets import legacy

CONNECTS = {
    "old": legacy.client.connect,
    "today's": websockets.asyncio.client.connect,
    "top level": websockets.connect,
}
SERVES = {
    "old": legacy.server.serve,
    "today's": websockets.asyncio.server.serve,
    "top level": websockets.serve,
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


def test_the_old_way_to_write_a_missing_origin_is_warned_of():
    with pytest.warns(DeprecationWarning, match="use None instead of '' in origins"):
        legacy.server.serve(handler, origins=["https://here", ""])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        legacy.server.serve(handler, origins=["https://here", None])
