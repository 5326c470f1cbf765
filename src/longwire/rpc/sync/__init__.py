"""Remote procedure calls for threads: scripts, notebooks, Flask and Django views.

What :mod:`longwire.rpc` has, over :mod:`longwire.sync`: ``Client`` and ``Server``,
whose calls block the calling thread, and routes that are plain functions and
generators. Errors, limits and all that is not here are those of ``longwire.rpc``.
"""

from __future__ import annotations

from .calling import Calling, Proxy
from .client import Client
from .peer import Peer
from .routes import Routes
from .server import Server
from .streams import Stream

__all__ = ["Calling", "Client", "Peer", "Proxy", "Routes", "Server", "Stream"]
