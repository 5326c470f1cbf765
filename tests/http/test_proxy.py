"""Proxies: addresses, the environment and CONNECT."""

import urllib.request

import pytest

from longwire import errors
from longwire.http.proxy import Proxy, build_connect, get_proxy, parse_proxy
from longwire.http.uri import parse_uri

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("proxy", "parts"),
    [
        ("http://proxy:8080", ("http", "proxy", 8080)),
        ("http://proxy:8080/", ("http", "proxy", 8080)),
        ("http://proxy", ("http", "proxy", 80)),
        ("HTTPS://PROXY", ("https", "proxy", 443)),
        ("socks4://proxy", ("socks4", "proxy", 1080)),
        ("socks4a://proxy", ("socks4a", "proxy", 1080)),
        ("socks5://proxy", ("socks5", "proxy", 1080)),
        ("socks5h://proxy:9050", ("socks5h", "proxy", 9050)),
        ("http://[::1]:3128", ("http", "::1", 3128)),
        ("http://münchen.example", ("http", "xn--mnchen-3ya.example", 80)),
        ("http://me:secret@proxy", ("http", "proxy", 80, "me", "secret")),
        ("http://%C3%BCser:p%40ss@proxy", ("http", "proxy", 80, "üser", "p@ss")),
        ("socks5://a%3Ab:c@proxy", ("socks5", "proxy", 1080, "a:b", "c")),
    ],
)
def test_the_address_of_a_proxy_is_taken_apart(proxy, parts):
    assert parse_proxy(proxy) == Proxy(*parts)


def test_user_info_is_name_and_password_or_none():
    assert parse_proxy("http://me:secret@proxy").user_info == ("me", "secret")
    assert parse_proxy("http://proxy").user_info is None


@pytest.mark.parametrize(
    ("proxy", "text"),
    [
        ("ftp://proxy", "scheme is 'ftp'; http, https, socks4"),
        ("ws://proxy", "scheme is 'ws'"),
        ("proxy", "scheme is missing"),
        ("http://", "hostname isn't provided"),
        ("http:///", "hostname isn't provided"),
        ("http://proxy/path", "path is meaningless"),
        ("http://proxy?query", "query and fragment are meaningless"),
        ("http://proxy#fragment", "query and fragment are meaningless"),
        ("http://user@proxy", "without password"),
        ("http://a%3Ab:c@proxy", "username contains a colon"),
        ("http://proxy:0", "port isn't a number"),
        ("http://proxy:99999", "isn't a valid proxy"),
        ("http://proxy:x", "isn't a valid proxy"),
        ("http://[::1", "isn't a valid proxy"),
        ("http://ü" + "x" * 64, "domain name"),
        ("socks5://me:" + "%C3%A9" * 128 + "@proxy", "over 255 bytes"),
        ("socks5h://" + "x" * 256 + ":secret@proxy", "over 255 bytes"),
    ],
)
def test_an_invalid_proxy_is_refused_with_the_reason(proxy, text):
    with pytest.raises(errors.InvalidProxy, match=text):
        parse_proxy(proxy)


@pytest.fixture
def environment(monkeypatch):
    """Sets the proxies of the environment; the system has none."""
    monkeypatch.setattr(
        urllib.request, "getproxies", urllib.request.getproxies_environment
    )
    monkeypatch.setattr(
        urllib.request, "proxy_bypass", urllib.request.proxy_bypass_environment
    )
    for scheme in ("http", "https", "socks", "ws", "wss", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)

    def set_all(**proxies: str) -> None:
        for name, value in proxies.items():
            monkeypatch.setenv(name, value)

    return set_all


ALL = {
    "ws_proxy": "http://for-ws:1",
    "wss_proxy": "http://for-wss:2",
    "socks_proxy": "socks5://for-socks:3",
    "https_proxy": "http://for-https:4",
    "http_proxy": "http://for-http:5",
}


