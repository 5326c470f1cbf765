"""``connect`` and its connections for trio: longwire's own.

The logger's name is this API's, ``websockets.client``, and so are the variables, which
begin with ``WEBSOCKETS_``.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from ...dialing import path_of, unix_uri
from ...opening.client_plan import connect_plan
from ...opening.steps import Opened, Plan
from ...trio import client as engine
from .. import variables
from ..aliases import give_aliases
from ..heads import Exchange
from ..linked import LinkedClient, of_client
from .connection import Connection

__all__ = ["ClientConnection", "connect", "unix_connect"]


class ClientConnection(LinkedClient, Connection, engine.ClientConnection):
    __doc__ = engine.ClientConnection.__doc__


class connect(engine.connect):
    __doc__ = engine.connect.__doc__
    _explains = False

    if not TYPE_CHECKING:  # whose checkers would lose the signature

        @functools.wraps(engine.connect.__init__)
        def __init__(self, uri, **kwargs):
            of_client(kwargs, ClientConnection)
            super().__init__(uri, **kwargs)
            self._settings = variables.redirects_limited(
                variables.as_documented(self._settings, kwargs)
            )

    def _plan(self) -> Plan[Opened]:
        return connect_plan(self._settings, make_exchange=Exchange)


def unix_connect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> connect:
    """Return :class:`connect` to the server at the Unix socket ``path``."""
    address = unix_uri(uri, kwargs)
    return connect(address, unix=True, path=path_of(path), **kwargs)


give_aliases(globals())
