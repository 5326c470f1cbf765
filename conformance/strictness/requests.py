"""Requests that are not quite as usual, each to open a WebSocket."""

from __future__ import annotations

from .case import Case

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = {
    b"Host": b"127.0.0.1",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}


def request(
    *more: bytes,
    line: bytes = b"GET / HTTP/1.1",
    end: bytes = b"\r\n",
    before: bytes = b"",
    without: str = "",
    **changes: bytes,
) -> bytes:
    """Return a request that opens a WebSocket, but for what is said."""
    changed = {name.replace("_", "-").encode(): text for name, text in changes.items()}
    usual = {name: text for name, text in FIELDS.items() if name.decode() != without}
    lines = [name + b": " + text for name, text in (usual | changed).items()]
    return before + end.join([line, *lines, *more]) + end * 2


def case(name: str, data: bytes, clause: str = "", why: str = "") -> Case:
    return Case("request", name, data, clause, why)


SMUGGLING = "Readers that differ may see two requests in one (RFC 9112 11.2)."
LOGS = "It would go on into logs and to other programs."

BEFORE = [
    case("as in RFC 6455", request()),
    case("an empty line before it", request(before=b"\r\n")),
    case("five empty lines before it", request(before=b"\r\n" * 5)),
    case(
        "frames behind it",
        request() + b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
    ),
]

INVALID_LINE = "RFC 9112 3.2: SHOULD respond with 400 to an invalid request-line"
FORMS = "RFC 9112 3.2: a target has one of four forms"


def lined(name: str, line: bytes, clause: str = "", why: str = "") -> Case:
    return case(name, request(line=line), clause, why)


LINES = [
    lined("a query", b"GET /chat?room=1&x=%20 HTTP/1.1"),
    lined("two slashes", b"GET //chat HTTP/1.1"),
    lined("dots in the path", b"GET /a/../b HTTP/1.1"),
    lined("a backslash in the path", b"GET /a\\b HTTP/1.1"),
    lined("%00 in the path", b"GET /%00 HTTP/1.1"),
    lined("a percent sign alone", b"GET /100%zz HTTP/1.1"),
    lined("^ ` { | } [ ] in the target", b"GET /a|b{c}^`[d] HTTP/1.1"),
    lined(
        "a quotation mark in the target",
        b'GET /"a" HTTP/1.1',
        INVALID_LINE,
        "It ends a URI in running text (RFC 3986 appendix C).",
    ),
    lined(
        "angle brackets in the target",
        b"GET /<a> HTTP/1.1",
        INVALID_LINE,
        "They end a URI in running text (RFC 3986 appendix C).",
    ),
    lined(
        "a fragment in the target",
        b"GET /a#b HTTP/1.1",
        "RFC 9112 3.2.1: path and query alone",
        "What is behind it is path to one reader and none to another.",
    ),
    lined("bytes beyond ASCII in the target", b"GET /\xc3\xbc HTTP/1.1", INVALID_LINE),
    lined("a control in the target", b"GET /\x01 HTTP/1.1", INVALID_LINE),
    lined("a target without a slash", b"GET chat HTTP/1.1", FORMS),
    lined("GET *", b"GET * HTTP/1.1", FORMS),
    lined("a host and port as target", b"GET 127.0.0.1:80 HTTP/1.1", FORMS),
    lined("an absolute target", b"GET http://127.0.0.1/ HTTP/1.1"),
    lined("an absolute target, ws", b"GET ws://127.0.0.1/ HTTP/1.1"),
    lined("an absolute target, HTTPS", b"GET HTTPS://127.0.0.1/ HTTP/1.1"),
    lined("an absolute target of another host", b"GET http://a.example/ HTTP/1.1"),
    lined(
        "an absolute target with a user",
        b"GET http://a@127.0.0.1/ HTTP/1.1",
        "RFC 9110 4.2.4: no userinfo in a target; parse it as an error",
    ),
    lined("two spaces in the line", b"GET  / HTTP/1.1", INVALID_LINE, SMUGGLING),
    lined("a tab in the line", b"GET\t/ HTTP/1.1", INVALID_LINE, SMUGGLING),
    lined("a space behind the version", b"GET / HTTP/1.1 ", INVALID_LINE, SMUGGLING),
    lined("no version of HTTP", b"GET /", INVALID_LINE),
    lined("HTTP/1.0", b"GET / HTTP/1.0", "RFC 6455 4.2.1: HTTP/1.1 or higher"),
    lined("HTTP/1.2", b"GET / HTTP/1.2"),
    lined(
        "HTTP/2.0", b"GET / HTTP/2.0", "RFC 9110 15.6.6: 505 for another major version"
    ),
    lined("a lower-case version", b"GET / http/1.1", "RFC 9112 2.3: case-sensitive"),
    lined("POST", b"POST / HTTP/1.1", "RFC 6455 4.2.1: a GET request"),
    lined("a lower-case method", b"get / HTTP/1.1", "RFC 9110 9.1: case-sensitive"),
    case(
        "lines that end with LF",
        request(end=b"\n"),
        "RFC 9112 2.2: CR LF ends a line; a LF alone MAY be recognized",
        SMUGGLING,
    ),
    case(
        "lines that end with CR",
        request(end=b"\r"),
        "RFC 9112 2.2: a bare CR MUST be invalid or replaced",
        SMUGGLING,
    ),
    case(
        "one line that ends with LF",
        request().replace(b"Upgrade\r\n", b"Upgrade\n"),
        "RFC 9112 2.2: CR LF ends a line; a LF alone MAY be recognized",
        SMUGGLING,
    ),
]

