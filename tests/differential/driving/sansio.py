"""Drives the sans-I/O classes: ClientProtocol, ServerProtocol, under either name."""

import base64
import hashlib

import values
import websockets.client
import websockets.server
from values import Wire, describe

MASK = b"\x01\x02\x03\x04"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Client = getattr(websockets.client, "ClientProtocol", None)
Server = getattr(websockets.server, "ServerProtocol", None)
if Client is None:  # its name until 10.4
    Client = websockets.client.ClientConnection
    Server = websockets.server.ServerConnection


def parse_uri(uri):
    from websockets.uri import parse_uri

    return parse_uri(uri)


def accept_key(key):
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()


class Driver:
    """One protocol object that has done its opening handshake."""

    def __init__(self, side, options):
        self.is_client = side == "client"
        self.wire = Wire(http=True)
        if self.is_client:
            self.protocol = Client(parse_uri("ws://example.com/"), **options)
            self.open_client()
        else:
            self.protocol = Server(**options)
            self.open_server()

    def open_client(self):
        request = self.protocol.connect()
        self.protocol.send_request(request)
        self.out()
        self.protocol.receive_data(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept_key(request.headers["Sec-WebSocket-Key"]).encode()
            + b"\r\n\r\n"
        )
        self.protocol.events_received()

    def open_server(self):
        self.protocol.receive_data(
            b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\n\r\n"
        )
        (request,) = self.protocol.events_received()
        self.protocol.send_response(self.protocol.accept(request))
        self.out()

    def out(self):
        """Return all that is to be written, described."""
        found = []
        for data in self.protocol.data_to_send():
            if data == b"":
                found.append("end of stream")
            else:
                found += self.wire.feed(data)
        return found

    def step(self, name, *arguments):
        try:
            result = describe(getattr(self, "do_" + name)(*arguments))
        except Exception as error:
            result = describe(error)
        return {"did": name, "result": result, **self.look()}

    def look(self):
        protocol = self.protocol
        found = {"wrote": self.out(), "events": describe(protocol.events_received())}
        for name in ("state", "close_code", "close_reason", "close_exc"):
            found[name] = guarded(lambda name=name: getattr(protocol, name))
        found["handshake_exc"] = guarded(lambda: protocol.handshake_exc)
        found["close_expected"] = guarded(protocol.close_expected)
        return found

    def do_send(self, kind, text, fin):
        data = text.encode()
        if kind == "text":
            self.protocol.send_text(data, fin)
        elif kind == "binary":
            self.protocol.send_binary(data, fin)
        else:
            self.protocol.send_continuation(data, fin)

    def do_ping(self, text):
        self.protocol.send_ping(text.encode())

    def do_pong(self, text):
        self.protocol.send_pong(text.encode())

    def do_close(self, *arguments):
        self.protocol.send_close(*arguments)

    def do_fail(self, *arguments):
        self.protocol.fail(*arguments)

    def do_eof(self):
        self.protocol.receive_eof()

    def do_frame(self, opcode, payload, fin, rsv, masked_right, cut):
        """Receive a frame, in two parts where ``cut`` says so."""
        masked = masked_right != self.is_client
        payload = bytes.fromhex(payload)
        data = values.frame(opcode, payload, fin, rsv, MASK if masked else None)
        if 0 < cut < len(data):
            self.protocol.receive_data(data[:cut])
        self.protocol.receive_data(data[cut:] if 0 < cut < len(data) else data)

    def do_raw(self, data):
        self.protocol.receive_data(bytes.fromhex(data))


def guarded(read):
    try:
        return describe(read())
    except Exception as error:
        return describe(error)


def run(program):
    driver = Driver(program["side"], program["options"])
    trace = [{"did": "open", "result": None, **driver.look()}]
    return trace + [driver.step(*step) for step in program["steps"]]
