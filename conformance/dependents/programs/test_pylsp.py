"""The language server of Python over websockets, started as its users start it."""

import json
import subprocess
import sys

import websockets
from fakes import free_port, run, until_open


def test_document_is_opened_and_completed():
    port = free_port()
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pylsp",
            "--ws",
            "--host",
            "127.0.0.1",
            "--port",
            f"{port}",
        ]
    )

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
                1,
                "initialize",
                {"capabilities": {}, "processId": None, "rootUri": None},
            )
            assert "completionProvider" in answer["capabilities"]
            document = {
                "uri": "untitled:one.py",
                "languageId": "python",
                "version": 1,
                "text": "import os\nos.getcw",
            }
            opened = {"jsonrpc": "2.0", "method": "textDocument/didOpen"}
            opened["params"] = {"textDocument": document}
            await websocket.send(json.dumps(opened))
            found = await ask(
                2,
                "textDocument/completion",
                {
                    "textDocument": {"uri": document["uri"]},
                    "position": {"line": 1, "character": 9},
                },
            )
            labels = [item["label"] for item in found["items"]]
            assert any(label.startswith("getcwd") for label in labels)

    try:
        run(main())
    finally:
        server.terminate()
        server.wait(10)
