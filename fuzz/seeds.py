"""Seeds: where mutation begins, for each target, as readable bytes.

Each begins with its target's decisions (see there), then come bytes of the wire as the
RFCs show them, right or wrong in one way. Twins get those of all targets of the core.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from fuzz import targets

FOUND = Path(__file__).parent / "found"
KEY = b"\x37\xfa\x21\x3d"
NO_KEY = bytes(4)
HELLO = b"\x7f\x9f\x4d\x51\x58"  # under KEY, as in RFC 6455 section 5.7
ROWS = "€ä𐍈".encode()

# --- frames ------------------------------------------------------------------------

# Masked with a key of zeros, so that a mutation of the payload is one of the message.
FROM_CLIENT = {
    "text": b"\x81\x85" + KEY + HELLO,
    "unicode": b"\x81\x89" + NO_KEY + ROWS,
    "empty": b"\x82\x80" + NO_KEY,
    "binary-126": b"\x82\xfe\x00\x7e" + NO_KEY + bytes(126),
    "binary-65536": b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00" + NO_KEY + bytes(99),
    "fragments": b"\x01\x83" + NO_KEY + b"Hel" + b"\x80\x82" + NO_KEY + b"lo",
    "split-character": b"\x01\x81" + NO_KEY + b"\xe2\x80\x82" + NO_KEY + b"\x82\xac",
    "ping-inside": b"\x02\x81" + NO_KEY + b"a\x89\x82" + NO_KEY + b"hi"
    b"\x00\x81" + NO_KEY + b"b\x80\x80" + NO_KEY,
    "pong": b"\x8a\x84" + KEY + b"\x00\x01\x02\x03",
    "close": b"\x88\x85" + NO_KEY + b"\x03\xe8bye",
    "close-empty": b"\x88\x80" + NO_KEY + b"\x81\x80" + NO_KEY,
    "close-1-byte": b"\x88\x81" + NO_KEY + b"\x03",
    "close-1006": b"\x88\x82" + NO_KEY + b"\x03\xee",
    "close-latin1": b"\x88\x83" + NO_KEY + b"\x03\xe8\xe9",
    "not-masked": b"\x81\x05Hello",
    "not-shortest": b"\x82\xfe\x00\x05" + NO_KEY + b"Hello",
    "highest-bit": b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00" + NO_KEY,
    "lone-continuation": b"\x80\x81" + NO_KEY + b"a",
    "interrupted": b"\x01\x81" + NO_KEY + b"a\x81\x81" + NO_KEY + b"b",
    "reserved-opcode": b"\x83\x80" + NO_KEY,
    "reserved-bit": b"\xa1\x80" + NO_KEY,
    "long-ping": b"\x89\xfe\x00\x7e" + NO_KEY + bytes(126),
    "fragmented-ping": b"\x09\x80" + NO_KEY,
    "surrogate": b"\x81\x83" + NO_KEY + b"\xed\xa0\x80",
    "overlong": b"\x81\x82" + NO_KEY + b"\xc0\xaf",
    "compressed": b"\xc1\x87" + NO_KEY + b"\xf2\x48\xcd\xc9\xc9\x07\x00",
    "compressed-twice": b"\xc1\x87" + NO_KEY + b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    b"\xc1\x85" + NO_KEY + b"\xf2\x00\x11\x00\x00",
    "compressed-fragments": b"\x41\x83" + NO_KEY + b"\xf2\x48\xcd"
    b"\x80\x84" + NO_KEY + b"\xc9\xc9\x07\x00",
    "compressed-stored": b"\xc1\x8b" + NO_KEY + b"\x00\x05\x00\xfa\xffHello\x00",
    "compressed-bfinal": b"\xc1\x88" + NO_KEY + b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
    "compressed-corrupt": b"\xc1\x83" + NO_KEY + b"\xff\xff\xff",
}
FROM_SERVER = {
    "text": b"\x81\x05Hello",
    "unicode": b"\x81\x09" + ROWS,
    "binary-256": b"\x82\x7e\x01\x00" + bytes(256),
    "fragments": b"\x01\x03Hel\x80\x02lo",
    "ping": b"\x89\x05Hello\x82\x01a",
    "close": b"\x88\x02\x03\xe9",
    "masked": b"\x81\x85" + KEY + HELLO,
    "compressed": b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
    "compressed-fragments": b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00",
}


def kernels() -> dict[str, bytes]:
    """Decisions: the kernel, then its arguments."""
    key, plain = b"\x01" + KEY, b"\x00"
    return {
        "held-bytes": b"\x00\x00"
        + key
        + b"\x00\x03abc\x00\x00"
        + b"\x01\x02de\x01\x03",
        "held-ascii": b"\x00\x01\x00"
        + plain
        + b"\x00\x05Hello\x01\x04\x00\x02, \x02\x00",
        "held-text": b"\x00\x01\x00"
        + key
        + b"\x00\x01\xe2\x00\x00\x00\x02\x82\xac\x06\x00",
        "held-mixed": b"\x00\x01\x00"
        + (b"\x00\x09ascii and\x05\x05" + b"\x00\x0c" + ROWS + b" no\x05\x02") * 2,
        "held-tail": b"\x00\x01\x01" + plain + b"\x00\x02\x82\xac\x00\x01",
        "held-surrogate": b"\x00\x01\x00" + plain + b"\x00\x02\xed\xa0\x00\x00",
        "mask": b"\x01" + KEY + b"\x03\x00\x07\x02abcdefghijklmno",
        "mask-outside": b"\x01" + KEY + b"\x00\x02\x80\x00abc",
        "build": b"\x02\x82\x00\x00" + KEY * 2 + b"payload",
        "build-text": b"\x02\x81\x05\x01" + KEY * 2 + ROWS,
    }


def frames() -> dict[str, bytes]:
    """Decisions: side, bits that extensions use, how to split, patience."""
    found = {f"client-{k}": b"\x00\x01\x00\x00" + v for k, v in FROM_CLIENT.items()}
    found |= {f"server-{k}": b"\x01\x01\x01\x01" + v for k, v in FROM_SERVER.items()}
    return found


def protocol() -> dict[str, bytes]:
    """Decisions: side and extension, compression, three limits, how to split."""
    found = {f"client-{k}": b"\x00\x19\0\0\0\0" + v for k, v in FROM_CLIENT.items()}
    found |= {f"server-{k}": b"\x01\x1f\0\0\0\1" + v for k, v in FROM_SERVER.items()}
    found["limited"] = b"\x00\x00\x04\x03\x03\x05" + FROM_CLIENT["ping-inside"]
    found["bomb"] = b"\x00\x19\x06\x00\x00\x07" + _bomb()
    found["extended"] = b"\x06\x00\0\0\0\1" + b"\xa1\x82" + NO_KEY + b"\x97\x96"
    return found


def _bomb() -> bytes:
    """Return a small frame of 70,000 zeros."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = deflater.compress(bytes(70_000)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    payload = payload[:-4]
    return bytes((0xC2, 0x80 | len(payload))) + NO_KEY + payload