@pytest.mark.parametrize(
    ("uri", "names", "host"),
    [
        ("ws://a/", ["ws_proxy", "wss_proxy", "socks_proxy"], "for-ws"),
        ("wss://a/", ["ws_proxy", "wss_proxy", "socks_proxy"], "for-wss"),
        ("ws://a/", ["wss_proxy", "socks_proxy", "https_proxy"], "for-socks"),
        ("wss://a/", ["ws_proxy", "socks_proxy", "https_proxy"], "for-socks"),
        ("ws://a/", ["https_proxy", "http_proxy"], "for-https"),
        ("wss://a/", ["https_proxy", "http_proxy"], "for-https"),
        ("ws://a/", ["http_proxy"], "for-http"),
        ("wss://a/", ["http_proxy"], None),
        ("wss://a/", ["ws_proxy"], None),
        ("ws://a/", [], None),
    ],
)
def test_the_environment_names_the_proxy_in_the_documented_order(
    environment, uri, names, host
):
    environment(**{name: ALL[name] for name in names})

    proxy = get_proxy(parse_uri(uri))

    assert (None if proxy is None else parse_proxy(proxy).host) == host


NO_PROXY = [
    # what is listed, what it stands for, what it does not
    ("*", ["a.example", "127.0.0.1", "[::1]", "a.example:81"], []),
    ("", [], ["a.example", "[::1]"]),
    (" , ,", [], ["a.example", "[::1]"]),
    (
        "a.example",
        ["a.example", "b.a.example:81", "A.EXAMPLE", "a.example.", "x.b.a.example"],
        ["b.example", "ba.example", "a.example.com", "example", "127.0.0.1"],
    ),
    (".a.example", ["a.example", "b.a.example"], ["ba.example"]),
    ("A.Example.", ["a.example", "b.a.example"], []),
    ("*.a.example", ["b.a.example", "c.b.a.example"], ["a.example", "ba.example"]),
    ("a.example:81", ["a.example:81", "b.a.example:81"], ["a.example", "a.example:8"]),
    ("a.example:80", ["a.example"], ["a.example:81"]),
    ("x, a.example", ["a.example", "x"], ["y"]),
    ("x a.example", ["a.example", "x"], ["y"]),
    ("x,a.example\ty,,z", ["a.example", "x", "y", "z"], ["w"]),
    ("localhost", ["localhost", "localhost:81", "a.localhost"], ["127.0.0.1", "[::1]"]),
    ("bücher.example", ["bücher.example", "xn--bcher-kva.example"], ["a.example"]),
    ("xn--bcher-kva.example", ["bücher.example"], []),
    ("\u212aelvin.com", ["kelvin.com"], []),
    ("." * 300, [], ["a.example"]),
    ("x" * 300, [], ["a.example", "127.0.0.1"]),
    ("a.example:" + "9" * 5000, [], ["a.example"]),
    ("http://a.example", [], ["a.example"]),
    # addresses
    ("127.0.0.1", ["127.0.0.1", "127.0.0.1:81"], ["127.0.0.10", "1.127.0.0.1", "x"]),
    ("127.0.0.1:81", ["127.0.0.1:81"], ["127.0.0.1"]),
    ("::1", ["[::1]", "[::1]:81", "[0:0:0:0:0:0:0:1]", "[0::1]"], ["[::2]", "x"]),
    ("[::1]", ["[::1]", "[::1]:81", "[0:0:0:0:0:0:0:1]"], ["[::2]"]),
    ("[::1]:81", ["[::1]:81"], ["[::1]", "[::1]:8"]),
    ("0:0:0:0:0:0:0:1", ["[::1]"], ["[::2]"]),
    ("[0:0:0:0:0:0:0:1]:80", ["[::1]"], ["[::1]:81"]),
    ("2001:DB8::A", ["[2001:db8::a]", "[2001:0db8:0::000a]"], ["[2001:db8::b]"]),
    ("::1:81", ["[::1:81]"], ["[::1]:81"]),
    ("fe80::1", ["[fe80::1]", "[fe80::1%25eth0]"], ["[fe80::2%25eth0]"]),
    ("fe80::1%eth0", ["[fe80::1%25eth0]"], ["[fe80::1%25eth1]", "[fe80::1]"]),
    ("[fe80::1%eth0]:80", ["[fe80::1%25eth0]"], ["[fe80::1%25eth0]:81"]),
    ("127.0.0.1", ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]"], ["[::127.0.0.1]"]),
    ("::ffff:127.0.0.1", ["127.0.0.1", "[::ffff:7f00:1]"], ["127.0.0.2"]),
    ("[::g]", [], ["[::1]", "x"]),
    ("[::1", [], ["[::1]"]),
    # networks
    ("10.0.0.0/8", ["10.1.2.3", "10.1.2.3:81"], ["11.0.0.1", "x", "[::1]"]),
    ("10.1.2.3/8", ["10.9.9.9"], ["11.0.0.1"]),
    ("10.0.0.0/8:81", ["10.1.2.3:81"], ["10.1.2.3"]),
    ("192.168.0.0/255.255.0.0", ["192.168.3.4"], ["192.169.0.1"]),
    ("fd00::/8", ["[fd12::1]", "[fd12::1%25eth0]"], ["[fe80::1]", "10.0.0.1"]),
    ("[fd00::]/8", ["[fd12::1]:81"], ["[fe80::1]"]),
    ("127.0.0.0/8", ["[::ffff:127.0.0.1]"], ["[::1]"]),
    ("0.0.0.0/0", ["10.1.2.3"], ["[::1]", "x"]),
    ("10.0.0.0/99, 10.0.0.0/", [], ["10.0.0.1"]),
]


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize(("no_proxy", "direct", "proxied"), NO_PROXY)
def test_no_proxy_names_hosts_to_connect_to_directly(
    environment, name, no_proxy, direct, proxied
):
    environment(https_proxy="http://proxy", **{name: no_proxy})

    def goes_directly(host: str) -> bool:
        return get_proxy(parse_uri(f"ws://{host}/")) is None

    assert [host for host in direct if not goes_directly(host)] == []
    assert [host for host in proxied if goes_directly(host)] == []


