"""How a client reaches its server: proxies, redirects, Unix sockets."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longwire import (
    InvalidHeader,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
    SecurityError,
)
from tests.asyncio_.client_peers import (
    HttpProxy,
    Socks5Proxy,
    answering,
    raw_server,
    read_head,
    silence,
)
from tests.behaviour.conftest import front_ends
from tests.support.certificates import Certificates
from tests.support.frontends import FRONT_ENDS, Endpoint
from tests.support.needs import needs
from tests.support.network import connect, in_a_loop, loop_over, unix_serving

# The toy knows neither proxies nor redirects.
front = front_ends(FRONT_ENDS)


@pytest.fixture(autouse=True)
def no_socket_left(front: Any) -> Iterator[None]:
    """A socket that was not closed warns when it is collected: that is an error."""
    yield
    gc.collect()


def check_echo(ws: Endpoint) -> None:
    """Check that messages, small and large, come back; close."""
    for message in ("hello", b"x" * 200_000, ""):
        ws.send(message)
        assert ws.recv(timeout=20) == message
    ws.close()
    assert ws.wait_report().code == 1000


# --- proxies ----------------------------------------------------------------------

KINDS: dict[str, Callable[..., Any]] = {
    "http": HttpProxy,
    "https": HttpProxy,
    "socks5": Socks5Proxy,
    "socks5h": Socks5Proxy,
}


@contextlib.contextmanager
def through(
    kind: str, handler: Any, certificates: Certificates, user: str = ""
) -> Iterator[dict[str, Any]]:
    """Run a proxy; yield the keywords of a client that goes through it."""
    if kind.startswith("socks"):
        needs("python_socks")
    context = certificates.server if kind == "https" else None
    with in_a_loop(raw_server(handler, ssl=context)) as port:
        options: dict[str, Any] = {"proxy": f"{kind}://{user}localhost:{port}"}
        if kind == "https":
            options["proxy_ssl"] = certificates.client
        yield options


def noted(proxy: Any) -> list[tuple[str, int]]:
    """Return which hosts and ports a proxy was asked for."""
    if isinstance(proxy, Socks5Proxy):
        return [(host, port) for _, host, port in proxy.asked]
    targets = [head.split(b" ")[1].decode() for head in proxy.heads]
    return [(t.rpartition(":")[0], int(t.rpartition(":")[2])) for t in targets]


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
# RFC 7617 and RFC 1929 leave the encoding of credentials open: UTF-8 is ours.
@pytest.mark.parametrize("user", ["", "me:s%C3%A9cret@"], ids=["open", "password"])
@pytest.mark.parametrize("kind", KINDS)
def test_messages_go_through_a_proxy(
    front: Any, kind: str, user: str, tls: bool, certificates: Certificates
) -> None:
    proxy = KINDS[kind]("me:sécret" if user else None)
    theirs = {"ssl": certificates.server} if tls else {}
    ours = {"ssl": certificates.client} if tls else {}

    with front.serve("echo", **theirs) as (port, _):
        with through(kind, proxy, certificates, user) as options:
            uri = f"{'wss' if tls else 'ws'}://localhost:{port}/"
            check_echo(connect(front, uri, **options, **ours).result())

    # Who resolves the name is all the difference between socks5 and socks5h.
    name = "127.0.0.1" if kind == "socks5" else "localhost"
    assert noted(proxy) in ([(name, port)], [("::1", port)])


@pytest.mark.parametrize("kind", ["http", "https", "socks5h"])
@pytest.mark.parametrize("user", ["", "me:wrong@"])
def test_a_proxy_that_wants_a_password_refuses(
    front: Any, kind: str, user: str, certificates: Certificates
) -> None:
    proxy = refusing_methods if not user and kind == "socks5h" else None
    proxy = proxy or KINDS[kind]("me:secret")
    with through(kind, proxy, certificates, user) as options:
        job = connect(front, "ws://localhost:1/", **options)
        with pytest.raises(ProxyError) as caught:
            job.result()
    if kind == "socks5h":
        assert "SOCKS proxy refused" in str(caught.value)
    else:
        assert isinstance(caught.value, InvalidProxyStatus)
        assert caught.value.response.status_code == 407


async def refusing_methods(reader: Any, writer: Any) -> None:
    """Accept no method of authentication (RFC 1928 section 3)."""
    await reader.readexactly(3)
    writer.write(b"\x05\xff")


@pytest.mark.parametrize("kind", ["http", "https", "socks5h"])
def test_the_server_behind_a_proxy_has_to_be_vouched_for(
    front: Any, kind: str, certificates: Certificates
) -> None:
    with front.serve("echo", ssl=certificates.server) as (port, _):
        with through(kind, KINDS[kind](), certificates) as options:
            uri = f"wss://localhost:{port}/"
            job = connect(front, uri, ssl=certificates.stranger, **options)
            with pytest.raises(OSError, match=r"(?i)certificate.verify.failed"):
                job.result()
    forget_complaints_of_python(front)


def forget_complaints_of_python(front: Any) -> None:
    """Forget what asyncio says where TLS inside TLS fails.

    CPython 3.11 calls `SSLProtocol._abort()` with an argument that it does not take,
    and tells its exception handler of that.
    """
    complaints = getattr(front, "complaints", [])
    complaints[:] = [each for each in complaints if "SSLProtocol._abort()" not in each]


def test_a_proxy_has_to_be_vouched_for(front: Any, certificates: Certificates) -> None:
    with through("https", HttpProxy(), certificates) as options:
        options["proxy_server_hostname"] = "proxy.example"
        job = connect(front, "ws://localhost:1/", **options)
        with pytest.raises(OSError, match=r"(?i)certificate.verify.failed"):
            job.result()


async def hang_up(reader: Any, writer: Any) -> None:
    """Take the first bytes and close."""
    await reader.read(1)


FAULTS: dict[str, tuple[str, Any, type[Exception]]] = {
    "http, silent": ("http", silence, TimeoutError),
    "socks, silent": ("socks5h", silence, TimeoutError),
    "http, hangs up": ("http", hang_up, InvalidProxyMessage),
    "socks, hangs up": ("socks5h", hang_up, ProxyError),
    "http, no HTTP": ("http", answering(b"220 ESMTP\r\n\r\n"), InvalidProxyMessage),
    "http, bad gateway": (
        "http",
        answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
        InvalidProxyStatus,
    ),
    "socks, no route": ("socks5h", Socks5Proxy(reply=5), ProxyError),
}


@pytest.mark.parametrize(("kind", "proxy", "error"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_with_a_proxy_is_told(
    front: Any, kind: str, proxy: Any, error: Any, certificates: Certificates
) -> None:
    with through(kind, proxy, certificates) as options:
        # Only the silent ones are waited for so long.
        seconds = 0.5 if error is TimeoutError else 20
        job = connect(front, "ws://localhost:1/", open_timeout=seconds, **options)
        with pytest.raises(error):
            job.result()


@pytest.mark.parametrize("kind", ["http", "socks5h"])
def test_a_proxy_where_nobody_listens_is_an_error_of_the_network(
    front: Any, kind: str
) -> None:
    if kind == "socks5h":
        needs("python_socks")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as sock:
        port = sock.getsockname()[1]
    job = connect(front, "ws://localhost:1/", proxy=f"{kind}://127.0.0.1:{port}")
    with pytest.raises(OSError):
        job.result()


def test_the_proxy_of_the_environment_is_used(
    front: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = HttpProxy()
    with front.serve("echo") as (port, _):
        with through("http", proxy, certificates) as options:
            monkeypatch.setenv("http_proxy", options["proxy"])
            uri = f"ws://localhost:{port}/"
            for no_proxy, asked in (("", 1), ("localhost", 1)):
                monkeypatch.setenv("no_proxy", no_proxy)
                check_echo(connect(front, uri).result())
                assert len(proxy.heads) == asked
            monkeypatch.setenv("no_proxy", "")
            check_echo(connect(front, uri, proxy=None).result())
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("kind", ["http", "https", "socks5h"])
def test_a_redirect_goes_through_the_proxy_again(
    front: Any, kind: str, certificates: Certificates
) -> None:
    proxy = KINDS[kind]()
    with front.serve("echo") as (port, _), through(kind, proxy, certificates) as way:
        with sending_to(f"ws://localhost:{port}/") as (first, _):
            check_echo(connect(front, first, **way).result())
            asked = int(first.rpartition(":")[2][:-1])
    assert noted(proxy) == [("localhost", asked), ("localhost", port)]


# --- redirects --------------------------------------------------------------------


@contextlib.contextmanager
def sending_to(
    location: str, status: int = 302, context: Any = None
) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server that redirects; yield its URI and the heads it was sent."""
    heads: list[bytes] = []

    async def send_on(reader: Any, writer: Any) -> None:
        heads.append(await read_head(reader))
        line = f"HTTP/1.1 {status} See there\r\nLocation: {location}\r\n"
        writer.write(f"{line}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()
        await silence(reader, writer)

    with in_a_loop(raw_server(send_on, ssl=context)) as port:
        yield f"{'wss' if context else 'ws'}://localhost:{port}/", heads


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(front: Any, status: int) -> None:
    with front.serve("echo") as (port, _):
        with sending_to(f"ws://localhost:{port}/", status) as (uri, heads):
            check_echo(connect(front, uri, proxy=None).result())
    assert len(heads) == 1


@pytest.mark.parametrize("status", [300, 304, 305, 399])
def test_what_is_no_redirect_is_a_refusal(front: Any, status: int) -> None:
    with sending_to("ws://localhost:1/", status) as (uri, _):
        with pytest.raises(InvalidStatus, match=str(status)):
            connect(front, uri, proxy=None).result()


def test_a_redirect_leads_from_plain_to_tls(
    front: Any, certificates: Certificates
) -> None:
    with front.serve("echo", ssl=certificates.server) as (port, _):
        with sending_to(f"https://localhost:{port}/") as (uri, _):
            # No context can be given for a ws URI: the process has its own.
            job = connect(front, uri, proxy=None)
            with pytest.raises(OSError, match=r"(?i)certificate.verify.failed"):
                job.result()


def test_a_redirect_leads_from_tls_to_tls(
    front: Any, certificates: Certificates
) -> None:
    with front.serve("echo", ssl=certificates.server) as (port, _):
        there = f"wss://localhost:{port}/"
        with sending_to(there, context=certificates.server) as (uri, _):
            context = certificates.client
            check_echo(connect(front, uri, ssl=context, proxy=None).result())


def test_a_redirect_from_tls_to_plain_is_refused(
    front: Any, certificates: Certificates
) -> None:
    with sending_to("ws://localhost:1/", context=certificates.server) as (uri, _):
        job = connect(front, uri, ssl=certificates.client, proxy=None)
        with pytest.raises(SecurityError, match="redirect from wss to ws"):
            job.result()


def test_a_relative_redirect_stays_at_its_server(front: Any) -> None:
    asked: list[str] = []

    def send_on(ws: Any, request: Any) -> Any:
        asked.append(request.path)
        if request.path != "/a/there?x=1":
            response = ws.respond(302, "")
            response.headers["Location"] = "there?x=1"
            return response
        return None

    with front.serve("echo", process_request=send_on) as (port, _):
        uri = f"ws://localhost:{port}/a/here"
        check_echo(connect(front, uri, proxy=None).result())
    assert asked == ["/a/here", "/a/there?x=1"]


def test_redirects_in_a_circle_end(front: Any) -> None:
    with sending_to("/") as (uri, heads):
        with pytest.raises(SecurityError, match="more than 10 redirects"):
            connect(front, uri, proxy=None).result()
    assert len(heads) == 11


def test_secrets_are_left_behind_at_another_origin(front: Any) -> None:
    headers = {"Authorization": "Bearer secret", "Accept-Language": "en"}
    with front.serve("echo") as (port, arrived):
        with sending_to(f"ws://localhost:{port}/") as (uri, heads):
            options = {"additional_headers": headers, "proxy": None}
            check_echo(connect(front, uri, **options).result())
        there = arrived.get(timeout=20).raw.request.headers
    assert b"Authorization: Bearer secret\r\n" in heads[0]
    assert "Authorization" not in there
    assert there["Accept-Language"] == "en"


def test_a_redirect_to_another_origin_with_a_preset_host_is_refused(
    front: Any,
) -> None:
    with sending_to("ws://localhost:1/") as (uri, _):
        port = int(uri.rpartition(":")[2][:-1])
        preset = {"host": "127.0.0.1", "port": port}
        with pytest.raises(SecurityError, match="with"):
            connect(front, "ws://elsewhere/", proxy=None, **preset).result()


def test_a_location_that_is_no_address_is_refused(front: Any) -> None:
    with sending_to("mailto:somebody") as (uri, _):
        with pytest.raises(InvalidHeader, match="Location"):
            connect(front, uri, proxy=None).result()


def test_each_connection_of_a_loop_follows_the_redirect(front: Any) -> None:
    def greet(ws: Endpoint) -> None:
        ws.send("hello")

    with front.serve(greet) as (port, _):
        with sending_to(f"ws://localhost:{port}/") as (uri, heads):
            delays = {"reconnect_delays": lambda: [0.01] * 9, "proxy": None}
            assert loop_over(front, 2, uri, **delays).result() == ["hello"] * 2
    assert len(heads) == 2


# --- Unix sockets -----------------------------------------------------------------

unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")


@unix
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_unix_socket_is_served_and_reached(
    front: Any, tmp_path: Path, tls: bool, certificates: Certificates
) -> None:
    path = tmp_path / "socket"
    theirs = {"ssl": certificates.server} if tls else {}
    ours = {"ssl": certificates.client} if tls else {}
    uri = "wss://localhost/" if tls else "ws://localhost/"
    for _ in range(2):  # what is left of the first server is replaced
        with unix_serving(front, path, **theirs):
            check_echo(connect(front, path, **ours).result())
            check_echo(connect(front, path, uri, **ours).result())


@unix
def test_a_proxy_is_no_way_to_a_unix_socket(
    front: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://localhost:1")
    monkeypatch.setenv("no_proxy", "")
    with unix_serving(front, tmp_path / "socket"):
        check_echo(connect(front, tmp_path / "socket").result())


@unix
def test_a_path_where_nobody_listens_is_an_error_of_the_network(
    front: Any, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        connect(front, tmp_path / "nothing").result()
    left = tmp_path / "left"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(os.fspath(left))
    with pytest.raises(ConnectionRefusedError):
        connect(front, left).result()


@unix
def test_redirects_on_a_unix_socket_stay_there(front: Any, tmp_path: Path) -> None:
    there = {"/": "/there", "/out": "ws://elsewhere/"}

    def send_on(ws: Any, request: Any) -> Any:
        if request.path not in there:
            return None
        response = ws.respond(302, "")
        response.headers["Location"] = there[request.path]
        return response

    path = tmp_path / "socket"
    with unix_serving(front, path, process_request=send_on):
        check_echo(connect(front, path).result())
        with pytest.raises(SecurityError, match="elsewhere"):
            connect(front, path, "ws://localhost/out").result()


@unix
def test_each_connection_of_a_loop_reaches_the_unix_socket(
    front: Any, tmp_path: Path
) -> None:
    async def greet_async(ws: Any) -> None:
        await ws.send("hello")

    def greet(ws: Any) -> None:
        ws.send("hello")

    handler = greet if front.name == "sync" else greet_async
    path = tmp_path / "socket"
    with unix_serving(front, path, handler=handler):
        delays = {"reconnect_delays": lambda: [0.01] * 9}
        assert loop_over(front, 2, path, **delays).result() == ["hello"] * 2


@unix
def test_a_silent_unix_socket_runs_into_the_time_limit(
    front: Any, tmp_path: Path
) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(os.fspath(tmp_path / "socket"))
        sock.listen()
        with pytest.raises(TimeoutError):
            connect(front, tmp_path / "socket", open_timeout=0.2).result()
