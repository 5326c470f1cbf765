"""Commands and configurations of the how-to pages, tried with their programs."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import subprocess
from pathlib import Path

import pytest

import longwire
from tests.docs.programs import ROOT
from tests.support.needs import needs
from tests.support.ports import free_port

pytestmark = pytest.mark.once

HOWTO = ROOT / "docs" / "howto"
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


async def echo(websocket: longwire.ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


async def test_the_certificates_made_as_described_are_trusted_strictly(tmp_path):
    needs("openssl")
    commands = SHELL.findall((HOWTO / "tls.md").read_text("utf-8"))
    assert len(commands) == 2
    for command in commands:
        subprocess.run(
            ["sh", "-ec", command], cwd=tmp_path, check=True, capture_output=True
        )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on

    async with longwire.serve(echo, "localhost", 0, ssl=server) as served:
        port = served.sockets[0].getsockname()[1]
        async with longwire.connect(f"wss://localhost:{port}/", ssl=client) as ws:
            await ws.send("hello")

            assert await ws.recv() == "hello"


class Nginx:
    """nginx with the page's configuration, in front of a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.socket = folder / "server.sock"
        config = (HOWTO / "nginx.conf").read_text("utf-8")
        for written, here in (
            ("/run/longwire/server.sock", str(self.socket)),
            ("listen 8080;", f"listen 127.0.0.1:{self.port};"),
        ):
            assert config.count(written) == 1
            config = config.replace(written, here)
        paths = "".join(
            f"{name}_temp_path {folder / name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # Workers of root would run as somebody who may not enter the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        file = folder / "nginx.conf"
        file.write_text(
            f"{user} daemon off; pid {folder / 'pid'};\n"
            f"error_log {folder / 'error.log'};\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{paths}{config}}}\n"
        )
        self.command = [needs("nginx"), "-e", str(folder / "start.log"), "-c", file]

    async def __aenter__(self) -> Nginx:
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE)
        async with asyncio.timeout(10):
            while True:
                assert self.process.poll() is None, self.process.stderr.read()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                await writer.wait_closed()
                return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.process.terminate()
        await asyncio.to_thread(self.process.communicate)


async def test_nginx_passes_connections_on_as_described(tmp_path):
    seen: list[longwire.Request | None] = []

    async def note(websocket: longwire.ServerConnection) -> None:
        seen.append(websocket.request)
        await echo(websocket)

    async with Nginx(tmp_path) as nginx:
        host = f"localhost:{nginx.port}"
        async with longwire.unix_serve(note, nginx.socket, origins="same") as server:
            async with longwire.connect(
                f"ws://127.0.0.1:{nginx.port}/ws?room=1",
                origin=f"http://{host}",
                additional_headers={"Host": host, "X-Forwarded-For": "192.0.2.1"},
            ) as websocket:
                await websocket.send("x" * 100_000)
                assert await websocket.recv() == "x" * 100_000

            with pytest.raises(longwire.InvalidStatus) as refused:
                await longwire.connect(
                    f"ws://127.0.0.1:{nginx.port}/ws", origin="http://elsewhere.example"
                )
            await server.drain()

    (request,) = seen
    assert request is not None
    assert request.path == "/ws?room=1"
    assert request.headers["Host"] == host
    assert request.headers["X-Forwarded-For"] == "192.0.2.1, 127.0.0.1"
    assert refused.value.response.status_code == 403
