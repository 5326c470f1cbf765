"""The C server speaks the protocol: it is talked to by our own client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from longwire import connect
from tests.support.needs import ROOT

pytestmark = pytest.mark.once


@asynccontextmanager
async def floor(programs, **options: object):
    """The server's process; gives its port."""
    process = await asyncio.create_subprocess_exec(
        programs.server,
        *(f"{name}={value}" for name, value in options.items()),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.communicate()


SIZES = [0, 1, 125, 126, 4095, 4096, 65535, 65536, 1 << 20]


@pytest.mark.parametrize("deflate", [0, 1])
async def test_messages_of_every_size_come_back(programs, deflate):
    async with (
        floor(programs, deflate=deflate) as port,
        connect(f"ws://127.0.0.1:{port}/") as websocket,
    ):
        assert bool(websocket.response.headers.get("Sec-WebSocket-Extensions")) == (
            bool(deflate)
        )
        for size in SIZES:
            binary = bytes(range(256)) * (size // 256 + 1)
            await websocket.send(binary[:size])
            assert await websocket.recv() == binary[:size]
            await websocket.send("é" * (size // 2))
            assert await websocket.recv() == "é" * (size // 2)


async def test_many_messages_at_once_come_back_in_order(programs):
    messages = [str(number) * (number % 50) for number in range(2000)]

    async with (
        floor(programs) as port,
        connect(f"ws://127.0.0.1:{port}/") as websocket,
    ):
        for message in messages:
            await websocket.send(message)
        answers = [await websocket.recv() for _ in messages]

    assert answers == messages


async def test_fragments_come_back_as_one_message(programs):
    async with (
        floor(programs) as port,
        connect(f"ws://127.0.0.1:{port}/") as websocket,
    ):
        await websocket.send([b"a" * 70000, b"", b"b" * 10, b"c" * 30000])

        assert await websocket.recv() == b"a" * 70000 + b"b" * 10 + b"c" * 30000


async def test_who_reads_late_gets_everything(programs):
    message = b"x" * 1_000_000

    async with (
        floor(programs) as port,
        connect(f"ws://127.0.0.1:{port}/", max_queue=1) as websocket,
    ):
        sending = [
            asyncio.create_task(websocket.send(message + b"%02d" % number))
            for number in range(12)
        ]
        await asyncio.sleep(0.2)
        answers = [await websocket.recv() for _ in sending]
        await asyncio.gather(*sending)

    assert [answer[-2:] for answer in answers] == [b"%02d" % n for n in range(12)]


async def test_pings_and_the_closing_handshake_are_answered(programs):
    async with floor(programs) as port:
        websocket = await connect(f"ws://127.0.0.1:{port}/")
        await asyncio.wait_for(await websocket.ping(b"there?"), 5)
        await websocket.close(4321, "enough")

    assert (websocket.close_code, websocket.close_reason) == (4321, "enough")


async def test_connections_are_pinged(programs):
    async with (
        floor(programs, keepalive=1) as port,
        connect(f"ws://127.0.0.1:{port}/") as websocket,
    ):
        await asyncio.sleep(1.5)
        await websocket.close()

    # The handshake aside: a ping of 6 bytes and a close frame of 4.
    assert websocket.close_report.bytes_received >= 10


async def test_tls_carries_large_messages(programs, certificates, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(
        certificates.key_file.read_bytes() + certificates.cert_file.read_bytes()
    )
    message = bytes(range(256)) * 4096

    async with (
        floor(programs, tls=both) as port,
        connect(f"wss://127.0.0.1:{port}/", ssl=certificates.client) as websocket,
    ):
        for _ in range(3):
            await websocket.send(message)
        assert [await websocket.recv() for _ in range(3)] == [message] * 3


async def test_messages_are_counted(programs):
    async with (
        floor(programs, mode="sink") as port,
        connect(f"ws://127.0.0.1:{port}/") as websocket,
    ):
        for _ in range(1234):
            await websocket.send(b"one of them")
        await websocket.send("how many?")

        assert await websocket.recv() == "1234"


async def test_a_broadcast_reaches_all(programs):
    async with floor(programs, mode="broadcast") as port:
        url = f"ws://127.0.0.1:{port}/"
        async with connect(url) as first, connect(url) as second:
            await first.send(b"to all")

            assert await first.recv() == await second.recv() == b"to all"


async def test_as_many_messages_are_sent_as_are_asked_for(programs):
    async with (
        floor(programs, mode="firehose") as port,
        connect(f"ws://127.0.0.1:{port}/") as websocket,
    ):
        await websocket.send("5000")
        messages = [await websocket.recv() for _ in range(5000)]
        await websocket.send("?")

        assert set(messages) == {b"x" * 64}
        assert await websocket.recv() == "?"


@pytest.mark.parametrize(
    "frames",
    [
        b"\x82\x01a",  # not masked
        b"\x83\x80\x00\x00\x00\x00",  # no such opcode
        b"\x80\x80\x00\x00\x00\x00",  # continues nothing
        b"\xa2\x80\x00\x00\x00\x00",  # RSV2
        b"\xc2\x80\x00\x00\x00\x00",  # RSV1 without compression
        b"\x82\xfe\x00\x01\x00\x00\x00\x00a",  # length not in the shortest form
        b"\x82\xff\x80" + bytes(11),  # length of 2**63 and more
        b"\x09\x80\x00\x00\x00\x00",  # a fragmented ping
        b"\x82\xff\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00",  # 256 MiB
    ],
)
async def test_a_fault_ends_the_connection(programs, frames):
    async with floor(programs) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(frames)
        rest = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert rest == b""


@pytest.mark.parametrize("name", ["server", "load"])
@pytest.mark.parametrize("features", ["", "-DWITH_TLS", "-DWITH_ZLIB"])
async def test_the_programs_compile_without_a_warning(programs, name, features):
    source = ROOT / "bench" / "c" / f"{name}.c"
    flags = f"-std=c11 -O2 -Wall -Wextra -Werror -fsyntax-only {features}"
    process = await asyncio.create_subprocess_exec(
        "cc", *flags.split(), source, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()

    assert errors.decode() == ""


async def test_what_was_left_out_of_a_program_is_refused(programs, tmp_path):
    for name, arguments in {"server": "tls=x", "load": "port=1 deflate=1"}.items():
        source, program = ROOT / "bench" / "c" / f"{name}.c", tmp_path / name
        process = await asyncio.create_subprocess_exec("cc", source, "-o", program)
        await process.wait()
        process = await asyncio.create_subprocess_exec(
            program, *arguments.split(), stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()

        assert (
            errors.decode()
            .strip()
            .endswith(("tls: built without OpenSSL", "deflate: built without zlib"))
        )
        assert process.returncode == 1
