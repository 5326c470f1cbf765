"""The client's plan, played without sockets: redirects, proxies, settings."""

from __future__ import annotations

import ssl

import pytest

from longwire import errors
from longwire.opening.steps import Hangup, OpenSocks, OpenTcp, Read, StartTls, Write
from tests.support.playing import OPEN, SWITCH, TUNNEL, Player, plan, redirect

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
    "Authorization": "Bearer secret",
    "Cookie": "a=secret",
    "Proxy-Authorization": "Basic secret",
    "X-Api-Key": "secret",
    "X-Csrf-Token": "secret",
    "X-Amz-Security-Token": "secret",
    "Api-Key": "secret",
    "Referer": "https://example.com/?token=secret",
    "Host": "secret.example",
    "Forwarded": "for=secret",
    "X-Forwarded-For": "secret",
    "Sec-Fetch-Site": "secret",
    "User-Agent-Key": "secret",
}
HARMLESS = {
    "Accept": "text/plain",
    "Accept-Encoding": "gzip",
    "Accept-Language": "da",
    "cache-control": "no-cache",
    "DNT": "1",
    "Pragma": "no-cache",
    "User-Agent": "me/1",
}
ELSEWHERE = [
    "ws://other.example/",
    "ws://example.com:81/",
    "wss://example.com/",
    "https://example.com:80/",
    "ws://www.example.com/",
    "ws://example.com./",
    "//other.example/",
    "ws://user:pass@other.example/",
]


def everything(**keywords):
    return {
        "additional_headers": [*SECRETS.items(), *HARMLESS.items()],
        "origin": "https://secret.example",
        "subprotocols": ["chat", "token.secret"],
        **keywords,
    }


def names(request: bytes) -> list[str]:
    """The fields of a request, in lower case."""
    lines = request.decode().split("\r\n")[1:-2]
    return sorted(line.partition(":")[0].lower() for line in lines)


OURS = [
    *("host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version"),
]


@pytest.mark.parametrize("location", ELSEWHERE)
def test_only_harmless_headers_follow_a_redirect_to_another_origin(location):
    player = Player(redirect(location), OPEN)

    player.play(plan("ws://me:secret@example.com/", **everything()))

    first, second = player.requests
    assert first.count(b"secret") > len(SECRETS)
    assert b"secret" not in second
    own = ["authorization"] if "user:" in location else []
    assert names(second) == sorted([*OURS, *own, *map(str.lower, HARMLESS)])
    for name, value in HARMLESS.items():
        assert f"{name}: {value}\r\n".encode() in second


@pytest.mark.parametrize(
    "way",
    [
        ["ws://other.example/", "ws://example.com/"],
        ["ws://other.example/", "/there", "ws://example.com/a"],
        ["/there", "ws://other.example/", "ws://example.com/", "/b", "/c"],
        ["ws://example.com:81/", "ws://example.com:80/"],
        ["ws://a.example/", "ws://b.example/", "ws://a.example/", "ws://example.com/"],
    ],
)
def test_what_was_left_behind_is_not_sent_again_on_the_way_back(way):
    player = Player(*map(redirect, way), OPEN)

    player.play(plan("ws://me:secret@example.com/", **everything()))

    left = next(n for n, location in enumerate(way) if location.startswith("ws"))
    for request in player.requests[: left + 1]:
        assert b"secret" in request
    for request in player.requests[left + 1 :]:
        assert b"secret" not in request


def test_a_redirect_from_tls_to_plain_is_not_followed_with_anything():
    player = Player(redirect("ws://example.com/"), OPEN)

    with pytest.raises(errors.SecurityError):
        player.play(plan("wss://example.com/", **everything()))

    assert len(player.requests) == 1


def test_credentials_for_a_proxy_go_to_the_proxy_alone():
    player = Player(TUNNEL, redirect("ws://other.example/"), TUNNEL, OPEN)

    player.play(plan(proxy="http://me:secret@proxy.example:3128"))

    tunnel, first, again, second = player.requests
    assert b"Proxy-Authorization: Basic " in tunnel
    assert b"Proxy-Authorization: Basic " in again
    assert b"Authorization" not in first + second


def test_a_subprotocol_that_was_left_behind_cannot_be_chosen():
    answer = SWITCH + b"Sec-WebSocket-Protocol: chat\r\n\r\n"
    player = Player(redirect("ws://other.example/"), answer)

    with pytest.raises(errors.NegotiationError, match="unsupported subprotocol: chat"):
        player.play(plan(subprotocols=["chat"]))


def test_what_is_left_behind_is_named_in_the_log(caplog):
    caplog.set_level("INFO", "longwire.client")
    player = Player(redirect("ws://other.example/"), redirect("/b"), OPEN)

    player.play(
        plan(
            "ws://me:pass@example.com/",
            additional_headers={"X-Api-Key": "secret", "Accept": "text/plain"},
            origin="https://example.com",
            subprotocols=["chat"],
        )
    )

    assert caplog.messages == [
        "redirected to another origin, ws://other.example:80; "
        "left behind: x-api-key, origin, subprotocols, credentials"
    ]


def test_a_redirect_that_leaves_nothing_behind_is_not_told_of(caplog):
    caplog.set_level("INFO", "longwire.client")

    Player(redirect("ws://other.example/"), OPEN).play(plan())
    Player(redirect("/b"), OPEN).play(plan(**everything()))

    assert caplog.messages == []


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


@pytest.mark.parametrize("value", [ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), True])
def test_tls_settings_for_a_proxy_without_tls_are_refused(value):
    with pytest.raises(ValueError, match="proxy_ssl is given, but the proxy is http"):
        plan(proxy="http://proxy.example", network={"proxy_ssl": value})


def test_headers_changed_after_connect_do_not_matter():
    headers = {"X-A": "1"}
    player, made = Player(OPEN), plan(additional_headers=headers)

    headers["X-A"] = "2"
    player.play(made)

    assert b"X-A: 1\r\n" in player.requests[0]
