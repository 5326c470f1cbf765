"""What a connection of any edition raises when it has ended.

Up to edition 7 a ConnectionClosed was an InvalidState, which is what ``send()`` of 2.6
raised; since then the two have nothing to do with each other. In longwire's tree they
have not either; what is raised here is both, so that ``except`` clauses of every
edition catch what they caught.
"""

from __future__ import annotations

from .. import errors
from . import closed_today

__all__ = ["KINDS", "ConnectionClosedError", "ConnectionClosedOK"]


class ConnectionClosedOK(closed_today.ConnectionClosedOK, errors.InvalidState):
    """The connection ended properly: 1000, 1001 or no code, sent and received."""


class ConnectionClosedError(closed_today.ConnectionClosedError, errors.InvalidState):
    """The connection ended with another code, or without a closing handshake."""


KINDS = (ConnectionClosedOK, ConnectionClosedError)
