"""JSON-RPC of ``fastapi-websocket-rpc``: its server under uvicorn, its client."""

import asyncio

import pytest
import uvicorn
from fakes import free_port, run, until_open
from fastapi import FastAPI
from fastapi_websocket_rpc import (
    RpcMethodsBase,
    WebSocketRpcClient,
    WebsocketRPCEndpoint,
)


class Methods(RpcMethodsBase):
    async def add(self, a=0, b=0):
        return a + b

    async def ask_back(self):
        # Not awaited here: a call holds up the reading of its own channel.
        self.asking = asyncio.ensure_future(self.channel.other.concat(a="x", b="y"))
        return "asked"


class Client(RpcMethodsBase):
    def __init__(self):
        super().__init__()
        self.asked = asyncio.get_running_loop().create_future()

    async def concat(self, a="", b=""):
        self.asked.set_result(a + b)
        return a + b


@pytest.mark.parametrize("implementation", ["websockets", "websockets-sansio"])
def test_calls_go_both_ways(implementation):
    async def main():
        app = FastAPI()
        WebsocketRPCEndpoint(Methods()).register_route(app, "/ws")
        port = free_port()
        server = uvicorn.Server(
            uvicorn.Config(
                app, port=port, ws=implementation, lifespan="off", log_level="error"
            )
        )
        serving = asyncio.ensure_future(server.serve())
        await until_open(port)
        methods = Client()
        async with WebSocketRpcClient(f"ws://127.0.0.1:{port}/ws", methods) as client:
            assert (await client.other.add(a=1, b=2)).result == "3"
            assert (await client.other.ask_back()).result == "asked"
            assert await methods.asked == "xy"
        server.should_exit = True
        await serving

    run(main())
