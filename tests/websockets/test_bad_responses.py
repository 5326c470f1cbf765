"""What clients raise for a server that answers with something else than HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest

from longwire import websockets
from longwire.websockets import legacy

CONNECTS = {
    "old": legacy.client.connect,
    "today's": websockets.asyncio.client.connect,
    "top level": websockets.connect,
}
each_connect = pytest.mark.parametrize("connect", CONNECTS.values(), ids=CONNECTS)

ANSWERS = {
    "the end": (b"", EOFError),
    "the end in the head": (b"HTTP/1.1 101 X\r\nUpgrade: web", EOFError),
    "another protocol": (b"220 mail ready\r\n\r\n", ValueError),
    "no status": (b"HTTP/1.1\r\n\r\n", ValueError),
    "a field without a colon": (b"HTTP/1.1 101 X\r\nfoo\r\n\r\n", ValueError),
    "a long line": (
        b"HTTP/1.1 101 X\r\nX: %b\r\n\r\n" % (b"a" * 9000),
        websockets.SecurityError,
    ),
    "many fields": (
        b"HTTP/1.1 101 X\r\n%b\r\n" % (b"X: a\r\n" * 300),
        websockets.SecurityError,
    ),
}


@contextlib.asynccontextmanager
async def answering(answer, reset=False):
    """A server that reads a request and writes ``answer``; its URI."""

    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if reset:
            raw = writer.get_extra_info("socket")
            linger = struct.pack("ii", 1, 0)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@each_connect
@pytest.mark.parametrize(("answer", "cause"), ANSWERS.values(), ids=ANSWERS)
async def test_what_is_no_response_is_an_invalid_message_with_its_cause(
    connect, answer, cause
):
    async with answering(answer) as uri:
        with pytest.raises(websockets.InvalidMessage) as raised:
            await connect(uri, proxy=None)

    assert str(raised.value) == "did not receive a valid HTTP response"
    assert isinstance(raised.value.__cause__, cause)


@each_connect
async def test_a_reset_in_place_of_a_response_is_an_invalid_message(connect):
    async with answering(b"", reset=True) as uri:
        with pytest.raises(websockets.InvalidMessage) as raised:
            await connect(uri, proxy=None)

    assert str(raised.value) == "did not receive a valid HTTP response"
    old = connect is legacy.client.connect
    kind = ConnectionResetError if old else EOFError
    assert isinstance(raised.value.__cause__, kind)
    # Who connects again and again does so after this, too.
    if not old:
        assert websockets.client.process_exception(raised.value) is None
