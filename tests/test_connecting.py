"""The client's plan, played without sockets."""

from __future__ import annotations

import ssl

import pytest

from longwire import errors
from longwire.client_settings import client_settings
from longwire.connecting import connect_plan
from longwire.http.extensions import (
    ClientExtensionFactory,
    ClientPerMessageDeflateFactory,
)
from longwire.messages import Deflate
from longwire.options import PROFILES, Keepalive, Limits, Timeouts
from longwire.steps import Hangup, OpenSocks, OpenTcp, OpenUnix, Read, StartTls, Write

# The key is that of sixteen zero bytes, the token what section 4.2.2 makes of it.
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n"
)
OPEN = SWITCH + b"\r\n"
TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"


def redirect(location: str, status: int = 302) -> bytes:
    return (
        f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def plan(uri="ws://example.com/", **keywords):
    keywords.setdefault("proxy", None)
    settings = client_settings(
        uri,
        limits=keywords.pop("limits", Limits()),
        timeouts=Timeouts(),
        keepalive=Keepalive(),
        **keywords,
    )
    return connect_plan(settings, random_bytes=bytes)


class Player:
    """Carries out a plan's steps: notes them, and answers each Read in turn."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.steps = []

    def play(self, plan):
        try:
            step = plan.send(None)
            while True:
                self.steps.append(step)
                answer = None
                if isinstance(step, Read):
                    answer = self.answers.pop(0)
                if isinstance(answer, Exception):
                    step = plan.throw(answer)
                else:
                    step = plan.send(answer)
        except StopIteration as stop:
            return stop.value

    @property
    def opened(self):
        """The steps that are not reading or writing."""
        return [step for step in self.steps if not isinstance(step, (Read, Write))]

    @property
    def requests(self):
        return [step.data for step in self.steps if isinstance(step, Write)]


# --- the handshake ---------------------------------------------------------------


def test_a_plain_uri_connects_writes_a_request_and_reads_the_answer():
    player = Player(OPEN)

    opened = player.play(plan("ws://example.com:8080/chat?x=1"))

    assert player.steps[0] == OpenTcp("example.com", 8080, None, {})
    lines = player.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /chat?x=1 HTTP/1.1"
    assert b"Host: example.com:8080" in lines
    assert b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==" in lines
    assert opened.request.path == "/chat?x=1"
    assert opened.response.status_code == 101
    assert (opened.subprotocol, opened.deflate, opened.extensions) == (None, None, ())
    assert opened.rest == b""


def test_the_answer_may_come_byte_by_byte():
    player = Player(*(bytes([byte]) for byte in OPEN))

    opened = player.play(plan())

    assert opened.response.status_code == 101
    assert player.answers == []


def test_frames_after_the_answer_are_kept():
    opened = Player(OPEN + b"\x81\x02hi").play(plan())

    assert opened.rest == b"\x81\x02hi"


def test_a_secure_uri_opens_with_tls_for_its_host():
    player = Player(OPEN)

    player.play(plan("wss://example.com/"))

    assert player.steps[0] == OpenTcp(
        "example.com", 443, StartTls(None, "example.com", {}), {}
    )


def test_address_context_and_name_given_by_the_caller_are_used():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    network = {
        "ssl": context,
        "server_hostname": "inner.example",
        "ssl_handshake_timeout": 3,
        "host": "127.0.0.1",
        "port": 4443,
        "family": 2,
    }
    player = Player(OPEN)

    player.play(plan("wss://example.com/", network=network))

    tls = StartTls(context, "inner.example", {"ssl_handshake_timeout": 3})
    assert player.steps[0] == OpenTcp("127.0.0.1", 4443, tls, {"family": 2})
    assert b"Host: example.com\r\n" in player.requests[0]


def test_a_unix_socket_is_opened_by_its_path():
    player = Player(OPEN)

    network = {"unix": True, "path": "/run/x"}
    player.play(plan("ws://localhost/", network=network))

    assert player.steps[0] == OpenUnix("/run/x", None, {})


def test_a_preset_unix_socket_takes_the_place_of_the_path():
    sock = object()
    player = Player(OPEN)

    network = {"unix": True, "path": None, "sock": sock}
    player.play(plan("ws://localhost/", network=network))

    assert player.opened == [OpenUnix(None, None, {"sock": sock})]


def test_a_preset_socket_is_used_without_a_name_lookup():
    sock = object()
    player = Player(OPEN)

    player.play(plan(network={"sock": sock}, proxy="http://proxy.example:3128"))

    assert player.opened == [OpenTcp(None, None, None, {"sock": sock})]


def test_what_the_caller_wants_said_is_in_the_request():
    player = Player(OPEN)

    player.play(
        plan(
            "ws://user:pass@example.com/",
            origin="https://example.com",
            subprotocols=["chat", "superchat"],
            additional_headers=[("Cookie", "a=1")],
            user_agent_header="me/1",
        )
    )

    lines = player.requests[0].split(b"\r\n")
    assert b"Origin: https://example.com" in lines
    assert b"Sec-WebSocket-Protocol: chat, superchat" in lines
    assert b"Cookie: a=1" in lines
    assert b"User-Agent: me/1" in lines
    assert b"Authorization: Basic dXNlcjpwYXNz" in lines


def test_the_subprotocol_the_server_chose_is_in_the_result():
    answer = SWITCH + b"Sec-WebSocket-Protocol: superchat\r\n\r\n"

    opened = Player(answer).play(plan(subprotocols=["chat", "superchat"]))

    assert opened.subprotocol == "superchat"


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"nonsense", "unsupported subprotocol: nonsense; offered: chat, superchat"),
        (b"chat, superchat", "multiple subprotocols: chat, superchat"),
    ],
)
def test_a_subprotocol_that_was_not_offered_is_refused(header, text):
    answer = SWITCH + b"Sec-WebSocket-Protocol: " + header + b"\r\n\r\n"

    with pytest.raises(errors.NegotiationError, match=text):
        Player(answer).play(plan(subprotocols=["chat", "superchat"]))


def test_a_subprotocol_is_refused_when_none_was_offered():
    answer = SWITCH + b"Sec-WebSocket-Protocol: chat\r\n\r\n"

    with pytest.raises(errors.NegotiationError, match="chat; offered: none"):
        Player(answer).play(plan())


def test_compression_is_offered_and_agreed():
    answer = SWITCH + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    player = Player(answer)

    opened = player.play(plan(compression=PROFILES["deflate"]))

    assert b"Sec-WebSocket-Extensions: permessage-deflate;" in player.requests[0]
    assert isinstance(opened.deflate, Deflate)
    assert opened.extensions == ()


def test_an_extension_that_was_not_offered_is_refused():
    answer = SWITCH + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

    with pytest.raises(errors.InvalidHandshake):
        Player(answer).play(plan())


def test_own_permessage_deflate_factory_replaces_the_profile():
    own = ClientPerMessageDeflateFactory(client_max_window_bits=9)
    player = Player(OPEN)

    player.play(plan(extensions=[own], compression=PROFILES["deflate"]))

    assert player.requests[0].count(b"permessage-deflate") == 1
    assert b"client_max_window_bits=9" in player.requests[0]


def test_an_extension_of_the_callers_own_is_in_the_result():
    class Extension:
        name = "x-own"

    class Factory(ClientExtensionFactory):
        name = "x-own"

        def get_request_params(self):
            return []

        def process_response_params(self, params, accepted_extensions):
            return Extension()

    answer = SWITCH + b"Sec-WebSocket-Extensions: x-own\r\n\r\n"

    opened = Player(answer).play(plan(extensions=[Factory()]))

    assert [extension.name for extension in opened.extensions] == ["x-own"]


@pytest.mark.parametrize(
    ("find", "replace", "error"),
    [
        (b"ICX+", b"XXX+", errors.InvalidHeaderValue),
        (b"Upgrade: websocket\r\n", b"", errors.InvalidUpgrade),
        (b"Connection: Upgrade\r\n", b"", errors.InvalidUpgrade),
    ],
)
def test_a_101_that_does_not_grant_what_was_asked_is_refused(find, replace, error):
    with pytest.raises(error):
        Player(OPEN.replace(find, replace)).play(plan())


def test_a_refusal_is_raised_with_the_whole_response():
    answer = (
        b"HTTP/1.1 403 Forbidden\r\nX-Why: tired\r\nContent-Length: 4\r\n\r\n",
        b"no",
        b"pe",
    )

    with pytest.raises(errors.InvalidStatus, match="HTTP 403") as raised:
        Player(*answer).play(plan())

    response = raised.value.response
    assert response.headers["X-Why"] == "tired"
    assert response.body == b"nope"


def test_the_body_of_a_refusal_may_end_with_the_stream():
    with pytest.raises(errors.InvalidStatus) as raised:
        Player(b"HTTP/1.1 500 Oops\r\n\r\nno length", b"").play(plan())

    assert raised.value.response.body == b"no length"


@pytest.mark.parametrize("answer", [[b""], [b"HTTP/1.1 101 Swit", b""]])
def test_a_stream_that_ends_without_an_answer_says_so(answer):
    with pytest.raises(
        errors.InvalidMessage, match="did not receive a valid HTTP response"
    ) as raised:
        Player(*answer).play(plan())

    assert isinstance(raised.value.__cause__, EOFError)


def test_an_answer_that_is_not_http_is_refused():
    with pytest.raises(errors.InvalidMessage):
        Player(b"SSH-2.0-OpenSSH_9.6\r\n").play(plan())


def test_an_answer_with_too_many_headers_is_refused():
    answer = b"HTTP/1.1 101 Switching\r\n" + b"X: y\r\n" * 200 + b"\r\n"

    with pytest.raises(errors.TooManyHeaders):
        Player(answer).play(plan())


def test_an_informational_answer_is_not_the_final_one():
    opened = Player(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OPEN).play(plan())

    assert opened.response.status_code == 101


def test_a_network_error_comes_out_as_it_is():
    with pytest.raises(ConnectionResetError):
        Player(ConnectionResetError()).play(plan())


# --- redirects -------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_on_a_new_connection(status):
    player = Player(redirect("ws://other.example:81/there", status), OPEN)

    opened = player.play(plan())

    assert player.opened == [
        OpenTcp("example.com", 80, None, {}),
        Hangup(),
        OpenTcp("other.example", 81, None, {}),
    ]
    assert opened.request.path == "/there"


@pytest.mark.parametrize(
    ("location", "host", "port", "path"),
    [
        ("/b?q=1", "example.com", 8080, "/b?q=1"),
        ("b", "example.com", 8080, "/dir/b"),
        ("../b", "example.com", 8080, "/b"),
        ("?q=2", "example.com", 8080, "/dir/a?q=2"),
        ("//other.example/", "other.example", 80, "/"),
        ("http://other.example", "other.example", 80, "/"),
        ("/b#part", "example.com", 8080, "/b"),
        ("http://[::1]:81/", "::1", 81, "/"),
    ],
)
def test_a_location_may_be_relative_or_http(location, host, port, path):
    player = Player(redirect(location), OPEN)

    opened = player.play(plan("ws://example.com:8080/dir/a?q=1"))

    assert player.opened[-1] == OpenTcp(host, port, None, {})
    assert opened.request.path == path


def test_a_relative_location_from_an_ipv6_address_stays_there():
    player = Player(redirect("/b"), OPEN)

    player.play(plan("ws://[::1]:8080/a"))

    assert player.opened[-1] == OpenTcp("::1", 8080, None, {})


def test_a_relative_location_keeps_the_zone_of_an_ipv6_address():
    player = Player(redirect("/b"), OPEN)

    player.play(plan("ws://[fe80::1%25eth0]/a"))

    assert player.opened[-1] == OpenTcp("fe80::1%eth0", 80, None, {})


def test_https_in_a_location_starts_tls():
    player = Player(redirect("https://example.com/"), OPEN)

    player.play(plan())

    assert player.opened[-1].tls == StartTls(None, "example.com", {})


def test_the_given_tls_name_is_that_of_the_first_origin_only():
    network = {"server_hostname": "inner.example"}
    player = Player(redirect("/b"), redirect("wss://other.example/"), OPEN)

    player.play(plan("wss://example.com/", network=network))

    names = [x.tls.server_hostname for x in player.opened if isinstance(x, OpenTcp)]
    assert names == ["inner.example", "inner.example", "other.example"]


def test_a_redirect_from_tls_to_plain_is_refused():
    player = Player(redirect("ws://example.com/"))

    with pytest.raises(errors.SecurityError, match=r"from wss to ws://example\.com:80"):
        player.play(plan("wss://example.com/"))


SECRETS = {
    "Authorization": "Bearer x",
    "Cookie": "a=1",
    "Proxy-Authorization": "Basic y",
    "X-Other": "stays",
}


@pytest.mark.parametrize(
    "location",
    [
        "ws://other.example/",
        "ws://example.com:81/",
        "wss://example.com/",
        "https://example.com:80/",
    ],
)
def test_secrets_do_not_follow_a_redirect_to_another_origin(location):
    player = Player(redirect(location), OPEN)

    player.play(plan(additional_headers=SECRETS))

    first, second = player.requests
    for name in (b"Authorization: Bearer x", b"Cookie:", b"Proxy-Authorization:"):
        assert name in first
        assert name not in second
    assert b"Authorization" not in second
    assert b"X-Other: stays" in second


def test_credentials_of_the_uri_do_not_follow_to_another_origin():
    player = Player(redirect("ws://other.example/"), OPEN)

    player.play(plan("ws://user:pass@example.com/"))

    assert b"Authorization: Basic" in player.requests[0]
    assert b"Authorization" not in player.requests[1]


def test_secrets_follow_within_the_origin():
    player = Player(redirect("http://EXAMPLE.com:80/b"), OPEN)
    secrets = {"Cookie": "a=1"}

    player.play(plan("ws://user:pass@example.com/", additional_headers=secrets))

    assert b"Authorization: Basic dXNlcjpwYXNz\r\n" in player.requests[1]
    assert b"Cookie: a=1\r\n" in player.requests[1]


@pytest.mark.parametrize("second", ["/within", "ws://example.com/back"])
def test_secrets_once_dropped_do_not_come_back(second):
    player = Player(redirect("ws://other.example/"), redirect(second), OPEN)

    player.play(
        plan("ws://user:pass@example.com/", additional_headers={"Cookie": "a=1"})
    )

    assert b"Cookie" not in player.requests[2]
    assert b"Authorization" not in player.requests[2]


def test_a_given_host_header_is_for_the_first_origin_only():
    player = Player(redirect("/b"), redirect("ws://other.example/"), OPEN)

    player.play(plan(additional_headers={"Host": "virtual.example"}))

    hosts = [
        line
        for request in player.requests
        for line in request.split(b"\r\n")
        if line.startswith(b"Host:")
    ]
    assert hosts == [
        b"Host: virtual.example",
        b"Host: virtual.example",
        b"Host: other.example",
    ]


def test_ten_redirects_are_followed_and_no_more():
    ten = [redirect(f"/{n}") for n in range(10)]

    assert Player(*ten, OPEN).play(plan()).request.path == "/9"
    with pytest.raises(errors.SecurityError, match="more than 10 redirects"):
        Player(*ten, redirect("/10"), OPEN).play(plan())


def test_the_number_of_redirects_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("LONGWIRE_MAX_REDIRECTS", "1")

    with pytest.raises(errors.SecurityError, match="more than 1 redirects"):
        Player(redirect("/a"), redirect("/b"), OPEN).play(plan())

    monkeypatch.setenv("LONGWIRE_MAX_REDIRECTS", "many")
    with pytest.raises(ValueError, match="LONGWIRE_MAX_REDIRECTS is 'many'"):
        plan()


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ({"sock": object()}, "with a preset socket"),
        ({"host": "127.0.0.1"}, "with a preset host or port"),
        ({"port": 81}, "with a preset host or port"),
        ({"unix": True, "path": "/x"}, "with a Unix socket"),
    ],
)
def test_a_preset_address_is_not_left_for_another_origin(network, text):
    player = Player(redirect("ws://other.example/"))

    with pytest.raises(errors.SecurityError, match=text):
        player.play(plan(network=network))


def test_a_preset_host_is_kept_within_the_origin():
    player = Player(redirect("/b"), OPEN)

    player.play(plan(network={"host": "127.0.0.1", "port": 81}))

    assert player.opened[-1] == OpenTcp("127.0.0.1", 81, None, {})


def test_a_redirect_cannot_be_followed_on_the_one_socket_given():
    player = Player(redirect("/b"))

    with pytest.raises(errors.InvalidStatus, match="HTTP 302"):
        player.play(plan(network={"sock": object()}))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 300 Choices\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_no_redirect_is_a_refusal(answer):
    with pytest.raises(errors.InvalidStatus):
        Player(answer).play(plan())


@pytest.mark.parametrize(
    "location", ["ftp://example.com/", "http://", "http://[", "http://x:99999/"]
)
def test_a_location_that_is_no_place_for_a_websocket_is_refused(location):
    with pytest.raises(errors.InvalidHeader, match="Location"):
        Player(redirect(location)).play(plan())


def test_two_locations_are_refused():
    answer = (
        b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )

    with pytest.raises(errors.InvalidHeader, match="Location"):
        Player(answer).play(plan())


# --- proxies ---------------------------------------------------------------------


def test_an_http_proxy_is_asked_for_a_tunnel():
    player = Player(TUNNEL, OPEN)

    player.play(
        plan(proxy="http://me:secret@proxy.example:3128", user_agent_header="me/1")
    )

    assert player.opened == [OpenTcp("proxy.example", 3128, None, {})]
    lines = player.requests[0].split(b"\r\n")
    assert lines[0] == b"CONNECT example.com:80 HTTP/1.1"
    assert b"Host: example.com:80" in lines
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in lines
    assert b"User-Agent: me/1" in lines
    assert player.requests[1].startswith(b"GET / HTTP/1.1\r\n")
    assert b"Proxy-Authorization" not in player.requests[1]


def test_tls_with_the_server_starts_inside_the_tunnel():
    player = Player(TUNNEL, OPEN)

    player.play(plan("wss://example.com/", proxy="http://proxy.example:3128"))

    kinds = [type(step) for step in player.steps]
    assert kinds == [OpenTcp, Write, Read, StartTls, Write, Read]
    assert player.opened[1] == StartTls(None, "example.com", {})


def test_tls_with_the_proxy_is_the_proxys_own():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    network = {"proxy_ssl": context, "proxy_server_hostname": "name.example"}
    player = Player(TUNNEL, OPEN)

    player.play(
        plan("wss://example.com/", proxy="https://proxy.example", network=network)
    )

    assert player.opened == [
        OpenTcp("proxy.example", 443, StartTls(context, "name.example", {}), {}),
        StartTls(None, "example.com", {}),
    ]


def test_a_preset_address_is_what_the_proxy_is_asked_for():
    player = Player(TUNNEL, OPEN)

    network = {"host": "10.0.0.1", "port": 81, "family": 2}
    player.play(plan(proxy="http://proxy.example:3128", network=network))

    assert player.opened == [OpenTcp("proxy.example", 3128, None, {"family": 2})]
    assert player.requests[0].startswith(b"CONNECT 10.0.0.1:81 HTTP/1.1\r\n")


def test_a_redirect_is_asked_of_the_proxy_again():
    player = Player(TUNNEL, redirect("ws://other.example/"), TUNNEL, OPEN)

    player.play(plan(proxy="http://proxy.example:3128"))

    assert player.requests[2].startswith(b"CONNECT other.example:80 HTTP/1.1\r\n")


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
def test_a_socks_proxy_is_left_to_the_driver(scheme):
    player = Player(OPEN)

    player.play(plan("wss://example.com/", proxy=f"{scheme}://proxy.example:1080"))

    first, second = player.opened
    assert isinstance(first, OpenSocks)
    assert (first.proxy.scheme, first.proxy.port) == (scheme, 1080)
    assert (first.host, first.port) == ("example.com", 443)
    assert second == StartTls(None, "example.com", {})


def test_a_proxy_that_refuses_is_quoted():
    answer = (
        b"HTTP/1.1 407 Proxy Authentication Required\r\n"
        b"Proxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
    )

    with pytest.raises(errors.InvalidProxyStatus, match="HTTP 407") as raised:
        Player(answer).play(plan(proxy="http://proxy.example:3128"))

    assert raised.value.response.headers["Proxy-Authenticate"] == "Basic"


@pytest.mark.parametrize("answer", [[b""], [b"what?\r\n\r\n"], [b"HTTP/1.1 200", b""]])
def test_a_proxy_that_does_not_speak_http_is_refused(answer):
    with pytest.raises(errors.InvalidProxyMessage):
        Player(*answer).play(plan(proxy="http://proxy.example:3128"))


def test_a_proxy_cannot_put_words_into_the_servers_mouth():
    with pytest.raises(errors.InvalidProxyMessage, match="bytes from the proxy after"):
        Player(TUNNEL + OPEN).play(plan(proxy="http://proxy.example:3128"))


def test_the_proxy_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "local.example")
    through, direct, told = Player(TUNNEL, OPEN), Player(OPEN), Player(OPEN)

    through.play(plan(proxy=True))
    direct.play(plan("ws://local.example/", proxy=True))
    told.play(plan(proxy=None))

    hosts = [player.opened[0].host for player in (through, direct, told)]
    assert hosts == ["proxy.example", "local.example", "example.com"]


# --- settings --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "keywords", "error", "text"),
    [
        ("http://x/", {}, errors.InvalidURI, "isn't a valid URI"),
        ("ws://x/", {"network": {"ssl": True}}, ValueError, "the URI is ws://"),
        ("wss://x/", {"network": {"ssl": False}}, TypeError, "not False"),
        ("wss://x/", {"network": {"ssl": "yes"}}, TypeError, "not str"),
        ("ws://x/", {"subprotocols": "chat"}, TypeError, "subprotocols"),
        ("ws://x/", {"origin": 5}, TypeError, "origin must be a str or None, not int"),
        ("ws://x/", {"user_agent_header": "a\r\nB: c"}, ValueError, "User-Agent"),
        (
            "ws://x/",
            {"additional_headers": {"Upgrade": "x"}},
            ValueError,
            "has upgrade",
        ),
        ("ws://x/", {"additional_headers": {"X": "a\nb"}}, ValueError, "header X"),
        ("ws://x/", {"extensions": [5]}, TypeError, "extensions has a int"),
        ("ws://x/", {"proxy": 5}, TypeError, "proxy must be a URL"),
        ("ws://x/", {"proxy": "ftp://p"}, errors.InvalidProxy, "isn't a valid proxy"),
    ],
)
def test_bad_settings_are_refused_at_once(uri, keywords, error, text):
    with pytest.raises(error, match=text):
        plan(uri, **keywords)


def test_tls_settings_for_a_proxy_without_tls_are_refused():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    with pytest.raises(ValueError, match="proxy_ssl is given, but the proxy is http"):
        plan(proxy="http://proxy.example", network={"proxy_ssl": context})


def test_headers_changed_after_connect_do_not_matter():
    headers = {"X-A": "1"}
    player, made = Player(OPEN), plan(additional_headers=headers)

    headers["X-A"] = "2"
    player.play(made)

    assert b"X-A: 1\r\n" in player.requests[0]
