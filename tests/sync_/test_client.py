"""The client in threads: how it reaches a server, and what it raises."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time

import pytest
from tests.asyncio_.client_peers import HttpProxy, Socks5Proxy, raw_server
from tests.support.needs import needs
from tests.support.rawpeer import RawPeer, listener
from tests.sync_.other import other_server
from tests.sync_.serving import echo, running

from longwire import (
    ConnectionClosedError,
    InvalidMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
    SecurityError,
)
from longwire.sync import connect, reconnect, unix_connect, unix_reconnect, unix_serve


def check_echo(uri, **options):
    """Check that messages, small and large, come back over ``uri``."""
    with connect(uri, max_size=None, **options) as ws:
        for message in ("hello", b"x" * 200_000, ""):
            ws.send(message)
            assert ws.recv(timeout=20) == message
    assert ws.close_code == 1000


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_go_to_the_other_library_and_back(compression):
    with other_server() as port:
        check_echo(f"ws://127.0.0.1:{port}/", proxy=None, compression=compression)


def test_what_to_write_instead_is_said_without_await():
    with other_server() as port, connect(f"ws://127.0.0.1:{port}/") as websocket:
        with pytest.raises(AttributeError, match=r"write 'websocket.send\(message\)'"):
            websocket.send_text("x")
        with pytest.raises(AttributeError, match="write 'for message in websocket'"):
            websocket.iter_text()


def test_messages_go_through_tls(certificates):
    with other_server(ssl=certificates.server) as port:
        check_echo(f"wss://localhost:{port}/", ssl=certificates.client, proxy=None)


def test_a_certificate_of_nobody_known_is_refused(certificates):
    with other_server(ssl=certificates.server) as port:
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            connect(f"wss://localhost:{port}/", ssl=certificates.stranger, proxy=None)


def test_a_given_socket_is_used(certificates):
    with other_server(ssl=certificates.server) as port:
        sock = socket.create_connection(("127.0.0.1", port))
        check_echo("wss://localhost/", sock=sock, ssl=certificates.client)


def test_a_unix_socket_is_reached(tmp_path):
    path = tmp_path / "socket"
    with running(unix_serve(echo, path)):
        with unix_connect(path) as ws:
            ws.send("hello")
            assert ws.recv() == "hello"
        for ws in unix_reconnect(path):
            ws.send("again")
            assert ws.recv() == "again"
            break
    with running(unix_serve(echo, path)):  # what was left there is replaced
        pass


# --- proxies ----------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("proxy_tls", [False, True], ids=["http", "https"])
async def test_messages_go_through_an_http_proxy(tls, proxy_tls, certificates):
    proxy, options = HttpProxy("me:secret"), {}
    if tls:
        options["ssl"] = certificates.client
    if proxy_tls:
        options["proxy_ssl"] = certificates.client
    proxy_context = certificates.server if proxy_tls else None

    with other_server(ssl=certificates.server if tls else None) as port:
        async with raw_server(proxy, ssl=proxy_context) as proxy_port:
            scheme = "https" if proxy_tls else "http"
            await asyncio.to_thread(
                check_echo,
                f"{'wss' if tls else 'ws'}://localhost:{port}/",
                proxy=f"{scheme}://me:secret@localhost:{proxy_port}",
                **options,
            )

    assert proxy.heads[0].startswith(f"CONNECT localhost:{port} HTTP/1.1".encode())


async def test_a_proxy_that_refuses_is_named():
    async with raw_server(HttpProxy("me:secret")) as proxy_port:
        with pytest.raises(InvalidProxyStatus):
            await asyncio.to_thread(
                connect, "ws://localhost:1/", proxy=f"http://localhost:{proxy_port}"
            )


async def test_messages_go_through_a_socks_proxy():
    needs("python_socks")
    proxy = Socks5Proxy()
    with other_server() as port:
        async with raw_server(proxy) as proxy_port:
            await asyncio.to_thread(
                check_echo,
                f"ws://localhost:{port}/",
                proxy=f"socks5h://localhost:{proxy_port}",
            )


async def test_a_socks_proxy_that_refuses_is_named():
    needs("python_socks")
    async with raw_server(Socks5Proxy(reply=5)) as proxy_port:
        with pytest.raises(ProxyError, match="SOCKS proxy refused"):
            await asyncio.to_thread(
                connect,
                "ws://localhost:1/",
                proxy=f"socks5h://localhost:{proxy_port}",
            )


# --- what goes wrong --------------------------------------------------------------


@contextlib.contextmanager
def answering(data):
    """Yield the URI of a server that answers each request with ``data``."""
    with listener() as sock:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    accepted, _ = sock.accept()
                    with RawPeer(accepted, client=False) as peer:
                        peer.read_head()
                        peer.write(data)

        threading.Thread(target=serve, daemon=True).start()
        yield f"ws://127.0.0.1:{sock.getsockname()[1]}/"
        sock.shutdown(socket.SHUT_RDWR)


def test_a_refusal_is_raised_with_its_body():
    with answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno") as uri:
        with pytest.raises(InvalidStatus) as caught:
            connect(uri, proxy=None)
    assert caught.value.response.body == b"no"


def test_what_is_no_http_is_raised():
    with answering(b"220 mail.example.com ESMTP\r\n\r\n") as uri:
        with pytest.raises(InvalidMessage):
            connect(uri, proxy=None)


def test_a_redirect_is_followed(serving):
    _, uri = serving()
    with answering(
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n"
        % uri.encode()
    ) as first:
        check_echo(first, proxy=None)


def test_a_redirect_to_another_origin_with_a_preset_host_is_refused(serving):
    _, uri = serving()
    with answering(
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n"
        % uri.encode()
    ) as first:
        port = int(first.rpartition(":")[2][:-1])
        with pytest.raises(SecurityError):
            connect("ws://elsewhere/", host="127.0.0.1", port=port, proxy=None)


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_server_that_says_nothing_runs_into_the_time_limit(tls, certificates):
    with listener() as silent:
        port = silent.getsockname()[1]
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match="opening handshake: still"):
            connect(
                f"{'wss' if tls else 'ws'}://localhost:{port}/",
                ssl=certificates.client if tls else None,
                open_timeout=0.2,
                proxy=None,
            )
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("uri", "options", "error"),
    [
        ("http://localhost/", {}, InvalidURI),
        ("ws://localhost/", {"ssl": True}, ValueError),
        ("ws://localhost/", {"max_size": -1}, ValueError),
        ("ws://localhost/", {"headers": {}}, TypeError),
        ("ws://localhost/", {"happy_eyeballs_delay": 1}, TypeError),
        ("ws://localhost/", {"create_connection": 1}, TypeError),
        ("ws://localhost/", {"reconnect_delays": list}, TypeError),
    ],
)
def test_mistakes_are_told_at_once(uri, options, error):
    with pytest.raises(error):
        connect(uri, **options)


def test_attempts_that_fail_leave_no_socket_behind():
    with answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as uri:
        for _ in range(3):
            with pytest.raises(InvalidStatus):
                connect(uri, proxy=None)
    gc.collect()  # a socket that was not closed warns, which fails the test


# --- again and again --------------------------------------------------------------


def test_reconnecting_gives_a_new_connection_each_time(serving):
    _, uri = serving()
    seen = []
    for ws in reconnect(uri, proxy=None, reconnect_delays=lambda: iter([0.01] * 9)):
        seen.append(ws)
        ws.send("hello")
        assert ws.recv() == "hello"
        if len(seen) == 3:
            break
    assert len(set(map(id, seen))) == 3
    assert [ws.close_code for ws in seen] == [1000] * 3


def test_reconnecting_waits_as_told_and_ends_with_the_last_error():
    with listener() as closed:
        port = closed.getsockname()[1]
    delays = iter([0.01, 0.02])
    begun = time.monotonic()

    with pytest.raises(ConnectionRefusedError):
        for _ in reconnect(
            f"ws://127.0.0.1:{port}/", proxy=None, reconnect_delays=lambda: delays
        ):
            raise AssertionError("nothing listens there")

    assert time.monotonic() - begun >= 0.03


def test_a_block_that_fails_closes_with_1011():
    with listener() as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}/"

        def fail():
            with reconnect(uri, proxy=None):
                raise ValueError

        result = []

        def run():
            try:
                fail()
            except ValueError as exc:
                result.append(exc)

        thread = threading.Thread(target=run)
        thread.start()
        with RawPeer(sock.accept()[0], client=False) as peer:
            peer.answer()
            assert peer.read_close() == (1011, "")
            peer.send_close(1011)
        thread.join(20)
    assert result


def test_a_peer_that_resets_is_told_of_with_its_reason(serving):
    with listener() as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}/"
        made = []
        thread = threading.Thread(target=lambda: made.append(connect(uri, proxy=None)))
        thread.start()
        peer = RawPeer(sock.accept()[0], client=False).answer()
        thread.join(20)
        peer.reset()
        with pytest.raises(ConnectionClosedError) as caught:
            made[0].recv(timeout=20)
    assert isinstance(caught.value.__cause__, ConnectionResetError)