def deflate() -> dict[str, bytes]:
    """Decisions: half and side, compression; limit, fragments, sizes and contents."""
    hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    return {
        "hello": b"\x00\x19\x00\x00\x07" + hello + b"\x00\x00\x05\xf2\x00\x11\x00\x00",
        "hello-limited": b"\x00\x19\x03\x00\x07" + hello,
        "fragments": b"\x01\x19\x04\x01\x03" + hello[:3] + b"\x04" + hello[3:],
        "early-end": b"\x00\x19\x00\x00\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        "stored": b"\x00\x1f\x00\x00\x0b\x00\x05\x00\xfa\xffHello\x00",
        "too-far-back": b"\x00\x01\x00\x00\x05\xf2\x00\x11\x00\x00",
        "both-ways": b"\x02\x79\x00\x00\x00\x0bhello hello\x01\x02\x01\x03abc\x03abc",
        "both-ways-long": b"\x03\xff\x02\x03\x05\x09a long one\x00\x00",
    }


def session() -> dict[str, bytes]:
    """Decisions: side, compression, limits, keepalive; then deeds by their numbers."""
    feed, frame, message, text, data, part, turn, read, stream = range(9)
    give_up, ping, pong, close, cast, flush, drain, tick, eof, reset, abort = range(
        9, 20
    )
    server, client = b"\x00\x00\x00\x00", b"\x01\x00\x00\x00"
    packed = b"\x00\x19\x00\x01"

    def fed(wire: bytes) -> bytes:
        return bytes((feed, len(wire))) + wire

    def deeds(*numbers: int) -> bytes:
        return bytes(numbers)

    found = {
        "echo": server + fed(FROM_CLIENT["text"]) + deeds(read, text, 1, 0, read),
        "ping": server + fed(FROM_CLIENT["ping-inside"]) + deeds(read, tick, 3),
        "keepalive": b"\x00\x00\x00\x01" + deeds(tick, 3, tick, 3, read, tick, 3),
        "peer-closes": server + fed(FROM_CLIENT["close"]) + deeds(drain, eof),
        "we-close": server
        + deeds(close, 0, 1)
        + fed(FROM_CLIENT["close"])
        + deeds(drain, eof),
        "client-closes": client + deeds(close, 0, 0) + fed(FROM_SERVER["close"]),
        "fault-behind-messages": server
        + deeds(message, 0, 9, message, 0, 9)
        + fed(FROM_CLIENT["reserved-bit"])
        + deeds(read, read, text, 1, 0, read),
        "full": server + deeds(message, 1, 255) * 5 + deeds(read) * 6,
        "flooded": server + deeds(message, 1, 9) * 30 + deeds(read) * 9,
        "stalled": server + deeds(data, 255, 0) * 3 + deeds(tick, 3, tick, 3),
        "fragments": server + deeds(part, 0, 9, ping, 0, part, 3, 9, turn),
        "streaming": server
        + deeds(stream)
        + fed(FROM_CLIENT["fragments"])
        + deeds(stream, stream, give_up),
        "compressed": packed
        + fed(FROM_CLIENT["compressed-twice"])
        + deeds(read, read, data, 200, 1, text, 2, 1),
        "broadcast": server + deeds(cast, 100) * 25,
        "reset": server + deeds(ping, 0, pong, 1, reset, 1, read, ping, 0),
        "abort": client + deeds(text, 2, 1, flush, abort, tick, 4),
        "floods": server + fed((b"\x89\x80" + NO_KEY) * 8) + deeds(tick, 2),
    }
    found |= {
        f"fed-{name}": server + fed(wire) + deeds(read, tick, 2, drain)
        for name, wire in FROM_CLIENT.items()
    }
    assert frame == 1
    return found


