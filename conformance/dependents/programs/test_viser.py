"""A server of 3D scenes: its pages over HTTP and its messages, at one port."""

import asyncio
import urllib.request

import viser
import websockets
from fakes import free_port, run


def test_page_and_messages_come_from_one_port():
    port = free_port()
    server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
    try:
        server.scene.add_frame("/frame", axes_length=1.0)

        async def main():
            page = await asyncio.to_thread(
                lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
            )
            assert b"<html" in page.lower()
            version = f"viser-v{viser.__version__}"
            async with websockets.connect(
                f"ws://127.0.0.1:{port}", subprotocols=[version]
            ) as websocket:
                assert websocket.subprotocol == version
                first = await websocket.recv()
                assert isinstance(first, bytes) and first

        run(main())
    finally:
        server.stop()
