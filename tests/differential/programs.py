"""Programs: what hypothesis makes up for a connection to do and to meet.

A program is JSON: the API, the side, options, and steps, each a name and arguments
of a method ``do_NAME`` in ``driving``.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["APIS", "needs", "programs"]

# Which editions have an API.
APIS = {
    "sansio": ("17.4", "13.1", "12.0", "10.4"),
    "new": ("17.4", "13.1"),
    "legacy": ("17.4", "13.1", "12.0", "10.4", "9.1"),
    "opening": ("17.4", "13.1", "12.0", "10.4"),
    "serving": ("17.4", "13.1", "12.0", "10.4", "9.1"),
    "overriding": ("17.4", "13.1", "12.0", "10.4", "9.1"),
}

TEXTS = ["", "hello", "\xfcber \U0001f600", "x" * 125, "y" * 126]
SENDABLE = [
    *("text", "emoji", "surrogate", "empty text", "bytes", "empty bytes"),
    *("bytearray", "memoryview", "strided", "125", "126", "long", "list"),
    *("list of bytes", "list of one", "empty list", "mixed", "mixed other"),
    *("list of ints", "generator", "failing", "async", "async mixed", "empty async"),
    *("dict", "int", "float", "none"),
]
PINGABLE = ["text", "bytes", "empty bytes", "bytearray", "strided", "125", "126", "int"]
CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 3000, 4999]
BAD_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]

Step = list[Any]


def close_payloads() -> st.SearchStrategy[bytes]:
    codes = st.sampled_from(CODES * 3 + BAD_CODES)
    reasons = st.sampled_from([b"", b"bye", "\xfcber".encode(), b"\xff", b"r" * 123])
    whole = st.builds(
        lambda code, reason: code.to_bytes(2, "big") + reason, codes, reasons
    )
    return whole | st.sampled_from([b"", b"\x03"])


def frames(cuts: bool) -> st.SearchStrategy[Step]:
    """A frame of the peer: mostly valid, sometimes each kind of invalid."""
    data = st.sampled_from(
        [t.encode() for t in TEXTS] + [b"\xff", b"\xf0\x9f", b"\x98\x80"]
    )
    cut = st.sampled_from([0, 0, 0, 1, 3]) if cuts else st.just(0)

    def valid(opcode: int, payload: bytes, fin: bool, where: int) -> Step:
        return ["frame", opcode, payload.hex(), fin, 0, True, where]

    def invalid(opcode: int, payload: bytes, fin: bool, rsv: int, right: bool) -> Step:
        return ["frame", opcode, payload.hex(), fin, rsv, right, 0]

    good = st.builds(valid, st.sampled_from([0, 1, 2]), data, st.booleans(), cut)
    messages = st.builds(valid, st.sampled_from([1, 2]), data, st.just(True), cut)
    control = st.builds(valid, st.sampled_from([9, 10]), data, st.just(True), cut)
    closes = st.builds(valid, st.just(8), close_payloads(), st.just(True), cut)
    bad = st.builds(
        invalid,
        st.sampled_from([0, 1, 2, 3, 8, 9, 10, 11, 15]),
        data,
        st.booleans(),
        st.sampled_from([0, 0, 1, 2, 4]),
        st.sampled_from([True, True, False]),
    )
    return st.one_of(messages, messages, good, control, closes, bad)


def closings() -> st.SearchStrategy[Step]:
    code = st.sampled_from(CODES * 2 + BAD_CODES)
    reason = st.sampled_from(["", "bye", "\xfcber", "r" * 123, "r" * 124, "\ud800"])
    return st.one_of(
        st.just(["close"]),
        st.builds(lambda c: ["close", c], code),
        st.builds(lambda c, r: ["close", c, r], code, reason),
    )


def sansio_steps() -> st.SearchStrategy[Step]:
    text = st.sampled_from(TEXTS)
    short = st.sampled_from(TEXTS)
    kinds = st.sampled_from(["text", "binary", "continuation"])
    fails = st.builds(
        lambda c, r: ["fail", c, r], st.sampled_from([1001, 1002, 1011]), text
    )
    return st.one_of(
        frames(cuts=True),
        frames(cuts=True),
        st.builds(lambda *args: ["send", *args], kinds, text, st.booleans()),
        st.builds(lambda t: ["ping", t], short),
        st.builds(lambda t: ["pong", t], short),
        closings(),
        fails,
        st.just(["eof"]),
    )


def live_steps(api: str, closing: bool) -> st.SearchStrategy[Step]:
    """Calls and events of a connection; ``closing`` has more of its end in them."""
    calls = [
        st.just(["recv"]),
        st.just(["recv"]),
        st.builds(lambda kind: ["send", kind], st.sampled_from(SENDABLE)),
        st.builds(lambda kind: ["ping", kind], st.sampled_from(PINGABLE)),
        st.builds(lambda kind: ["pong", kind], st.sampled_from(PINGABLE)),
        st.just(["pinged"]),
        st.just(["ping"]),
        st.just(["iterate"]),
        st.just(["iterate_one"]),
        st.builds(lambda n: ["cancel", n], st.integers(0, 3)),
        st.just(["send_slowly"]),
        st.sampled_from([["part", "more"], ["part"]]),
        st.just(["wait_closed"]),
    ]
    if api == "new":
        calls += [
            st.builds(lambda decode: ["recv", decode], st.booleans()),
            st.just(["streaming"]),
            st.builds(
                lambda kind, text: ["send_as", kind, text],
                st.sampled_from(["text", "bytes", "list", "list of bytes", "async"]),
                st.booleans(),
            ),
        ]
    events = [
        frames(cuts=True),
        frames(cuts=True),
        st.just(["rest"]),
        st.just(["frame", 10, b"are you there".hex(), True, 0, True, 0]),
    ]
    ends = [
        closings(),
        st.just(["eof"]),
        st.just(["gone"]),
        st.just(["reset"]),
        st.just(["wait", 11]),
        st.just(["wait", 45]),
        st.just(["server_close"]),
        st.just(["server_close", "and wait"]),
        st.just(["return"]),
        st.just(["raise"]),
        st.builds(
            lambda payload: ["frame", 8, payload.hex(), True, 0, True, 0],
            close_payloads(),
        ),
    ]
    return st.one_of(*calls, *events, *events, *(ends * (2 if closing else 1)))


def options(api: str) -> st.SearchStrategy[dict[str, Any]]:
    if api == "sansio":
        return st.sampled_from([{}, {"max_size": 100}])
    return st.sampled_from(
        [
            {},
            {},
            {"ping_interval": None},
            {"max_size": 100},
            {"max_queue": 1},
            {"close_timeout": 1},
            {"deflate": True},
            {"mark": True},
        ]
    )


REQUEST = {
    "Host": ["example.com", "example.com:80", "", "a b"],
    "Upgrade": ["websocket", "WebSocket", "h2c", "h2c, websocket", ""],
    "Connection": ["Upgrade", "keep-alive, upgrade", "keep-alive", ""],
    "Sec-WebSocket-Key": [
        *("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZQ=="),
        *("not base64!", "", " dGhlIHNhbXBsZSBub25jZQ== "),
    ],
    "Sec-WebSocket-Version": ["13", "8", "", "thirteen"],
}
REQUEST_TOO = {
    "Origin": ["https://example.com", "https://other.com", "null"],
    "Sec-WebSocket-Protocol": [
        "chat",
        "chat, superchat",
        "other",
        "superchat,chat",
        "a b",
    ],
    "Sec-WebSocket-Extensions": [
        *("permessage-deflate", "permessage-deflate; client_max_window_bits"),
        *("permessage-deflate; server_max_window_bits=10", "x-other", "; bad"),
        *("permessage-deflate; server_no_context_takeover", "permessage-deflate; x=1"),
        "permessage-deflate; client_max_window_bits=7, permessage-deflate",
    ],
    "Content-Length": ["0", "5", "x"],
    "Transfer-Encoding": ["chunked"],
    "X-Other": ["value", "\xfcber", "a, b", ""],
}
RESPONSE = {
    "Upgrade": ["websocket", "WebSocket", "h2c", ""],
    "Connection": ["Upgrade", "upgrade", "close", "keep-alive, Upgrade"],
    "Sec-WebSocket-Accept": ["ACCEPT", "dGhlIHNhbXBsZSBub25jZQ==", ""],
}
RESPONSE_TOO = {
    "Sec-WebSocket-Protocol": ["chat", "other", "chat, superchat"],
    "Sec-WebSocket-Extensions": [
        *("permessage-deflate", "permessage-deflate; client_max_window_bits=10"),
        *("permessage-deflate; server_max_window_bits=8", "x-other", "; bad"),
        *("permessage-deflate; server_max_window_bits=16", "permessage-deflate; x"),
        "permessage-deflate, permessage-deflate",
    ],
    "Content-Length": ["0", "5"],
    "Content-Type": ["text/plain"],
    "Location": ["ws://127.0.0.1:1/other", "/relative"],
    "X-Other": ["value", "\xfcber", ""],
}
STATUS = [
    *("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101 ", "HTTP/1.1 101"),
    *("HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden", "HTTP/1.1 302 Found"),
    *(
        "HTTP/1.1 500 \xdcber",
        "HTTP/1.0 200 OK",
        "HTTP/2 101 x",
        "junk",
        "HTTP/1.1 99 x",
    ),
]


@st.composite
def heads(
    draw: st.DrawFn, needed: dict[str, list[str]], too: dict[str, list[str]]
) -> list[str]:
    """Draw header lines: as they should be, with a few things that are not."""
    lines = []
    odd = draw(
        st.sets(st.sampled_from([*needed, "nothing", "nothing too"]), max_size=2)
    )
    for name, values in needed.items():
        if name not in odd:
            lines.append(f"{name}: {values[0]}")
            continue
        how = draw(st.sampled_from(["gone", "other", "other", "twice"]))
        if how == "twice":
            lines += [
                f"{name}: {values[0]}",
                f"{name}: {draw(st.sampled_from(values))}",
            ]
        elif how == "other":
            lines.append(f"{name}: {draw(st.sampled_from(values))}")
    for name in draw(st.lists(st.sampled_from(list(too)), max_size=3)):
        lines.append(f"{name}: {draw(st.sampled_from(too[name]))}")
    return lines


@st.composite
def openings(draw: st.DrawFn) -> dict[str, Any]:
    side = draw(
        st.sampled_from(["server", "server", "client", "client", "connect", "legacy"])
    )
    if side == "server":
        first = draw(
            st.sampled_from(
                ["GET /path?a=1 HTTP/1.1"] * 6
                + ["POST / HTTP/1.1", "GET / HTTP/1.0", "GET", "GET /\xfcber HTTP/1.1"]
            )
        )
        lines = draw(heads(REQUEST, REQUEST_TOO))
        options = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "origins": st.sampled_from(
                        [["https://example.com"], [None, "https://example.com"], []]
                    ),
                    "subprotocols": st.sampled_from(
                        [["chat"], ["superchat", "chat"], []]
                    ),
                    "deflate": st.just("server"),
                },
            )
        )
        body = ""
    else:
        first = draw(st.sampled_from(STATUS[:1] * 10 + STATUS))
        lines = draw(heads(RESPONSE, RESPONSE_TOO))
        options = (
            {}
            if side != "client"
            else draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "origin": st.just("https://example.com"),
                        "subprotocols": st.sampled_from(
                            [["chat"], ["superchat", "chat"]]
                        ),
                        "deflate": st.just("client"),
                    },
                )
            )
        )
        body = draw(st.sampled_from(["", "", "hello"]))
    data = "\r\n".join([first, *lines, "", ""]) + body
    return {"api": "opening", "side": side, "options": options, "data": data}


HOOKS = [
    *("nothing", "plain nothing", "page", "plain page", "failing", "failing later"),
    *("wrong", "closing"),
]


@st.composite
def servings(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a server with hooks, and a request that is mostly right."""
    side = draw(st.sampled_from(["new", "legacy"]))
    hook = {
        "process_request": st.sampled_from(HOOKS),
        "select_subprotocol": st.sampled_from(["first", "none", "foreign", "failing"]),
        "subprotocols": st.sampled_from([["chat"], ["superchat", "chat"], []]),
        "origins": st.sampled_from([["https://example.com"], [None]]),
    }
    if side == "new":
        hook["process_response"] = st.sampled_from(
            ["changing", "replacing", "failing", "nothing"]
        )
        hook["server_header"] = st.sampled_from([None, "mine"])
    else:
        hook["extra_headers"] = st.sampled_from(
            ["dict", "list", "callable", "callable none", "failing"]
        )
        hook["server_header"] = st.sampled_from([None, "mine"])
    options = draw(st.fixed_dictionaries({}, optional=hook))
    lines = [f"{name}: {values[0]}" for name, values in REQUEST.items()]
    if draw(st.integers(0, 4)) == 0:
        lines = draw(heads(REQUEST, {"X-Other": ["value"]}))
    for name in ("Origin", "Sec-WebSocket-Protocol", "X-Other"):
        if draw(st.booleans()):
            lines.append(f"{name}: {draw(st.sampled_from(REQUEST_TOO[name][:4]))}")
    data = "\r\n".join(["GET /path?a=1 HTTP/1.1", *lines, "", ""])
    return {"api": "serving", "side": side, "options": options, "data": data}


