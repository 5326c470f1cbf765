"""A stream of stock prices, of the legacy API, against a fake exchange."""

import asyncio

import msgpack
from alpaca.data.live import StockDataStream
from fakes import run, serving

import longwire


async def exchange(websocket):
    async def say(*items):
        await websocket.send(msgpack.packb(list(items)))

    await say({"T": "success", "msg": "connected"})
    try:
        async for message in websocket:
            asked = msgpack.unpackb(message)
            if asked["action"] == "auth":
                await say({"T": "success", "msg": "authenticated"})
            elif asked["action"] == "subscribe":
                await say({"T": "subscription", "trades": asked.get("trades", [])})
                for number in range(3):
                    stamp = msgpack.Timestamp(1_700_000_000, 0)
                    await say(
                        {
                            "T": "t",
                            "S": "ABC",
                            "i": number,
                            "x": "V",
                            "p": 10.5 + number,
                            "s": 100,
                            "t": stamp,
                            "c": ["@"],
                            "z": "C",
                        }
                    )
    except longwire.ConnectionClosed:
        pass


def test_trades_are_told_until_the_stream_is_stopped():
    async def main():
        async with serving(exchange) as address:
            stream = StockDataStream("key", "secret", url_override=address)
            prices = []

            async def trade(one):
                prices.append(one.price)
                if len(prices) == 3:
                    await stream.stop_ws()

            stream.subscribe_trades(trade, "ABC")
            running = asyncio.ensure_future(stream._run_forever())
            await asyncio.wait_for(running, 20)
            assert prices == [10.5, 11.5, 12.5]

    run(main())
