"""What ``serve()`` and ``connect()`` hand on to the loop, for type checkers.

The names and types are those of asyncio; a test compares them with what is accepted.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import TypedDict

__all__ = ["ListenOptions", "ReachOptions"]


class _Tls(TypedDict, total=False):
    ssl: ssl.SSLContext | None
    ssl_handshake_timeout: float | None
    ssl_shutdown_timeout: float | None


class ListenOptions(_Tls, total=False):
    """Keywords of :meth:`asyncio.loop.create_server`."""

    family: int
    flags: int
    sock: socket.socket | None
    backlog: int
    reuse_address: bool | None
    reuse_port: bool | None
    start_serving: bool


class ReachOptions(_Tls, total=False):
    """Keywords of :meth:`asyncio.loop.create_connection`, and ours for proxies."""

    server_hostname: str | None
    sock: socket.socket | None
    host: str | Sequence[str] | None
    port: int | None
    family: int
    proto: int
    flags: int
    local_addr: tuple[str, int] | None
    happy_eyeballs_delay: float | None
    interleave: int | None
    all_errors: bool
    proxy_ssl: ssl.SSLContext | None
    proxy_server_hostname: str | None
