"""`longwire echo` and `longwire demo` as processes: where they listen, how they end."""

from __future__ import annotations

import asyncio
import signal
import socket
import urllib.request

import pytest

import longwire
from tests.support.commands import run, running
from tests.support.ports import free_port
from tests.support.rawpeer import knock


def connect(url, **options):
    return longwire.connect(url.replace("http", "ws"), proxy=None, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["echo", "demo"])
async def test_a_signal_closes_connections_with_1001_and_ends_with_0(name, number):
    with running(name, "--port", "0") as server:
        async with connect(server.url()) as ws, connect(server.url()) as other:
            server.process.send_signal(number)
            await ws.wait_closed()
            await other.wait_closed()

            assert ws.close_code == other.close_code == 1001
        assert server.wait() == 0
        assert "Traceback" not in server.output


@pytest.mark.parametrize("name", ["echo", "demo"])
def test_a_signal_without_connections_ends_with_0(name):
    with running(name, "--port", "0") as server:
        server.url()

        assert server.stop() == 0


@pytest.mark.parametrize("name", ["echo", "demo"])
def test_a_taken_port_is_one_clear_line(name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        result = run(name, "--host", "127.0.0.1", "--port", str(port))

    assert result.returncode == 1
    assert result.stdout == b""
    assert result.stderr.decode().splitlines() == [
        f"Error: 127.0.0.1:{port} is taken by another program; "
        "choose another port with --port or the variable PORT"
    ]


def test_a_second_demo_on_the_same_port_is_refused():
    with running("demo", "--port", "0") as first:
        port = first.url().rstrip("/").rpartition(":")[2]

        second = run("demo", PORT=port)

        assert second.returncode == 1
        assert b"is taken" in second.stderr
        assert first.stop() == 0


def test_the_port_can_be_chosen_in_the_environment():
    port = free_port()

    with running("demo", PORT=str(port)) as demo:
        assert demo.url() == f"http://localhost:{port}/"


def test_an_option_wins_over_the_environment():
    port = free_port()

    with running("demo", "--port", str(port), PORT="1") as demo:
        assert demo.url() == f"http://localhost:{port}/"


def test_a_port_that_is_none_is_status_2():
    result = run("demo", PORT="http")

    assert result.returncode == 2
    assert b"PORT" in result.stderr


def test_a_host_that_does_not_exist_is_one_clear_line():
    name = "x" * 64  # longer than a label can be, so that no DNS is asked

    result = run("echo", "--host", name, "--port", "0")

    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: cannot find host xxx")
    assert len(result.stderr.splitlines()) == 1


def test_a_host_of_another_machine_is_one_clear_line():
    result = run("echo", "--host", "192.0.2.1", "--port", "8765")

    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: cannot listen on 192.0.2.1:8765: ")
    assert len(result.stderr.splitlines()) == 1


async def test_echo_sends_text_and_binary_back():
    with running("echo", "--port", "0") as server:
        async with connect(server.url()) as ws:
            await ws.send("text")
            await ws.send(b"\x00\xff")

            assert await ws.recv() == "text"
            assert await ws.recv() == b"\x00\xff"


ORIGINS = [
    # options, what is sent, whether that may connect
    ([], None, True),
    ([], "same", True),
    ([], "https://evil.example", False),
    ([], "http://localhost:1", False),
    ([], "null", False),
    (["--origin", "https://a.example"], "https://a.example", True),
    (["--origin", "https://a.example"], "https://b.example", False),
    (["--origin", "https://a.example"], "same", True),
    (["--origin", "https://a.example"], None, True),
    (["--origin", "https://a.example", "--origin", "null"], "null", True),
    (["--origin", "any"], "https://evil.example", True),
    (["--origin", "any"], None, True),
]


@pytest.mark.parametrize(("options", "origin", "allowed"), ORIGINS)
async def test_echo_lets_programs_connect_and_its_own_pages(options, origin, allowed):
    with running("echo", "--port", "0", *options) as server:
        url = server.url()
        if origin == "same":
            origin = url.replace("ws", "http").rstrip("/")
        opening = connect(url, origin=origin)

        if allowed:
            async with opening as ws:
                await ws.send("text")
                assert await ws.recv() == "text"
        else:
            with pytest.raises(longwire.InvalidStatus) as caught:
                await opening
            assert caught.value.response.status_code == 403


@pytest.mark.parametrize("origin", [None, "same", "https://evil.example", "null"])
async def test_the_demo_lets_programs_connect_and_its_own_page(origin):
    with running("demo", "--port", "0") as server:
        url = server.url()
        opening = connect(url, origin=url.rstrip("/") if origin == "same" else origin)

        if origin in (None, "same"):
            async with opening as ws:
                assert await ws.recv()
        else:
            with pytest.raises(longwire.InvalidStatus) as caught:
                await opening
            assert caught.value.response.status_code == 403


EVIL = "\x1b]0;owned\x07\r\nforged \x9b\u202e\u2028\u200b"


@pytest.mark.parametrize("verbose", ["-v", "-vv"])
@pytest.mark.parametrize("name", ["echo", "demo"])
def test_a_close_reason_does_not_control_the_log(name, verbose):
    with running(name, verbose, "--port", "0") as server:
        port = int(server.url().rstrip("/").rpartition(":")[2])
        with knock(port).ask() as peer:
            peer.send_close(4000, EVIL)
            peer.sock.shutdown(socket.SHUT_WR)

            line = server.line_with("4000")

    assert "forged" in line
    assert line.removesuffix("\n").isprintable()


async def test_echo_over_tls(certificates):
    files = (
        *("--ssl-cert", str(certificates.cert_file)),
        *("--ssl-key", str(certificates.key_file)),
    )
    with running("echo", "--port", "0", *files) as server:
        url = server.url()
        async with connect(url, ssl=certificates.client) as ws:
            await ws.send("secret")

            assert await ws.recv() == "secret"
        assert url.startswith("wss://")


def test_a_certificate_that_is_none_is_one_clear_line(tmp_path):
    file = tmp_path / "cert.pem"
    file.write_text("nothing")

    result = run("echo", "--port", "0", "--ssl-cert", str(file))

    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: cannot use the certificate: ")
    assert b"Traceback" not in result.stderr


def test_a_key_without_a_certificate_is_status_2(certificates):
    result = run("echo", "--port", "0", "--ssl-key", str(certificates.key_file))

    assert result.returncode == 2


async def test_the_demo_comes_up_again_on_the_port_it_just_left():
    port = str(free_port())
    for _ in range(2):
        with running("demo", "--port", port) as demo:
            async with connect(demo.url()) as ws:
                await ws.recv()
            page = await asyncio.to_thread(urllib.request.urlopen, demo.url())
            with page:
                assert page.status == 200
            assert demo.stop() == 0
