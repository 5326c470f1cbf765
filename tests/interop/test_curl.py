"""curl: what people see who ask our server for a page, and curl's own WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import longwire
from tests.support.certificates import Certificates
from tests.support.needs import found, needs

pytestmark = pytest.mark.once


async def curl(*arguments: str, name: str = "curl") -> tuple[int, str]:
    """Return curl's status and what it printed, heads included."""
    process = await asyncio.create_subprocess_exec(
        needs(name),
        *("--silent", "--include", "--max-time", "10", "--noproxy", "*"),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode("utf-8", "replace")


async def greet(ws: longwire.ServerConnection) -> None:
    await ws.send("welcome")
    async for message in ws:
        await ws.send(message)


@contextlib.asynccontextmanager
async def served(**options: Any) -> AsyncIterator[str]:
    """Yield host and port of a server."""
    needs("curl")
    async with longwire.serve(greet, "127.0.0.1", 0, **options) as server:
        yield f"localhost:{server.sockets[0].getsockname()[1]}"


def headers(output: str) -> dict[str, str]:
    head = output.replace("\r\n", "\n").partition("\n\n")[0]
    found: dict[str, str] = {}
    for line in head.split("\n")[1:]:
        name, _, value = line.lower().partition(": ")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 426),
        (["--head"], 405),
        (["--data", "a=b"], 405),
        (["--request", "OPTIONS"], 405),
        (["--header", "Host:"], 400),
        (["--header", "X: " + "y" * 9000], 431),
        (["--http2"], 426),
    ],
)
async def test_a_request_that_is_no_handshake_is_told_why(
    arguments: list[str], status: int
) -> None:
    async with served() as where:
        code, output = await curl(*arguments, f"http://{where}/")

    assert code == 0
    assert output.startswith(f"HTTP/1.1 {status} ")
    found = headers(output)
    assert "close" in found["connection"].split(", ")
    assert int(found["content-length"]) > 0
    if status == 426:
        assert found["upgrade"] == "websocket"
        assert found["sec-websocket-version"] == "13"
    if status == 405:
        assert found["allow"] == "get"


async def test_http_1_0_is_never_upgraded() -> None:
    async with served() as where:
        upgrade = (
            *("--header", "Connection: Upgrade", "--header", "Upgrade: websocket"),
            *("--header", "Sec-WebSocket-Version: 13"),
            *("--header", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        )
        _, output = await curl("--http1.0", *upgrade, f"http://{where}/")

    assert not output.startswith("HTTP/1.1 101")
    assert output.split(" ")[1] in ("400", "426", "505")


async def test_a_health_check_is_answered() -> None:
    async with served(health="/healthz") as where:
        code, output = await curl("--fail", f"http://{where}/healthz")

    assert code == 0
    assert output.startswith("HTTP/1.1 200 OK")


async def test_a_refusal_is_read_over_tls(certificates: Certificates) -> None:
    async with served(ssl=certificates.server) as where:
        code, output = await curl(
            "--cacert", str(certificates.ca_file), f"https://{where}/"
        )

    assert code == 0
    assert output.startswith("HTTP/1.1 426 ")


async def test_a_refusal_is_read_over_a_unix_socket(tmp_path: Path) -> None:
    needs("curl")
    path = str(tmp_path / "socket")
    async with longwire.unix_serve(greet, path):
        code, output = await curl("--unix-socket", path, "http://localhost/")

    assert code == 0
    assert output.startswith("HTTP/1.1 426 ")


async def test_a_password_is_asked_for_and_taken() -> None:
    ask = longwire.basic_auth(realm="r", credentials=("user", "secret"))
    async with served(process_request=ask) as where:
        _, refused = await curl(f"http://{where}/")
        _, wrong = await curl("--user", "user:guess", f"http://{where}/")
        _, right = await curl("--user", "user:secret", f"http://{where}/")

    assert refused.startswith("HTTP/1.1 401 ")
    assert "basic" in headers(refused)["www-authenticate"]
    assert wrong.startswith("HTTP/1.1 401 ")
    assert right.startswith("HTTP/1.1 426 ")


# Only some builds of curl speak WebSocket, and no package adds it to the others.
if found("curl-websocket"):

    async def test_curls_own_websocket_gets_messages() -> None:
        async with served() as where:
            _, output = await curl(
                "--max-time", "2", f"ws://{where}/", name="curl-websocket"
            )

        assert "welcome" in output
