"""Calling: the verbs by which the other side is called, the same on every end."""

from __future__ import annotations

import abc
from typing import Any, TypeVar, overload

from .envelope import Params
from .streams import Stream

__all__ = ["DEFAULT", "Calling", "Proxy", "as_params"]

T = TypeVar("T")


class _Default(float):
    """Stands for a time that comes from the limits."""


DEFAULT = _Default()


class Calling(abc.ABC):
    """One side that can call the other: :class:`Peer` and :class:`Client`."""

    @abc.abstractmethod
    async def call_with(
        self,
        method: str,
        params: Params = None,
        *,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
    ) -> Any:
        """Call ``method`` with a list of arguments, or a dict, and return its result.

        What :meth:`call` does, for arguments that are at hand.
        """

    @overload
    async def call(
        self,
        method: str,
        /,
        *args: Any,
        returns: type[T],
        timeout: float | None = DEFAULT,
        **kwargs: Any,
    ) -> T: ...

    @overload
    async def call(
        self,
        method: str,
        /,
        *args: Any,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
        **kwargs: Any,
    ) -> Any: ...

    async def call(
        self,
        method: str,
        /,
        *args: Any,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
        **kwargs: Any,
    ) -> Any:
        """Call ``method`` of the other side and return its result.

        Arguments go by position or by name, not both. ``returns`` is the type to make
        of the result; ``timeout`` the seconds to wait, None for ever, by default
        ``RpcLimits.timeout``. Cancelling the task that waits cancels the call.

        Raises RemoteError, or a class of ``errors``, for what the other side raised;
        CallTimeout, a TimeoutError; Disconnected when the connection ends first;
        InvalidResult; TooBusy when too many calls of ours wait already.
        """
        params = as_params(args, kwargs)
        return await self.call_with(method, params, timeout=timeout, returns=returns)

    @abc.abstractmethod
    async def _notify(self, method: str, params: Params) -> None:
        """Send a call that wants no answer."""

    async def notify(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        """Call ``method`` without waiting for an answer: whether it came is not known.

        Raises Disconnected when there is no connection.
        """
        await self._notify(method, as_params(args, kwargs))

    @abc.abstractmethod
    def _stream(
        self, method: str, params: Params, window: int | None, returns: Any
    ) -> Stream[Any]:
        """Ask for a stream."""

    def stream(
        self,
        method: str,
        /,
        *args: Any,
        window: int | None = None,
        returns: Any = Any,
        **kwargs: Any,
    ) -> Stream[Any]:
        """Return the items that the stream route ``method`` gives, as they come.

        ``window`` is how many the other side may send ahead, 1 to 1024, by default
        ``RpcLimits.window``; ``returns`` the type to make of each item. The stream is
        asked for at once. Needs one of longwire's own wires: raises TypeError on those
        of wsrpc.
        """
        return self._stream(method, as_params(args, kwargs), window, returns)

    @property
    def proxy(self) -> Proxy:
        """The other side's routes as attributes: ``await peer.proxy.a.b(1)``."""
        return Proxy(self, "")


class Proxy:
    """A dotted name; calling it calls the route of that name."""

    __slots__ = ("_calling", "_name")

    def __init__(self, calling: Calling, name: str) -> None:
        self._calling = calling
        self._name = name

    def __getattr__(self, name: str) -> Proxy:
        if name.startswith("_"):
            raise AttributeError(f"no route has a name like {name!r}")
        return Proxy(self._calling, f"{self._name}.{name}" if self._name else name)

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the route; every keyword is an argument of it."""
        if not self._name:
            raise TypeError("a proxy is called by a name: proxy.name(...)")
        return await self._calling.call_with(self._name, as_params(args, kwargs))

    def __repr__(self) -> str:
        return f"<Proxy {self._name!r}>"


def as_params(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Params:
    """Return the arguments of a call; by position, by name, or none."""
    if args and kwargs:
        raise TypeError("arguments go by position or by name; not both in one call")
    return args or kwargs or None
