"""hello_server.py with TLS. Certificate and key are in localhost.pem, beside this file.

Make it: openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \\
    -addext subjectAltName=DNS:localhost -keyout localhost.pem -out cert.pem &&
    cat cert.pem >> localhost.pem
"""

import asyncio
import pathlib
import ssl

from longwire import websockets
from longwire.websockets import WebSocketServerProtocol


async def hello(websocket: WebSocketServerProtocol, path: str) -> None:
    name = await websocket.recv()
    print(f"< {name!s}")

    greeting = f"Hello {name!s}!"
    await websocket.send(greeting)
    print(f"> {greeting}")


if __name__ == "__main__":
    ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ssl_context.load_cert_chain(pathlib.Path(__file__).with_name("localhost.pem"))

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    start_server = websockets.serve(hello, "localhost", 8765, ssl=ssl_context)
    loop.run_until_complete(start_server)
    loop.run_forever()
