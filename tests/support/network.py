"""Clients of every front end with URIs of their own, and peers for them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

from tests.support.frontends import Endpoint
from tests.support.rawpeer import SECONDS

T = TypeVar("T")


@contextlib.contextmanager
def in_a_loop(opened: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter ``opened`` in an event loop with a thread of its own; yield its value."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(SECONDS)

    try:
        value = wait(opened.__aenter__())
        try:
            yield value
        finally:
            wait(opened.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.close()


def module_of(front: Any) -> Any:
    """Return the module of ``front``: longwire, longwire.sync or longwire.trio."""
    name = "longwire" if front.name == "asyncio" else f"longwire.{front.name}"
    return importlib.import_module(name)


def _dialer(front: Any, again: bool, args: tuple[Any, ...], options: Any) -> Any:
    name = "reconnect" if again and front.name == "sync" else "connect"
    if not isinstance(args[0], str):
        name = f"unix_{name}"
    return functools.partial(getattr(module_of(front), name), *args, **options)


def connect(front: Any, *args: Any, **options: Any) -> Any:
    """Begin to connect to a URI, or to a `Path` and a URI."""
    dial = _dialer(front, False, args, options)
    if front.name == "sync":
        return front.start(lambda: Endpoint(front, dial()))

    async def begin() -> Endpoint:
        if front.name == "trio":
            return Endpoint(front, await dial().connect(front._nursery))
        return Endpoint(front, await dial())

    return front.start(begin() if front.name == "asyncio" else begin)


def loop_over(front: Any, times: int, *args: Any, **options: Any) -> Any:
    """Begin a loop over so many connections; the job gives what each received first."""
    dial = _dialer(front, True, args, options)
    seen: list[Any] = []

    def iterate() -> list[Any]:
        for ws in dial():
            seen.append(ws.recv())
            if len(seen) == times:
                break
        return seen

    async def iterate_async() -> list[Any]:
        async for ws in dial():
            seen.append(await ws.recv())
            if len(seen) == times:
                break
        return seen

    if front.name == "asyncio":
        return front.start(iterate_async())
    return front.start(iterate if front.name == "sync" else iterate_async)


def operate(front: Any, server: Any, verb: str, **options: Any) -> Any:
    """Begin a verb of a server that waits: ``drain`` or ``close``."""
    if verb == "close":
        verb = {"sync": "shutdown", "trio": "aclose"}.get(front.name, verb)
    method = getattr(server, verb)

    async def work() -> None:
        result = method(**options)
        if result is not None:
            await result
        if front.name == "asyncio":
            await server.wait_closed()

    if front.name == "asyncio":
        return front.start(work())
    return front.start(work if front.name == "trio" else lambda: method(**options))


@contextlib.contextmanager
def unix_serving(
    front: Any, path: Path, handler: Any = None, **options: Any
) -> Iterator[Any]:
    """Serve on a Unix socket, an echo without ``handler``; yield the server."""

    def echo(ws: Any) -> None:
        for message in ws:
            ws.send(message)

    async def echo_async(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    unix_serve = module_of(front).unix_serve
    if front.name == "sync":
        server = unix_serve(handler or echo, path, **options)
        serving = front.start(server.serve_forever)
    elif front.name == "trio":
        import trio

        ended = trio.Event()

        async def serve(task_status: Any) -> None:
            try:
                await unix_serve(
                    handler or echo_async, path, task_status=task_status, **options
                )
            finally:
                ended.set()

        server = front.run(lambda: front._nursery.start(serve))
        serving = front.start(ended.wait)
    else:

        async def begin() -> Any:
            return await unix_serve(handler or echo_async, path, **options)

        server = front.run(begin())
        serving = None
    try:
        yield server
    finally:
        operate(front, server, "close").result()
        if serving is not None:
            serving.result()
