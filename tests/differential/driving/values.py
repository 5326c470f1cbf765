"""What a trace says of values, exceptions and bytes, alike for every library.

Runs inside a worker: ``websockets`` is the library under test.
"""

import struct
import zlib

import websockets.exceptions

OPCODES = {0: "CONT", 1: "TEXT", 2: "BINARY", 8: "CLOSE", 9: "PING", 10: "PONG"}
PUBLIC = [vars(websockets.exceptions)]
try:
    import websockets.legacy.exceptions

    PUBLIC.append(vars(websockets.legacy.exceptions))
except ImportError:
    pass  # of a later edition


def describe(value):
    """Return a value of JSON that is equal where two values are alike to a program."""
    if type(value).__name__ == "State":
        return value.name
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):
        return int(value) if value == int(value) else "a float"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{type(value).__name__} {short(bytes(value))}"
    if isinstance(value, BaseException):
        return describe_exception(value)
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if hasattr(value, "opcode"):
        return describe_frame(value)
    if hasattr(value, "status_code"):
        return describe_response(value)
    if hasattr(value, "headers") and hasattr(value, "path"):
        return ["request", value.path, describe_headers(value.headers)]
    if hasattr(value, "code") and hasattr(value, "reason"):
        return ["close", int(value.code), value.reason]
    if hasattr(value, "done") and hasattr(value, "add_done_callback"):
        return "an awaitable, done" if value.done() else "an awaitable"
    return type(value).__name__


def short(data):
    if len(data) <= 64:
        return repr(data)
    return f"{data[:16]!r}... {len(data)} bytes, crc {zlib.crc32(data):08x}"


def describe_exception(error):
    names = public_names(error)
    found = {"error": names[0], "is also": names[1:], "text": str(error)}
    for name in ("code", "reason", "rcvd", "sent", "rcvd_then_sent", "status_code"):
        if name == "reason" and isinstance(error, UnicodeError):
            continue
        try:
            value = getattr(error, name)
        except AttributeError:
            continue
        found[name] = describe(value)
    return found


def public_names(error):
    """Return the names that a program would write behind ``except`` to catch it."""
    found = [
        each.__name__
        for each in type(error).__mro__
        if each.__module__ in STANDARD
        or any(public.get(each.__name__) is each for public in PUBLIC)
    ]
    return found or [type(error).__name__]


STANDARD = ("builtins", "asyncio.exceptions", "concurrent.futures._base")


def describe_frame(frame):
    return [
        "frame",
        OPCODES.get(int(frame.opcode), int(frame.opcode)),
        short(bytes(frame.data)),
        frame.fin,
        *(name for name in ("rsv1", "rsv2", "rsv3") if getattr(frame, name)),
    ]


def describe_response(response):
    body = getattr(response, "body", None)
    return [
        "response",
        int(response.status_code),
        response.reason_phrase,
        describe_headers(response.headers),
        "no body" if body is None else "a body" if body else "an empty body",
    ]


# What each library, each second and each connection says in its own way.
VARYING = (
    *("date", "server", "user-agent", "sec-websocket-key", "sec-websocket-accept"),
    *("content-length", "content-type"),  # of a text about what was wrong
)


def describe_headers(headers):
    """Return fields in the order of their names: another order says the same."""
    fields = [
        [name.lower(), varied(name, value)] for name, value in headers.raw_items()
    ]
    return sorted(fields, key=lambda field: field[0])


class Wire:
    """Reads what a library wrote: HTTP first, where there is some, then frames."""

    def __init__(self, http=False, inflate=False):
        self.buffer = b""
        self.http = http
        self.compressed = False
        self.inflater = zlib.decompressobj(wbits=-15) if inflate else None

    def feed(self, data):
        """Return what is whole now, described."""
        self.buffer += data
        found = []
        while True:
            item = self.head() if self.http else self.frame()
            if item is None:
                return found
            found.append(item)

    def head(self):
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        self.buffer = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = [[*line.split(": ", 1), ""][:2] for line in lines]
        self.http = " 101 " not in first and not first.startswith("GET")
        if self.http:  # an answer other than 101: the rest is its body
            fields.append(["body", "some" if self.buffer else ""])
            self.buffer = b""
        fields = [[name.lower(), varied(name, value)] for name, value in fields]
        return [first, *sorted(fields, key=lambda field: field[0])]

    def frame(self):
        data = self.buffer
        if len(data) < 2:
            return None
        size, at = data[1] & 127, 2
        if size == 126:
            size, at = struct.unpack_from("!H", data.ljust(4), 2)[0], 4
        elif size == 127:
            size, at = struct.unpack_from("!Q", data.ljust(10), 2)[0], 10
        key = data[at : at + 4] if data[1] & 128 else b""
        at += len(key) if data[1] & 128 == 0 else 4
        if len(data) < at + size:
            return None
        payload = data[at : at + size]
        self.buffer = data[at + size :]
        if data[1] & 128:
            payload = bytes(b ^ key[i & 3] for i, b in enumerate(payload))
        return self.told(data[0], bool(data[1] & 128), payload)

    def told(self, first, masked, payload):
        opcode, fin, rsv = first & 15, first >> 7, (first >> 4) & 7
        if opcode in (1, 2):
            self.compressed = rsv == 4
        if self.inflater and self.compressed and opcode < 3:
            tail = b"\x00\x00\xff\xff" if fin else b""
            payload = self.inflater.decompress(payload + tail)
        parts = [OPCODES.get(opcode, opcode), short(payload)]
        # The extension of the programs adds an exclamation mark.
        chosen = payload[:4] if payload[4:] in (b"", b"!") else payload
        if opcode == 9 and len(chosen) == 4 and chosen != b"text":
            parts[1] = "four random bytes"
        parts += ["masked"] * masked + ["more follows"] * (not fin)
        return [*parts, f"rsv {rsv}"] if rsv else parts


def varied(name, value):
    return "..." if name.lower() in VARYING else value


def frame(opcode, payload, fin=True, rsv=0, mask=None):
    """Return the bytes of a frame, valid or not."""
    first = fin << 7 | rsv << 4 | opcode
    flag = 128 if mask is not None else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, flag | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, flag | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, flag | 127, len(payload))
    if mask is None:
        return head + payload
    masked = bytes(b ^ mask[i & 3] for i, b in enumerate(payload))
    return head + mask + masked


def close_payload(code, reason=""):
    return struct.pack("!H", code) + reason.encode()
