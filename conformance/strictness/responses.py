"""Responses that are not quite as usual, each to open a WebSocket.

@ACCEPT@ stands for what answers the key, @LOWER@ for the same in lower case. A client
offers the subprotocols chat and superchat where the name of a case speaks of them.
"""

from __future__ import annotations

from .case import Case

LINES = {
    "line": b"HTTP/1.1 101 Switching Protocols",
    "upgrade": b"Upgrade: websocket",
    "connection": b"Connection: Upgrade",
    "accept": b"Sec-WebSocket-Accept: @ACCEPT@",
}


def response(*more: bytes, before: bytes = b"", **changes: bytes) -> bytes:
    """Return a 101 with further lines, or others; an empty one is left out."""
    lines = [line for line in ({**LINES, **changes}).values() if line]
    return before + b"\r\n".join([*lines, *more]) + b"\r\n\r\n"


def case(name: str, data: bytes, clause: str = "", why: str = "") -> Case:
    return Case("response", name, data, clause, why)


STATUS_LINE = "RFC 9112 4: HTTP-version SP status-code SP [ reason-phrase ]"
NOT_101 = "RFC 6455 4.1: another status opens no WebSocket"
CONTROLS = (
    "RFC 9110 5.5: CR, LF, NUL MUST be rejected or replaced; other controls are invalid"
)
LOGS = "It would go on into logs and to other programs."


def lined(name: str, line: bytes, clause: str = "", why: str = "") -> Case:
    return case(name, response(line=line), clause, why)


