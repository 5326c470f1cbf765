"""Calls the server of live_page.py: a result, an error, three items of a stream."""

import asyncio
import os

from longwire import rpc


async def main() -> None:
    uri = f"ws://localhost:{os.environ.get('PORT', '8765')}/rpc"
    async with rpc.Client(uri) as shop:
        try:
            while left := await shop.call("buy", "tea", returns=int):
                print(f"{left} left")
            await shop.proxy.buy(what="tea")
        except rpc.RemoteError as error:
            print(f"{error.type}: {error.message}")
        async with shop.stream("prices", of="tea", returns=float) as prices:
            for _ in range(3):
                print(f"tea costs {await anext(prices):.2f}")


if __name__ == "__main__":
    asyncio.run(main())
