"""What to write instead: hints for mistakes that have been made more than once.

Each is one sentence that says what to write. Who makes one of these mistakes has an
error already; nothing here is on the way of a program that works.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

__all__ = [
    "Blocking",
    "give_hints",
    "keyword_hint",
    "missing",
    "no_answer",
    "not_awaited",
    "not_sendable",
    "numbered",
    "use_async",
    "what_is_wrong_with",
    "without_hints",
]

_JSON = "write json.dumps() and send(), json.loads() and recv()"
_RECEIVE = "write 'message = await websocket.recv()'"
_SEND = "write 'await websocket.send(message)': str goes out as Text, bytes as Binary"
_ITERATE = "write 'async for message in websocket'"
_CLOSED = "write 'websocket.state is State.CLOSED', or catch ConnectionClosed"
_OPEN = "write 'websocket.state is State.OPEN'"
_REQUEST = "it is in websocket.request: .path, .headers"
_ADDRESS = "write websocket.remote_address"

# Names that connections of other libraries have.
_ATTRIBUTES = {
    "send_json": _JSON,
    "receive_json": _JSON,
    "recv_json": _JSON,
    "iter_json": _JSON,
    "receive": _RECEIVE,
    "receive_text": _RECEIVE,
    "receive_bytes": _RECEIVE,
    "receive_str": _RECEIVE,
    "recv_str": _RECEIVE,
    "read_message": _RECEIVE,
    "send_text": _SEND,
    "send_str": _SEND,
    "send_bytes": _SEND,
    "send_message": _SEND,
    "write_message": _SEND,
    "write": _SEND,
    "emit": _SEND,
    "iter_text": _ITERATE,
    "iter_bytes": _ITERATE,
    "on_message": _ITERATE,
    "on": _ITERATE,
    "run_forever": _ITERATE,
    "accept": "a handler gets connections that are open already",
    "prepare": "a handler gets connections that are open already",
    "disconnect": "write 'await websocket.close()'",
    "closed": _CLOSED,
    "is_closed": _CLOSED,
    "open": _OPEN,
    "is_open": _OPEN,
    "connected": _OPEN,
    "client_state": _OPEN,
    "path": _REQUEST,
    "url": _REQUEST,
    "headers": _REQUEST,
    "request_headers": _REQUEST,
    "cookies": _REQUEST,
    "query_params": "write websocket.request.query",
    "query": "write websocket.request.query",
    "client": _ADDRESS,
    "host": _ADDRESS,
    "port": _ADDRESS,
    "remote_ip": _ADDRESS,
}
_OF_MESSAGES = frozenset(dir(str)) | frozenset(dir(bytes)) | frozenset(dir(dict))

# Keywords of other libraries for which there is no single one here.
_KEYWORDS = {
    "max_connections": "write limits=longwire.Limits(connections=...)",
    "limit_concurrency": "write limits=longwire.Limits(connections=...)",
    "max_clients": "write limits=longwire.Limits(connections=...)",
    "cors": "write origins=[...], the pages that may connect",
    "cors_allowed_origins": "write origins=[...], the pages that may connect",
    "allowed_origins": "write origins=[...], the pages that may connect",
    "certfile": "write ssl=context, an ssl.SSLContext with load_cert_chain()",
    "keyfile": "write ssl=context, an ssl.SSLContext with load_cert_chain()",
    "ssl_certfile": "write ssl=context, an ssl.SSLContext with load_cert_chain()",
    "ssl_keyfile": "write ssl=context, an ssl.SSLContext with load_cert_chain()",
    "verify": "write ssl=context, an ssl.SSLContext that says so",
    "debug": "write logging.basicConfig(level=logging.DEBUG)",
    "log_level": "write logging.basicConfig(level=logging.DEBUG)",
    "on_message": "write 'async for message in websocket'",
    "on_open": "what is to be done first comes before 'async for message in websocket'",
    "on_close": "what is to be done last comes after 'async for message in websocket'",
    "on_error": "write 'except longwire.ConnectionClosed'",
    "auth": "write process_request=longwire.basic_auth(...) on a server; a client has "
    "user and password in its URI",
    "cookies": "write additional_headers={'Cookie': ...}",
    "loop": "the running event loop is used",
    "read_limit": "write max_queue, or limits=longwire.Limits(queued_bytes=...)",
    "reconnect": "write 'async for websocket in connect(...)'",
}


def keyword_hint(name: str) -> str | None:
    """Return what to write for a keyword that does not exist here."""
    return _KEYWORDS.get(name)


def missing(owner: object, name: str, awaits: bool = True) -> AttributeError:
    """Return the error of who looks for ``name`` on a connection.

    ``awaits`` says whether its methods are awaited.
    """
    text = f"{type(owner).__name__!r} object has no attribute {name!r}"
    hint = _ATTRIBUTES.get(name)
    if hint is None and not name.startswith("_") and name in _OF_MESSAGES:
        hint = (
            "this is a connection and no message: 'async for websocket in connect()' "
            "gives connections, each of which is iterated over for its messages"
        )
    if hint is not None and not awaits:
        hint = hint.replace("await ", "").replace("async ", "")
        hint = hint.replace("in connect()", "in reconnect()")
    return _error(text, hint, name, owner)


class _Absent:
    """An attribute that is not there; who looks for it is told what to write.

    Anything of that name in a subclass or an object takes its place.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        if instance is None:
            kind, name = owner.__name__, self.name
            raise AttributeError(f"type object {kind!r} has no attribute {name!r}")
        raise missing(instance, self.name, instance._awaits)


