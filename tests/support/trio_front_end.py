"""longwire.trio behind the blocking face of ``frontends.py``: a run in a thread."""

from __future__ import annotations

import contextlib
import gc
import math
import queue
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Literal

import trio

import longwire.trio
from longwire import Cause, LimitExceeded
from tests.support.rawpeer import SECONDS

Work = Callable[[], Awaitable[Any]]


class TrioJob:
    """Something that a task does while the test goes on."""

    def __init__(self, front: TrioFrontEnd, work: Work) -> None:
        self._front = front
        self._work = work
        self._scope = trio.CancelScope()
        self.begun = threading.Event()
        self._ended = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Do it, in a task of its own."""
        self.begun.set()
        try:
            with self._scope:
                self._value = await self._work()
            if self._scope.cancelled_caught:
                self._error = RuntimeError("cancelled")
        except Exception as exc:
            self._error = exc
        finally:
            self._ended.set()

    def done(self) -> bool:
        """Return whether it has ended."""
        return self._ended.is_set()

    def result(self, seconds: float = SECONDS) -> Any:
        """Return or raise what came of it; AssertionError if it takes too long."""
        if not self._ended.wait(seconds):
            self.cancel()
            raise AssertionError(f"not done within {seconds} seconds")
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> bool:
        """Cancel it; return whether that came in time."""
        self._front.call(self._scope.cancel)
        self._ended.wait(SECONDS)
        return self._scope.cancelled_caught


class TrioFeed:
    """Fragments of a message that a test gives one by one."""

    def __init__(self, front: TrioFrontEnd) -> None:
        self._front = front
        self._ours, self._theirs = trio.open_memory_channel[Any](math.inf)

    def put(self, item: Any) -> None:
        """Give one fragment; an exception is raised where the next is asked for."""
        self._front.call(lambda: self._ours.send_nowait(item))

    def end(self) -> None:
        """Say that there are no more."""
        self.put(None)

    async def items(self) -> AsyncIterator[Any]:
        """Yield what the test gives."""
        while (item := await self._theirs.receive()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item


class TrioFrontEnd:
    """trio in a thread of its own."""

    name = "trio"
    can = frozenset({"cancel", "stall"})

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._limit: Any = None
        self._servers: list[longwire.trio.Server] = []
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()
        self._ready.wait(SECONDS)

    def _main(self) -> None:
        try:
            trio.run(self._run)
        except BaseException as exc:
            self._error = exc

    async def _run(self) -> None:
        self._limit = trio.CapacityLimiter(64)
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with trio.open_nursery() as self._nursery:
            self._ready.set()
            await self._stop.wait()

    # --- running -----------------------------------------------------------------

    def call(self, function: Callable[[], Any]) -> Any:
        """Call ``function`` in the run."""
        return trio.from_thread.run_sync(function, trio_token=self._token)

    def start(self, work: Work) -> TrioJob:
        """Begin ``work`` in a task."""
        job = TrioJob(self, work)
        self.call(lambda: self._nursery.start_soon(job.run))
        # trio runs what is started together in any order.
        job.begun.wait(SECONDS)
        return job

    def run(self, work: Work) -> Any:
        """Do ``work`` and wait for it, but not for ever."""
        return self.start(work).result()

    def feed(self) -> TrioFeed:
        """Return what gives a message its fragments one by one."""
        return TrioFeed(self)

    def stall(self, seconds: float) -> None:
        """Make the run stand still, as a handler does that never awaits."""
        stalled = threading.Event()

        def sleep() -> None:
            stalled.set()
            time.sleep(seconds)

        self._token.run_sync_soon(sleep)
        stalled.wait(SECONDS)

    def settle(self) -> None:
        """Wait until all that there is to do now is done."""
        for _ in range(3):
            self.run(trio.lowlevel.checkpoint)

    def tasks(self) -> int:
        """Return how many connections of servers there are, open or opening."""
        return sum(len(server._runs) for server in self._servers)

    def stop(self) -> None:
        """End the run; AssertionError if it leaves tasks or has failed."""
        self.settle()
        left = self.call(lambda: [task.name for task in self._nursery.child_tasks])
        self.call(self._stop.set)
        if left:
            self.call(self._nursery.cancel_scope.cancel)
        self._thread.join(SECONDS)
        gc.collect()
        assert not left
        assert self._error is None, self._error

    # --- ends --------------------------------------------------------------------

    @contextlib.contextmanager
    def serve(
        self, handler: Any | Literal["echo"] | None = None, **options: Any
    ) -> Iterator[tuple[int, queue.Queue[Any]]]:
        """Serve on 127.0.0.1; give the port, and a queue of the connections."""
        from tests.support.frontends import Endpoint

        arrived: queue.Queue[Any] = queue.Queue()

        async def handle(ws: longwire.trio.ServerConnection) -> None:
            endpoint = Endpoint(self, ws)
            arrived.put(endpoint)
            if handler is None:
                await ws.wait_closed()
            elif handler == "echo":
                async for message in ws:
                    await ws.send(message)
            else:
                await trio.to_thread.run_sync(handler, endpoint, limiter=self._limit)

        ended = trio.Event()

        async def begin() -> longwire.trio.Server:
            where: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
            if "sock" in options:
                sock = trio.socket.from_stdlib_socket(options.pop("sock"))
                where = {"listeners": [trio.SocketListener(sock)]}

            async def serve(task_status: Any) -> None:
                try:
                    await longwire.trio.serve(
                        handle, **where, **options, task_status=task_status
                    )
                finally:
                    ended.set()

            return await self._nursery.start(serve)  # type: ignore[no-any-return]

        server = self.run(begin)
        self._servers.append(server)
        try:
            yield server.listeners[0].socket.getsockname()[1], arrived
        finally:
            self.run(server.aclose)
            self.run(ended.wait)

    def connect(self, port: int, **options: Any) -> TrioJob:
        """Begin to connect to a port of 127.0.0.1."""
        from tests.support.frontends import Endpoint

        async def begin() -> Any:
            uri = f"{'wss' if 'ssl' in options else 'ws'}://localhost:{port}/"
            keywords: dict[str, Any] = {"proxy": None, **options}
            if "sock" in options:
                sock = trio.socket.from_stdlib_socket(keywords.pop("sock"))
                keywords["stream"] = trio.SocketStream(sock)
            else:
                keywords.setdefault("host", "127.0.0.1")
            connect = longwire.trio.connect(uri, **keywords)
            return Endpoint(self, await connect.connect(self._nursery))

        return self.start(begin)

    def connect_each(self, port: int, **options: Any) -> TrioJob:
        """Begin to connect anew again and again; the first connection ends it."""

        async def use() -> None:
            uri = f"ws://127.0.0.1:{port}/"
            async for _ in longwire.trio.connect(uri, proxy=None, **options):
                return

        return self.start(use)

    # --- verbs -------------------------------------------------------------------

    def recv(self, ws: Any, decode: bool | None, timeout: float | None) -> Work:
        async def receive() -> Any:
            with timed(timeout):
                return await ws.recv(decode)

        return receive

    def begin_stream(self, ws: Any, decode: bool | None) -> Work:
        async def begin() -> Any:
            return ws.recv_streaming(decode)

        return begin

    def next_piece(self, ws: Any, pieces: Any) -> Work:
        async def piece() -> Any:
            return await anext(pieces, None)

        return piece

    def iterate(self, ws: Any) -> Work:
        async def iterate() -> list[Any]:
            return [message async for message in ws]

        return iterate

    def send(self, ws: Any, message: Any, text: bool | None, **kw: Any) -> Work:
        return lambda: ws.send(message, text, **kw)  # type: ignore[no-any-return]

    def ping(self, ws: Any, data: Any) -> Work:
        return lambda: ws.ping(data)  # type: ignore[no-any-return]

    def finish_ping(self, ws: Any, pong: Any) -> Work:
        return pong.wait  # type: ignore[no-any-return]

    def pong(self, ws: Any, data: Any) -> Work:
        return lambda: ws.pong(data)  # type: ignore[no-any-return]

    def close(self, ws: Any, *args: Any, **kwargs: Any) -> Work:
        return lambda: ws.aclose(*args, **kwargs)  # type: ignore[no-any-return]

    def wait_closed(self, ws: Any) -> Work:
        return ws.wait_closed  # type: ignore[no-any-return]

    def cut_off(self, ws: Any, detail: str) -> Work:
        async def cut() -> None:
            ws._live.abort(Cause.LOCAL, detail, ws._now())
            ws._react()

        return cut

    def shed(self, ws: Any, error: LimitExceeded) -> Work:
        async def shed() -> None:
            ws._shed(error)

        return shed

    def fail(self, ws: Any, error: Exception) -> Work:
        async def fail() -> None:
            ws._live.fail(error, ws._now())
            ws._react()

        return fail


@contextlib.contextmanager
def timed(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError after ``seconds``."""
    try:
        with trio.fail_after(math.inf if seconds is None else seconds):
            yield
    except trio.TooSlowError as exc:
        raise TimeoutError from exc