HOST = "RFC 9112 3.2: MUST respond with 400 without a valid Host, or with two"

HOSTS = [
    case("no Host", request(without="Host"), HOST),
    case("two Hosts", request(b"Host: 127.0.0.1"), HOST),
    *(
        case(f"Host: {value}", request(Host=value.encode()), clause)
        for value, clause in [
            ("", ""),
            ("127.0.0.1:", ""),
            ("127.0.0.1:080", ""),
            ("my_host", ""),
            ("example.com.", ""),
            ("a%20b", ""),
            ("[::1]:80", ""),
            ("127.0.0.1/a", HOST),
            ("a@127.0.0.1", HOST),
            ("127.0.0.1:x", HOST),
            ("127.0.0.1:65536", HOST),
            ("::1", HOST),
            ("[::1%25eth0]", HOST),
            ("[127.0.0.1]", HOST),
            ("a%zz", HOST),
            ("a b", HOST),
            ("a, b", HOST),
            ("\u212aelvin.com", HOST),
        ]
    ),
]

FIELD_LINE = "RFC 9112 5: a name that is a token, then a colon"
CONTROLS = (
    "RFC 9110 5.5: CR, LF, NUL MUST be rejected or replaced; other controls are invalid"
)

FIELD_LINES = [
    case("names in lower case", request().replace(b"Sec-WebSocket", b"sec-websocket")),
    case("a field without a value", request(b"X-A:")),
    case("a field without a space", request(b"X-A:a")),
    case("tabs around a value", request(b"X-A:\t a \t")),
    case("a colon in a value", request(b"X-A: a: b")),
    case("an underscore in a name", request(b"X_A: a")),
    case(
        "a space before the colon",
        request(b"X-A : a"),
        "RFC 9112 5.1: MUST reject with 400",
    ),
    case(
        "a folded value",
        request(b"X-A: a\r\n b"),
        "RFC 9112 5.2: MUST reject with 400, or replace the fold",
        SMUGGLING,
    ),
    case(
        "a space before the first field",
        request().replace(b"\r\nHost", b"\r\n Host", 1),
        "RFC 9112 2.2: MUST reject, or leave out the line",
        SMUGGLING,
    ),
    case("a line without a colon", request(b"X-A"), FIELD_LINE),
    case("an empty name", request(b": a"), FIELD_LINE),
    case("a name with a space", request(b"X A: a"), FIELD_LINE),
    case("a name with a bracket", request(b"X(A): a"), FIELD_LINE),
    case("a name beyond ASCII", request(b"X-\xc3\xbc: a"), FIELD_LINE),
    case("NUL in a value", request(b"X-A: a\0b"), CONTROLS),
    case("CR in a value", request(b"X-A: a\rb"), CONTROLS),
    case("ESC in a value", request(b"X-A: a\x1bb"), CONTROLS, LOGS),
    case("DEL in a value", request(b"X-A: a\x7fb"), CONTROLS, LOGS),
    case("UTF-8 in a value", request(b"X-A: \xc3\xbc")),
    case("bytes that are not UTF-8 in a value", request(b"X-A: \xff\xfe")),
    case("quotes and commas in a cookie", request(b'Cookie: a="b,c"; d=e f')),
]

