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


@pytest.mark.parametrize(
    ("no_proxy", "uri", "direct"),
    [
        ("a.example", "ws://a.example/", True),
        ("a.example", "ws://b.a.example:81/", True),
        ("a.example:81", "ws://a.example:81/", True),
        ("a.example:81", "ws://a.example/", False),
        ("*", "wss://x/", True),
        ("a.example", "ws://b.example/", False),
    ],
)
def test_no_proxy_names_hosts_to_connect_to_directly(
    environment, no_proxy, uri, direct
):
    environment(https_proxy="http://proxy", no_proxy=no_proxy)

    assert (get_proxy(parse_uri(uri)) is None) is direct


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
