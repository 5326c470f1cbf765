"""``connect``, ``unix_connect`` and their connections: longwire's own.

Only the logger's name is this API's: ``websockets.client``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...asyncio import client as engine
from ...asyncio.client import ClientConnection
from ...retrying import backoff, process_exception
from ..loggers import CLIENT, logging_to

__all__ = [
    "ClientConnection",
    "backoff",
    "connect",
    "process_exception",
    "unix_connect",
]


class connect(engine.connect):
    __doc__ = engine.connect.__doc__

    if not TYPE_CHECKING:  # whose checkers would lose the signature
        __init__ = logging_to(CLIENT, engine.connect.__init__)


unix_connect = logging_to(CLIENT, engine.unix_connect)
