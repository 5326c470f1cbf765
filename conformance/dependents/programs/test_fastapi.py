"""FastAPI's WebSockets under uvicorn, with a client of the library itself."""

import asyncio

import pytest
import uvicorn
import websockets
from fakes import free_port, run, until, until_open
from fastapi import FastAPI, WebSocket, WebSocketDisconnect, WebSocketException

app = FastAPI()
codes = []


@app.websocket("/echo")
async def echo(websocket: WebSocket):
    await websocket.accept(subprotocol="one", headers=[(b"x-there", b"yes")])
    try:
        while True:
            message = await websocket.receive()
            if "text" in message and message["text"] is not None:
                await websocket.send_text(message["text"])
            elif "bytes" in message:
                await websocket.send_bytes(message["bytes"])
            else:
                codes.append(message["code"])
                return
    except WebSocketDisconnect as gone:
        codes.append(gone.code)


@app.websocket("/refuse")
async def refuse(websocket: WebSocket):
    raise WebSocketException(code=1008, reason="no")


@app.websocket("/fail")
async def fail(websocket: WebSocket):
    await websocket.accept()
    raise ValueError("of the application")


@app.websocket("/leave")
async def leave(websocket: WebSocket):
    await websocket.accept()
    await websocket.close(code=4000, reason="left")


@pytest.fixture(params=["websockets", "websockets-sansio"])
def implementation(request):
    return request.param


def against(implementation, talk):
    async def main():
        port = free_port()
        server = uvicorn.Server(
            uvicorn.Config(
                app, port=port, ws=implementation, lifespan="off", log_level="critical"
            )
        )
        serving = asyncio.ensure_future(server.serve())
        await until_open(port)
        await talk(f"ws://127.0.0.1:{port}")
        server.should_exit = True
        await serving

    run(main())


def test_text_and_bytes_come_back(implementation):
    async def talk(address):
        async with websockets.connect(
            address + "/echo", subprotocols=["one", "two"]
        ) as websocket:
            assert websocket.subprotocol == "one"
            assert websocket.response.headers["X-There"] == "yes"
            for message in ("text", b"bytes", "\xfcber \U0001f600", "", b"x" * 100_000):
                await websocket.send(message)
                assert await websocket.recv() == message
        await until(lambda: codes, "the end of the handler")
        assert codes.pop() == 1000

    against(implementation, talk)


def test_refusal_is_403(implementation):
    async def talk(address):
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            await websockets.connect(address + "/refuse")
        assert refused.value.response.status_code == 403

    against(implementation, talk)


def test_error_of_the_application_ends_the_connection(implementation):
    async def talk(address):
        async with websockets.connect(address + "/fail") as websocket:
            with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
                await websocket.recv()
            assert closed.value.rcvd is None or closed.value.rcvd.code == 1011

    against(implementation, talk)


def test_code_and_reason_of_the_application_arrive(implementation):
    async def talk(address):
        async with websockets.connect(address + "/leave") as websocket:
            with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
                await websocket.recv()
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "left")

    against(implementation, talk)
