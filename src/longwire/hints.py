"""What to write instead: hints for mistakes that have been made more than once.

Each is one sentence that says what to write. Who makes one of these mistakes has an
error already; nothing here is on the way of a program that works.
"""

from __future__ import annotations

import difflib
import dis
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from .foreign_names import ATTRIBUTES, KEYWORDS, MODULE, RENAMED

__all__ = [
    "Blocking",
    "a",
    "checks_init",
    "checks_keywords",
    "explained",
    "explained_class",
    "front_end_of",
    "give_hints",
    "give_own_hints",
    "keyword_error",
    "missing",
    "missing_in_package",
    "no_answer",
    "no_loop",
    "no_timeout",
    "not_awaited",
    "not_sendable",
    "numbered",
    "use_async",
    "what_is_wrong_with",
    "without_hints",
]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
C = TypeVar("C", bound=type)

ALIKE = 0.7
"""How alike two names are of which one is taken for the other misspelt."""

_OF_MESSAGES = frozenset(dir(str)) | frozenset(dir(bytes)) | frozenset(dir(dict))


def keyword_error(where: str, name: str, known: Iterable[str]) -> TypeError:
    """Return the error of a keyword that is not one of ``known``; says what was meant.

    ``where`` is the function's name, as the caller knows it. The error has ``keyword``
    and ``known``, for a caller that knows more of them.
    """
    text = _keyword_text(where, name, set(known))
    error = TypeError(text)
    vars(error).update(keyword=name, known=frozenset(known))
    return error


def _keyword_text(where: str, name: str, names: set[str]) -> str:
    text = f"{where}() got an unexpected keyword argument {name!r}"
    # Of serve() and connect(), which other libraries have too.
    connects = bool(names & {"process_response", "additional_headers"})
    others = {*RENAMED, *KEYWORDS} if connects else set()
    if name not in others:
        # Own names first, so that of two that are equally alike ours is taken.
        candidates = [*sorted(names), *sorted(others - names)]
        near = difflib.get_close_matches(name, candidates, 1, ALIKE)
        name = near[0] if near else name
    if name in names:
        return f"{text}; did you mean {name!r}?"
    if connects and name in KEYWORDS:
        return f"{text}; {KEYWORDS[name]}"
    meant = RENAMED.get(name, "").split() if connects else []
    near = [word for word in meant if word in names]
    return f"{text}; did you mean {near[0]!r}?" if near else text


Instead = str | Callable[[tuple[Any, ...]], str]


def explained(instead: Instead) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a function say what to write where it is called with wrong arguments.

    ``instead`` is how it is called, or a function that makes this of the arguments by
    position. A call that is right costs one more frame, so it is not for what is called
    for each message.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError as exc:
                trace = exc.__traceback__
                if trace is None or trace.tb_next is not None:
                    raise  # of the function, which had begun
                error = _call_error(function, args, kwargs, instead, exc)
            raise error from None

        if inspect.iscoroutinefunction(function):
            return cast(Callable[P, R], _as_coroutine(call, function))
        return call

    return decorate


