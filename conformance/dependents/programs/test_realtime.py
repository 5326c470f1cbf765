"""Supabase's client of Phoenix channels against a fake server."""

import json

from fakes import messages, run, serving, until
from realtime import AsyncRealtimeClient


async def phoenix(websocket):
    async for message in messages(websocket):
        reply = {
            "topic": message["topic"],
            "event": "phx_reply",
            "ref": message["ref"],
            "payload": {"status": "ok", "response": {"postgres_changes": []}},
        }
        await websocket.send(json.dumps(reply))
        if message["event"] == "phx_join":
            shout = {
                "topic": message["topic"],
                "event": "broadcast",
                "ref": None,
                "payload": {"type": "broadcast", "event": "shout", "payload": {"n": 1}},
            }
            await websocket.send(json.dumps(shout))


def test_channel_is_joined_and_heard():
    async def main():
        async with serving(phoenix) as address:
            client = AsyncRealtimeClient(address, token="token")
            await client.connect()
            assert client.is_connected
            heard = []
            channel = client.channel("room")
            channel.on_broadcast("shout", heard.append)
            await channel.subscribe()
            await until(lambda: heard, "the broadcast")
            assert heard[0]["payload"] == {"n": 1}
            await client.close()
            assert not client.is_connected

    run(main())
