"""A server with a path for a load balancer, as edition 12.0 documents it.

Try it: curl -i http://localhost:8765/healthz
"""

import asyncio
import http

from longwire import websockets
from longwire.websockets import Headers, WebSocketServerProtocol


async def health_check(
    path: str, request_headers: Headers
) -> tuple[http.HTTPStatus, list[tuple[str, str]], bytes] | None:
    if path == "/healthz":
        return http.HTTPStatus.OK, [], b"OK\n"
    return None


async def echo(websocket: WebSocketServerProtocol) -> None:
    async for message in websocket:
        await websocket.send(message)


async def main() -> None:
    async with websockets.serve(echo, "localhost", 8765, process_request=health_check):
        await asyncio.Future()  # run forever


if __name__ == "__main__":
    asyncio.run(main())
