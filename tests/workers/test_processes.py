"""`longwire serve` as processes: reloads, deaths, signals, and what clients see."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import urllib.error
import urllib.request

import psutil
import pytest

import longwire
from tests.support.commands import run, running
from tests.support.ports import free_port

# Several processes have to start, one after the other, on a machine that may be busy.
PATIENCE = 80.0
pytestmark = [
    pytest.mark.once,
    pytest.mark.stock_loop,
    pytest.mark.timeout(2 * PATIENCE),
]

ECHO = """
import os

async def app(ws):
    async for message in ws:
        await ws.send(f"{word} {{os.getpid()}} {{message}}")
"""
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def app(tmp_path):
    """A function that writes the module ``served`` anew."""

    def write(text):
        (tmp_path / "served.py").write_text(text)
        return tmp_path

    return write


def serving(folder, *options, **environ):
    where = () if "--unix" in options or "--port" in options else ("--port", "0")
    arguments = ("serve", "served:app", "--app-dir", str(folder), "--host", "127.0.0.1")
    arguments += ("--drain-timeout", "10", "--start-timeout", "70")
    environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    return running(*arguments, "-v", *where, *options, **environ)


def connect(url, **options):
    return longwire.connect(url, proxy=None, open_timeout=PATIENCE, **options)


def url_of(server):
    """Where it listens; workers say the same in words of their own."""
    return server.line_with("longwire serve listening on ", PATIENCE).split()[-1]


def port_of(server):
    return int(url_of(server).rstrip("/").rpartition(":")[2])


async def word_of(url):
    """What a new connection's worker says, and its process id."""
    async with connect(url) as ws:
        await ws.send("x")
        word, pid, _ = (await ws.recv()).split()
        return word, int(pid)


async def first_of(ws):
    """The worker's word, or the code by which one that leaves has closed."""
    try:
        await ws.send("x")
        return (await ws.recv()).split()[0]
    except longwire.ConnectionClosed as exc:
        return exc.code


async def stop(server):
    """Send SIGTERM; return the exit status."""
    return await asyncio.to_thread(server.stop, signal.SIGTERM, PATIENCE)


async def line_with(server, text):
    return await asyncio.to_thread(server.line_with, text, PATIENCE)


def get(url):
    """Status and body of a plain request."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


async def test_a_reload_brings_new_code_and_tells_clients_to_come_back(app, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        folder = app(ECHO.format(word="first"))
        told = []

        async def told_of(text):
            while not told or text not in told[-1]:
                told.append((await asyncio.to_thread(manager.recv, 4096)).decode())

        with serving(
            *(folder, "--workers", "2"),
            NOTIFY_SOCKET=str(tmp_path / "notify"),
            WATCHDOG_USEC="4000000",
        ) as server:
            url = url_of(server)
            await told_of("READY=1")
            await told_of("WATCHDOG=1")
            async with connect(url) as old:
                app("def broken(:")
                server.process.send_signal(signal.SIGHUP)
                await line_with(server, "reload given up")
                assert "SyntaxError" in server.output
                assert (await word_of(url))[0] == "first"
                assert old.state is longwire.State.OPEN

                app(ECHO.format(word="second-and-longer"))
                server.process.send_signal(signal.SIGHUP)
                seen = set()
                # Whoever comes while workers are replaced is let in, by old or new.
                while ": reloaded\n" not in server.output:
                    async with connect(url) as new:
                        seen.add(await first_of(new))
                assert seen <= {"first", "second-and-longer", 1012}
                await old.wait_closed()
                assert old.close_code == 1012
            assert (await word_of(url))[0] == "second-and-longer"
            await told_of("STATUS=reloaded")
            assert [t for t in told if "RELOADING=1\nMONOTONIC_USEC=" in t]

            async with connect(url) as last:
                server.process.send_signal(signal.SIGTERM)
                await last.wait_closed()
                assert last.close_code == 1001
            assert await asyncio.to_thread(server.wait, PATIENCE) == 0
            await told_of("STOPPING=1")


async def test_what_waits_for_a_worker_that_dies_is_served_by_the_next(app):
    with serving(app(ECHO.format(word="up"))) as server:
        url, port = url_of(server), port_of(server)
        _, pid = await word_of(url)
        # It accepts nothing more, so all of these wait in the queue of its socket.
        os.kill(pid, signal.SIGSTOP)
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for sock in waiting:
            sock.sendall(HANDSHAKE)
        os.kill(pid, signal.SIGKILL)

        for sock in waiting:
            sock.settimeout(PATIENCE)
            with sock:
                answer = await asyncio.to_thread(sock.recv, 4096)
                assert answer.startswith(b"HTTP/1.1 101 ")
        assert "killed by SIGKILL; starting another in 0.1 s" in server.output
        assert (await word_of(url))[1] != pid
        assert await stop(server) == 0


async def test_a_worker_that_is_told_to_end_drains_and_is_replaced(app):
    with serving(app(ECHO.format(word="up"))) as server:
        url = url_of(server)
        async with connect(url) as ws:
            await ws.send("x")
            pid = int((await ws.recv()).split()[1])
            os.kill(pid, signal.SIGTERM)
            await ws.wait_closed()
            assert ws.close_code == 1012

        assert (await word_of(url))[1] != pid
        assert await stop(server) == 0


@pytest.mark.long
async def test_a_worker_that_hangs_is_replaced_and_the_log_says_where(app):
    text = "import time\nasync def app(ws):\n    time.sleep(1000)\n"
    with serving(app(text), "--hang-timeout", "6") as server:
        async with connect(url_of(server), close_timeout=1):
            await line_with(server, "hangs: silent for")
            await line_with(server, "starting another in 0.1 s")
        assert "served.py" in server.output  # the traceback of the hung thread
        await line_with(server, "server listening on")
        assert await stop(server) == 0


@pytest.mark.long
async def test_a_second_signal_cuts_connections_off(app):
    text = """
