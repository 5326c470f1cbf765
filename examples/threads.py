"""A client without an event loop: sends what is typed, prints what comes.

One thread waits for input, another for messages; both use the same connection.
Try it with echo_server.py: python examples/threads.py, and type lines.
"""

import os
import sys
import threading

from longwire import ConnectionClosed
from longwire.sync import ClientConnection, connect

URI = os.environ.get("URI", "ws://localhost:8765/")


def show(websocket: ClientConnection) -> None:
    for message in websocket:
        print(message, flush=True)


def main() -> None:
    with connect(URI) as websocket:
        showing = threading.Thread(target=show, args=(websocket,), daemon=True)
        showing.start()
        try:
            for line in sys.stdin:
                websocket.send(line.rstrip("\n"))
            websocket.ping().wait(5)
        except ConnectionClosed:
            print(f"the server has gone: {websocket.close_report}")
    showing.join()  # it ends with the connection, when all that came is printed


if __name__ == "__main__":
    main()
