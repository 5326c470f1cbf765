"""Proxies: their addresses, and the request for a tunnel through one."""

from __future__ import annotations

from ..http.proxy import Proxy, build_connect, get_proxy, parse_proxy
from .aliases import give_aliases
from .http11 import USER_AGENT
from .uri import WebSocketURI

__all__ = ["Proxy", "get_proxy", "parse_proxy", "prepare_connect_request"]


def prepare_connect_request(
    proxy: Proxy, ws_uri: WebSocketURI, user_agent_header: str | None = USER_AGENT
) -> bytes:
    """Return the request that asks ``proxy`` for a tunnel to ``ws_uri``."""
    return build_connect(proxy, ws_uri, user_agent_header)


give_aliases(globals())
