"""The server under test: longwire answering every message with itself.

``echo_server.py [FRONT_END]``. Prints its build and its port on the first line, then
serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from typing import Any

import longwire
from longwire.build import BUILD

# Autobahn sends messages of 16 MiB, and 4 MiB in fragments of 64 bytes.
LIMITS = longwire.Limits(message=16 << 20, fragments=1 << 17)
# Pings of ours would be counted by some cases, and a busy suite answers late.
OPTIONS: dict[str, Any] = {"limits": LIMITS, "ping_interval": None}


async def echo(connection: Any) -> None:
    """Answer on asyncio and on trio."""
    with contextlib.suppress(longwire.ConnectionClosed):
        async for message in connection:
            await connection.send(message)


def on_asyncio() -> None:
    """Serve on asyncio."""

    async def main() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        async with longwire.serve(echo, "127.0.0.1", 0, **OPTIONS) as server:
            print(BUILD, server.sockets[0].getsockname()[1], flush=True)
            await stopped.wait()

    asyncio.run(main())


def in_threads() -> None:
    """Serve in threads."""
    from longwire.sync import ServerConnection, serve

    def handle(connection: ServerConnection) -> None:
        with contextlib.suppress(longwire.ConnectionClosed):
            for message in connection:
                connection.send(message)

    with serve(handle, "127.0.0.1", 0, **OPTIONS) as server:

        def stop(number: int, frame: object) -> None:
            threading.Thread(target=server.shutdown).start()

        signal.signal(signal.SIGTERM, stop)
        print(BUILD, server.socket.getsockname()[1], flush=True)
        server.serve_forever()


def on_trio() -> None:
    """Serve on trio."""
    import trio

    from longwire.trio import serve

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(signal.SIGTERM) as signals:

                async def listen(task_status: Any) -> None:
                    await serve(
                        echo, listeners=listeners, task_status=task_status, **OPTIONS
                    )

                server = await nursery.start(listen)
                print(BUILD, listeners[0].socket.getsockname()[1], flush=True)
                await anext(aiter(signals))
                await server.aclose()

    trio.run(main)


SERVE = {"asyncio": on_asyncio, "sync": in_threads, "trio": on_trio}

if __name__ == "__main__":
    SERVE[sys.argv[1] if len(sys.argv) > 1 else "asyncio"]()