import asyncio

async def app(ws):
    await ws.send("in")
    await asyncio.sleep(1000)
"""
    with serving(app(text)) as server:
        async with connect(url_of(server), close_timeout=1) as ws:
            assert await ws.recv() == "in"
            server.process.send_signal(signal.SIGTERM)
            await line_with(server, "draining: 1 connections")
            server.process.send_signal(signal.SIGTERM)
            assert (
                await asyncio.to_thread(server.wait, PATIENCE) == 128 + signal.SIGTERM
            )
        assert "Traceback" not in server.output


@pytest.mark.long
async def test_handlers_that_outlast_the_time_for_draining_are_cancelled(app):
    text = """
import asyncio

async def app(ws):
    try:
        await asyncio.sleep(1000)
    finally:
        print("cancelled", flush=True)
"""
    with serving(app(text), "--drain-timeout", "0.3") as server:
        async with connect(url_of(server), close_timeout=1):
            assert await stop(server) == 0
        assert "cancelled" in server.output
        assert "cut off 1 connections after 0.3 seconds" in server.output


async def test_workers_end_when_their_supervisor_is_killed(app):
    with serving(app(ECHO.format(word="up"))) as server:
        async with connect(url_of(server)) as ws:
            await ws.send("x")
            pid = int((await ws.recv()).split()[1])
            worker = psutil.Process(pid)
            server.process.kill()
            await ws.wait_closed()
            assert ws.close_code == 1001
        await asyncio.to_thread(psutil.wait_procs, [worker], PATIENCE)
        assert not worker.is_running()


@pytest.mark.long
async def test_a_worker_whose_loop_stands_still_ends_without_its_supervisor(app):
    text = """
import time

async def app(ws):
    await ws.send("in")
    time.sleep(1000)
"""
    # Less than the time for draining does not help a loop that stands still.
    options = ("--drain-timeout", "0.5", "--hang-timeout", "1000")
    with serving(app(text), *options) as server:
        url = url_of(server)
        (worker,) = psutil.Process(server.process.pid).children()
        async with connect(url, close_timeout=0.1) as ws:
            assert await ws.recv() == "in"
            server.process.kill()
            gone, _ = await asyncio.to_thread(psutil.wait_procs, [worker], PATIENCE)
        assert gone
        assert "the supervisor is gone, ended at once" in server.output
        assert "served.py" in server.output  # where it stood still


@pytest.mark.long
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux' limits of others")
async def test_a_system_without_room_for_a_worker_takes_no_worker_away(app):
    with serving(app(ECHO.format(word="first"))) as server:
        url, pid = url_of(server), server.process.pid
        async with connect(url) as old:
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = len(os.listdir(f"/proc/{pid}/fd"))
            app(ECHO.format(word="second-and-longer"))
            # EMFILE: as good as EAGAIN and ENOMEM, and can be had for one process.
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, hard))
            server.process.send_signal(signal.SIGHUP)
            line = await line_with(server, "reload given up")
            assert "it cannot be started: [Errno 24]" in line
            assert await first_of(old) == "first"
            # Nor does a death then end the service: what waits is served later.
            (worker,) = psutil.Process(pid).children()
            worker.kill()
            await line_with(server, "starting another in 3.2 s")

            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
            assert (await word_of(url))[0] == "second-and-longer"
        assert await stop(server) == 0


async def test_health_is_answered_at_the_port_and_for_all_workers_by_admin(app):
    text = """
from longwire.workers import App

async def handler(ws):
    pass

