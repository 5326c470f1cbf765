"""The client through real proxies: HTTP with and without TLS, SOCKS5."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
import websockets.asyncio.server as other
from tests.asyncio_.client_peers import (
    HttpProxy,
    Socks5Proxy,
    nothing_left,
    raw_server,
    read_head,
    silence,
)
from tests.support.needs import needs

from longwire import errors
from longwire.asyncio.client import connect


async def echo(ws):
    async for message in ws:
        await ws.send(message)


@contextlib.asynccontextmanager
async def serving(tls=None):
    async with other.serve(echo, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


async def check_echo(uri, **options):
    """Check that messages, small and large, come back over ``uri``."""
    async with connect(uri, max_size=None, **options) as ws:
        for message in ("hello", b"x" * 200_000):
            await ws.send(message)
            assert await ws.recv() == message
    assert ws.close_code == 1000


# --- HTTP ------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("proxy_tls", [False, True], ids=["http", "https"])
async def test_messages_go_through_an_http_proxy(tls, proxy_tls, certificates):
    proxy, options = HttpProxy(), {}
    if tls:
        options["ssl"] = certificates.client
    if proxy_tls:
        options["proxy_ssl"] = certificates.client
    tls_context = certificates.server if tls else None
    proxy_context = certificates.server if proxy_tls else None

    async with (
        serving(tls_context) as port,
        raw_server(proxy, ssl=proxy_context) as proxy_port,
        nothing_left(),
    ):
        await check_echo(
            f"{'wss' if tls else 'ws'}://localhost:{port}/",
            proxy=f"{'https' if proxy_tls else 'http'}://localhost:{proxy_port}",
            **options,
        )

    assert len(proxy.heads) == 1
    assert proxy.heads[0].startswith(f"CONNECT localhost:{port} HTTP/1.1".encode())


async def test_a_proxy_gets_its_user_and_password():
    proxy = HttpProxy("me:sécret")

    async with serving() as port, raw_server(proxy) as proxy_port:
        await check_echo(
            f"ws://localhost:{port}/",
            proxy=f"http://me:s%C3%A9cret@127.0.0.1:{proxy_port}",
        )


async def test_a_proxy_that_wants_a_password_refuses():
    async with raw_server(HttpProxy("me:secret")) as proxy_port, nothing_left():
        with pytest.raises(errors.InvalidProxyStatus, match="HTTP 407"):
            await connect(
                "ws://localhost:1/", proxy=f"http://me:wrong@127.0.0.1:{proxy_port}"
            )


async def test_the_proxy_of_the_environment_is_used(monkeypatch):
    proxy = HttpProxy()

    async with serving() as port, raw_server(proxy) as proxy_port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy_port}")
        monkeypatch.setenv("no_proxy", "")
        await check_echo(f"ws://localhost:{port}/")
        monkeypatch.setenv("no_proxy", "localhost")
        await check_echo(f"ws://localhost:{port}/")
        monkeypatch.setenv("no_proxy", "")
        await check_echo(f"ws://localhost:{port}/", proxy=None)

    assert len(proxy.heads) == 1


async def test_a_proxy_that_is_not_known_by_name_is_refused(certificates):
    async with raw_server(HttpProxy(), ssl=certificates.server) as port, nothing_left():
        with pytest.raises(OSError, match=r"(?i)certificate.verify.failed"):
            await connect(
                "ws://localhost:1/",
                proxy=f"https://localhost:{port}",
                proxy_ssl=certificates.client,
                proxy_server_hostname="proxy.example",
            )


async def test_a_proxy_that_hangs_up_says_so():
    async def hang_up(reader, writer):
        await read_head(reader)

    async with raw_server(hang_up) as proxy_port, nothing_left():
        with pytest.raises(errors.InvalidProxyMessage) as raised:
            await connect("ws://localhost:1/", proxy=f"http://127.0.0.1:{proxy_port}")

    assert isinstance(raised.value.__cause__, EOFError)


async def test_a_proxy_where_nobody_listens():
    async with raw_server(silence) as proxy_port:
        pass

    async with nothing_left():
        with pytest.raises(ConnectionRefusedError):
            await connect("ws://localhost:1/", proxy=f"http://127.0.0.1:{proxy_port}")


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
async def test_a_silent_proxy_is_given_up_after_open_timeout(scheme, certificates):
    if scheme == "socks5":
        needs("python_socks")

    async with raw_server(silence) as proxy_port, nothing_left():
        with pytest.raises(TimeoutError, match="opening handshake"):
            await connect(
                "ws://localhost:1/",
                proxy=f"{scheme}://localhost:{proxy_port}",
                open_timeout=0.05,
                **({"proxy_ssl": certificates.client} if scheme == "https" else {}),
            )


async def silent_tunnel(reader, writer):
    """Open the tunnel that was asked for, to nowhere."""
    await read_head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await silence(reader, writer)


@pytest.mark.parametrize("proxy_tls", [False, True], ids=["http", "https"])
async def test_a_tunnel_silent_in_tls_is_given_up(proxy_tls, certificates):
    proxy_context = certificates.server if proxy_tls else None
    options = {"proxy_ssl": certificates.client} if proxy_tls else {}

    async with raw_server(silent_tunnel, ssl=proxy_context) as port, nothing_left():
        with pytest.raises(TimeoutError, match="still starting TLS with server"):
            await connect(
                "wss://server.example/",
                proxy=f"{'https' if proxy_tls else 'http'}://localhost:{port}",
                ssl=certificates.client,
                open_timeout=0.2,
                **options,
            )


@pytest.mark.parametrize("proxy_tls", [False, True], ids=["http", "https"])
async def test_the_end_of_a_tunnel_during_tls_is_an_error(proxy_tls, certificates):
    async def cut(reader, writer):
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read(100)

    # CPython 3.11 tells the loop of its own TypeError, too.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    proxy_context = certificates.server if proxy_tls else None
    options = {"proxy_ssl": certificates.client} if proxy_tls else {}

    async with raw_server(cut, ssl=proxy_context) as port, nothing_left():
        with pytest.raises(OSError):
            await connect(
                "wss://server.example/",
                proxy=f"{'https' if proxy_tls else 'http'}://localhost:{port}",
                ssl=certificates.client,
                open_timeout=5,
                **options,
            )


@pytest.mark.parametrize("proxy_tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("turns", range(0, 60, 4))
async def test_cancelling_at_any_turn_leaves_nothing(turns, proxy_tls, certificates):
    proxy_context = certificates.server if proxy_tls else None
    options = {"proxy_ssl": certificates.client} if proxy_tls else {}

    async with (
        serving(certificates.server) as port,
        raw_server(HttpProxy(), ssl=proxy_context) as proxy_port,
        nothing_left(),
    ):
        attempt = connect(
            f"wss://localhost:{port}/",
            proxy=f"{'https' if proxy_tls else 'http'}://localhost:{proxy_port}",
            ssl=certificates.client,
            **options,
        )
        task = asyncio.create_task(attempt.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

        try:
            ws = await task
        except asyncio.CancelledError:
            pass
        else:
            await ws.close()


# --- SOCKS -----------------------------------------------------------------------


@pytest.fixture
def _socks():
    needs("python_socks")


@pytest.mark.usefixtures("_socks")
@pytest.mark.parametrize(
    ("scheme", "asked"), [("socks5", (1, "127.0.0.1")), ("socks5h", (3, "localhost"))]
)
async def test_names_are_looked_up_here_or_by_the_proxy(scheme, asked):
    proxy = Socks5Proxy()

    async with (
        serving() as port,
        raw_server(proxy) as proxy_port,
        nothing_left(),
    ):
        await check_echo(
            f"ws://localhost:{port}/", proxy=f"{scheme}://127.0.0.1:{proxy_port}"
        )

    assert proxy.asked == [(*asked, port)]


@pytest.mark.usefixtures("_socks")
async def test_keywords_of_the_loop_are_passed_on_to_a_socks_proxy():
    peers = []
    proxy = Socks5Proxy()

    async def note(reader, writer):
        peers.append(writer.get_extra_info("peername")[0])
        await proxy(reader, writer)

    async with serving() as port, raw_server(note) as proxy_port:
        await check_echo(
            f"ws://localhost:{port}/",
            proxy=f"socks5h://127.0.0.1:{proxy_port}",
            local_addr=("127.0.0.2", 0),
            family=socket.AF_INET,
        )

    assert peers == ["127.0.0.2"]


@pytest.mark.usefixtures("_socks")
async def test_a_socks_proxy_gets_its_user_and_password():
    proxy = Socks5Proxy("me:secret")

    async with serving() as port, raw_server(proxy) as proxy_port:
        await check_echo(
            f"ws://localhost:{port}/",
            proxy=f"socks5h://me:secret@127.0.0.1:{proxy_port}",
        )

    assert len(proxy.asked) == 1


@pytest.mark.usefixtures("_socks")
async def test_tls_with_the_server_goes_through_a_socks_proxy(certificates):
    async with (
        serving(certificates.server) as port,
        raw_server(Socks5Proxy()) as proxy_port,
        nothing_left(),
    ):
        await check_echo(
            f"wss://localhost:{port}/",
            proxy=f"socks5h://127.0.0.1:{proxy_port}",
            ssl=certificates.client,
        )


@pytest.mark.usefixtures("_socks")
@pytest.mark.parametrize(
    "proxy", [Socks5Proxy(reply=5), Socks5Proxy("me:secret")], ids=["refused", "auth"]
)
async def test_a_socks_proxy_that_refuses_is_quoted(proxy):
    async with raw_server(proxy) as proxy_port, nothing_left():
        with pytest.raises(errors.ProxyError, match="SOCKS proxy refused: "):
            await connect(
                "ws://server.example/",
                proxy=f"socks5h://me:wrong@127.0.0.1:{proxy_port}",
            )


@pytest.mark.usefixtures("_socks")
async def test_a_socks_proxy_where_nobody_listens():
    async with raw_server(silence) as proxy_port:
        pass

    async with nothing_left():
        with pytest.raises(OSError):
            await connect(
                "ws://server.example/", proxy=f"socks5h://127.0.0.1:{proxy_port}"
            )


@pytest.mark.usefixtures("_socks")
@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_cancelling_within_socks_leaves_nothing(turns):
    async with (
        serving() as port,
        raw_server(Socks5Proxy()) as proxy_port,
        nothing_left(),
    ):
        attempt = connect(
            f"ws://localhost:{port}/", proxy=f"socks5h://127.0.0.1:{proxy_port}"
        )
        task = asyncio.create_task(attempt.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

        try:
            ws = await task
        except asyncio.CancelledError:
            pass
        else:
            await ws.close()