OVERRIDABLE = {
    "new": [
        *("connection_made", "connection_lost", "data_received", "eof_received"),
        *("process_event", "recv", "send", "close", "ping", "pong", "wait_closed"),
        *("handshake", "acknowledge_pings", "abort_pings", "keepalive"),
        *("start_keepalive", "close_transport", "connection_open"),
    ],
    "legacy": [
        *("connection_made", "connection_open", "connection_lost", "data_received"),
        *("eof_received", "handshake", "handler", "ensure_open", "recv", "send"),
        *("close", "ping", "pong", "wait_closed", "transfer_data", "read_message"),
        *("read_data_frame", "read_frame", "write_frame", "write_close_frame"),
        *("keepalive_ping", "close_connection", "wait_for_connection_lost"),
        *("close_transport", "fail_connection", "abort_pings", "process_request"),
        *("process_origin", "process_extensions", "process_subprotocol", "drain"),
        *("select_subprotocol", "read_http_request", "write_http_response"),
        *("write_http_request", "read_http_response", "write_frame_sync"),
    ],
}


def overridings() -> st.SearchStrategy[dict[str, Any]]:
    """One method of one class: so few that all of them are drawn."""
    every = [
        {
            "api": "overriding",
            "kind": kind,
            "side": side,
            "method": method,
            "data": f"{kind} {side} {method}",
        }
        for kind, methods in OVERRIDABLE.items()
        for side in ("client", "server")
        for method in methods
    ]
    return st.sampled_from(every)


def needs(program: dict[str, Any]) -> tuple[str, ...]:
    """Return the editions that have what a program uses."""
    if program["api"] == "overriding":
        return APIS[program["kind"]]
    if program["api"] == "serving":
        if program["side"] == "new":
            return APIS["new"]
        if "server_header" in program["options"]:
            return tuple(e for e in APIS["legacy"] if e not in ("9.1", "10.4"))
        return APIS["legacy"]
    if program["api"] == "opening":
        return {"connect": APIS["new"], "legacy": APIS["legacy"]}.get(
            program["side"], APIS["sansio"]
        )
    return APIS[program["api"]]


def programs(api: str) -> st.SearchStrategy[dict[str, Any]]:
    made = {"opening": openings, "serving": servings, "overriding": overridings}
    return made[api]() if api in made else sequences(api)


@st.composite
def sequences(draw: st.DrawFn, api: str) -> dict[str, Any]:
    steps = sansio_steps() if api == "sansio" else live_steps(api, draw(st.booleans()))
    return {
        "api": api,
        "side": draw(st.sampled_from(["client", "server"])),
        "options": draw(options(api)),
        "steps": draw(st.lists(steps, min_size=1, max_size=8)),
    }
