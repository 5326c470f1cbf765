"""Drives ``websockets.legacy``."""

import live
from live import guarded
from websockets.legacy.client import connect
from websockets.legacy.server import serve


class Driver(live.Driver):
    ATTRIBUTES = (
        "open",
        "closed",
        "close_code",
        "close_reason",
        "state",
        "subprotocol",
        "close_rcvd",
        "close_sent",
        "close_rcvd_then_sent",
        "is_client",
        "path",
        "secure",
        "latency",
    )

    def look(self):
        found = super().look()
        found["extensions"] = guarded(
            lambda: [each.name for each in self.connection.extensions]
        )
        return found

    async def connect(self, sock):
        return await connect("ws://example.com/path", sock=sock, **self.options)

    async def serve(self):
        return await serve(self.handler, "127.0.0.1", 0, **self.options)


def run(program):
    return live.run(program, Driver)
