"""Settings: what all connections of one server or client share."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from ..once import MAKING
from ..opening.arguments import check_callback
from .budget import Budget
from .codecs import Codec, Json, MessagePack
from .describing import described
from .envelope import Call, JsonRpc, Wire
from .errors import Errors, Registry
from .limits import RpcLimits
from .routes import Route, Routes
from .signals import Signals
from .threads import Threads
from .wsrpc import Wsrpc, Wsrpc1

__all__ = ["SUBPROTOCOLS", "WIRES", "Settings"]

WIRES: Mapping[str, str] = {
    "jsonrpc": "longwire.jsonrpc",
    "msgpack": "longwire.msgpack",
    "wsrpc": "wsrpc",
    "wsrpc.1": "wsrpc.1",
}
"""The names of the wires, as ``wire=`` takes them, and their subprotocols."""

SUBPROTOCOLS = tuple(WIRES.values())
"""The subprotocols of all wires, the preferred one first."""

AuthorizeCall = Callable[[Call], Awaitable[bool] | bool]

_JSON = Json()
_MSGPACK = MessagePack()


def _ping(*args: Any, **kwargs: Any) -> Any:
    """What keeps the connections of the wsrpc family: its argument comes back."""
    return kwargs or (args[0] if args else None)


class Settings:
    """Routes, limits and manners; see :class:`Server` for what each one does."""

    may_await: ClassVar[bool] = True
    """Whether what is called here may be a coroutine function."""
    routes_class: ClassVar[type[Routes]] = Routes
    lock: Any = contextlib.nullcontext()
    """Guards what connections share where threads carry them out."""

    def __init__(
        self,
        routes: Any = None,
        *,
        wire: str = "jsonrpc",
        limits: RpcLimits | None = None,
        errors: Errors = (),
        show_errors: bool = False,
        tracebacks: bool = False,
        authorize_call: AuthorizeCall | None = None,
        threads: int = 8,
        describe: bool = True,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[Any, Any], Any] | None = None,
        signals: Signals | None = None,
    ) -> None:
        if wire not in WIRES:
            known = ", ".join(WIRES)
            raise ValueError(f"wire is {wire!r}; one of {known} is allowed")
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads is {threads!r}; an int of 1 or more is allowed")
        if limits is not None and not isinstance(limits, RpcLimits):
            kind = type(limits).__name__
            raise TypeError(
                f"limits must be rpc.RpcLimits or None, not {kind}; those of "
                "connections are for serve(limits=...)"
            )
        check_callback("authorize_call", authorize_call, ("call",), self.may_await)
        self.routes = self.routes_class.of(routes, enc_hook=enc_hook, dec_hook=dec_hook)
        enc_hook, dec_hook = self.routes.enc_hook, self.routes.dec_hook
        self.wire = wire
        self.limits = limits or RpcLimits()
        self.errors = Registry(errors)
        self.show_errors = show_errors
        self.tracebacks = tracebacks
        self.authorize_call = authorize_call
        self.signals = signals or Signals()
        self.budget = Budget(self.limits.calls_in_all, self.limits.memory_in_all)
        self.dec_hook = dec_hook
        hooked = enc_hook is not None or dec_hook is not None
        self._json: Codec = Json(enc_hook, dec_hook) if hooked else _JSON
        self._msgpack: Codec = MessagePack(enc_hook, dec_hook) if hooked else _MSGPACK
        self._wires: dict[tuple[str | None, bool], Wire] = {}
        self._thread_count = threads
        self._threads: Threads | None = None
        self._own: dict[str, Route] = {}
        if describe:
            self._own["rpc.describe"] = Route("rpc.describe", self._describe)
        self._family = {**self._own, "ping": Route("ping", _ping)}

    def _describe(self) -> dict[str, Any]:
        """Every route, with the types it takes and returns."""
        return described(self.routes)

    def own_routes(self, wire: Wire) -> Mapping[str, Route]:
        """Return the routes that are there without anybody having made them."""
        return self._own if wire.extended else self._family

    def make_wire(self, subprotocol: str | None, *, client: bool) -> Wire:
        """Return the wire of one connection: its subprotocol's, or else ours.

        It knows nothing of the connection: all that speak it share one.
        """
        name = subprotocol if subprotocol in SUBPROTOCOLS else WIRES[self.wire]
        wire = self._wires.get((name, client))
        if wire is None:
            wire = self._wires[name, client] = self._make_wire(str(name), client)
        return wire

    def _make_wire(self, name: str, client: bool) -> Wire:
        if name == "wsrpc":
            return Wsrpc(self._json, client=client)
        if name == "wsrpc.1":
            return Wsrpc1(self._json, client=client)
        codec = self._msgpack if name == "longwire.msgpack" else self._json
        return JsonRpc(codec, self.limits.batch)

    @property
    def threads(self) -> Threads:
        """The threads that routes with ``threads=True`` run in."""
        if self._threads is None:
            with MAKING:  # event loops in several threads may share a server
                if self._threads is None:
                    self._threads = Threads(self._thread_count)
        return self._threads
