"""A remote control of OBS Studio against a fake one."""

import asyncio

import msgpack
import simpleobsws
from fakes import run, serving, until

OPTIONS = {"subprotocols": ["obswebsocket.msgpack"]}


async def studio(websocket):
    hello = {"obsWebSocketVersion": "5.0.0", "rpcVersion": 1}
    await websocket.send(msgpack.packb({"op": 0, "d": hello}))
    async for packed in websocket:
        message = msgpack.unpackb(packed)
        data = message["d"]
        if message["op"] == 1:
            answer = {"op": 2, "d": {"negotiatedRpcVersion": 1}}
            await websocket.send(msgpack.packb(answer))
        elif message["op"] == 6:
            status = {"result": True, "code": 100}
            result = {
                "requestType": data["requestType"],
                "requestId": data["requestId"],
                "requestStatus": status,
                "responseData": {"seen": data.get("requestData")},
            }
            await websocket.send(msgpack.packb({"op": 7, "d": result}))
            event = {"eventType": "Changed", "eventIntent": 1, "eventData": {"n": 1}}
            await websocket.send(msgpack.packb({"op": 5, "d": event}))


def test_request_is_answered_and_event_is_told():
    async def main():
        async with serving(studio, **OPTIONS) as address:
            client = simpleobsws.WebSocketClient(url=address)
            told = []

            async def tell(event):
                told.append(event)

            client.register_event_callback(tell, "Changed")
            assert await client.connect()
            assert await client.wait_until_identified()
            answer = await client.call(simpleobsws.Request("Get", {"a": 1}))
            assert answer.ok()
            assert answer.responseData == {"seen": {"a": 1}}
            await until(lambda: told, "the event")
            await client.disconnect()
            assert not client.is_identified()

    run(main())


def test_studio_that_leaves_is_noticed():
    async def main():
        async def leaving(websocket):
            await websocket.send(msgpack.packb({"op": 0, "d": {"rpcVersion": 1}}))
            await asyncio.sleep(0.1)
            await websocket.close(4009, "gone")

        async with serving(leaving, **OPTIONS) as address:
            client = simpleobsws.WebSocketClient(url=address)
            await client.connect()
            assert not await client.wait_until_identified(timeout=2)

    run(main())
