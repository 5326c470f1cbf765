"""``connect``, ``unix_connect`` and their connections: longwire's own.

The logger's name is this API's, ``websockets.client``, and so is the variable
``WEBSOCKETS_MAX_REDIRECTS``; longwire's own is ``LONGWIRE_MAX_REDIRECTS``.
"""

from __future__ import annotations

import dataclasses
import functools
import os
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

        @functools.wraps(engine.connect.__init__)
        def __init__(self, *args, **kwargs):
            logging_to(CLIENT, super().__init__)(*args, **kwargs)
            most = os.environ.get("WEBSOCKETS_MAX_REDIRECTS")
            if most is not None:
                self._settings = dataclasses.replace(
                    self._settings, max_redirects=int(most)
                )


unix_connect = logging_to(CLIENT, engine.unix_connect)