UPGRADE = 'RFC 6455 4.2.1: an |Upgrade| header field with "websocket"'
CONNECTION = 'RFC 6455 4.2.1: a |Connection| header field with the token "Upgrade"'
OPTION = "RFC 9110 7.6.1: a list of tokens"

UPGRADES = [
    case("no Upgrade", request(without="Upgrade"), UPGRADE),
    case("Upgrade in two lines", request(b"Upgrade: h2c")),
    *(
        case(f"Upgrade: {value}", request(Upgrade=value.encode()), clause)
        for value, clause in [
            ("WebSocket", ""),
            ("WEBSOCKET", ""),
            ("h2c, websocket", ""),
            (",websocket,", ""),
            ("websocket, websocket", ""),
            ("websocket/13", UPGRADE),
            ("h2c", UPGRADE),
            ('"websocket"', UPGRADE),
            ("websocket;q=1", UPGRADE),
        ]
    ),
    case("no Connection", request(without="Connection"), CONNECTION),
    case("Connection in two lines", request(b"Connection: keep-alive")),
    *(
        case(f"Connection: {value}", request(Connection=value.encode()), clause)
        for value, clause in [
            ("upgrade", ""),
            ("keep-alive, Upgrade", ""),
            ("Upgrade, keep-alive", ""),
            ("close, Upgrade", ""),
            ("Upgrade, Upgrade", ""),
            ("keep-alive", CONNECTION),
            ("upgraded", CONNECTION),
            ("Upgrade, a b", OPTION),
            ("Upgrade;q=1", OPTION),
        ]
    ),
]

SIXTEEN = "RFC 6455 4.2.1: base64-encoded, 16 bytes when decoded"
THIRTEEN = "RFC 6455 4.2.1: with a value of 13"
ONCE = "RFC 6455 11.3: MUST NOT appear more than once"

KEYS = [
    case("no key", request(without="Sec-WebSocket-Key"), SIXTEEN),
    case("two keys", request(b"Sec-WebSocket-Key: " + KEY), ONCE),
    *(
        case(f"a key {what}", request(Sec_WebSocket_Key=key.encode()), clause)
        for what, key, clause in [
            ("as in the example of RFC 6455", "AQIDBAUGBwgJCgsMDQ4PEC==", ""),
            ("of zeros", "AAAAAAAAAAAAAAAAAAAAAA==", ""),
            ("without padding", "dGhlIHNhbXBsZSBub25jZQ", SIXTEEN),
            ("with half the padding", "dGhlIHNhbXBsZSBub25jZQ=", SIXTEEN),
            ("of 15 bytes", "c2l4dGVlbiBieXRlcyEh", SIXTEEN),
            ("of 17 bytes", "c2l4dGVlbiBieXRlcyBoZXI=", SIXTEEN),
            ("of the other alphabet", "--__HNhbXBsZSBub25jZQQ==", SIXTEEN),
            ("with a space in it", "dGhlIHNhbXBs ZSBub25jZQ==", SIXTEEN),
            ("that is empty", "", SIXTEEN),
        ]
    ),
    case("no version", request(without="Sec-WebSocket-Version"), THIRTEEN),
    case("two versions", request(b"Sec-WebSocket-Version: 13"), ONCE),
    *(
        case(
            f"version {version}",
            request(Sec_WebSocket_Version=version.encode()),
            THIRTEEN,
        )
        for version in ("8", "7", "12", "14", "013", "13, 8", "+13", "13.0", "")
    ),
]

ORIGINS = [
    *(
        case(f"Origin: {value}", request(f"Origin: {value}".encode()))
        for value in (
            *("https://example.com", "null", "", "file://", "https://a.example/b"),
            *("chrome-extension://abcdef", "https://a.example https://b.example"),
        )
    ),
    case(
        "an Origin beyond ASCII",
        request("Origin: http://\u212aelvin.com".encode()),
        "RFC 6455 4.1: the ASCII serialization of an origin",
        "U+212A passes for a k where case is folded.",
    ),
    case(
        "two Origins",
        request(b"Origin: https://a.example", b"Origin: https://b.example"),
        "RFC 6454 7.3: MUST NOT include more than one",
        "One may be checked and the other believed.",
    ),
]

