"""A server of robots' data, of the library's older names."""

import json

import websockets
from fakes import free_port, run, until_open
from foxglove_websocket.server import FoxgloveServer


def test_channel_is_advertised_and_subscribed_to():
    async def main():
        port = free_port()
        async with FoxgloveServer("127.0.0.1", port, "server") as server:
            channel = await server.add_channel(
                {
                    "topic": "topic",
                    "encoding": "json",
                    "schemaName": "Schema",
                    "schema": "{}",
                    "schemaEncoding": "jsonschema",
                }
            )
            await until_open(port)
            async with websockets.connect(
                f"ws://127.0.0.1:{port}", subprotocols=["foxglove.websocket.v1"]
            ) as websocket:
                assert json.loads(await websocket.recv())["op"] == "serverInfo"
                advertised = json.loads(await websocket.recv())
                assert advertised["channels"][0]["topic"] == "topic"
                subscription = {"id": 1, "channelId": channel}
                await websocket.send(
                    json.dumps({"op": "subscribe", "subscriptions": [subscription]})
                )
                await websocket.send("{")  # answered with a status, not the end
                status = json.loads(await websocket.recv())
                assert status["op"] == "status"
                await server.send_message(channel, 1, b'{"a": 1}')
                message = await websocket.recv()
                assert message.endswith(b'{"a": 1}')

    run(main())