def _as_coroutine(call: Callable[..., Any], function: Any) -> Any:
    """Return ``call`` as what says of itself that it is a coroutine function."""

    @functools.wraps(function)
    async def calling(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    return calling


def explained_class(instead: Instead) -> Callable[[C], C]:
    """Have a class say what to write where it is made with wrong arguments."""

    def decorate(cls: C) -> C:
        made: Any = cls
        made.__init__ = explained(instead)(made.__init__)
        return cls

    return decorate


def _call_error(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    instead: Instead,
    exc: TypeError,
) -> TypeError:
    """Return the error of a call that Python refused with ``exc``."""
    where, _, last = function.__qualname__.rpartition(".")
    named = where if last == "__init__" else function.__qualname__
    where = named.rpartition(".")[2]
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name == "self":
        args, parameters = args[1:], parameters[1:]
    kinds = {each.name: each.kind for each in parameters}
    only, either = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    if inspect.Parameter.VAR_KEYWORD not in kinds.values():
        by_name = [name for name, kind in kinds.items() if kind is not only]
        for name in kwargs:
            if name not in by_name:
                return keyword_error(where, name, by_name)
    places = [name for name, kind in kinds.items() if kind in (only, either)]
    written = instead if isinstance(instead, str) else instead(args)
    if len(args) > len(places):
        some = "argument" if len(places) == 1 else "arguments"
        text = f"{where}() takes {len(places)} {some} by position, not {len(args)}"
    else:
        text = str(exc).replace(f"{function.__qualname__}()", f"{where}()")
    return TypeError(f"{text}: write {written}")


def checks_keywords(
    **needed: str,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator: for a wrong keyword, TypeError says which may be meant.

    ``needed`` has keywords that must be given, and what to write for each.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        parameters = inspect.signature(function).parameters.values()
        by_name = (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        known = [each.name for each in parameters if each.kind in by_name]
        known = [name for name in known if name != "self"]
        # As Python has it: of what is made, the name is that of the class.
        where = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name not in known:
                    raise keyword_error(where, name, known)
            for name, what in needed.items():
                if name not in kwargs:
                    raise TypeError(f"{where}() needs {name}=: {what}")
            return function(*args, **kwargs)

        return checked

    return decorate


def checks_init(cls: type[T]) -> type[T]:
    """Have a dataclass say so, too: a decorator above ``@dataclass``."""
    made: Any = cls
    made.__init__ = checks_keywords()(made.__init__)
    return cls


def missing(owner: object, name: str, awaits: bool = True) -> AttributeError:
    """Return the error for ``name``, which a connection does not have.

    ``awaits`` says whether its methods are awaited.
    """
    text = f"{type(owner).__name__!r} object has no attribute {name!r}"
    hint = ATTRIBUTES.get(name)
    if hint is None and not name.startswith("_") and name in _OF_MESSAGES:
        hint = "this is a connection and no message: "
        if getattr(owner, "_client", True):
            hint += (
                "'async for websocket in connect()' gives connections, each of which "
                "is iterated over for its messages"
            )
        else:
            hint += "'async for message in websocket' gives messages"
    if hint is not None and not awaits:
        hint = hint.replace("await ", "").replace("async ", "")
        hint = hint.replace("in connect()", "in reconnect()")
    return _error(text, hint, name, owner)


class _Absent:
    """An attribute that is not there: its AttributeError says what to write.

    Anything of that name in a subclass or an object takes its place. ``hint`` is what
    to write, None where :func:`missing` knows.
    """

    __slots__ = ("hint", "name")

    def __init__(self, name: str, hint: str | None = None) -> None:
        self.name = name
        self.hint = hint

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        kind, name = owner.__name__, self.name
        if instance is None:
            raise AttributeError(f"type object {kind!r} has no attribute {name!r}")
        if self.hint is None:
            raise missing(instance, name, instance._awaits)
        text = f"{kind!r} object has no attribute {name!r}"
        raise _error(text, self.hint, name, instance)


def give_hints(cls: type) -> None:
    """Have objects of a class of connections say what to write for a wrong name."""
    for name in {*ATTRIBUTES, *_OF_MESSAGES}:
        if not name.startswith("_") and not hasattr(cls, name):
            setattr(cls, name, _Absent(name))


def give_own_hints(cls: type, hints: Mapping[str, str]) -> None:
    """Have objects of a class answer each name in ``hints`` with what to write.

    A key may be several names with spaces between. :func:`without_hints` keeps them out
    of what ``__dir__`` returns.
    """
    for names, hint in hints.items():
        for name in names.split():
            if not hasattr(cls, name):
                setattr(cls, name, _Absent(name, hint))


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
    if name in names or name in ATTRIBUTES:
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


_PACKAGES = frozenset(
    {"asgi", "hub", "metrics", "rpc", "sync", "testing", "trio", "websockets"}
)


def missing_in_package(name: str, package: Any) -> AttributeError:
    """Return the error for ``name``, which the package longwire does not have."""
    text = f"module 'longwire' has no attribute {name!r}"
    hint = MODULE.get(name)
    if name in _PACKAGES:
        hint = f"write 'import longwire.{name}'"
    return _error(text, hint, name, package)


def use_async(what: str, keyword: str) -> TypeError:
    """Return the error of a plain ``with`` or ``for``."""
    return TypeError(f"{what} is asynchronous: write 'async {keyword}'")


_FRONT_ENDS = {
    "longwire.asyncio.": "longwire",
    "longwire.sync.": "longwire.sync",
    "longwire.trio.": "longwire.trio",
}


def front_end_of(thing: object) -> str | None:
    """Return the package that an object of one of the front ends is imported from."""
    for cls in type(thing).__mro__:
        for begin, package in _FRONT_ENDS.items():
            if f"{cls.__module__}.".startswith(begin):
                return package
    return None


def no_loop(name: str, of: str = "asyncio", but: str = "") -> RuntimeError:
    """Return the error of who uses ``name`` where its event loop does not run.

    ``but`` is what to know where no other front end has it.
    """
    if but:
        return RuntimeError(f"{name} needs {of}, which does not run here; {but}")
    others = {
        "asyncio": "longwire",
        "trio": "longwire.trio",
        "threads": "longwire.sync",
    }
    own = others.pop(of)
    instead = ", ".join(
        f"for {kind} from {package}" for kind, package in others.items()
    )
    return RuntimeError(
        f"{name} of {own} needs {of}, which does not run here: import it {instead}"
    )


class Blocking:
    """What objects of the threads front end answer to ``await`` and ``async``.

    A mixin: ``_plain`` is what to write in their place.
    """

    __slots__ = ()
    _plain = "with connect(...) as websocket"

    def __await__(self) -> NoReturn:
        """Raise TypeError: this front end is for threads."""
        raise self._is_for_threads()

    def __aenter__(self) -> NoReturn:
        """Raise TypeError: this front end is for threads."""
        raise self._is_for_threads()

    def __aexit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __aiter__(self) -> NoReturn:
        """Raise TypeError: this front end is for threads."""
        raise self._is_for_threads()

    def _is_for_threads(self) -> TypeError:
        name = type(self).__name__
        return TypeError(
            f"{name} is of longwire.sync, which is for threads, without 'async' and "
            f"'await': write '{self._plain}', or import from longwire for asyncio"
        )


def no_timeout(seconds: object, module: str = "asyncio") -> TypeError:
    """Return the error of ``recv(timeout=...)`` where tasks are cancelled instead."""
    block = {
        "asyncio": f"async with asyncio.timeout({seconds})",
        "trio": f"with trio.fail_after({seconds})",
    }[module]
    return TypeError(f"recv() has no timeout: write '{block}' around it")


def not_sendable(message: object) -> str:
    """Return how the text of the error goes on for what cannot be sent."""
    if isinstance(message, (dict, list, tuple, set, int, float)) or message is None:
        return "; for JSON, send json.dumps(message)"
    if isinstance(message, Awaitable):
        return "; an 'await' is missing"
    return ""


def what_is_wrong_with(handler: Callable[..., Any], awaits: bool = True) -> str:
    """Return why ``handler`` can never work, "" if it may.

    ``awaits`` says whether what it returns is awaited.
    """
    function = _function_of(handler)
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


def _function_of(handler: Any) -> Any:
    """Return the function whose code runs when ``handler`` is called."""
    while True:
        function = inspect.unwrap(handler)
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif not inspect.isclass(function) and not inspect.isfunction(function):
            call = inspect.getattr_static(type(function), "__call__", None)
            if inspect.isfunction(call):
                return call
        if function is handler:
            return function
        handler = function


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


_OWN_AUTHORITY = (
    "if that is a certificate of your own, write "
    "ssl=ssl.create_default_context(cafile='ca.pem'), or --ca FILE on the command line"
)
_OTHER_NAME = (
    "the certificate is for other names: connect to one of these, or give it as "
    "server_hostname="
)
# By the codes of OpenSSL's X509_V_ERR: no issuer (2, 20, 21), self-signed (18, 19),
# another name or address (62, 64).
_CERTIFICATE = {
    **dict.fromkeys((2, 18, 19, 20, 21), _OWN_AUTHORITY),
    **dict.fromkeys((62, 64), _OTHER_NAME),
}


# In TLS 1.3 the client learns after its own handshake that it is refused, and from a
# server on asyncio by the end of TCP alone.
_WITH_CERTIFICATE = (
    "write ssl=context after context.load_cert_chain(), or --cert FILE on the command "
    "line"
)


def no_answer(secure: bool, exc: BaseException) -> str:
    """Return what a failed attempt to connect may come from, "" if nobody knows."""
    text = str(exc)
    if secure and ("WRONG_VERSION" in text or "wrong version number" in text):
        return "the server does not speak TLS there: write ws://"
    if "certificate verify failed" in text.lower().replace("_", " "):
        return _CERTIFICATE.get(getattr(exc, "verify_code", 0), "")
    if isinstance(exc.__cause__, EOFError):
        where = "where it speaks TLS, write wss://"
        if secure:
            where = f"where it asks clients for a certificate, {_WITH_CERTIFICATE}"
        return f"the server hung up without an answer; {where}"
    if "CERTIFICATE_REQUIRED" in text:
        return f"the server asks clients for a certificate: {_WITH_CERTIFICATE}"
    return ""


def a(kind: str) -> str:
    """Return the name of a type with its article."""
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def numbered(places: Iterable[str], most: int = 5) -> str:
    """Return ``places`` in one line, equal ones once with their number."""
    counts: dict[str, int] = {}
    for place in places:
        counts[place] = counts.get(place, 0) + 1
    listed = [f"{place} ({count})" for place, count in counts.items()]
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")
