"""HTTP/1.1 requests and responses: the same classes as longwire's own."""

from __future__ import annotations

import os

from ..http.heads import Request, Response
from ..settings import PRODUCT
from .aliases import give_aliases

__all__ = ["SERVER", "USER_AGENT", "Request", "Response"]

USER_AGENT = os.environ.get("WEBSOCKETS_USER_AGENT", PRODUCT)
"""What a client says in User-Agent unless told otherwise."""
SERVER = os.environ.get("WEBSOCKETS_SERVER", PRODUCT)
"""What a server says in Server unless told otherwise."""

# The documented environment variables; they hold for the sans-I/O classes.
MAX_LINE_LENGTH = int(os.environ.get("WEBSOCKETS_MAX_LINE_LENGTH", "8192"))
MAX_NUM_HEADERS = int(os.environ.get("WEBSOCKETS_MAX_NUM_HEADERS", "128"))
MAX_BODY_SIZE = int(os.environ.get("WEBSOCKETS_MAX_BODY_SIZE", "1048576"))


give_aliases(globals())
