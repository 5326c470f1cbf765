"""A server with TLS: python tls_server.py cert.pem key.pem

docs/howto/tls.md says how to make the two files.
"""

import asyncio
import os
import ssl
import sys

from longwire import ServerConnection, serve

PORT = int(os.environ.get("PORT", "8765"))


async def greet(websocket: ServerConnection) -> None:
    async for name in websocket:
        await websocket.send(f"hello {name!s}, this is private")


async def main(cert_file: str, key_file: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert_file, key_file)
    async with serve(greet, "localhost", PORT, ssl=context) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
