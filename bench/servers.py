"""An echo server of one library in a process of its own, for the other programs here.

    python bench/servers.py LIBRARY [--deflate] [--uvloop]

Prints its port, then serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LIBRARIES = ("longwire", "pure", "websockets", "picows")


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


async def start(library: str, deflate: bool) -> int:
    """Start the server; return its port."""
    compression = "deflate" if deflate else None
    if library == "picows":
        return await start_picows()
    if library == "websockets":
        from websockets import serve
    else:
        from longwire import serve  # type: ignore[assignment]
    server = await serve(echo, "127.0.0.1", 0, compression=compression)
    return int(next(iter(server.sockets)).getsockname()[1])


async def start_picows() -> int:
    import picows

    class Echo(picows.WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == picows.WSMsgType.CLOSE:
                transport.disconnect()
            else:
                transport.send(frame.msg_type, frame.get_payload_as_bytes())

    server = await picows.ws_create_server(lambda request: Echo(), "127.0.0.1", 0)
    return int(server.sockets[0].getsockname()[1])


class Server:
    """The process of one server: ``pid``, ``port``; end it by ``stop()``."""

    def __init__(self, library: str, deflate: bool = False, core: int | None = None):
        self.library = library
        command = [sys.executable, str(Path(__file__)), library]
        command += ["--deflate"] if deflate else []
        pure = "1" if library == "pure" else "0"
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LONGWIRE_PURE": pure},
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.pid = self._process.pid
        if core is not None:
            os.sched_setaffinity(self.pid, {core})

    def cpu(self) -> float:
        """Return the seconds of CPU that the process has used, kernel included."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the bytes of memory that belong to the process alone."""
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            rows = dict(line.split(":", 1) for line in list(file)[1:])
        return sum(
            int(rows[name].split()[0]) * 1024
            for name in ("Private_Clean", "Private_Dirty")
        )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--deflate", action="store_true")
    arguments = parser.parse_args()
    # Peers log each connection that ends without a closing handshake, with a traceback.
    logging.disable()
    print(await start(arguments.library, arguments.deflate), flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
