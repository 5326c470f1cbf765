"""Remote procedure calls on trio.

What :mod:`longwire.rpc` has, over :mod:`longwire.trio`: ``Client``, ``Server`` and
``Peer``, whose calls are cancelled by cancel scopes. Routes, errors, limits and all
that is not here are those of ``longwire.rpc``.
"""

from __future__ import annotations

# First of all: it says what to install where trio is missing.
from ... import trio as _trio  # noqa: F401
from .client import Client
from .peer import Peer
from .server import Server

__all__ = ["Client", "Peer", "Server"]
