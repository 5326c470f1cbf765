"""Calling for threads: the verbs by which the other side is called."""

from __future__ import annotations

import abc
from typing import Any, TypeVar, overload

from ..calling import DEFAULT, as_params
from ..envelope import Params
from .streams import Stream

__all__ = ["Calling", "Proxy"]

T = TypeVar("T")


class Calling(abc.ABC):
    """One side that can call the other: :class:`Peer` and :class:`Client`.

    Any thread may call, and many at the same time.
    """

    @abc.abstractmethod
    def call_with(
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
    def call(
        self,
        method: str,
        /,
        *args: Any,
        returns: type[T],
        timeout: float | None = DEFAULT,
        **kwargs: Any,
    ) -> T: ...

    @overload
    def call(
        self,
        method: str,
        /,
        *args: Any,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
        **kwargs: Any,
    ) -> Any: ...

    def call(
        self,
        method: str,
        /,
        *args: Any,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
        **kwargs: Any,
    ) -> Any:
        """Call ``method`` of the other side, wait, and return its result.

        Arguments go by position or by name, not both. ``returns`` is the type to make
        of the result; ``timeout`` the seconds to wait, None for ever, by default
        ``RpcLimits.timeout``. A timeout, or Ctrl-C in the thread that waits, cancels
        the call.

        Raises RemoteError, or a class of ``errors``, for what the other side raised;
        CallTimeout, a TimeoutError; Disconnected when the connection ends first;
        InvalidResult; TooBusy when too many calls of ours wait already.
        """
        params = as_params(args, kwargs)
        return self.call_with(method, params, timeout=timeout, returns=returns)

    @abc.abstractmethod
    def _notify(self, method: str, params: Params) -> None:
        """Send a call that wants no answer."""

    def notify(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        """Call ``method`` without waiting for an answer: whether it came is not known.

        Raises Disconnected when there is no connection.
        """
        self._notify(method, as_params(args, kwargs))

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
        """The other side's routes as attributes: ``peer.proxy.a.b(1)``."""
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

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the route; every keyword is an argument of it."""
        if not self._name:
            raise TypeError("a proxy is called by a name: proxy.name(...)")
        return self._calling.call_with(self._name, as_params(args, kwargs))

    def __repr__(self) -> str:
        return f"<Proxy {self._name!r}>"
