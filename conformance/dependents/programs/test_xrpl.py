"""A client of the XRP Ledger against a fake node."""

import json

from fakes import messages, run, serving
from xrpl.asyncio.clients import AsyncWebsocketClient
from xrpl.models import Ledger, ServerInfo, Subscribe


async def node(websocket):
    async for request in messages(websocket):
        answer = {"id": request.get("id"), "type": "response", "status": "success"}
        result = {"asked": request["command"]}
        await websocket.send(json.dumps({**answer, "result": result}))
        if request["command"] == "subscribe":
            for index in range(3):
                closed = {"type": "ledgerClosed", "ledger_index": index}
                await websocket.send(json.dumps(closed))


def test_requests_are_answered_and_a_stream_is_read():
    async def main():
        async with serving(node) as address:
            async with AsyncWebsocketClient(address) as client:
                for request in (ServerInfo(), Ledger(ledger_index="validated")):
                    answer = await client.request(request)
                    assert answer.result["asked"] == request.method.value
                await client.send(Subscribe(streams=["ledger"]))
                seen = []
                async for message in client:  # answers are among them
                    if message["type"] == "ledgerClosed":
                        seen.append(message["ledger_index"])
                    if len(seen) == 3:
                        break
                assert seen == [0, 1, 2]
                assert client.is_open()
            assert not client.is_open()

    run(main())
