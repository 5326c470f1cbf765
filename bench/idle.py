"""Memory of a server per idle connection, beside other libraries in the same run.

    python bench/idle.py [--connections 2000] [--only longwire,websockets]

Opens the connections, exchanges one message on each (which is what makes contexts and
buffers), waits a moment, and divides the growth of the server's private memory by their
number: with permessage-deflate negotiated and without. The kernel's own memory for the
sockets is not in it.
"""

from __future__ import annotations

import argparse
import resource
import time

from echo import FRAME, open_connection
from servers import Server


def measure(library: str, connections: int, deflate: bool) -> tuple[float, float]:
    """Return bytes per connection: after the handshake, and after one message."""
    server = Server(library, deflate)
    try:
        warm = [open_connection(server.port, deflate) for _ in range(50)]
        for sock in warm:
            sock.close()
        time.sleep(0.5)
        before = server.memory()
        socks = [open_connection(server.port, deflate) for _ in range(connections)]
        time.sleep(0.5)
        opened = server.memory()
        for sock in socks:
            sock.sendall(FRAME)
        for sock in socks:
            sock.recv(4096)
        time.sleep(0.5)
        used = server.memory()
        for sock in socks:
            sock.close()
    finally:
        server.stop()
    return (opened - before) / connections, (used - before) / connections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--only", default="longwire,pure,websockets")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"KiB per connection, {arguments.connections} idle connections")
    print(f"{'':12} {'plain':>18} {'deflate negotiated':>22}")
    print(f"{'':12} {'opened':>9} {'used':>8} {'opened':>13} {'used':>8}")
    for library in arguments.only.split(","):
        plain = measure(library, arguments.connections, False)
        deflate = measure(library, arguments.connections, True)
        cells = [value / 1024 for value in (*plain, *deflate)]
        print(
            f"{library:12} {cells[0]:9.1f} {cells[1]:8.1f} {cells[2]:13.1f} "
            f"{cells[3]:8.1f}"
        )


if __name__ == "__main__":
    main()