class Database:
    async def __aenter__(self):
        print("entered", flush=True)
    async def __aexit__(self, *exc_info):
        print("left", flush=True)

app = App(handler, lifespan=Database, ready=lambda: "no database", subprotocols=["a"])
"""
    admin = free_port()
    pytest.importorskip("prometheus_client")
    options = ("--admin", f"127.0.0.1:{admin}", "--metrics")
    with serving(app(text), *options) as server:
        at = f"http://127.0.0.1:{port_of(server)}"
        answers = [
            await asyncio.to_thread(get, url)
            for url in (
                f"{at}/healthz",
                f"{at}/readyz",
                f"http://127.0.0.1:{admin}/healthz",
                f"http://127.0.0.1:{admin}/readyz",
                f"http://127.0.0.1:{admin}/else",
            )
        ]
        status, metrics = await asyncio.to_thread(
            get, f"http://127.0.0.1:{admin}/metrics"
        )
        async with connect(url_of(server), subprotocols=["a"]) as ws:
            assert ws.subprotocol == "a"
        assert await stop(server) == 0

    assert [answer[0] for answer in answers] == [200, 503, 200, 200, 404]
    assert answers[1][1] == "no database.\n"
    assert status == 200
    assert 'longwire_worker_up{worker="0"} 1' in metrics
    assert 'longwire_connections{worker="0",side="server"} 0' in metrics
    assert server.output.count("entered") == server.output.count("left") == 1


@pytest.mark.long
async def test_a_unix_socket_is_made_and_removed(app, tmp_path):
    path = str(tmp_path / "ws.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)  # by a process that is gone
    with serving(app(ECHO.format(word="up")), "--unix", path) as server:
        server.line_with(f"listening on unix:{path}", PATIENCE)
        async with longwire.unix_connect(path) as ws:
            await ws.send("x")
            assert (await ws.recv()).startswith("up ")
        second = await asyncio.to_thread(
            run, "serve", "served:app", "--app-dir", str(tmp_path), "--unix", path
        )
        assert second.returncode == 1
        assert b"another program listens at" in second.stderr
        assert os.path.exists(path)
        assert await stop(server) == 0
    assert not os.path.exists(path)


async def test_an_rpc_server_is_served_over_tls(app, certificates):
    pytest.importorskip("msgspec")
    from longwire import rpc

    text = "from longwire import rpc\napp = rpc.Server({'double': lambda x: 2 * x})\n"
    files = (
        *("--ssl-cert", str(certificates.cert_file)),
        *("--ssl-key", str(certificates.key_file)),
    )
    with serving(app(text), "--host", "localhost", *files) as server:
        assert url_of(server).startswith("wss://")
        async with rpc.Client(url_of(server), ssl=certificates.client) as client:
            assert await client.call("double", 21) == 42
        assert await stop(server) == 0


def test_an_application_that_cannot_be_served_is_status_3(app):
    folder = app("x = 1\n")

    arguments = ("serve", "served:x", "--app-dir", str(folder), "--port", "0")

    result = run(*arguments, seconds=PATIENCE)

    assert result.returncode == 3
    assert b"did not start: served:x is a int; it must be a handler" in result.stderr
    assert b"Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 2  # and that it stops


def test_a_taken_port_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = str(taken.getsockname()[1])

        arguments = ("serve", "served:app", "--host", "127.0.0.1", "--port", port)
        result = run(*arguments, seconds=PATIENCE)

    assert result.returncode == 1
    assert result.stderr.decode().splitlines() == [
        f"Error: 127.0.0.1:{port} is taken by another program; "
        "choose another port with --port or the variable PORT"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["main"], "'main' is not MODULE:ATTRIBUTE, such as main:app"),
        (
            ["src/main.py"],
            "'src/main.py' is not MODULE:ATTRIBUTE, such as src.main:app",
        ),
        (["./src/main.py:app"], "name the module: src.main:app"),
        (["a:b", "--ssl-key", __file__], "--ssl-key needs --ssl-cert"),
        (["a:b", "--workers", "0"], "0 is not in the range 1<=x<=256"),
        (["a:b", "-w", "x"], "'x' is not a valid whole number, such as 4"),
        (["a:b", "--metrics"], "--metrics needs --admin"),
        (["a:b", "--admin", "9100", "--port", "0"], "is not HOST:PORT"),
        (["a:b", "--start-timeout", "0"], "--start-timeout must not be 0"),
        (["a:b", "--drain-timeout", "inf"], "--drain-timeout must be finite"),
    ],
)
def test_wrong_options_are_status_2_and_say_what_to_write(arguments, said):
    from click.testing import CliRunner

    from longwire.cli.commands import longwire as command
    from longwire.cli.serve import serve_command  # noqa: F401 - adds itself

    result = CliRunner().invoke(command, ["serve", *arguments])

    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
