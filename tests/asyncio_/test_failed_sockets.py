"""A socket that has failed, before the loop has had a turn to tell of it."""

import asyncio
import contextlib

import pytest
from tests.support.rawpeer import TEXT, knock

from longwire import ConnectionClosed, serve


@pytest.mark.parametrize("kind", ["native", "transport", "tls"])
async def test_sending_on_after_a_reset_logs_nothing(
    kind, monkeypatch, caplog, certificates
):
    monkeypatch.setenv("LONGWIRE_ENGINE", "native" if kind == "native" else "transport")
    context = certificates.server if kind == "tls" else None
    peers = []
    ended = asyncio.get_running_loop().create_future()

    async def handler(ws):
        await ws.recv()
        peers[0].reset()
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.send("x")
        ended.set_result(ws.close_report)

    def visit(port):
        peer = knock(port)
        if context is not None:
            peer.sock = certificates.client.wrap_socket(
                peer.sock, server_hostname="localhost"
            )
        peers.append(peer.ask())
        peer.send(TEXT, b"go")

    async with serve(handler, "127.0.0.1", 0, ssl=context) as server:
        await asyncio.to_thread(visit, server.sockets[0].getsockname()[1])
        report = await ended

    assert report.cause == "network"
    assert [r for r in caplog.records if r.levelname != "INFO"] == []
