"""The documented API for threads, beside the documented library itself."""

from __future__ import annotations

import contextlib
import importlib
import logging
import socket
import threading
import warnings

import pytest

from longwire.websockets.sync.client import ClientConnection
from tests.support.rawpeer import PONG, SECONDS, RawPeer, listener
from tests.sync_.serving import echo, running

ROOTS = pytest.mark.parametrize("root", ["longwire.websockets", "websockets"])


def modules(root):
    """Its ``sync.client`` and ``sync.server``."""
    return [importlib.import_module(f"{root}.sync.{n}") for n in ("client", "server")]


@contextlib.contextmanager
def served(root, handler=echo, **options):
    """Yield the URI of a server of ``root``, and the server."""
    _, server = modules(root)
    with running(server.serve(handler, "127.0.0.1", 0, **options)) as made:
        yield f"ws://127.0.0.1:{made.socket.getsockname()[1]}/", made


@ROOTS
def test_connect_without_with_warns_at_its_first_use(root):
    client, _ = modules(root)
    with served(root) as (uri, _):
        ws = client.connect(uri, proxy=None)
        with pytest.warns(DeprecationWarning, match=r"legacy=True"):
            ws.send("x")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert ws.recv() == "x"
            ws.close()
            for legacy in (None, True):
                with client.connect(uri, proxy=None, legacy=legacy) as ws:
                    ws.send("x")
                    assert ws.recv(timeout=SECONDS) == "x"


@ROOTS
def test_legacy_says_what_connect_returns(root):
    client, _ = modules(root)
    with served(root) as (uri, _):
        again = client.connect(uri, proxy=None, legacy=False)
        assert isinstance(again, client.reconnect)
        with again as ws:
            assert isinstance(ws, client.ClientConnection)
        ws = client.connect(uri, proxy=None, legacy=True)
        ws.send("one")
        assert next(iter(ws)) == "one"
        ws.close()


@ROOTS
@pytest.mark.parametrize("ack_on_close", [False, True])
def test_the_event_of_a_ping_is_set_by_its_pong_or_if_wanted_by_the_end(
    root, ack_on_close
):
    client, _ = modules(root)
    with listener() as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}/"
        made = []
        options = {"proxy": None, "legacy": True}
        thread = threading.Thread(
            target=lambda: made.append(client.connect(uri, **options))
        )
        thread.start()
        with RawPeer(sock.accept()[0], client=False) as peer:
            peer.answer()
            thread.join(SECONDS)
            (ws,) = made
            event = ws.ping(b"p", ack_on_close=ack_on_close)
            assert type(event).__mro__[-2] is threading.Event
            peer.read()
            peer.send(PONG, b"p")
            assert event.wait(SECONDS) is True
            lost = ws.ping(ack_on_close=ack_on_close)
            peer.reset()
        ws.wait_closed(SECONDS)
        assert lost.wait(SECONDS if ack_on_close else 0.1) is ack_on_close
        ws.close()


@ROOTS
def test_what_programs_read_of_a_connection(root):
    client, server = modules(root)
    seen = []

    def handler(ws):
        seen.append((ws.request.path, ws.protocol.state.name, ws.subprotocol))
        for message in ws:
            ws.send(message)

    with served(root, handler, subprotocols=["b"]) as (uri, made):
        assert isinstance(made, server.Server)
        with client.connect(
            f"{uri}path?q=1", proxy=None, subprotocols=["a", "b"]
        ) as ws:
            ws.send("x")
            ws.recv()
            assert ws.state.name == "OPEN"
            assert (ws.close_code, ws.close_reason) == (None, None)
            assert ws.remote_address[0] == "127.0.0.1"
            assert (ws.subprotocol, ws.response.status_code) == ("b", 101)
            assert len(made.connections) == 1
            with pytest.raises(AssertionError):
                ws.close_exc  # noqa: B018
            with pytest.raises(TimeoutError):
                ws.recv(timeout=0)
            assert ws.wait_closed(timeout=0.01) is False
        assert (ws.close_code, ws.close_reason, ws.state.name) == (1000, "", "CLOSED")
        assert ws.wait_closed() is True
    assert seen == [("/path?q=1", "OPEN", "b")]


@ROOTS
def test_the_end_is_told_with_the_reason_of_each_close_frame(root):
    client, _ = modules(root)
    with served(root) as (uri, _), client.connect(uri, proxy=None) as ws:
        ws.close(4000, "bye")
        with pytest.raises(Exception, match=r"^sent 4000 ") as caught:
            ws.recv()

    text = str(caught.value)
    assert text == "sent 4000 (private use) bye; then received 4000 (private use) bye"


@ROOTS
def test_a_lost_connection_is_told_with_its_cause(root):
    client, _ = modules(root)

    def handler(ws):
        ws.socket.shutdown(socket.SHUT_WR)
        ws.wait_closed()

    with served(root, handler) as (uri, _):
        ws = client.connect(uri, proxy=None, legacy=True)
        for call in (ws.recv, lambda: ws.send("x"), ws.recv):
            with pytest.raises(Exception, match=r"^no close frame received") as caught:
                call()
            assert isinstance(caught.value.__cause__, EOFError)
            assert str(caught.value.__cause__) == "unexpected end of stream"


@ROOTS
def test_both_sides_can_be_subclassed(root):
    client, server = modules(root)

    class Ours(client.ClientConnection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.mine = True

        def send(self, message, **kwargs):
            super().send(message.upper(), **kwargs)

    class Theirs(server.ServerConnection):
        def recv(self, *args, **kwargs):
            return "heard " + super().recv(*args, **kwargs)

    with served(root, create_connection=Theirs) as (uri, _):
        with client.connect(uri, proxy=None, create_connection=Ours) as ws:
            ws.send("hello")
            assert ws.recv() == "heard HELLO"
            assert ws.mine


@ROOTS
def test_a_handler_that_is_cut_off_is_in_the_log(root, caplog):
    client, _ = modules(root)
    caplog.set_level(logging.INFO)

    with served(root) as (uri, _), client.connect(uri, proxy=None) as ws:
        ws.close(4000)

    failed = [
        r for r in caplog.records if r.getMessage() == "connection handler failed"
    ]
    assert [r.name for r in failed] == ["websockets.server"]


def test_what_nobody_calls_cannot_be_overridden():
    with pytest.raises(TypeError, match="recv_events"):

        class Ours(ClientConnection):
            def recv_events(self):
                pass


def test_frames_are_in_the_log(caplog):
    client, _ = modules("longwire.websockets")
    caplog.set_level(logging.DEBUG, "websockets.client")

    with served("longwire.websockets") as (uri, _):
        with client.connect(uri, proxy=None, compression=None) as ws:
            ws.send("hello")
            ws.recv()

    lines = [record.getMessage() for record in caplog.records]
    assert "> TEXT 'hello' [5 bytes]" in lines
    assert "< TEXT 'hello' [5 bytes]" in lines
    assert "> GET / HTTP/1.1" in lines
