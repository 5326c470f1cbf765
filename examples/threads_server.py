"""An echo server in threads: one for each connection, and no event loop.

Try it: longwire connect ws://localhost:8765/
"""

import os

from longwire.sync import ServerConnection, serve

PORT = int(os.environ.get("PORT", "8765"))


def echo(websocket: ServerConnection) -> None:
    for message in websocket:
        websocket.send(message)


def main() -> None:
    with serve(echo, "localhost", PORT) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass  # leaving the block closes all connections with 1001


if __name__ == "__main__":
    main()