def give_hints(cls: type) -> None:
    """Have objects of a class of connections say what to write for a wrong name."""
    for name in {*_ATTRIBUTES, *_OF_MESSAGES}:
        if not name.startswith("_") and not hasattr(cls, name):
            setattr(cls, name, _Absent(name))


def without_hints(cls: type, names: Iterable[str]) -> list[str]:
    """Return ``names`` of attributes without those that are not there."""
    return [
        name
        for name in names
        if type(inspect.getattr_static(cls, name, None)) is not _Absent
    ]


def not_awaited(owner: object, name: str, what: str, names: frozenset[str]) -> Any:
    """Return the error of who takes ``connect()`` or ``serve()`` for its result."""
    text = f"{type(owner).__name__!r} object has no attribute {name!r}"
    hint = None
    if name in names or name in _ATTRIBUTES:
        hint = (
            f"this is {what}(...), which has not begun: write 'await {what}(...)' or "
            f"'async with {what}(...) as x'"
        )
    return _error(text, hint, name, owner)


def _error(text: str, hint: str | None, name: str, owner: object) -> AttributeError:
    if hint is None:
        return AttributeError(text, name=name, obj=owner)
    # Without name and obj: Python would add a guess of its own.
    return AttributeError(f"{text}; {hint}")


def use_async(what: str, keyword: str) -> TypeError:
    """Return the error of a plain ``with`` or ``for``."""
    return TypeError(f"{what} is asynchronous: write 'async {keyword}'")


class Blocking:
    """What objects of the threads front end answer to ``await`` and ``async``.

    A mixin: ``_plain`` is what to write in their place.
    """

    __slots__ = ()
    _plain = "with connect(...) as websocket"

    def __await__(self) -> NoReturn:
        """Raise TypeError: who waits here is a thread."""
        raise self._is_for_threads()

    def __aenter__(self) -> NoReturn:
        """Raise TypeError: who waits here is a thread."""
        raise self._is_for_threads()

    def __aexit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __aiter__(self) -> NoReturn:
        """Raise TypeError: who waits here is a thread."""
        raise self._is_for_threads()

    def _is_for_threads(self) -> TypeError:
        name = type(self).__name__
        return TypeError(
            f"{name} is of longwire.sync, which is for threads, without 'async' and "
            f"'await': write '{self._plain}', or import from longwire for asyncio"
        )


def not_sendable(message: object) -> str:
    """Return how the text of the error goes on for what cannot be sent."""
    if isinstance(message, (dict, list, tuple, set, int, float)) or message is None:
        return "; for JSON, send json.dumps(message)"
    if inspect.iscoroutine(message):
        return "; an 'await' is missing"
    return ""


def what_is_wrong_with(handler: Callable[..., Any], awaits: bool = True) -> str:
    """Return why ``handler`` can never work, "" if it may.

    ``awaits`` says whether what it returns is awaited.
    """
    function: Any = inspect.unwrap(handler)
    if inspect.ismethod(function):
        function = function.__func__
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        if function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE and awaits:
            return ""
        return f"has 'yield': write '{'await ' * awaits}websocket.send(...)'"
    if not awaits:
        if inspect.iscoroutinefunction(function):
            return "has 'async': write 'def', or take longwire.serve for asyncio"
        return ""
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        return ""
    if _returns_nothing(function):
        return "is a plain function that returns nothing: write 'async def'"
    return ""


def _returns_nothing(function: Any) -> bool:
    """Return whether all that a function of Python's can return is None.

    One that only raises, and a lambda, which may be a stand-in, are given the benefit
    of the doubt.
    """
    before: Any = None
    found = False
    if function.__name__ == "<lambda>":
        return False
    for step in dis.get_instructions(function):
        if step.opname == "RETURN_CONST":
            if step.argval is not None:
                return False
        elif step.opname == "RETURN_VALUE" and (
            before is None
            or not before.opname.startswith("LOAD_CONST")
            or before.argval is not None
        ):
            return False
        found = found or step.opname in ("RETURN_CONST", "RETURN_VALUE")
        before = step
    return found


def no_answer(secure: bool, exc: BaseException) -> str:
    """Return what a failed attempt to connect may come from, "" if nobody knows."""
    text = str(exc)
    if secure and ("WRONG_VERSION" in text or "wrong version number" in text):
        return "the server does not speak TLS there: write ws://"
    if not secure and isinstance(exc.__cause__, EOFError):
        return "the server hung up without an answer; where it speaks TLS, write wss://"
    return ""


def numbered(places: Iterable[str], most: int = 5) -> str:
    """Return ``places`` in one line, equal ones once with their number."""
    counts: dict[str, int] = {}
    for place in places:
        counts[place] = counts.get(place, 0) + 1
    listed = [f"{place} ({count})" for place, count in counts.items()]
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")
