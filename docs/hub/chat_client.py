"""Print a room's last messages, say something, and print what comes."""

import asyncio
import os

from longwire import rpc
from longwire.hub import Gap, HubClient

PORT = os.environ.get("PORT", "8765")


async def main() -> None:
    client = rpc.Client(f"ws://localhost:{PORT}/ann")
    async with client, HubClient(client) as hub:
        async with hub.subscribe("chat:tea", last=10) as chat:
            await chat.publish({"text": "hello"})
            while True:
                try:
                    async for message in chat:
                        print(message.offset, message.sender, message.data["text"])
                        if message.data["text"] == "goodbye":
                            return
                except Gap as gap:
                    print("messages are missing:", gap.reason)


asyncio.run(main())
