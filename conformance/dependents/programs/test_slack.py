"""Slack's Socket Mode against a fake of its service."""

import json

from fakes import messages, run, serving, until
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.socket_mode.websockets import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient


def test_envelope_is_acknowledged():
    acknowledged = []

    async def service(websocket):
        await websocket.send(json.dumps({"type": "hello"}))
        envelope = {"type": "events_api", "envelope_id": "e1", "payload": {"a": 1}}
        await websocket.send(json.dumps(envelope))
        async for message in messages(websocket):
            acknowledged.append(message)

    async def main():
        async with serving(service) as address:
            client = SocketModeClient(app_token="xapp", web_client=AsyncWebClient())
            client.wss_uri = address
            requests = []

            async def listen(client, request):
                requests.append(request)
                await client.send_socket_mode_response(
                    SocketModeResponse(envelope_id=request.envelope_id)
                )

            client.socket_mode_request_listeners.append(listen)
            await client.connect()
            await until(lambda: acknowledged, "an acknowledgement")
            assert requests[0].payload == {"a": 1}
            assert acknowledged[0]["envelope_id"] == "e1"
            assert await client.is_connected()
            await client.disconnect()
            assert not await client.is_connected()
            await client.close()

    run(main())


def test_service_that_leaves_is_connected_to_anew():
    visits = []

    async def service(websocket):
        visits.append(websocket)
        await websocket.send(json.dumps({"type": "hello"}))
        if len(visits) == 1:
            await websocket.close(1000, "refresh")
            return
        await websocket.wait_closed()

    async def main():
        async with serving(service) as address:
            client = SocketModeClient(
                app_token="xapp", web_client=AsyncWebClient(), ping_interval=0.2
            )

            async def same_address():
                return address

            client.issue_new_wss_url = same_address
            client.wss_uri = address
            await client.connect()
            await until(lambda: len(visits) == 2, "a second connection")
            await client.close()

    run(main())