# --- heads -------------------------------------------------------------------------

REQUEST = (
    b"GET /chat?a=1 HTTP/1.1\r\nHost: example.com:8000\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Origin: https://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)
REQUESTS = {
    "opening": REQUEST,
    "with-frames": REQUEST + FROM_CLIENT["text"],
    "absolute": REQUEST.replace(b"/chat?", b"http://h.example?", 1),
    "empty-lines": b"\r\n\r\n" + REQUEST,
    "plain": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "old": b"GET / HTTP/1.0\r\n\r\n",
    "newer": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "post": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na",
    "connect": b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "options": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "body": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
    "chunked": b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "bare-lf": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare-cr": b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "two-hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "latin1": b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\t\x80\r\n\r\n",
    "ipv6": b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
RESPONSES = {
    "opening": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    + FROM_SERVER["text"],
    "refusal": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\nmore",
    "to-the-end": b"HTTP/1.0 502 Bad Gateway\r\nServer: x\r\n\r\n<html>",
    "chunked": b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'3;a="b"\r\nabc\r\n1\r\nd\r\n0\r\nX: y\r\n\r\nrest',
    "provisional": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n"
    b"HTTP/1.1 204 No Content\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    "tunnel": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    "both-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "bad-length": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
    "no-status": b"HTTP/1.1 099 \r\n\r\n",
    "tls-alert": b"\x15\x03\x03\x00\x02\x02\x46",
}


def requests() -> dict[str, bytes]:
    """Decisions: limits, how to split, origins, subprotocols."""
    found = {name: b"\x00\x00\x01\x01" + wire for name, wire in REQUESTS.items()}
    found["limited"] = b"\x01\x05\x02\x00" + REQUEST
    return found


def responses() -> dict[str, bytes]:
    """Decisions: limits, how to split, tunnel."""
    found = {name: b"\x00\x00\x00" + wire for name, wire in RESPONSES.items()}
    found["in-tunnel"] = b"\x00\x01\x01" + RESPONSES["tunnel"]
    found["limited"] = b"\x01\x05\x00" + RESPONSES["chunked"]
    return found


EXTENSIONS = (
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits",
    b'permessage-deflate; server_max_window_bits="10"; client_max_window_bits=9',
    b"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    b"foo, bar; baz=2, permessage-deflate; server_max_window_bits=8, "
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits=16",
    b"permessage-deflate; client_max_window_bits; client_max_window_bits",
    b', ,a ; b = "c\\d"\t,',
)
FIELDS = (
    *((0, value) for value in EXTENSIONS),
    (1, b"keep-alive, ,Upgrade"),
    (2, b"h2c, websocket/13"),
    (3, b"chat,superchat"),
    (4, b"Basic dXNlcjpwYTpzcw=="),
    (4, b"basic  /+=="),
    (5, b"[2001:db8::1]:65535"),
    (5, b"a%20b:80"),
    (6, b"a\r\nb"),
    (6, b"na\xc3\xafve \xff"),
    (7, b"wss://user:pa%20ss@[::1]:8000/path?query=1"),
    (7, b"ws://example.com#fragment"),
    (7, "ws://bücher.example".encode()),
)


def fields() -> dict[str, bytes]:
    """Decisions: the parser."""
    return {
        f"{number:02}": bytes((parser,)) + value
        for number, (parser, value) in enumerate(FIELDS)
    }


def negotiation() -> dict[str, bytes]:
    """Decisions: flags and bits of the server, of the client, who is faced with it."""
    found = {
        f"granted-{number}": b"\x00\x00\x00\x00\x00\x00\x01" + value
        for number, value in enumerate(EXTENSIONS)
    }
    found |= {
        f"confirmed-{number}": b"\x00\x00\x00\x08\x00\x05\x02" + value
        for number, value in enumerate(EXTENSIONS)
    }
    found["agreed"] = b"\x03\x02\x01\x00\x02\x05\x00"
    found["profiles"] = b"\x04\x02\x04\x03\x00"
    found["two-lines"] = b"\x00\x00\x00\x00\x00\x00\x01a\n" + EXTENSIONS[2]
    return found


# --- the hub -----------------------------------------------------------------------

STORED = (
    (0, b'j{"text":"hi"}'),
    (0, b"m\x81\xa4text\xc4\x02\x00\xff"),
    (0, b'J\x00\x0e{"from":"ann"}[1,2]'),
    (0, b"\x80\x04K\x01."),
    (1, b'{"a":[1,2.5e300,"x",null,true]}'),
    (1, b"\x93\x01\xd4\x05\x00\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"),
    (1, b"[" * 70 + b"]" * 70),
    (2, b"eyJhbGciOiJIUzI1NiJ9.e30.AAAA"),
    (3, b"k3f9Zq1B.1042.9c2a1"),
    (3, b"a.0.0"),
    (4, b"chat:42"),
    (4, b"a\xe2\x80\xaeb"),
    (5, b"epoch123.7.99.88.1800000000123\nj1"),
    (6, b"redis+sentinel://user:p%40ss@[::1]:26379,b/mymaster/0"),
)


def hub_core() -> dict[str, bytes]:
    """Decisions: the dice; then steps, as `hub_core.STEPS` counts them."""
    begin = b"\x00\x04\x00\x00\x00\x05\x06\x07\x08"
    publish = b"\x00\x00\x00\x01\x00\x02\x03\x01"
    lost = b"\x00\x00\x00\x0f"
    return {
        "delivered": begin + 3 * publish,
        "repaired": begin + lost + publish + b"\x06\x07\x02\x03\x05",
        "forked": begin + 3 * publish + b"\x12\x00\x02" + 3 * publish + b"\x06\x07",
        "restarted": begin + publish + b"\x10\x13\x00\x11\x06\x07" + publish,
        "slow": begin + b"\x0a\x00\x00" + 9 * publish + b"\x0a\x00\x01\x06\x07",
        "trimmed": begin + b"\x0a\x00\x00" + 9 * publish + b"\x14\x00\x03\x0a\x00\x01",
    }


def hub_stored() -> dict[str, bytes]:
    """Decisions: the reader."""
    return {
        f"{number:02}": bytes((reader,)) + value
        for number, (reader, value) in enumerate(STORED)
    }


def twins() -> dict[str, bytes]:
    """Decisions: the target."""
    makers = (kernels, frames, protocol, deflate, session)
    return {
        f"{maker.__name__}-{name}": bytes((number,)) + data
        for number, maker in enumerate(makers)
        for name, data in maker().items()
    }


def rpc() -> dict[str, bytes]:
    """Decisions: wire, limits, role; then deeds by their numbers."""
    call, note, batch, cancel, more, answer, fail, item, raw, odd, limits = range(11)
    ask, tell, stream, take, give_up, wait, hold, opened, passed = range(11, 20)
    lose, end, drain, leave = (240 + n for n in (0, 1, 2, 3))
    echo, turn, waits, items, back, large = range(6)
    named, none = 12, 13

    def program(wire: int, bounds: int, *deeds: int) -> bytes:
        return bytes((wire, bounds, 0, *deeds))

    found = {
        "calls": (call, echo, 2, 0, call, turn, 2, 0, call, waits, 0, 0, wait, 7),
        "many": (*(call, waits, 0, 0) * 7, wait, 5, opened, *(cancel, 0, 0) * 3),
        "notes": (*(note, turn, 2) * 7, wait, 2, *(note, waits, 0) * 7, end),
        "batch": (batch, 3, echo, 2, waits, 0, none, 0, wait, 3, cancel, 0, 1),
        "stream": (call, items, 5, 2, wait, 3, more, 0, 0, wait, 3, cancel, 0, 0),
        "idle": (call, items, 5, 2, wait, 3, passed, 2, call, waits, 0, 0, passed, 2),
        "ours": (ask, 0, 0, 0, wait, 2, answer, 0, 0, ask, 1, 0, 0, wait, 2, passed, 1),
        "given-up": (*(ask, 0, 0, 0) * 3, wait, 1, give_up, 0, 1, fail, 0, 0),
        "our-stream": (stream, 1, wait, 1, item, 0, 5, take, take, wait, 3, give_up, 1),
        "nested": (*(call, back, 0, 0) * 3, wait, 5, *(answer, 0, 0) * 3, wait, 4),
        "slow-reader": (hold, *(call, large, 0, 0) * 9, wait, 7, hold, wait, 7),
        "errors": (*(call, 6, 0, 0, call, 7, 0, 0, call, 8, 0, 0), wait, 6),
        "typed": (call, named, 3, 0, call, named, 10, 0, call, named, 8, 0, wait, 4),
        "odd": (odd, 3, 0, 3, 3, 13, 1, 12, raw, 3, 123, 34, 105, limits, 0, tell, 5),
        "drained": (
            call,
            waits,
            0,
            0,
            wait,
            2,
            drain,
            call,
            echo,
            0,
            0,
            wait,
            2,
            opened,
        ),
        "stubborn": (*(call, 9, 0, 0) * 4, wait, 3, *(cancel, 0, 0) * 2, cancel, 0, 1),
        "cut-off": (hold, *(call, large, 0, 0) * 9, tell, 1, tell, 2, wait, 3, lose),
        "lost": (call, waits, 0, 0, call, turn, 0, 0, ask, 0, 0, 0, lose, wait, 3),
        "left": (*(call, waits, 0, 0) * 5, *(note, waits, 0) * 3, wait, 1, leave),
    }
    wires = ("jsonrpc", "msgpack", "wsrpc", "wsrpc1")
    return {
        f"{name}-{wires[number % 4]}": program(number % 4, number % 3, *deeds)
        for offset in (0, 1)
        for number, (name, deeds) in enumerate(found.items(), offset)
    }


MAKERS = (
    *(kernels, frames, protocol, deflate, session, twins),
    *(requests, responses, fields, negotiation),
    *(rpc, hub_core, hub_stored),
)
assert tuple(maker.__name__ for maker in MAKERS) == targets.NAMES


def of(target: str) -> dict[str, bytes]:
    """Return the seeds of a target by name, its finds of the past among them."""
    maker = MAKERS[targets.NAMES.index(target)]
    finds = {path.name: path.read_bytes() for path in FOUND.glob(f"{target}-*")}
    return {**maker(), **finds}
