"""The server in threads: who is let in, and how everybody is sent home."""

from __future__ import annotations

import base64
import contextlib
import logging
import socket
import threading
import time

import pytest
from tests.support.needs import needs
from tests.support.rawpeer import TEXT, knock, request
from tests.sync_.other import answers
from tests.sync_.serving import echo, running

from longwire import ConnectionClosed, InvalidStatus, Limits
from longwire.sync import basic_auth, broadcast, connect, route, serve


def status_of(port, path=b"/"):
    """The status line of the answer to a request for ``path``."""
    with knock(port) as peer:
        peer.write(request(path=path))
        return peer.read_head().split(b"\r\n")[0].decode()


def port_of(server):
    return server.socket.getsockname()[1]


def wait_for(server, count):
    """Wait until ``server`` has so many open connections."""
    deadline = time.monotonic() + 20
    while len(server.connections) != count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def refused(uri, **options):
    """The status that ``connect`` is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        connect(uri, proxy=None, **options)
    return caught.value.response.status_code


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_the_other_library_is_served(serving, tls, certificates):
    _, uri = serving(ssl=certificates.server if tls else None)

    messages = ["hello", b"x" * 200_000]
    assert answers(uri, messages, certificates.client if tls else None) == messages


def test_each_connection_has_a_thread(serving):
    def handler(ws):
        ws.send(threading.current_thread().name)
        ws.recv()

    server, uri = serving(handler)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(uri, proxy=None)) for _ in range(3)]
        assert [c.recv() for c in clients] == ["longwire 127.0.0.1"] * 3
        wait_for(server, 3)


def test_a_request_can_be_refused_and_a_response_changed(serving):
    def process_request(connection, request):
        if request.path == "/closed":
            return connection.respond(404, "not here\n")
        return None

    def process_response(connection, request, response):
        response.headers["X-Seen"] = request.path

    _, uri = serving(process_request=process_request, process_response=process_response)
    assert refused(f"{uri}closed") == 404
    with connect(uri, proxy=None) as ws:
        assert ws.response.headers["X-Seen"] == "/"


def test_a_callback_that_is_a_coroutine_is_an_error_of_ours(serving, caplog):
    async def look(connection, request):
        return None

    # Of a coroutine function itself serve() would have said so.
    server, uri = serving(process_request=lambda *both: look(*both))
    assert refused(uri) == 500
    server.shutdown()  # which waits for the thread that logs it
    assert "asynchronous" in caplog.text


def test_basic_authentication(serving):
    names = []

    def handler(ws):
        names.append(ws.username)

    _, uri = serving(handler, process_request=basic_auth("r", ("me", "secret")))
    assert refused(uri) == 401
    assert refused(uri.replace("ws://", "ws://me:wrong@")) == 401
    with connect(uri.replace("ws://", "ws://me:secret@"), proxy=None) as ws:
        with pytest.raises(ConnectionClosed):
            ws.recv()
    value = base64.b64encode(b"me:secret").decode()
    with connect(
        uri, proxy=None, additional_headers={"Authorization": f"Basic {value}"}
    ) as ws:
        pass
    assert names == ["me", "me"]


def test_routes_lead_to_their_handlers():
    needs("werkzeug")
    from werkzeug.routing import Map, Rule

    def channel(ws, number):
        ws.send(f"channel {number}")

    first = []
    url_map = Map([Rule("/channel/<int:number>", endpoint=channel)])
    server = route(
        url_map, "127.0.0.1", 0, process_request=lambda *args: first.append(args)
    )
    with running(server):
        uri = f"ws://127.0.0.1:{port_of(server)}"
        with connect(f"{uri}/channel/7", proxy=None) as ws:
            assert ws.recv() == "channel 7"
        assert refused(f"{uri}/nothing") == 404
    assert len(first) == 2


def test_a_health_check_is_answered_and_not_logged(serving, caplog):
    caplog.set_level("INFO", "longwire")
    server, _ = serving(health="/healthz")

    assert status_of(port_of(server), b"/healthz") == "HTTP/1.1 200 OK"
    assert "reject" not in caplog.text


def test_who_says_nothing_is_cut_off(serving):
    server, _ = serving(open_timeout=0.2)

    with knock(port_of(server)) as peer:
        assert peer.is_closed()


def test_more_connections_than_the_limit_are_answered_with_503(serving):
    server, uri = serving(limits=Limits(connections=1))

    with connect(uri, proxy=None):
        assert refused(uri) == 503
    deadline = time.monotonic() + 20
    while server._runs and time.monotonic() < deadline:
        time.sleep(0.01)
    with connect(uri, proxy=None):
        pass


# --- handlers ---------------------------------------------------------------------


def test_a_handler_that_fails_closes_with_1011_and_is_in_the_log(serving, caplog):
    def handler(ws):
        raise ValueError("broken")

    _, uri = serving(handler)
    with connect(uri, proxy=None) as ws:
        with pytest.raises(ConnectionClosed):
            ws.recv()
    assert ws.close_code == 1011
    records = [r for r in caplog.records if r.exc_info]
    assert [r.getMessage() for r in records] == ["connection handler failed"]


def test_a_handler_that_lets_the_end_through_is_not_a_failure(serving, caplog):
    caplog.set_level(logging.INFO, "longwire")

    def handler(ws):
        while True:
            ws.recv()

    _, uri = serving(handler)
    with connect(uri, proxy=None):
        pass
    assert not [r for r in caplog.records if r.levelno > logging.INFO]


# --- the end ----------------------------------------------------------------------


def test_shutting_down_closes_connections_and_waits_for_handlers(serving):
    ended = []

    def handler(ws):
        with contextlib.suppress(ConnectionClosed):
            ws.recv()
        time.sleep(0.2)
        ended.append(ws)

    server, uri = serving(handler)
    with connect(uri, proxy=None) as ws:
        wait_for(server, 1)
        thread = threading.Thread(target=server.shutdown, args=(True, 1012, "soon"))
        thread.start()
        with pytest.raises(ConnectionClosed):
            ws.recv()
        assert (ws.close_code, ws.close_reason) == (1012, "soon")
        thread.join(20)
    assert len(ended) == 1
    with pytest.raises(OSError):
        connect(uri, proxy=None)


def test_shutting_down_can_leave_connections_alone(serving):
    server, uri = serving()
    with connect(uri, proxy=None) as ws:
        wait_for(server, 1)
        thread = threading.Thread(target=server.shutdown, args=(False,))
        thread.start()
        ws.send("still")
        assert ws.recv() == "still"
        assert thread.is_alive()
    thread.join(20)
    assert not thread.is_alive()


def test_shutting_down_answers_who_has_not_asked_yet_with_503(serving):
    server, _ = serving()
    with knock(port_of(server)) as peer:
        peer.write(request()[:20])
        while not server._runs:
            time.sleep(0.01)
        time.sleep(0.1)
        server.shutdown()
        assert peer.read_head().startswith(b"HTTP/1.1 503 ")


def test_draining_closes_little_by_little(serving):
    server, uri = serving()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(uri, proxy=None)) for _ in range(6)]
        wait_for(server, 6)
        thread = threading.Thread(
            target=server.drain, kwargs={"batch": 2, "interval": 0.2, "code": 1012}
        )
        begun = time.monotonic()
        thread.start()
        time.sleep(0.05)
        assert refused(uri) == 503
        for ws in clients:
            ws.wait_closed()
        thread.join(20)
        assert time.monotonic() - begun >= 0.2
        assert [ws.close_code for ws in clients] == [1012] * 6


def test_draining_cuts_off_who_does_not_leave(serving):
    held = threading.Event()

    def handler(ws):
        held.wait(20)

    server, _ = serving(handler, close_timeout=20)
    with knock(port_of(server)) as peer:
        peer.ask()
        wait_for(server, 1)
        thread = threading.Thread(target=server.drain, kwargs={"timeout": 0.3})
        thread.start()
        assert peer.is_closed()
        held.set()
        thread.join(20)


def test_a_server_can_be_shut_down_before_it_has_served():
    server = serve(echo, "127.0.0.1", 0)
    server.shutdown()
    server.serve_forever()  # returns at once


@pytest.mark.parametrize("end", ["shutdown", "drain"])
def test_the_log_tells_once_that_a_server_has_closed(end, caplog):
    with caplog.at_level("INFO"), running(serve(echo, "127.0.0.1", 0)) as server:
        getattr(server, end)()
    assert caplog.messages.count("server closing") == 1
    assert caplog.messages.count("server closed") == 1


def test_mistakes_are_told_at_once():
    for options, error in [
        ({"handler": None}, TypeError),
        ({"port": None}, ValueError),
        ({"sll": None}, TypeError),
        ({"ssl": True}, TypeError),
        ({"health": "x"}, ValueError),
    ]:
        keywords = {"handler": echo, "host": "127.0.0.1", "port": 0, **options}
        with pytest.raises(error):
            serve(**keywords)


# --- broadcast --------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate", "lean"])
def test_a_broadcast_reaches_all(serving, compression):
    server, uri = serving(compression=compression)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(uri, proxy=None)) for _ in range(3)]
        wait_for(server, 3)
        for number in range(3):
            text = f"{number} to all of you " * 30
            assert broadcast(server.connections, text).sent == 3
            clients[0].send("and mine")
        for client in clients[1:]:
            assert [client.recv()[0] for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(TypeError):
        broadcast(clients[0], "x")
    assert broadcast(clients, "x").skipped == 3


def test_broadcasts_of_several_threads_do_not_mix(serving):
    server, uri = serving()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(uri, proxy=None)) for _ in range(4)]
        wait_for(server, 4)

        def say(letter):
            for _ in range(50):
                broadcast(server.connections, letter * 500)

        threads = [threading.Thread(target=say, args=(c,)) for c in "abcd"]
        for thread in threads:
            thread.start()
        for client in clients:
            got = [client.recv(timeout=20) for _ in range(200)]
            assert sorted(got) == sorted(c * 500 for c in "abcd" for _ in range(50))
        for thread in threads:
            thread.join()


def test_a_slow_peer_does_not_hold_up_a_broadcast(serving):
    server, uri = serving(limits=Limits(unsent_bytes=100_000))
    with knock(port_of(server), small=True) as slow, connect(uri, proxy=None) as fast:
        slow.ask()
        wait_for(server, 2)
        for _ in range(200):
            broadcast(server.connections, b"x" * 50_000)
            assert len(fast.recv(timeout=20)) == 50_000
        wait_for(server, 1)  # the slow one was given up


def test_a_raw_message_is_framed_as_by_any_server(serving):
    server, _ = serving()
    with knock(port_of(server)) as peer:
        peer.ask()
        peer.send(TEXT, b"hello")
        assert peer.read() == (TEXT, b"hello", True, 0)
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.is_closed()
