"""``connect``, ``reconnect`` and their connections for threads: longwire's own.

The logger's name is this API's, ``websockets.client``, and so are the variables, which
begin with ``WEBSOCKETS_``. ``connect()`` returns a connection, as it always did, and
warns where that is not used with ``with``, as documented.
"""

from __future__ import annotations

import functools
import inspect
import os
import warnings
from typing import TYPE_CHECKING, Any

from ...dialing import path_of, unix_uri
from ...opening.client_plan import connect_plan
from ...opening.steps import Opened, Plan
from ...sync import client as engine
from ...verbs import Verbs
from .. import variables
from ..aliases import give_aliases
from ..heads import Exchange
from ..linked import LinkedClient, of_client
from .connection import Connection

__all__ = ["ClientConnection", "connect", "reconnect", "unix_connect", "unix_reconnect"]


class ClientConnection(LinkedClient, Connection, engine.ClientConnection):
    __doc__ = engine.ClientConnection.__doc__

    # Whether to warn at the first use: it was made by a plain connect(), and there was
    # no ``with`` yet.
    _is_bare = False

    def __enter__(self) -> Any:
        """Return the connection; leaving the block closes it."""
        self._is_bare = False
        return super().__enter__()

    @property
    def _open_verbs(self) -> Verbs:
        if self._is_bare:
            self._is_bare = False
            warnings.warn(
                "connect() is a context manager: with connect(...) as websocket: ...; "
                "without one, write connect(..., legacy=True)",
                DeprecationWarning,
                stacklevel=3,
            )
        return super()._open_verbs


class reconnect(engine.reconnect):
    __doc__ = engine.reconnect.__doc__
    _explains = False
    _tcp = engine.reconnect._tcp | {"timeout"}  # of socket.create_connection()

    if not TYPE_CHECKING:  # whose checkers would lose the signature

        @functools.wraps(engine.reconnect.__init__)
        def __init__(self, uri, **kwargs):
            of_client(kwargs, ClientConnection)
            super().__init__(uri, **kwargs)
            self._settings = variables.redirects_limited(
                variables.as_documented(self._settings, kwargs)
            )

    def _plan(self) -> Plan[Opened]:
        return connect_plan(self._settings, make_exchange=Exchange)


def connect(
    uri: str, *, legacy: bool | None = None, **kwargs: Any
) -> ClientConnection | reconnect:
    """Return a connection to the WebSocket server at ``uri``, for ``with``.

    Without ``with`` its first use warns, unless ``legacy`` is True. Where that is False
    it returns :class:`reconnect`. The other keywords are those of :class:`reconnect`.
    """
    if legacy is False:
        return reconnect(uri, **kwargs)
    given = kwargs.keys() & {"process_exception", "reconnect_delays"}
    if given:
        raise TypeError(f"connect() does not try again; {min(given)} is reconnect()'s")
    connection = reconnect(uri, **kwargs).connect()
    if isinstance(connection, ClientConnection):
        connection._is_bare = legacy is None
        return connection
    return connection  # type: ignore[return-value]


def _signed() -> inspect.Signature:
    """Return the signature of ``connect``, whose keywords are those of reconnect."""
    known = inspect.signature(engine.reconnect).parameters.values()
    legacy = inspect.signature(connect).parameters["legacy"]
    names = ("process_exception", "reconnect_delays")
    kept = [each for each in known if each.name not in names]
    return inspect.Signature([*kept[:-1], legacy, kept[-1]])


connect.__signature__ = _signed()  # type: ignore[attr-defined]


def unix_connect(
    path: str | os.PathLike[str] | None = None,
    uri: str | None = None,
    *,
    legacy: bool | None = None,
    **kwargs: Any,
) -> ClientConnection | reconnect:
    """Return what :func:`connect` does, to the server at the Unix socket ``path``."""
    address = unix_uri(uri, kwargs)
    path = path_of(path)
    return connect(address, legacy=legacy, unix=True, path=path, **kwargs)


def unix_reconnect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> reconnect:
    """Return :class:`reconnect` to the server at the Unix socket ``path``."""
    address = unix_uri(uri, kwargs)
    return reconnect(address, unix=True, path=path_of(path), **kwargs)


give_aliases(globals())
