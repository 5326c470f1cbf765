"""Front ends behind one blocking face, so that a behaviour is tested once for all.

Tests are plain functions: they hold a raw peer in one hand and an `Endpoint` in the
other, a connection of longwire whose verbs block the test and run on the front end.
A further front end joins by a class with the verbs of `AsyncioFrontEnd` and its name in
`FRONT_ENDS`; what it cannot do (threads cannot be cancelled) is missing in ``can``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import importlib.util
import os
import queue
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, Literal, TypeVar

import longwire
import longwire.sync
from longwire import Cause, CloseReport, LimitExceeded
from tests.support.loops import new_loop
from tests.support.rawpeer import SECONDS, RawPeer, knock, listener
from tests.support.running import describe

Handler = Callable[["Endpoint"], None]
T = TypeVar("T")


def until(condition: Callable[[], object], seconds: float = SECONDS) -> bool:
    """Return whether ``condition()`` holds within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class Job(Generic[T]):
    """Something that a front end does while the test goes on."""

    def __init__(self, front: AsyncioFrontEnd, task: asyncio.Task[T]) -> None:
        self._front = front
        self._task = task

    def done(self) -> bool:
        """Return whether it has ended."""
        return self._task.done()

    def result(self, seconds: float = SECONDS) -> T:
        """Return or raise what came of it; AssertionError if it takes too long."""
        self._front.call(asyncio.wait({self._task}, timeout=seconds), seconds + 1)
        if not self._task.done():
            self.cancel()
            raise AssertionError(f"not done within {seconds} seconds")
        return self._task.result()

    def cancel(self) -> bool:
        """Cancel it; return whether that came in time."""
        self._front.call(self._cancel())
        return self._task.cancelled()

    async def _cancel(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


class Feed:
    """Fragments of a message that a test gives one by one."""

    def __init__(self, front: AsyncioFrontEnd) -> None:
        self._front = front
        self._items: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, item: Any) -> None:
        """Give one fragment; an exception is raised where the next is asked for."""
        self._front.call(self._items.put(item))

    def end(self) -> None:
        """Say that there are no more."""
        self.put(None)

    async def items(self) -> AsyncIterator[Any]:
        """Yield what the test gives."""
        while (item := await self._items.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item


class Endpoint:
    """A connection of longwire; its verbs block the calling thread.

    ``start("recv")`` begins one without waiting: a `Job` with ``result(timeout)``,
    ``done()`` and, where the front end can, ``cancel()``.
    """

    def __init__(self, front: Any, raw: Any) -> None:
        self.front = front
        self.raw = raw

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return int(self.raw.wire.unsent)

    def start(self, verb: str, *args: Any, **kwargs: Any) -> Job[Any]:
        """Begin a verb; it runs on the front end."""
        return self.front.start(getattr(self.front, verb)(self.raw, *args, **kwargs))

    def _now(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        return self.start(verb, *args, **kwargs).result()

    def recv(self, decode: bool | None = None, timeout: float | None = None) -> Any:
        """Return the next message; TimeoutError after ``timeout`` seconds."""
        return self._now("recv", decode, timeout)

    def stream(self, decode: bool | None = None) -> Iterator[Any]:
        """Yield the pieces of the next message."""
        pieces = self._now("begin_stream", decode)
        while True:
            piece = self._now("next_piece", pieces)
            if piece is None:
                return
            yield piece

    def iterate(self) -> list[Any]:
        """Return all messages to the proper end; raises at another."""
        return self._now("iterate")  # type: ignore[no-any-return]

    def send(self, message: Any, text: bool | None = None, **kwargs: Any) -> None:
        """Send a message."""
        self._now("send", message, text, **kwargs)

    def begin_send(self, **kwargs: Any) -> tuple[Job[None], Feed]:
        """Begin to send a message whose fragments the test gives one by one."""
        feed = self.front.feed()
        return self.start("send", feed.items(), None, **kwargs), feed

    def ping(self, data: Any = None) -> Job[float]:
        """Send a ping; return a job whose result is the latency."""
        return self.start("finish_ping", self._now("ping", data))

    def pong(self, data: Any = b"") -> None:
        """Send a pong."""
        self._now("pong", data)

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Close the connection."""
        self._now("close", *args, **kwargs)

    def wait_closed(self) -> None:
        """Wait for the end of TCP."""
        self._now("wait_closed")

    def cut_off(self, detail: str) -> None:
        """End the connection at once, from our side."""
        self._now("cut_off", detail)

    def shed(self, error: LimitExceeded) -> None:
        """End the connection for want of memory, as its server does."""
        self._now("shed", error)

    def fail(self, error: Exception) -> None:
        """End the connection for ``error``, with the close frame that it calls for."""
        self._now("fail", error)

    def wait_report(self) -> CloseReport:
        """Return the report of the end, waiting for TCP to end."""
        self.wait_closed()
        assert self.raw.close_report is not None
        return self.raw.close_report  # type: ignore[no-any-return]


class AsyncioFrontEnd:
    """asyncio on a loop in a thread of its own."""

    name = "asyncio"
    can = frozenset({"cancel", "order", "stall"})

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._loop = new_loop()
        self._loop.set_exception_handler(
            lambda loop, context: self.complaints.append(describe(context))
        )
        self._pool = concurrent.futures.ThreadPoolExecutor(64)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    # --- running -----------------------------------------------------------------

    def call(self, work: Coroutine[Any, Any, T], seconds: float = SECONDS) -> T:
        """Do ``work``, which ends soon, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def start(self, work: Coroutine[Any, Any, T]) -> Job[T]:
        """Begin ``work`` on the loop."""

        async def begin() -> asyncio.Task[T]:
            task = asyncio.create_task(work)
            # Not every test asks what came of a job.
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
            return task

        return Job(self, self.call(begin()))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` and wait for it, but not for ever."""
        return self.start(work).result()

    def feed(self) -> Feed:
        """Return what gives a message its fragments one by one."""
        return Feed(self)

    def stall(self, seconds: float) -> None:
        """Make the loop stand still, as a handler does that never awaits."""
        stalled = threading.Event()

        def sleep() -> None:
            stalled.set()
            time.sleep(seconds)

        self._loop.call_soon_threadsafe(sleep)
        stalled.wait(SECONDS)

    def settle(self) -> None:
        """Wait until all that the loop has to do now is done."""
        for _ in range(3):
            self.call(asyncio.sleep(0))

    def tasks(self) -> int:
        """Return how many tasks there are, that of this question left out."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return self.call(count())

    def stop(self) -> None:
        """End the loop; AssertionError if it leaves tasks or exceptions behind."""
        left = self.call(self._leftovers())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._pool.shutdown()
        self._loop.close()
        gc.collect()
        assert not left
        assert not self.complaints, self.complaints

    async def _leftovers(self) -> list[str]:
        others = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
        if others:
            _, others = await asyncio.wait(others, timeout=1)
        for task in others:
            task.cancel()
        return [repr(task) for task in others]

    # --- ends --------------------------------------------------------------------

    @contextlib.contextmanager
    def serve(
        self, handler: Handler | Literal["echo"] | None = None, **options: Any
    ) -> Iterator[tuple[int, queue.Queue[Endpoint]]]:
        """Serve on 127.0.0.1; give the port, and a queue of the connections.

        ``handler`` runs in a thread of its own for each connection; "echo" is the
        front end's own; without one, connections are just held open.
        """
        arrived: queue.Queue[Endpoint] = queue.Queue()

        async def handle(ws: longwire.ServerConnection) -> None:
            endpoint = Endpoint(self, ws)
            arrived.put(endpoint)
            if handler is None:
                await ws.wait_closed()
            elif handler == "echo":
                async for message in ws:
                    await ws.send(message)
            else:
                await self._loop.run_in_executor(self._pool, handler, endpoint)

        async def begin() -> longwire.Server:
            return await longwire.serve(handle, **where, **options)

        where: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
        if "sock" in options:
            where = {}
        server = self.run(begin())
        try:
            yield server.sockets[0].getsockname()[1], arrived
        finally:
            self.run(self._end(server))

    async def _end(self, server: longwire.Server) -> None:
        server.close()
        await server.wait_closed()

    def connect(self, port: int, **options: Any) -> Job[Endpoint]:
        """Begin to connect to a port of 127.0.0.1."""

        async def begin() -> Endpoint:
            uri = f"{'wss' if 'ssl' in options else 'ws'}://localhost:{port}/"
            keywords = {"host": "127.0.0.1", "proxy": None, **options}
            ws = await longwire.connect(uri, **keywords)
            return Endpoint(self, ws)

        return self.start(begin())

    def connect_each(self, port: int, **options: Any) -> Job[None]:
        """Begin to connect anew again and again; the first connection ends it."""

        async def use() -> None:
            uri = f"ws://127.0.0.1:{port}/"
            async for _ in longwire.connect(uri, proxy=None, **options):
                return

        return self.start(use())

    # --- verbs -------------------------------------------------------------------

    async def recv(self, ws: Any, decode: bool | None, timeout: float | None) -> Any:
        async with asyncio.timeout(timeout):
            return await ws.recv(decode)

    async def begin_stream(self, ws: Any, decode: bool | None) -> Any:
        return ws.recv_streaming(decode)

    async def next_piece(self, ws: Any, pieces: Any) -> Any:
        return await anext(pieces, None)

    async def iterate(self, ws: Any) -> list[Any]:
        return [message async for message in ws]

    async def send(self, ws: Any, message: Any, text: bool | None, **kw: Any) -> None:
        await ws.send(message, text, **kw)

    async def ping(self, ws: Any, data: Any) -> Any:
        # In a list: a future that a coroutine returns is not awaited by accident.
        return [await ws.ping(data)]

    async def finish_ping(self, ws: Any, pings: list[Any]) -> float:
        return float(await pings[0])

    async def pong(self, ws: Any, data: Any) -> None:
        await ws.pong(data)

    async def close(self, ws: Any, *args: Any, **kwargs: Any) -> None:
        await ws.close(*args, **kwargs)

    async def wait_closed(self, ws: Any) -> None:
        await ws.wait_closed()

    async def cut_off(self, ws: Any, detail: str) -> None:
        ws._live.abort(Cause.LOCAL, detail, ws._now())
        ws._react()

    async def shed(self, ws: Any, error: LimitExceeded) -> None:
        ws._shed(error)

    async def fail(self, ws: Any, error: Exception) -> None:
        ws._live.fail(error, ws._now())
        ws._react()


class ThreadJob(Job[T]):
    """Something that a thread does; it cannot be cancelled."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._work = work
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._work())
        except BaseException as exc:
            self._future.set_exception(exc)

    def done(self) -> bool:
        """Return whether it has ended."""
        return self._future.done()

    def result(self, seconds: float = SECONDS) -> T:
        """Return or raise what came of it; AssertionError if it takes too long."""
        if not concurrent.futures.wait({self._future}, seconds).done:
            raise AssertionError(f"not done within {seconds} seconds")
        return self._future.result()

    def cancel(self) -> bool:
        """Return False: it goes on."""
        return False


class ThreadFeed:
    """Fragments of a message that a test gives one by one."""

    def __init__(self) -> None:
        self._items: queue.Queue[Any] = queue.Queue()

    def put(self, item: Any) -> None:
        """Give one fragment; an exception is raised where the next is asked for."""
        self._items.put(item)

    def end(self) -> None:
        """Say that there are no more."""
        self.put(None)

    def items(self) -> Iterator[Any]:
        """Yield what the test gives."""
        while (item := self._items.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item


class SyncFrontEnd:
    """longwire.sync: each verb in a thread of its own."""

    name = "sync"
    can = frozenset({"threads"})

    def __init__(self) -> None:
        self._servers: list[longwire.sync.Server] = []

    def start(self, work: Callable[[], T]) -> ThreadJob[T]:
        """Begin ``work`` in a thread."""
        return ThreadJob(work)

    def run(self, work: Callable[[], T]) -> T:
        """Do ``work`` and wait for it, but not for ever."""
        return self.start(work).result()

    def feed(self) -> ThreadFeed:
        """Return what gives a message its fragments one by one."""
        return ThreadFeed()

    def settle(self) -> None:
        """Give threads time to come to where they wait."""
        time.sleep(0.2)

    def tasks(self) -> int:
        """Return how many connections of servers there are, open or opening."""
        return sum(len(server._runs) for server in self._servers)

    def stop(self) -> None:
        """AssertionError if the thread of a connection is left behind.

        One that fails is a warning of pytest's, and so an error.
        """
        gc.collect()
        assert not self.tasks()

    # --- ends --------------------------------------------------------------------

    @contextlib.contextmanager
    def serve(
        self, handler: Handler | Literal["echo"] | None = None, **options: Any
    ) -> Iterator[tuple[int, queue.Queue[Endpoint]]]:
        """Serve on 127.0.0.1; give the port, and a queue of the connections."""
        arrived: queue.Queue[Endpoint] = queue.Queue()

        def handle(ws: longwire.sync.ServerConnection) -> None:
            endpoint = Endpoint(self, ws)
            arrived.put(endpoint)
            if handler is None:
                ws.wait_closed()
            elif handler == "echo":
                for message in ws:
                    ws.send(message)
            else:
                handler(endpoint)

        where: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
        if "sock" in options:
            where = {}
        server = longwire.sync.serve(handle, **where, **options)
        self._servers.append(server)
        serving = self.start(server.serve_forever)
        try:
            yield server.socket.getsockname()[1], arrived
        finally:
            self.run(server.shutdown)
            serving.result()

    def connect(self, port: int, **options: Any) -> ThreadJob[Endpoint]:
        """Begin to connect to a port of 127.0.0.1."""

        def begin() -> Endpoint:
            uri = f"{'wss' if 'ssl' in options else 'ws'}://localhost:{port}/"
            keywords: dict[str, Any] = {"host": "127.0.0.1", "proxy": None, **options}
            return Endpoint(self, longwire.sync.connect(uri, **keywords))

        return self.start(begin)

    def connect_each(self, port: int, **options: Any) -> ThreadJob[None]:
        """Begin to connect anew again and again; the first connection ends it."""

        def use() -> None:
            uri = f"ws://127.0.0.1:{port}/"
            for _ in longwire.sync.reconnect(uri, proxy=None, **options):
                return

        return self.start(use)

    # --- verbs -------------------------------------------------------------------

    def recv(self, ws: Any, decode: bool | None, timeout: float | None) -> Any:
        return lambda: ws.recv(timeout, decode)

    def begin_stream(self, ws: Any, decode: bool | None) -> Any:
        return lambda: ws.recv_streaming(decode)

    def next_piece(self, ws: Any, pieces: Any) -> Any:
        return lambda: next(pieces, None)

    def iterate(self, ws: Any) -> Any:
        return lambda: list(ws)

    def send(self, ws: Any, message: Any, text: bool | None, **kw: Any) -> Any:
        return lambda: ws.send(message, text, **kw)

    def ping(self, ws: Any, data: Any) -> Any:
        return lambda: ws.ping(data)

    def finish_ping(self, ws: Any, pong: Any) -> Any:
        def finish() -> float:
            pong.wait()
            return float(pong.latency)

        return finish

    def pong(self, ws: Any, data: Any) -> Any:
        return lambda: ws.pong(data)

    def close(self, ws: Any, *args: Any, **kwargs: Any) -> Any:
        return lambda: ws.close(*args, **kwargs)

    def wait_closed(self, ws: Any) -> Any:
        return ws.wait_closed

    def cut_off(self, ws: Any, detail: str) -> Any:
        def cut() -> None:
            with ws._lock:
                ws._live.abort(Cause.LOCAL, detail, time.monotonic())
                ws._react()

        return cut

    def shed(self, ws: Any, error: LimitExceeded) -> Any:
        return lambda: ws._shed(error)

    def fail(self, ws: Any, error: Exception) -> Any:
        def fail() -> None:
            with ws._lock:
                ws._live.fail(error, time.monotonic())
                ws._react()

        return fail


FRONT_ENDS: dict[str, Callable[[], Any]] = {"asyncio": AsyncioFrontEnd}
# A run with another engine or loop is about asyncio alone.
if not os.environ.get("LONGWIRE_ENGINE") and not os.environ.get("LONGWIRE_TEST_LOOP"):
    FRONT_ENDS["sync"] = SyncFrontEnd
    if importlib.util.find_spec("trio") is not None:
        from tests.support.trio_front_end import TrioFrontEnd

        FRONT_ENDS["trio"] = TrioFrontEnd


class Links:
    """Makes connections with one side of longwire and the other a raw peer."""

    def __init__(self, front: AsyncioFrontEnd, side: str) -> None:
        self.front = front
        self.side = side
        self._open = contextlib.ExitStack()

    def __call__(
        self,
        *headers: bytes,
        small: bool = False,
        tls: Any = None,
        **options: Any,
    ) -> tuple[Endpoint, RawPeer]:
        """Return both ends of a new, open connection.

        ``headers`` are the raw peer's further header lines, ``small`` gives both ends
        small kernel buffers, ``tls`` is a `Certificates`, ``options`` go to
        ``serve`` or ``connect``.
        """
        if self.side == "server":
            return self._serve(headers, small, tls, options)
        return self._connect(headers, small, tls, options)

    def _serve(
        self, headers: Any, small: bool, tls: Any, options: Any
    ) -> tuple[Endpoint, RawPeer]:
        if small:
            options["sock"] = listener(small=True)
        if tls is not None:
            options["ssl"] = tls.server
        port, arrived = self._open.enter_context(self.front.serve(**options))
        peer = self._open.enter_context(knock(port, small=small))
        if tls is not None:
            peer.sock = tls.client.wrap_socket(peer.sock, server_hostname="localhost")
        peer.ask(*headers)
        return arrived.get(timeout=SECONDS), peer

    def _connect(
        self, headers: Any, small: bool, tls: Any, options: Any
    ) -> tuple[Endpoint, RawPeer]:
        with listener(small=small) as sock:
            port = sock.getsockname()[1]
            if small:
                options["sock"] = knock(port, small=True).sock
                options["sock"].setblocking(False)
            if tls is not None:
                options["ssl"] = tls.client
            job = self.front.connect(port, **options)
            accepted: socket.socket = sock.accept()[0]
        if tls is not None:
            accepted.settimeout(SECONDS)
            accepted = tls.server.wrap_socket(accepted, server_side=True)
        peer = RawPeer(accepted, client=False)
        peer.answer(*headers)
        ours = job.result()
        self._open.callback(ours.close)
        self._open.enter_context(peer)
        return ours, peer

    def close(self) -> None:
        """Close the raw peers, then what is left on our side."""
        self._open.close()
