"""What a connection of the documented API raises when it has ended.

Its text is that of the documents, word for word: it has the reason of each close frame,
also where both have the same one.
"""

from __future__ import annotations

from .. import errors

__all__ = ["KINDS", "ConnectionClosedError", "ConnectionClosedOK"]


class ConnectionClosedOK(errors.ConnectionClosedOK):
    """The connection ended properly: 1000, 1001 or no code, sent and received."""

    _says_reason_once = False


class ConnectionClosedError(errors.ConnectionClosedError):
    """The connection ended with another code, or without a closing handshake."""

    _says_reason_once = False


KINDS = (ConnectionClosedOK, ConnectionClosedError)
