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
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...messages import Side
from ...opening.client_plan import connect_plan
from ...opening.steps import Opened, Plan
from ...sync import client as engine
from ...verbs import Verbs
from .. import variables
from ..aliases import give_aliases
from ..client import backoff, process_exception
from ..heads import Exchange
from ..http11 import USER_AGENT
from ..loggers import CLIENT
from .connection import Connection, View

__all__ = ["ClientConnection", "connect", "reconnect", "unix_connect", "unix_reconnect"]


class ClientConnection(Connection, engine.ClientConnection):
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

    def _note(self, text: str, *args: object, **extra: object) -> None:
        # At INFO are the lines of servers; those of a client are for its author.
        self.logger.debug(text, *args, extra=extra)


class reconnect(engine.reconnect):
    __doc__ = engine.reconnect.__doc__
    _explains = False

    if not TYPE_CHECKING:  # whose checkers would lose the signature

        @functools.wraps(engine.reconnect.__init__)
        def __init__(self, uri, **kwargs):
            if kwargs.get("logger") is None:
                kwargs["logger"] = CLIENT
            kwargs.setdefault("user_agent_header", USER_AGENT)
            kwargs.setdefault("process_exception", process_exception)
            kwargs.setdefault("reconnect_delays", backoff)
            if "address" in kwargs:
                kwargs["host"], kwargs["port"] = kwargs.pop("address")
            interval = variables.interval_of(kwargs.get("ping_interval", 20))
            create = kwargs.get("create_connection")
            kwargs["create_connection"] = _maker(create)
            super().__init__(uri, **{**kwargs, "ping_interval": interval})
            self._settings = variables.redirects_limited(
                variables.as_documented(self._settings, kwargs)
            )

    def _plan(self) -> Plan[Opened]:
        return connect_plan(self._settings, make_exchange=Exchange)


def _maker(create: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return what makes a connection of ``reconnect``."""
    if create is None:
        return ClientConnection
    if not callable(create):
        return create  # which longwire refuses

    def make(wire: Any, settings: Any, **keywords: Any) -> Any:
        return create(wire, View(settings, Side.CLIENT), **keywords)

    return make


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
    address = engine._unix_uri(uri, kwargs)
    path = engine._path(path)
    return connect(address, legacy=legacy, unix=True, path=path, **kwargs)


def unix_reconnect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> reconnect:
    """Return :class:`reconnect` to the server at the Unix socket ``path``."""
    address = engine._unix_uri(uri, kwargs)
    return reconnect(address, unix=True, path=engine._path(path), **kwargs)


give_aliases(globals())
