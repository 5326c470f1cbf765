"""A server in threads whose clients call plain functions and generators.

Try it: python examples/rpc/thread_server.py, then python examples/rpc/script.py
"""

import os
import time
from collections.abc import Iterator

from longwire import rpc
from longwire.rpc.sync import Peer, Routes, Server

PORT = int(os.environ.get("PORT", "8765"))

routes = Routes()


@routes.route
def add(a: int, b: int) -> int:
    return a + b


@routes.route
def sleep(seconds: float) -> None:
    time.sleep(min(seconds, 1))


@routes.route
def count(to: int) -> Iterator[int]:
    yield from range(to)


@routes.route
def confirm(peer: Peer, question: str) -> str:
    return peer.call("ask", question, timeout=10, returns=str)


def main() -> None:
    server = Server(routes, limits=rpc.RpcLimits(deadline=30))
    with server.serve("localhost", PORT) as listening:
        try:
            listening.serve_forever()
        except KeyboardInterrupt:
            pass  # leaving the block closes all connections with 1001


if __name__ == "__main__":
    main()
