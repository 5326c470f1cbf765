"""JSON-RPC of a language server, ``pygls``, over websockets."""

import asyncio
import json
import threading

import websockets
from fakes import free_port, run, until_open
from pygls.lsp.server import LanguageServer


def test_request_and_notification_are_answered():
    port = free_port()
    server = LanguageServer("server", "1")

    @server.command("double")
    def double(number: int):
        return number * 2

    threading.Thread(
        target=server.start_ws, args=("127.0.0.1", port), daemon=True
    ).start()

    async def main():
        await until_open(port)
        async with websockets.connect(f"ws://127.0.0.1:{port}") as websocket:

            async def ask(number, method, params):
                request = {"jsonrpc": "2.0", "id": number, "method": method}
                await websocket.send(json.dumps({**request, "params": params}))
                while True:
                    answer = json.loads(await websocket.recv())
                    if answer.get("id") == number:
                        return answer["result"]

            answer = await ask(
                1, "initialize", {"capabilities": {}, "processId": 1, "rootUri": None}
            )
            assert (
                "double" in answer["capabilities"]["executeCommandProvider"]["commands"]
            )
            doubled = await ask(
                2, "workspace/executeCommand", {"command": "double", "arguments": [21]}
            )
            assert doubled == 42
            await asyncio.sleep(0)

    run(main())
