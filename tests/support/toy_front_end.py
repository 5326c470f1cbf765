"""The toy front end behind the face that tests/behaviour has for all of them."""

from __future__ import annotations

import contextlib
import inspect
import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import longwire.sync
from longwire import ConnectionClosedOK
from longwire.connection import BytesLike, as_wanted, control_payload
from longwire.opening.arguments import settings_of_server
from longwire.verbs import fragments_of
from tests.support import toy
from tests.support.frontends import Endpoint, Handler, SyncFrontEnd, ThreadJob
from tests.support.rawpeer import SECONDS


def defaults_of(function: Any) -> dict[str, Any]:
    """Return the keywords that a front end documents, and their defaults."""
    empty = inspect.Parameter.empty
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not empty}


class Ping(threading.Event):
    """What a session resolves with the latency of a ping, or fails."""

    latency = 0.0
    error: BaseException | None = None

    def resolve(self, latency: float) -> None:
        self.latency = latency
        self.set()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.set()


class ToyFrontEnd(SyncFrontEnd):
    """The toy: what a thread does with it is the business of `SyncFrontEnd`."""

    name = "toy"
    can = frozenset({"threads"})

    # --- ends --------------------------------------------------------------------

    @contextlib.contextmanager
    def serve(
        self, handler: Handler | Literal["echo"] | None = None, **options: Any
    ) -> Iterator[tuple[int, queue.Queue[Endpoint]]]:
        """Serve on 127.0.0.1; give the port, and a queue of the connections."""
        arrived: queue.Queue[Endpoint] = queue.Queue()

        def handle(ws: toy.ServerConnection) -> None:
            endpoint = Endpoint(self, ws)
            arrived.put(endpoint)
            if handler is None:
                ws.drive(ws._open_verbs.wait_closed())
            elif handler == "echo":
                for message in self.messages(ws):
                    self.send(ws, message, None)()
            else:
                handler(endpoint)

        sock = options.pop("sock", None) or socket.create_server(("127.0.0.1", 0))
        given = {**defaults_of(longwire.sync.serve), "handler": handle, **options}
        settings = settings_of_server(given, awaits=False)
        server = toy.Server(handle, None, settings, None, options.get("ssl"))
        accepting = self.start(lambda: self._accept(server, sock))
        self._servers.append(server)  # type: ignore[arg-type]
        try:
            yield sock.getsockname()[1], arrived
        finally:
            server._closing = True
            accepting.result()
            server._close_all(True, 1001, "")
            ends_at = time.monotonic() + SECONDS
            while server._runs and time.monotonic() < ends_at:
                time.sleep(0.005)

    def _accept(self, server: toy.Server, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(0.02)
            while not server._closing:
                with contextlib.suppress(TimeoutError):
                    server.take(sock.accept()[0])
                server._look_at_memory()

    def connect(self, port: int, **options: Any) -> ThreadJob[Endpoint]:
        """Begin to connect to a port of 127.0.0.1."""
        return self.start(lambda: Endpoint(self, self._connect(port, options)))

    def _connect(self, port: int, options: dict[str, Any]) -> toy.ClientConnection:
        uri = f"{'wss' if 'ssl' in options else 'ws'}://localhost:{port}/"
        given = {**defaults_of(longwire.sync.reconnect), "proxy": None, **options}
        sock = options.get("sock") or socket.create_connection(("127.0.0.1", port))
        return toy.Client().connect(uri, sock, given)

    def connect_each(self, port: int, **options: Any) -> ThreadJob[None]:
        """Begin to connect anew again and again; the first connection ends it."""

        def use() -> None:
            retries = None
            while True:
                client = toy.Client()
                given = {**defaults_of(longwire.sync.reconnect), "proxy": None}
                try:
                    sock = socket.create_connection(("127.0.0.1", port))
                    uri = f"ws://127.0.0.1:{port}/"
                    ws = client.connect(uri, sock, {**given, **options})
                except Exception as exc:
                    retries = retries or client._retries()
                    time.sleep(retries.delay_after(exc))
                else:
                    ws.drive(ws._open_verbs.close())
                    return

        return self.start(use)

    # --- verbs -------------------------------------------------------------------

    def messages(self, ws: Any) -> Iterator[Any]:
        with contextlib.suppress(ConnectionClosedOK):
            while True:
                yield ws.drive(ws._open_verbs.recv())

    def recv(self, ws: Any, decode: bool | None, timeout: float | None) -> Any:
        seconds = float("inf") if timeout is None else timeout

        def recv() -> Any:
            message = ws.drive(ws._open_verbs.recv(), seconds)
            return message if decode is None else as_wanted(message, decode)

        return recv

    def begin_stream(self, ws: Any, decode: bool | None) -> Any:
        return lambda: (ws, ws._open_verbs.stream(decode))

    def next_piece(self, ws: Any, pieces: Any) -> Any:
        _, message = pieces

        def next_piece() -> Any:
            if message.done:
                return None
            try:
                ws.drive(message.next_piece())
                payload = message.payload()
                message.given = message.taken
                ws._verbs.receiving = message.goes_on
                return payload
            finally:
                message.stop()

        return next_piece

    def iterate(self, ws: Any) -> Any:
        return lambda: list(self.messages(ws))

    def send(self, ws: Any, message: Any, text: bool | None, **kw: Any) -> Any:
        def send() -> None:
            verbs = ws._open_verbs
            if isinstance(message, (str, *BytesLike)):
                return ws.drive(verbs.send(message, text, **kw))
            fragments = fragments_of(message, blocking=True)
            return ws.drive(verbs.send_fragments(fragments, text, **kw))

        return send

    def ping(self, ws: Any, data: Any) -> Any:
        def ping() -> Ping:
            found, payload = Ping(), None if data is None else control_payload(data)
            ws.drive(ws._open_verbs.ping(payload, found))
            return found

        return ping

    def finish_ping(self, ws: Any, pong: Any) -> Any:
        def finish() -> float:
            pong.wait()
            if pong.error is not None:
                raise pong.error
            return float(pong.latency)

        return finish

    def pong(self, ws: Any, data: Any) -> Any:
        return lambda: ws.drive(ws._open_verbs.pong(control_payload(data)))

    def close(self, ws: Any, *args: Any, **kwargs: Any) -> Any:
        return lambda: ws.drive(ws._open_verbs.close(*args, **kwargs))

    def wait_closed(self, ws: Any) -> Any:
        return lambda: ws.drive(ws._open_verbs.wait_closed())
