"""The article of consumer, producer and server, edition 8.1: S52 to S54."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import websockets as peer

from tests.docs.programs import until_listening
from tests.websockets.snippets.harness import (
    connect,
    example,
    ran,
    started,
    written,
)

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]

CONSUMER = """
    import asyncio
    import logging
    import websockets
    from websockets import WebSocketClientProtocol

    logging.basicConfig(level=logging.INFO)

    async def consumer_handler(websocket: WebSocketClientProtocol) -> None:
        async for message in websocket:
            log_message(message)

    async def consume(hostname: str, port: int) -> None:
        websocket_resource_url = f"ws://{hostname}:{port}"
        async with websockets.connect(websocket_resource_url) as websocket:
            await consumer_handler(websocket)

    def log_message(message: str) -> None:
        logging.info(f"Message: {message}")

    if __name__ == '__main__':
        loop = asyncio.get_event_loop()
        loop.run_until_complete(consume(hostname='localhost', port=4000))
        loop.run_forever()
    """
PRODUCER = """
    import asyncio
    import websockets

    async def produce(message: str, host: str, port: int) -> None:
        async with websockets.connect(f"ws://{host}:{port}") as ws:
            await ws.send(message)
            await ws.recv()
    """
PRODUCER_WITH_A_LOOP = """
    loop = asyncio.get_event_loop()
    loop.run_until_complete(produce(message='hi', host='localhost', port=4000))
    """
PRODUCER_WITH_RUN = """
    asyncio.run(produce(message='hi', host='localhost', port=4000))
    """
SERVER = """
    import asyncio
    import logging
    import websockets
    from websockets import WebSocketServerProtocol

    logging.basicConfig(level=logging.INFO)

    class Server:
        clients = set()

        async def register(self, ws: WebSocketServerProtocol) -> None:
            self.clients.add(ws)
            logging.info(f'{ws.remote_address} connects.')

        async def unregister(self, ws: WebSocketServerProtocol) -> None:
            self.clients.remove(ws)
            logging.info(f'{ws.remote_address} disconnects.')

        async def send_to_clients(self, message: str) -> None:
            if self.clients:
                await asyncio.wait(
                    [asyncio.ensure_future(client.send(message))
                     for client in self.clients])

        async def ws_handler(self, ws: WebSocketServerProtocol, uri: str) -> None:
            await self.register(ws)
            try:
                await self.distribute(ws)
            finally:
                await self.unregister(ws)

        async def distribute(self, ws: WebSocketServerProtocol) -> None:
            async for message in ws:
                await self.send_to_clients(message)

    server = Server()
    start_server = websockets.serve(server.ws_handler, 'localhost', 4000)
    loop = asyncio.get_event_loop()
    loop.run_until_complete(start_server)
    loop.run_forever()
    """


def program_of(folder, source, port):
    """A program as printed (its text) or as shipped (its file name)."""
    if source.endswith(".py"):
        return example(folder, f"websockets/{source}", p4000=port)
    return written(folder, "program.py", source, p4000=port)


@pytest.mark.parametrize(
    "source", [CONSUMER, "consumer.py"], ids=["printed", "shipped"]
)
async def test_s52_the_consumer_logs_every_message(source, tmp_path, unused_port):
    file = program_of(tmp_path, source, unused_port)

    async def handler(websocket):
        await websocket.send("one")
        await websocket.send("two")
        with contextlib.suppress(peer.ConnectionClosed):
            await websocket.wait_closed()

    async with peer.serve(handler, "localhost", unused_port):
        with started(file) as running:
            await asyncio.to_thread(running.line_with, "INFO:root:Message: two")
            assert "INFO:root:Message: one\n" in running.output
            assert running.process.poll() is None


@pytest.mark.parametrize(
    "source",
    [PRODUCER + PRODUCER_WITH_A_LOOP, PRODUCER + PRODUCER_WITH_RUN, "producer.py"],
    ids=["run_until_complete", "asyncio.run", "shipped"],
)
async def test_s53_the_producer_waits_for_its_receipt(source, tmp_path, unused_port):
    file = program_of(tmp_path, source, unused_port)
    received, codes = [], []

    async def handler(websocket):
        received.append(await websocket.recv())
        await websocket.send(received[-1])
        await websocket.wait_closed()
        codes.append(websocket.close_code)

    async with peer.serve(handler, "localhost", unused_port):
        await ran(file)

    assert received == ["hi"]
    assert codes == [1000]


@pytest.mark.parametrize(
    "source", [SERVER, "fan_out_server.py"], ids=["printed", "shipped"]
)
async def test_s54_the_server_gives_everybody_what_one_sends(
    source, tmp_path, unused_port
):
    file = program_of(tmp_path, source, unused_port)
    uri = f"ws://localhost:{unused_port}/"
    with started(file) as running:
        await until_listening(unused_port, running)
        async with connect(uri) as consumer, connect(uri) as producer:
            # A greeting by each, so that both are registered.
            await consumer.send("consumer")
            assert await consumer.recv() == "consumer"
            await producer.send("hi")
            while await producer.recv() != "hi":
                pass
            while await consumer.recv() != "hi":
                pass
            await producer.close()
            line = f"INFO:root:{producer.local_address} disconnects."
            await asyncio.to_thread(running.line_with, line)
            await consumer.send("still here")
            assert await consumer.recv() == "still here"


async def test_s54_consumer_producer_and_server_work_together(tmp_path, unused_port):
    def printed(name, source):
        folder = tmp_path / name
        folder.mkdir()
        return program_of(folder, source, unused_port)

    with started(printed("server", SERVER)) as server:
        await until_listening(unused_port, server)
        with started(printed("consumer", CONSUMER)) as consumer:
            await asyncio.to_thread(server.line_with, "connects.")
            await ran(printed("producer", PRODUCER + PRODUCER_WITH_RUN))

            await asyncio.to_thread(consumer.line_with, "INFO:root:Message: hi")
        assert server.process.poll() is None