STATUS_LINES = [
    case("as in RFC 6455", response()),
    lined("no reason phrase", b"HTTP/1.1 101 "),
    lined(
        "no space behind the status",
        b"HTTP/1.1 101",
        "RFC 9112 4: MUST send it, also where no reason phrase follows",
    ),
    lined("another reason phrase", b"HTTP/1.1 101 Hm, \xc3\xbc"),
    lined(
        "ESC in the reason phrase",
        b"HTTP/1.1 101 \x1b[1m",
        "RFC 9112 4: HTAB, SP, VCHAR and obs-text",
        LOGS,
    ),
    lined("two spaces in the status line", b"HTTP/1.1  101 Hm", STATUS_LINE),
    lined(
        "HTTP/1.0",
        b"HTTP/1.0 101 Switching Protocols",
        "RFC 9110 15.2: HTTP/1.0 has no 1xx; 7.8: nor has it Upgrade",
    ),
    lined("HTTP/1.2", b"HTTP/1.2 101 Switching Protocols"),
    lined("HTTP/2", b"HTTP/2 101 Switching Protocols", STATUS_LINE),
    lined("status 1011", b"HTTP/1.1 1011 Hm", STATUS_LINE),
    lined("status 200", b"HTTP/1.1 200 OK", NOT_101),
    lined("status 102 and no other", b"HTTP/1.1 102 Processing", NOT_101),
    case("a 100 before it", response(before=b"HTTP/1.1 100 Continue\r\n\r\n")),
    case("a 103 before it", response(before=b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n")),
    case(
        "an empty line before it",
        response(before=b"\r\n"),
        STATUS_LINE,
        "Servers ignore empty lines (RFC 9112 2.2); a client has none to expect.",
    ),
]
FIELD_LINE = "RFC 9112 5: a name that is a token, then a colon"
FIELD_LINES = [
    case(
        "names in lower case",
        response().replace(b"Sec-WebSocket-A", b"sec-websocket-a"),
    ),
    case(
        "Date, Server and cookies",
        response(b"Date: x", b"Server: x", b"Set-Cookie: a=1"),
    ),
    case("Sec-WebSocket-Version: 13", response(b"Sec-WebSocket-Version: 13")),
    case(
        "lines that end with LF",
        response().replace(b"\r\n", b"\n"),
        "RFC 9112 2.2: CR LF ends a line; a LF alone MAY be recognized",
        "Readers that differ see the end of a head in two places.",
    ),
    case("a space before a colon", response(b"X-A : a"), FIELD_LINE),
    case("a folded value", response(b"X-A: a\r\n b")),
    case(
        "a space before the first field",
        response(upgrade=b" Upgrade: websocket"),
        "RFC 9112 2.2: MUST reject, or leave out the line",
    ),
    case("a line without a colon", response(b"X-A"), FIELD_LINE),
    case("NUL in a value", response(b"X-A: a\0b"), CONTROLS),
    case("ESC in a value", response(b"X-A: a\x1bb"), CONTROLS, LOGS),
    case("UTF-8 in a value", response(b"X-A: \xc3\xbc")),
    case("bytes that are not UTF-8 in a value", response(b"X-A: \xff")),
    case("Content-Length: 0", response(b"Content-Length: 0")),
    case("Content-Length: 5", response(b"Content-Length: 5")),
    case("Content-Length: x", response(b"Content-Length: x")),
    case("Transfer-Encoding: chunked", response(b"Transfer-Encoding: chunked")),
]

FAIL = "the client MUST fail the connection (RFC 6455 4.1)"
UPGRADE = f"No match for websocket: {FAIL}"
CONNECTION = f"No token upgrade: {FAIL}"
ACCEPT = f"Not the expected value: {FAIL}"

UPGRADES = [
    *(
        case(
            f"Upgrade: {value}", response(upgrade=f"Upgrade: {value}".encode()), clause
        )
        for value, clause in [
            ("WebSocket", ""),
            ("WEBSOCKET", ""),
            ("h2c", UPGRADE),
            ("websocket, h2c", UPGRADE),
            ("websocket/13", UPGRADE),
        ]
    ),
    case("no Upgrade", response(upgrade=b""), UPGRADE),
    case("Upgrade in two lines", response(b"Upgrade: websocket"), UPGRADE),
    *(
        case(
            f"Connection: {value}",
            response(connection=f"Connection: {value}".encode()),
            clause,
        )
        for value, clause in [
            ("upgrade", ""),
            ("keep-alive, Upgrade", ""),
            ("Upgrade, Keep-Alive", ""),
            ("close", CONNECTION),
            ("upgraded", CONNECTION),
        ]
    ),
    case("no Connection", response(connection=b""), CONNECTION),
    case("Connection in two lines", response(b"Connection: keep-alive")),
    case("no Accept", response(accept=b""), ACCEPT),
    case(
        "a wrong Accept",
        response(accept=b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ACCEPT,
    ),
    case(
        "an Accept in lower case",
        response(accept=b"Sec-WebSocket-Accept: @LOWER@"),
        ACCEPT,
    ),
    case(
        "an Accept with spaces around",
        response(accept=b"Sec-WebSocket-Accept:  @ACCEPT@  "),
    ),
    case(
        "two Accepts",
        response(b"Sec-WebSocket-Accept: @ACCEPT@"),
        "RFC 6455 11.3.3: MUST NOT appear more than once",
    ),
]

SUBPROTOCOL = f"Not asked for: {FAIL}"
EXTENSION = f"Not offered: {FAIL}"
DEFLATE = "RFC 7692 7.1: MUST decline, MUST fail the connection, for invalid parameters"


def chosen(value: str, clause: str = "") -> Case:
    line = f"Sec-WebSocket-Protocol: {value}".encode()
    return case(f"the subprotocol {value!r}", response(line), clause)


def granted(value: str, clause: str = "", why: str = "") -> Case:
    line = f"Sec-WebSocket-Extensions: {value}".encode()
    return case(f"Extensions: {value}", response(line), clause, why)


AGREEMENTS = [
    chosen("chat"),
    chosen("superchat"),
    chosen(""),
    chosen("other", SUBPROTOCOL),
    chosen("Chat", SUBPROTOCOL),
    chosen("chat, superchat", "RFC 6455 4.2.2: one value"),
    case(
        "a protocol where none was asked for",
        response(b"Sec-WebSocket-Protocol: chat"),
        SUBPROTOCOL,
    ),
    case(
        "a subprotocol in two lines",
        response(*[b"Sec-WebSocket-Protocol: chat"] * 2),
        "RFC 6455 11.3.4: MUST NOT appear more than once",
    ),
    granted(""),
    granted("x-other", EXTENSION),
    granted("permessage-deflate"),
    granted("PerMessage-Deflate", EXTENSION),
    *(
        granted(f"permessage-deflate; {params}", clause)
        for params, clause in (
            ("server_no_context_takeover", ""),
            ("client_no_context_takeover", ""),
            ("server_max_window_bits=10", ""),
            ("server_max_window_bits=8", ""),
            ('server_max_window_bits="10"', ""),
            ("client_max_window_bits=15", ""),
            ("client_max_window_bits=10", ""),
            ("client_max_window_bits=9", ""),
            ("client_max_window_bits=8", ""),
            ("server_max_window_bits=16", DEFLATE),
            ("server_max_window_bits=7", DEFLATE),
            ("server_max_window_bits=010", DEFLATE),
            ("server_max_window_bits", DEFLATE),
            ("client_max_window_bits", DEFLATE),
            ("unknown=1", DEFLATE),
            ("server_no_context_takeover=1", DEFLATE),
            ("server_no_context_takeover; server_no_context_takeover", DEFLATE),
        )
    ),
    granted(
        "permessage-deflate, permessage-deflate",
        "RFC 7692 6: one bit marks a message that is compressed, not twice",
    ),
]
LIMIT = "RFC 9110 5.4: a client may discard; no limit is set"
SIZES = [
    case("100 fields", response(*[b"X-%d: y" % n for n in range(95)])),
    case("200 fields", response(*[b"X-%d: y" % n for n in range(195)]), LIMIT),
    case("a value of 6 KiB", response(b"X-A: " + b"a" * 6144)),
    case("a value of 12 KiB", response(b"X-A: " + b"a" * 12288), LIMIT),
]

RESPONSES = STATUS_LINES + FIELD_LINES + UPGRADES + AGREEMENTS + SIZES