GET_BODY = "RFC 9110 9.3.1: content in a GET may be rejected as an attack"
LENGTH = "RFC 9112 6.3: MUST respond with 400 to an invalid Content-Length"

BODIES = [
    case("Content-Length: 0", request(b"Content-Length: 0")),
    case("a body", request(b"Content-Length: 5") + b"Hello", GET_BODY, SMUGGLING),
    case(
        "a chunked body",
        request(b"Transfer-Encoding: chunked") + b"5\r\nHello\r\n0\r\n\r\n",
        GET_BODY,
        SMUGGLING,
    ),
    case("Content-Length: x", request(b"Content-Length: x"), LENGTH),
    case("Content-Length: -1", request(b"Content-Length: -1"), LENGTH),
    case(
        "two Content-Lengths",
        request(b"Content-Length: 0", b"Content-Length: 1"),
        LENGTH,
    ),
    case("Expect: 100-continue", request(b"Expect: 100-continue")),
]

TOKENS = "RFC 6455 4.1: each a token"
ABNF = "RFC 6455 9.1: MUST fail the connection when the ABNF is not met"


def offered(field: str, value: str, clause: str = "") -> Case:
    line = f"Sec-WebSocket-{field}: {value}".encode()
    return case(f"{field}: {value}", request(line), clause)


OFFERS = [
    offered("Protocol", "a, b"),
    offered("Protocol", "a, a"),
    offered("Protocol", "a,, b,"),
    offered("Protocol", ""),
    offered("Protocol", "a b", TOKENS),
    offered("Protocol", "a=b", TOKENS),
    offered("Protocol", '"a"', TOKENS),
    offered("Extensions", ""),
    offered("Extensions", "x-other; a=1"),
    offered("Extensions", "x-webkit-deflate-frame"),
    offered("Extensions", 'x-other; a="b"'),
    offered("Extensions", "a; =", ABNF),
    offered("Extensions", "permessage-deflate;", ABNF),
    offered("Extensions", 'x-other; a="b c"', ABNF),
    offered("Extensions", "permessage-deflate"),
    offered("Extensions", "PerMessage-Deflate"),
    *(
        offered("Extensions", f"permessage-deflate; {params}")
        for params in (
            *("client_max_window_bits", "server_max_window_bits=8", "unknown"),
            *("server_max_window_bits=16", "client_no_context_takeover=1"),
            *("client_max_window_bits; client_max_window_bits",),
            *('client_max_window_bits="10"', "server_max_window_bits=010"),
        )
    ),
]

TOO_LARGE = "RFC 9110 5.4: MUST respond with a 4xx to more than one wishes to process"

SIZES = [
    case("100 fields", request(*[b"X-%d: y" % n for n in range(95)])),
    case("200 fields", request(*[b"X-%d: y" % n for n in range(195)]), TOO_LARGE),
    case("a value of 6 KiB", request(b"X-A: " + b"a" * 6144)),
    case("a value of 12 KiB", request(b"X-A: " + b"a" * 12288), TOO_LARGE),
    case("fields of 12 KiB", request(*[b"X-A: " + b"a" * 3000] * 4)),
    case("fields of 24 KiB", request(*[b"X-A: " + b"a" * 3000] * 8), TOO_LARGE),
    lined("a target of 6 KiB", b"GET /" + b"a" * 6144 + b" HTTP/1.1"),
    lined(
        "a target of 12 KiB",
        b"GET /" + b"a" * 12288 + b" HTTP/1.1",
        "RFC 9112 3: MUST respond with 414",
    ),
    case("Connection of 60 elements", request(Connection=b"a, " * 59 + b"Upgrade")),
    case(
        "Connection of 100 elements",
        request(Connection=b"a, " * 99 + b"Upgrade"),
        TOO_LARGE,
        "Each element costs its parsing; nobody sends more than a few.",
    ),
]

REQUESTS = [
    *(BEFORE + LINES + HOSTS + FIELD_LINES + UPGRADES + KEYS + ORIGINS + BODIES),
    *(OFFERS + SIZES),
]
