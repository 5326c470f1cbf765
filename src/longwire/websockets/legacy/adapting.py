"""What the old ``serve`` and ``connect`` share: their keywords, loops and handlers.

Nothing here is meant for users; it decides what an old keyword means today, and what
is said about it.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
import inspect
import logging
import sys
import types
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from ..datastructures import Headers, OldHeaders
from ..typing import LoggerLike

__all__ = [
    "OldCall",
    "Running",
    "adapt_handler",
    "check_keywords",
    "choose_factory",
    "headers_from",
    "spell_out",
    "takes_path",
    "timeout_from",
    "warn_in",
]

_OURS = __name__.partition(".")[0]

# What the API of today calls that of old.
OLD_NAMES: Mapping[str, str] = {
    "additional_headers": "extra_headers",
    "create_connection": "create_protocol",
    "process_response": "extra_headers",
    "headers": "extra_headers",
    "user_agent": "user_agent_header",
    "ssl_context": "ssl",
}


# Where programs' filters of warnings look for those of the documented API.
_MODULE = "websockets.legacy"


def warn(text: str) -> None:
    """Warn the author of the calling program of something deprecated.

    Programs filter these warnings by the beginnings of their texts, which are those of
    the documented API.
    """
    frame = sys._getframe(1)
    while _is_ours(frame) and frame.f_back is not None:
        frame = frame.f_back
    warnings.warn_explicit(
        text,
        DeprecationWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=_MODULE,
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def warn_in(function: Callable[..., Any], text: str) -> None:
    """Warn where ``function`` is written, for its author to see.

    Its caller is longwire. Who wrote something else than a function is not warned.
    """
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if not hasattr(function, "__func__") and not hasattr(function, "__code__"):
        function = type(function).__call__
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if not isinstance(code, types.CodeType):
        return
    warnings.warn_explicit(
        text,
        DeprecationWarning,
        code.co_filename,
        code.co_firstlineno,
        module=_MODULE,
        registry=getattr(function, "__globals__", {}).setdefault(
            "__warningregistry__", {}
        ),
    )


def _is_ours(frame: types.FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0] == _OURS


def check_keywords(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for a keyword nobody knows, with the one that was meant."""
    names = sorted(set(known))
    for name in given:
        if name in names:
            continue
        text = f"{where}() got an unexpected keyword argument {name!r}"
        near = OLD_NAMES.get(name)
        if near not in names:
            near = next(iter(difflib.get_close_matches(name, names, 1)), None)
        raise TypeError(f"{text}; did you mean {near!r}?" if near else text)


def choose_factory(create_protocol: Any, klass: Any, default: Any) -> Any:
    """Return what makes connections: ``create_protocol``, else ``klass`` of 3.x."""
    if klass is not None:
        warn("rename klass to create_protocol")
    factory = create_protocol or klass or default
    if not callable(factory):
        kind = type(factory).__name__
        raise TypeError(f"create_protocol must be a class or factory, not {kind}")
    return factory


def timeout_from(close_timeout: float | None, timeout: float | None) -> float:
    """Return the seconds for closing: ``close_timeout``, else ``timeout`` of 6.x."""
    if timeout is not None:
        warn("rename timeout to close_timeout")
    for seconds in (close_timeout, timeout):
        if seconds is not None:
            return seconds
    return 10


def spell_out(
    function: Callable[..., Any], full: Callable[..., Any], *without: str
) -> None:
    """Show ``help()`` the keywords that ``function`` passes on to ``full``.

    Those in ``without`` are no keywords of it.
    """
    signature = inspect.signature(function)
    own = signature.parameters.values()
    more = inspect.signature(full).parameters.values()
    taken = {*without, "self", *(p.name for p in own)}
    last = [p for p in more if p.kind is p.VAR_KEYWORD]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            *(p for p in own if p.kind is not p.VAR_KEYWORD),
            *(
                p.replace(kind=p.KEYWORD_ONLY)
                for p in more
                if p.name not in taken and p not in last
            ),
            *last,
        ]
    )


class OldCall:
    """A call of the old ``serve`` or ``connect``: what its deprecated keywords mean.

    They are taken out of ``kwargs``, of which nothing may be left but what is
    ``known``. ``legacy_recv`` is what the function means without that keyword.
    """

    def __init__(
        self,
        where: str,
        kwargs: dict[str, Any],
        known: Iterable[str],
        *,
        create_protocol: Any,
        default_protocol: Any,
        close_timeout: float | None,
        legacy_recv: bool,
        logger: LoggerLike | str | None,
        default_logger: str,
    ) -> None:
        self.running = Running(kwargs.pop("loop", None))
        klass = kwargs.pop("klass", None)
        self.factory = choose_factory(create_protocol, klass, default_protocol)
        self.close_timeout = timeout_from(close_timeout, kwargs.pop("timeout", None))
        self.legacy_recv = kwargs.pop("legacy_recv", None)
        if self.legacy_recv is None:
            self.legacy_recv = legacy_recv
        else:
            warn("remove legacy_recv argument or import compat26")
        check_keywords(where, kwargs, known)
        if isinstance(logger, str) or logger is None:
            logger = logging.getLogger(logger or default_logger)
        self.logger = logger


class Running:
    """The loop that ``loop=`` names, checked against the one that runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        if loop is None:
            return
        if not isinstance(loop, asyncio.AbstractEventLoop):
            kind = type(loop).__name__
            raise TypeError(f"loop must be an event loop or None, not {kind}")
        warn("remove loop argument; the running loop is used")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # run_until_complete() will tell
        self.check()

    def check(self) -> None:
        """Raise ValueError unless the loop that was named is the one that runs."""
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise ValueError("loop is not the running event loop; leave loop= out")


def headers_from(value: Any) -> Headers | None:
    """Return ``extra_headers`` as headers; TypeError or ValueError if it is none."""
    if value is None:
        return None
    try:
        return OldHeaders(value)
    except (TypeError, ValueError) as exc:
        wrong = ValueError if isinstance(exc, ValueError) else TypeError
        raise wrong(f"extra_headers must be headers; {exc}") from None


# --- handlers --------------------------------------------------------------------


def binds(signature: inspect.Signature, count: int) -> bool:
    """Return whether ``count`` positional arguments are what it takes."""
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def takes_path(handler: object) -> bool:
    """Return whether ``handler`` wants the path beside the connection.

    Looks through ``functools.partial``, bound methods and callable objects. Raises
    TypeError for what can be called with neither one nor two arguments.
    """
    if not callable(handler):
        kind = type(handler).__name__
        hint = "; pass the function, do not call it" if kind == "coroutine" else ""
        raise TypeError(f"handler must be a coroutine function, not {kind}{hint}")
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return False  # something of C that does not say
    if binds(signature, 1):
        return False
    if binds(signature, 2):
        return True
    name = getattr(handler, "__qualname__", type(handler).__name__)
    raise TypeError(
        f"handler must take one argument, the connection, or two, the connection and "
        f"the path; found {name}{signature}"
    )


def adapt_handler(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Return ``handler`` as one that takes the connection alone."""
    if not takes_path(handler):
        return handler
    # Programs filter this warning by the beginning of its text.
    warn("remove second argument of ws_handler; it is websocket.path")

    def with_path(connection: Any) -> Awaitable[Any]:
        return handler(connection, connection.path)

    return with_path
