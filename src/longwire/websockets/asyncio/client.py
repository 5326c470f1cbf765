"""``connect``, ``unix_connect`` and their connections: longwire's own.

The logger's name is this API's, ``websockets.client``, and so are the variables
``WEBSOCKETS_MAX_REDIRECTS`` and ``WEBSOCKETS_MAX_FRAGMENTS``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ...asyncio import client as engine
from ...asyncio.client import ClientConnection
from ...retrying import backoff, process_exception
from .. import variables
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

        @functools.wraps(engine.connect.__init__)
        def __init__(self, *args, **kwargs):
            logging_to(CLIENT, super().__init__)(*args, **kwargs)
            self._settings = variables.redirects_limited(
                variables.fragments_limited(self._settings, kwargs.get("limits"))
            )


unix_connect = logging_to(CLIENT, engine.unix_connect)
