"""A script, without an event loop: calls a server, and is called by it.

Try it with thread_server.py: python examples/rpc/script.py
"""

import os

from longwire import rpc
from longwire.rpc.sync import Client

URI = os.environ.get("URI", "ws://localhost:8765/")


def ask(question: str) -> str:
    """The server calls this while we wait for it; it runs in a thread."""
    return f"{question} Yes."


def main() -> None:
    with Client(URI, {"ask": ask}) as client:
        print(client.call("add", 1, 2, timeout=10, returns=int))
        print(client.call("confirm", "Sure?", timeout=10))
        for number in client.stream("count", to=3, returns=int):
            print(number)
        try:
            client.call("sleep", 60, timeout=0.1)
        except rpc.CallTimeout as error:
            print(error)


if __name__ == "__main__":
    main()
