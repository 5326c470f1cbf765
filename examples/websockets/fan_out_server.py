"""A server that gives every client what one of them sends.

consumer.py logs what comes, producer.py sends one message.
"""

import asyncio
import logging

from longwire import websockets
from longwire.websockets import WebSocketServerProtocol

logging.basicConfig(level=logging.INFO)


class Server:
    clients: set[WebSocketServerProtocol] = set()

    async def register(self, ws: WebSocketServerProtocol) -> None:
        self.clients.add(ws)
        logging.info(f"{ws.remote_address} connects.")

    async def unregister(self, ws: WebSocketServerProtocol) -> None:
        self.clients.remove(ws)
        logging.info(f"{ws.remote_address} disconnects.")

    async def send_to_clients(self, message: str | bytes) -> None:
        if self.clients:
            # Who leaves meanwhile is unregistered by the handler of that connection.
            sends = (client.send(message) for client in self.clients)
            await asyncio.gather(*sends, return_exceptions=True)

    async def ws_handler(self, ws: WebSocketServerProtocol, uri: str) -> None:
        await self.register(ws)
        try:
            await self.distribute(ws)
        finally:
            await self.unregister(ws)

    async def distribute(self, ws: WebSocketServerProtocol) -> None:
        async for message in ws:
            await self.send_to_clients(message)


if __name__ == "__main__":
    server = Server()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    start_server = websockets.serve(server.ws_handler, "localhost", 4000)
    loop.run_until_complete(start_server)
    loop.run_forever()
