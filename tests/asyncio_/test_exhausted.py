"""A process without descriptors or memory for one more connection."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
from typing import Any

import pytest
from tests.asyncio_.serving import UPGRADE, lines, listen
from tests.support.certificates import Certificates
from tests.support.loops import PLAIN
from tests.support.needs import needs
from tests.support.scripts import run_script

from longwire import build
from longwire.asyncio import listening
from longwire.asyncio.listening import LoopListener

PROGRAM = """
import asyncio, encodings.idna, json, logging, os, resource, socket, ssl, sys
import longwire
from longwire.asyncio import listening
from tests.support.rawpeer import TEXT, RawPeer

kind, cert_file, key_file, ca_file = sys.argv[1:]
SECURE = kind == "tls"
listening.ACCEPT_PAUSE = 0.02
try:
    from longwire.asyncio import sockets
    sockets.ACCEPT_PAUSE = 0.02
except ImportError:
    pass  # not compiled

told, said = [], []

class Log(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())

logging.getLogger().addHandler(Log(logging.WARNING))
soft = len(os.listdir("/proc/self/fd")) + 40
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))


def take_all():
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return taken


def give_back(taken):
    for fd in taken:
        os.close(fd)


def visit(sock, port):
    sock.connect(("127.0.0.1", port))
    if SECURE:
        sock = there.wrap_socket(sock, server_hostname="localhost")
    with RawPeer(sock, client=True).ask() as peer:
        peer.send(TEXT, b"hello")
        return peer.read().payload.decode()


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: told.append(str(context)))
    await loop.run_in_executor(None, int)
    # More than there are descriptors for.
    limits = longwire.Limits(connections=None, connections_per_address=None)
    options = {"ssl": here, "close_timeout": 1, "limits": limits}
    async with longwire.serve(echo, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        heard = []
        for episode in range(2):
            clients = [socket.socket() for _ in range(3)]
            taken = take_all()
            visits = [loop.run_in_executor(None, visit, c, port) for c in clients]
            await asyncio.sleep(0.7)
            assert not any(v.done() for v in visits), visits
            give_back(taken)
            heard += await asyncio.wait_for(asyncio.gather(*visits), 20)
            while server._runs:
                await asyncio.sleep(0.01)
    print(json.dumps([heard, told, said]))


here = there = None
if SECURE:
    here = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    here.load_cert_chain(cert_file, key_file)
    there = ssl.create_default_context(cafile=ca_file)
loop = asyncio.new_event_loop()
if os.environ["LOOP"] == "uvloop":
    import uvloop
    loop = uvloop.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""
ENGINES = ["native", "transport"] if build.BUILD == "compiled" else ["transport"]


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("loop", PLAIN)
def test_a_server_out_of_descriptors_says_so_once_and_goes_on_later(
    loop: str, engine: str, kind: str, certificates: Certificates
) -> None:
    if loop == "uvloop":
        needs("uvloop")
    heard, told, said = json.loads(
        run_script(
            PROGRAM,
            kind,
            *map(str, (certificates.cert_file, certificates.key_file)),
            str(certificates.ca_file),
            LOOP=loop,
            LONGWIRE_ENGINE=engine,
            PYTHONPATH=os.getcwd(),
        )
    )

    assert heard == ["hello"] * 6
    assert told == []
    assert (
        said
        == [
            "server cannot accept connections for a while: "
            "[Errno 24] Too many open files"
        ]
        * 2
    )


# --- errors that cannot be brought about -----------------------------------------


class Failing:
    """A listening socket whose next ``accept()`` calls fail."""

    def __init__(self, sock: socket.socket, *failures: int) -> None:
        self._sock = sock
        self.failures = list(failures)
        self.accepts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def accept(self) -> Any:
        self.accepts += 1
        if self.failures:
            code = self.failures.pop(0)
            raise OSError(code, os.strerror(code))
        return self._sock.accept()


def failing(server: Any, *failures: int) -> Failing:
    (listener,) = server._server._listeners
    assert isinstance(listener, LoopListener)
    listener._sock = Failing(listener._sock, *failures)  # type: ignore[assignment]
    return listener._sock  # type: ignore[return-value]


async def visit(server: Any) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.sockets[0].getsockname()[1]
    )
    writer.write(UPGRADE)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()
    return head


@pytest.fixture
def transports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWIRE_ENGINE", "transport")
    monkeypatch.setattr(listening, "ACCEPT_PAUSE", 0.01)


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
async def test_every_kind_of_exhaustion_is_one_line_and_a_pause(
    name: str, transports: None, caplog: pytest.LogCaptureFixture
) -> None:
    code = getattr(errno, name)
    async with listen() as server:
        sock = failing(server, *[code] * 5)

        assert (await visit(server)).startswith(b"HTTP/1.1 101 ")

        assert sock.accepts >= 6
    assert [x for x in lines(caplog, logging.WARNING) if "cannot accept" in x] == [
        f"server cannot accept connections for a while: [Errno {code}] "
        f"{os.strerror(code)}"
    ]


@pytest.mark.parametrize("name", ["ECONNABORTED", "EPROTO", "ENETDOWN", "EPERM"])
async def test_the_failure_of_one_connection_is_not_the_next_ones(
    name: str, transports: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with listen() as server:
        failing(server, getattr(errno, name))

        assert (await visit(server)).startswith(b"HTTP/1.1 101 ")

    assert lines(caplog, logging.WARNING) == []


async def test_a_server_closed_while_it_pauses_stays_closed(transports: None) -> None:
    server = await listen()
    sock = failing(server, *[errno.EMFILE] * 1000)
    _, writer = await asyncio.open_connection(
        "127.0.0.1", server.sockets[0].getsockname()[1]
    )
    while not sock.accepts:
        await asyncio.sleep(0.001)

    server.close()
    await server.wait_closed()
    accepts = sock.accepts
    await asyncio.sleep(0.05)

    assert sock.accepts == accepts
    writer.close()


async def test_a_connection_that_cannot_be_made_is_closed(
    transports: None, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []
    loop = asyncio.get_running_loop()

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("mine")

    async with listen(create_connection=fail) as server:
        handler = loop.get_exception_handler()
        loop.set_exception_handler(lambda loop, context: told.append(context))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.sockets[0].getsockname()[1]
        )
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        loop.set_exception_handler(handler)

    (context,) = told
    assert isinstance(context["exception"], ZeroDivisionError)
