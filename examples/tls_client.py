"""A client that trusts its own certificate authority: python tls_client.py ca.pem

Start tls_server.py first.
"""

import asyncio
import os
import ssl
import sys

from longwire import connect

PORT = int(os.environ.get("PORT", "8765"))


async def main(ca_file: str) -> None:
    context = ssl.create_default_context(cafile=ca_file)
    async with connect(f"wss://localhost:{PORT}/", ssl=context) as websocket:
        await websocket.send("Ada")
        print(await websocket.recv())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