def test_the_default_port_is_that_of_the_scheme(environment):
    environment(https_proxy="http://proxy", no_proxy="a.example:443")

    assert get_proxy(parse_uri("wss://a.example/")) is None
    assert get_proxy(parse_uri("ws://a.example/")) is not None


def test_the_list_of_the_system_is_asked_where_the_environment_is_silent(
    environment, monkeypatch
):
    asked = []
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": "http://proxy"})
    monkeypatch.setattr(urllib.request, "proxy_bypass", asked.append)

    assert get_proxy(parse_uri("ws://[::1]:81/")) == "http://proxy"
    assert asked == ["[::1]:81"]


def test_the_host_of_a_proxy_may_be_an_address_with_a_zone():
    proxy = parse_proxy("http://[fe80::1%25eth0]:3128")

    assert (proxy.host, proxy.port) == ("fe80::1%eth0", 3128)


@pytest.mark.parametrize(
    ("name", "value", "proxy"),
    [
        ("http_proxy", "proxy:8080", "http://proxy:8080"),
        ("http_proxy", "socks5h://proxy", "socks5h://proxy"),
        ("socks_proxy", "proxy:1080", "socks5h://proxy:1080"),
        ("socks_proxy", "http://proxy:1080", "socks5h://proxy:1080"),
        ("socks_proxy", "socks://proxy:1080", "socks5h://proxy:1080"),
        ("socks_proxy", "socks4://proxy:1080", "socks4://proxy:1080"),
    ],
)
def test_the_kind_of_proxy_is_completed(environment, name, value, proxy):
    environment(**{name: value})

    assert get_proxy(parse_uri("ws://a/")) == proxy


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("ws://example.com/path", b"example.com:80"),
        ("wss://example.com/", b"example.com:443"),
        ("wss://[::1]:8443/", b"[::1]:8443"),
    ],
)
def test_connect_names_host_and_port(uri, host):
    request = build_connect(Proxy("http", "proxy", 80), parse_uri(uri), None)

    assert request == b"CONNECT " + host + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


def test_connect_carries_credentials_for_the_proxy_only():
    proxy = Proxy("http", "proxy", 80, "me", "secret")

    request = build_connect(proxy, parse_uri("ws://you:other@example.com/"), "agent/1")

    assert request == (
        b"CONNECT example.com:80 HTTP/1.1\r\n"
        b"Host: example.com:80\r\n"
        b"User-Agent: agent/1\r\n"
        b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
    )
