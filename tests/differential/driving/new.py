"""Drives ``websockets.asyncio``."""

import live
from live import MESSAGES, awaited, guarded
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


class Driver(live.Driver):
    ATTRIBUTES = ("state", "close_code", "close_reason", "subprotocol")

    def look(self):
        """What programs read of ``connection.protocol`` belongs to it as well."""
        found = super().look()
        for name in ("state", "close_code", "close_reason", "close_rcvd", "close_sent"):
            found[f"protocol.{name}"] = guarded(
                lambda name=name: getattr(self.connection.protocol, name)
            )
        found["protocol.extensions"] = guarded(
            lambda: [each.name for each in self.connection.protocol.extensions]
        )
        found["protocol.side"] = guarded(lambda: self.connection.protocol.side.name)
        found["latency"] = guarded(lambda: self.connection.latency)
        return found

    async def connect(self, sock):
        return await connect("ws://example.com/path", sock=sock, **self.options)

    async def serve(self):
        return await serve(self.handler, "127.0.0.1", 0, **self.options)

    def do_streaming(self):
        async def streaming():
            return [part async for part in self.connection.recv_streaming()]

        self.start(streaming())

    def do_send_as(self, kind, text):
        self.start(awaited(lambda: self.connection.send(MESSAGES[kind](), text=text)))


def run(program):
    return live.run(program, Driver)
