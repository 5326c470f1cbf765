"""``WebSocketCommonProtocol``: what old programs call a connection, on either side.

It is an asyncio protocol with the documented attributes and methods, and the steps that
they were made of (``steps.py``). A connection of longwire's inside it does the work
(``inner.py``); where a subclass has a step of its own, that is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from ...asyncio.broadcast import broadcast as _broadcast
from ...connection import Data
from ...errors import InvalidState
from ..aliases import give_aliases
from ..driving import METHODS, Driven
from ..overriding import overridden
from .adapting import spell_out
from .attributes import Attributes
from .behaviour import SETTINGS, Behaviour
from .inner import InnerConnection, agreement
from .steps import HOOKS, ON_THE_WAY_IN, ON_THE_WAY_OUT, Steps

__all__ = ["WebSocketCommonProtocol", "broadcast"]


class WebSocketCommonProtocol(Attributes, Steps, Driven):
    """A connection as former editions documented it.

    Made by the old ``serve`` and ``connect``, or by another program's server, which
    then calls ``connection_made()`` and, with no handshake to be done,
    ``connection_open()``. ``legacy_recv=True`` is the way of 2.6: ``recv()`` returns
    None at the end. ``read_limit`` is accepted, and of no use: nothing is read ahead
    but what ``max_queue`` allows.
    """

    _hooks: ClassVar[tuple[str, ...]] = HOOKS
    """The methods that are called where a subclass has its own."""
    _own: ClassVar[frozenset[str]] = frozenset()
    """Those that it has its own of."""
    _is_told: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        root = cls._root()
        cls._own = overridden(cls, cls._hooks, root)
        cls._is_told = bool(overridden(cls, METHODS, root))

    @classmethod
    def _root(cls) -> type:
        """Return the documented class that this is, or is a subclass of."""
        return next(base for base in cls.__mro__ if "_hooks" in vars(base))

    def __init__(self, **kwargs: Any) -> None:
        self._behaviour = behaviour = Behaviour.of(self, kwargs)
        self._connection = InnerConnection(behaviour)
        self._connection._outer = self

    # --- opening -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin on ``transport``: called once, when TCP, and TLS, are there."""
        super().connection_made(transport)

    def connection_open(self) -> None:
        """Enter the OPEN state: called when the opening handshake is complete.

        May be overridden; before the call of ``super()`` nothing can be sent yet.
        """
        inner = self._connection
        if inner._session is not None:
            raise InvalidState("the opening handshake was completed before")
        if inner._agreed is None:
            self._agree_by_attributes()
        changes = {name: vars(self)[name] for name in SETTINGS if name in vars(self)}
        if changes:
            behaviour = self._behaviour = self._behaviour.changed(changes)
            inner._limits = behaviour.limits
            inner._timeouts = behaviour.timeouts
            inner._keepalive = behaviour.keepalive
        self._begin_steps()
        self._take_shortcuts()

    def _agree_by_attributes(self) -> None:
        """Take what a foreign server has agreed on from the attributes it has set."""
        inner = self._connection
        if inner.wire is None or "is_client" not in dir(self):
            raise InvalidState("the opening handshake is not complete")
        inner._client = self.is_client
        inner._agreed = agreement(self.extensions, self.subprotocol)

    def _take_shortcuts(self) -> None:
        """Spare messages the way through methods of ours that add nothing.

        Found on the instance before the class; a subclass's own methods are not
        passed by.
        """
        inner, mine = self._connection, vars(self)
        if not (self._own & ON_THE_WAY_IN or self.legacy_recv):
            mine["recv"] = inner.recv
        if not self._own & ON_THE_WAY_OUT:
            mine["send"] = inner.send

    # --- messages ----------------------------------------------------------------

    if not TYPE_CHECKING:  # whose checkers would lose the overloads

        async def recv(self, decode=None):
            """Return the next message: str for Text, bytes for Binary.

            Raises ConnectionClosed when the connection has ended, RuntimeError while
            another coroutine is in ``recv()``. Cancelling it loses nothing.
            """
            return await self._receive(decode)

    else:

        async def recv(self, decode: bool | None = None) -> Any: ...

    def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate over messages; ends when the connection is closed properly."""
        if "recv" in vars(self) and "recv" not in self._own:
            return self._connection.__aiter__()
        return self._iterate()

    async def send(
        self, message: Any, text: bool | None = None, *, compress: bool = True
    ) -> None:
        """Send a message: str as Text, bytes-like as Binary.

        An iterable or asynchronous iterable is sent as one fragment for each item.
        Raises ConnectionClosed when the connection has ended, TypeError for other
        types.
        """
        await self._send(message, text, compress)

    async def ping(self, data: str | bytes | None = None) -> Awaitable[float]:
        """Send a ping; return a future whose result is the latency in seconds."""
        return await self._ping(data)

    async def pong(self, data: str | bytes = b"") -> None:
        """Send a pong that nobody asked for."""
        await self._pong(data)

    # --- closing -----------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection and wait until TCP has ended; idempotent."""
        await self._close(code, reason)

    async def wait_closed(self) -> None:
        """Wait until the connection has ended, for whatever reason."""
        await self._connection.wait_closed()


spell_out(WebSocketCommonProtocol.__init__, Behaviour, "open_timeout")


def broadcast(
    websockets: Iterable[Any],
    message: Data | bytearray | memoryview,
    raise_exceptions: bool = False,
    *,
    text: bool | None = None,
) -> None:
    """Send ``message`` to all of ``websockets`` that are open, without waiting.

    Any iterable will do. A connection that fails does not keep the message from the
    others: that is logged or, with ``raise_exceptions``, raised at the end.
    """
    connections = (
        each._connection if isinstance(each, WebSocketCommonProtocol) else each
        for each in websockets
    )
    _broadcast(connections, message, text=text, raise_exceptions=raise_exceptions)


give_aliases(globals())
