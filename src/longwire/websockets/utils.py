"""Small functions that programs import from the documented module of this name."""

from __future__ import annotations

import os
import socket

from ..core import masking
from ..http.handshake import accept_token, make_key
from .typing import BytesLike

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What goes into a Sec-WebSocket-Accept besides the key."""

__all__ = ["accept_key", "apply_mask", "generate_key", "get_socket_name"]


def accept_key(key: str) -> str:
    """Return the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key."""
    return accept_token(key)


def generate_key() -> str:
    """Return a new Sec-WebSocket-Key: 16 unpredictable bytes in base64."""
    return make_key(os.urandom(16))


def apply_mask(data: BytesLike, mask: bytes | bytearray) -> bytes:
    """Return a copy of ``data``, masked or unmasked with the four bytes of ``mask``."""
    if len(mask) != 4:
        raise ValueError(f"mask of {len(mask)} bytes; 4 are needed")
    return masking.apply_mask(bytes(data), bytes(mask))


def get_socket_name(sock: socket.socket) -> str:
    """Return the address a socket is bound to, as one writes it: host:port or path."""
    address = sock.getsockname()
    if sock.family == socket.AF_INET:
        return f"{address[0]}:{address[1]}"
    if sock.family == socket.AF_INET6:
        return f"[{address[0]}]:{address[1]}"
    return str(address)
