"""The order books of Lighter, an exchange, from threads and asyncio, against a fake."""

import asyncio
import copy
import json

import pytest
import websockets
from fakes import messages, run, serving
from lighter import WsClient

FIRST = {"asks": [{"price": "2", "size": "1"}], "bids": [{"price": "1", "size": "1"}]}
CHANGE = {"asks": [{"price": "2", "size": "0"}, {"price": "3", "size": "4"}]}
SEEN = [FIRST, FIRST | {"asks": [{"price": "3", "size": "4"}]}]


async def exchange(websocket):
    async def say(kind, **fields):
        await websocket.send(json.dumps({"type": kind, **fields}))

    await say("connected")
    async for message in messages(websocket):
        if message["type"] == "pong":
            await websocket.close(4000, "maintenance")
            return
        assert message == {"type": "subscribe", "channel": "order_book/7"}
        for kind, book in ("subscribed", FIRST), ("update", {"bids": [], **CHANGE}):
            await say(f"{kind}/order_book", channel="order_book:7", order_book=book)
        await say("ping")


def client(address, seen):
    def keep(market, book):
        seen.append(copy.deepcopy(book))

    return WsClient(ws_url=address, order_book_ids=[7], on_order_book_update=keep)


def test_threads_follow_an_order_book_until_the_exchange_leaves():
    async def main():
        seen = []
        async with serving(exchange) as address:
            with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
                await asyncio.to_thread(client(address, seen).run)
            assert closed.value.rcvd.code == 4000
            assert closed.value.rcvd.reason == "maintenance"
        assert seen == SEEN

    run(main())


def test_asyncio_follows_an_order_book_until_the_exchange_leaves():
    async def main():
        seen = []
        async with serving(exchange) as address:
            with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
                await client(address, seen).run_async()
            assert closed.value.rcvd.code == 4000
        assert seen == SEEN

    run(main())
