"""``serve`` and ``connect`` at the top level: of today or of old, by the evidence.

The same names took other arguments up to edition 13. Which are meant shows in the
keywords, the handler's arguments and the names of the hooks' parameters; where nothing
shows, both mean the same. Signs of both kinds in one call are a TypeError: whatever we
did, half of the call would not mean what its author thinks.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..asyncio import server as engine
from ..asyncio.connection import Connection
from ..connection import Data
from ..errors import InvalidStatus
from . import old_names
from .asyncio import client as today
from .asyncio import server as today_server
from .exceptions import InvalidStatusCode
from .legacy import client as old_client
from .legacy import server as old_server
from .legacy.adapting import takes_path
from .legacy.protocol import WebSocketCommonProtocol
from .legacy.protocol import broadcast as _broadcast

__all__ = ["broadcast", "connect", "serve", "unix_connect", "unix_serve"]

_OLD = (
    "create_protocol",
    "klass",
    "extra_headers",
    "read_limit",
    "loop",
    "timeout",
    "legacy_recv",
)
_NEW_SERVE = ("create_connection", "process_response", "limits", "health")
_NEW_CONNECT = (
    "additional_headers",
    "create_connection",
    "limits",
    "process_exception",
    "reconnect_delays",
)

_OLD_FIRST = frozenset({"path", "_path", "uri"})
_OLD_SECOND = frozenset({"headers", "request_headers"})
_NEW_FIRST = frozenset({"connection", "websocket", "ws"})
_NEW_SECOND = frozenset({"request"})


def serve(
    handler: Callable[..., Awaitable[Any]],
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    **kwargs: Any,
) -> engine.Server:
    """Return a WebSocket server for ``host`` and ``port``, not started yet.

    ::

        async def echo(websocket):
            async for message in websocket:
                await websocket.send(message)

        async with serve(echo, "localhost", 8765) as server:
            await server.serve_forever()

    Takes the keywords of ``asyncio.server.serve``, or those of ``legacy.server.serve``
    when one of its own is among them, the handler has two arguments, or a hook is
    written for it. Raises TypeError when there are signs of both.
    """
    if _is_old_server(handler, kwargs):
        return old_server.serve(handler, host, port, **kwargs)  # type: ignore[return-value]
    if kwargs.get("create_connection") is None:
        kwargs["create_connection"] = old_names.ServerConnection
    kwargs.setdefault("make_server", old_server.WebSocketServer._made)
    return today_server.serve(handler, host, port, **kwargs)


def unix_serve(
    handler: Callable[..., Awaitable[Any]],
    path: str | os.PathLike[str] | None = None,
    **kwargs: Any,
) -> engine.Server:
    """Return a server as :func:`serve` does, on the Unix socket at ``path``."""
    if path is not None:
        kwargs["path"] = os.fspath(path)
    return serve(handler, unix=True, **kwargs)


class connect(today.connect):
    """A connection to the WebSocket server at ``uri``, or a way to keep one.

    ``await connect(uri)`` gives a connection; ``async with`` also closes it;
    ``async for`` gives a new one each time the last has ended. No loop has to run to
    make the object.

    Takes the keywords of ``asyncio.client.connect``, or those of
    ``legacy.client.connect`` when one of its own is among them; the object is then one
    of those. Raises TypeError for keywords of both.
    """

    if not TYPE_CHECKING:

        def __new__(cls, uri: str, **kwargs: Any) -> Any:
            if _is_old_client(kwargs):
                return old_client.connect(uri, **kwargs)
            return super().__new__(cls)

        __signature__ = inspect.signature(today.connect)

        def __init__(self, uri: str, **kwargs: Any) -> None:
            if kwargs.get("create_connection") is None:
                kwargs["create_connection"] = old_names.ClientConnection
            super().__init__(uri, **kwargs)

    async def connect(self) -> Any:
        """Return a new connection, open; a refusal is raised as InvalidStatusCode.

        That is an InvalidStatus: nothing shows which of both the caller is to catch.
        """
        try:
            return await super().connect()
        except InvalidStatus as exc:
            raise InvalidStatusCode.of(exc) from exc

    def __iter__(self) -> Generator[Any, None, Any]:
        """For ``yield from connect(...)``."""
        return self.__await__()


def unix_connect(
    path: str | os.PathLike[str] | None = None,
    uri: str | None = None,
    **kwargs: Any,
) -> connect:
    """Return :class:`connect` to the server at the Unix socket ``path``.

    ``uri`` says what is asked for there; ws://localhost/ if None, wss://localhost/ with
    ``ssl``.
    """
    if uri is None:
        uri = "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"
    if path is not None:
        kwargs["path"] = os.fspath(path)
    kwargs["unix"] = True
    return connect(uri, **kwargs)


def broadcast(
    connections: Iterable[Connection | WebSocketCommonProtocol],
    message: Data | bytearray | memoryview,
    raise_exceptions: bool = False,
    *,
    text: bool | None = None,
) -> None:
    """Send ``message`` to all of ``connections`` that are open, without waiting.

    Any iterable will do. A connection that fails does not keep the message from the
    others: that is logged or, with ``raise_exceptions``, raised at the end. ``text``
    says whether to send Text or Binary where the type of ``message`` shall not.
    """
    _broadcast(connections, message, raise_exceptions, text=text)


# --- evidence --------------------------------------------------------------------


def _is_old_client(kwargs: Mapping[str, Any]) -> bool:
    old = [f"{name}=" for name in _OLD if name in kwargs]
    new = [f"{name}=" for name in _NEW_CONNECT if name in kwargs]
    return _decide("connect", old, new)


def _is_old_server(handler: object, kwargs: Mapping[str, Any]) -> bool:
    old = [f"{name}=" for name in _OLD if name in kwargs]
    new = [f"{name}=" for name in _NEW_SERVE if name in kwargs]
    if takes_path(handler):
        old.append("a handler that takes the path")
    first, second = _parameters(kwargs.get("process_request"))
    if first in _OLD_FIRST or second in _OLD_SECOND:
        old.append(f"process_request=({first}, {second})")
    elif first in _NEW_FIRST or second in _NEW_SECOND:
        new.append(f"process_request=({first}, {second})")
    first, second = _parameters(kwargs.get("select_subprotocol"))
    if first == "client_subprotocols":
        old.append(f"select_subprotocol=({first}, {second})")
    elif first in _NEW_FIRST:
        new.append(f"select_subprotocol=({first}, {second})")
    return _decide("serve", old, new)


def _decide(where: str, old: list[str], new: list[str]) -> bool:
    if old and new:
        raise TypeError(
            f"{where}() got {old[0]}, which is of the API before edition 14, and "
            f"{new[0]}, which is of the one since; write one or the other"
        )
    return bool(old)


def _parameters(hook: object) -> tuple[str | None, str | None]:
    """Return the names of the first two positional parameters of ``hook``."""
    if not callable(hook):
        return None, None
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        return None, None
    names = [
        p.name
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    first, second = (*names, None, None)[:2]
    return first, second
