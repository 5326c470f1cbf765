"""Apps: from ``module:attribute`` to what a worker serves.

Every way in which that can fail is an AppError whose text says what to write instead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import inspect
import logging
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ..escaping import one_line
from ..options import Limits
from .settings import Settings

__all__ = ["App", "AppError", "check_target", "find", "make"]

logger = logging.getLogger("longwire.workers")

_HUB_PATIENCE = 10.0
"""Seconds that a hub may take to reach its broker before a worker begins without."""

KINDS = (
    "a handler (async def handler(websocket)), an rpc.Server, a Hub or a "
    "longwire.workers.App"
)


class AppError(Exception):
    """The application cannot be served; the text says why, in one line."""


class App:
    """What ``longwire serve`` runs, with what a command line cannot say.

    ::

        app = App(handler, origins=["https://example.com"], lifespan=database)

    ``handler`` is a handler, a :class:`longwire.rpc.Server` or a
    :class:`longwire.hub.Hub`. All further keywords are those of
    :func:`longwire.serve`, without host, port and what else says where to listen;
    options of the command line override them.

    * ``lifespan``: an async context manager, or a function without arguments that
      makes one: entered in each worker before it accepts connections, left when they
      have ended. A Hub is one.
    * ``ready``: a function without arguments: whether the worker should get new
      connections, for ``/readyz``. True is yes, False is no, a text says why not.

    Raises TypeError for anything else.
    """

    def __init__(
        self,
        handler: Any,
        *,
        lifespan: Any = None,
        ready: Callable[[], bool | str] | None = None,
        **options: Any,
    ) -> None:
        if not callable(handler) and not _is_hub(handler):
            kind = type(handler).__name__
            raise TypeError(f"handler is a {kind}; it must be {KINDS}")
        if ready is not None and not callable(ready):
            raise TypeError(f"ready must be a function, not {type(ready).__name__}")
        if not (lifespan is None or callable(lifespan) or _is_context(lifespan)):
            kind = type(lifespan).__name__
            raise TypeError(f"lifespan must be an async context manager, not {kind}")
        for name in sorted(_OURS & options.keys()):
            raise TypeError(
                f"{name} is for the command line of longwire serve, not for App()"
            )
        self.handler = handler
        self.lifespan = lifespan
        self.ready = ready
        self.options = options
        # Whose metrics are told beside ours.
        self._hub: Any = None

    def __repr__(self) -> str:
        return f"<longwire.workers.App of {self.handler!r}>"


# What says where to listen: the supervisor's business.
_OURS = {"host", "path", "port", "reuse_port", "sock", "start_serving", "unix"}


def check_target(target: str) -> tuple[str, str]:
    """Return module and attribute of ``module:attribute``; raises AppError."""
    module, colon, attribute = target.partition(":")
    name = module.removesuffix(".py").strip("./").replace("/", ".")
    if not (colon and module and attribute):
        example = f"{name or 'main'}:{attribute or 'app'}"
        raise AppError(f"{target!r} is not MODULE:ATTRIBUTE, such as {example}")
    if module.endswith(".py") or "/" in module:
        raise AppError(
            f"{module} is a file; name the module: {name}:{attribute} "
            "(--app-dir says where to look for it)"
        )
    return module, attribute


def find(target: str) -> Any:
    """Import the module of ``module:attribute`` and return the attribute.

    Raises AppError; the traceback of a module that fails goes to the log.
    """
    module, attribute = check_target(target)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as exc:
        name = exc.name or ""
        if module == name or module.startswith(f"{name}."):
            where = sys.path[0] or "the current directory"
            raise AppError(
                f"there is no module {name!r} in {where} or on Python's path; "
                "--app-dir names another folder"
            ) from None
        raise _failed(f"importing {module} failed", exc) from exc
    except (Exception, SystemExit) as exc:
        raise _failed(f"importing {module} failed", exc) from exc
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise AppError(_no_attribute(found, module, part))
        found = getattr(found, part)
    return found


def _no_attribute(found: Any, module: str, part: str) -> str:
    text = f"module {module!r} has no attribute {part!r}"
    names = [name for name in dir(found) if not name.startswith("_")]
    near = difflib.get_close_matches(part, names, 3)
    return f"{text}; did you mean {' or '.join(near)}?" if near else text


def _failed(what: str, exc: BaseException) -> AppError:
    """Return the error of the application's own code, whose traceback is logged."""
    shown = _from_application(exc.__traceback__)
    logger.error("%s", what, exc_info=(type(exc), exc, shown))
    text = one_line(exc)
    frames = traceback.extract_tb(shown)
    if isinstance(exc, SyntaxError):
        # It happened where Python read the file: no frame of a traceback.
        place = f" (at {exc.filename}:{exc.lineno})" if exc.filename else ""
        text = one_line(Exception(exc.msg))
    elif frames:
        place = f" (at {frames[-1].filename}:{frames[-1].lineno})"
    else:
        place = ""
    return AppError(f"{what}: {type(exc).__name__}: {text}{place}")


def _from_application(found: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that begins in the application's code.

    Ours and that of importlib come before, and say nothing of the mistake.
    """
    while found is not None:
        name = found.tb_frame.f_code.co_filename
        if name not in (__file__, importlib.__file__) and "<frozen " not in name:
            break
        found = found.tb_next
    return found


async def make(settings: Settings) -> App:
    """Return the App that the settings name; raises AppError."""
    found = find(settings.app)
    if settings.factory:
        found = await _call_factory(found, settings.app)
    if isinstance(found, App):
        app = found
    else:
        app = _as_app(found, settings)
    _check_broker(app, settings.workers)
    return _with_hub(app)


async def _call_factory(factory: Any, target: str) -> Any:
    if not callable(factory):
        kind = type(factory).__name__
        raise AppError(f"{target} is a {kind}; with --factory it must be a function")
    try:
        found = factory()
        return await found if inspect.isawaitable(found) else found
    except Exception as exc:
        raise _failed(f"the factory {target} failed", exc) from exc


def _as_app(found: Any, settings: Settings) -> App:
    target = settings.app
    if inspect.ismodule(found) or isinstance(found, type) or not callable(found):
        if not _is_hub(found):
            kind = "class" if isinstance(found, type) else type(found).__name__
            raise AppError(f"{target} is a {kind}; it must be {KINDS}")
        return App(found)
    if not settings.factory and _takes(found) == 0:
        raise AppError(
            f"{target} takes no argument, and a handler takes the connection; if it "
            "makes the application, add --factory"
        )
    if _takes(found) == 3:
        raise AppError(
            f"{target} takes three arguments, as ASGI applications do; run it by "
            f"uvicorn {target} --ws longwire.asgi:Protocol"
        )
    return App(found)


def _takes(function: Any) -> int:
    """Return how many positional arguments have to be given; 1 if nobody knows."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [each for each in parameters if each.kind in kinds]
    needed = [each for each in positional if each.default is each.empty]
    return len(needed) if needed else min(len(positional), 1)


# --- hubs ------------------------------------------------------------------------


def _is_hub(value: object) -> bool:
    hub = sys.modules.get("longwire.hub")
    return hub is not None and isinstance(value, hub.Hub)


def _is_context(value: object) -> bool:
    return hasattr(type(value), "__aenter__") and hasattr(type(value), "__aexit__")


def _hub_of(app: App) -> Any:
    """Return the hub that an App runs, None if it has none that we can see."""
    return next(filter(_is_hub, (app.handler, app.lifespan)), None)


def _check_broker(app: App, workers: int) -> None:
    hub = _hub_of(app)
    if workers > 1 and hub is not None and hub.broker.name == "memory":
        raise AppError(
            f"Hub() keeps its messages in the memory of one process, and {workers} "
            'workers would not hear each other: write Hub("redis://localhost"), or '
            "--workers 1"
        )


def _with_hub(app: App) -> App:
    """Return the App with its hub entered, asked for readiness, and served."""
    hub = _hub_of(app)
    if hub is None:
        return app
    handler = app.handler
    if _is_hub(handler):
        from .. import rpc

        handler = rpc.Server()
        hub.install(handler)
    outer = app.lifespan if app.lifespan is not hub else None

    @contextlib.asynccontextmanager
    async def lifespan() -> Any:
        async with contextlib.AsyncExitStack() as stack:
            if outer is not None:
                await stack.enter_async_context(entered(outer))
            await stack.enter_async_context(hub)
            try:
                await hub.ready(_HUB_PATIENCE)
            except TimeoutError:
                logger.warning("the hub has not reached its broker yet: not ready")
            yield

    def ready() -> bool | str:
        if not hub.is_ready:
            return "the hub has no broker"
        return True if app.ready is None else app.ready()

    made = App(handler, lifespan=lifespan, ready=ready, **app.options)
    made._hub = hub
    return made


def hub_metrics(app: App) -> str:
    """Return the metrics of the App's hub, "" if it has none that we can see."""
    if app._hub is None:
        return ""
    text: str = app._hub.metrics()
    return text


def entered(lifespan: Any) -> Any:
    """Return the context manager of a lifespan: itself, or what it makes."""
    if _is_context(lifespan):
        return lifespan
    made = lifespan()
    if not _is_context(made):
        kind = type(made).__name__
        raise AppError(f"lifespan returned a {kind}, not an async context manager")
    return made


# --- serving ---------------------------------------------------------------------


def serving_function(app: App, settings: Settings) -> Callable[..., Any]:
    """Return ``serve`` for the App, with all options but where to listen.

    Raises AppError for options that ``serve`` does not take.
    """
    from .. import serve

    options = options_for(app, settings)
    own = getattr(app.handler, "serve", None)

    def make_server(**network: Any) -> Any:
        try:
            if callable(own):
                return own(**options, **network)
            return serve(app.handler, **options, **network)
        except (TypeError, ValueError) as exc:
            raise AppError(f"{settings.app}: {one_line(exc)}") from exc

    return make_server


def options_for(app: App, settings: Settings) -> dict[str, Any]:
    """Return the keywords of ``serve``: the App's, and over them the command line's."""
    options = dict(app.options)
    for name in ("max_size", "open_timeout"):
        if (value := getattr(settings, name)) is not None:
            options[name] = value
    for name in ("ping_interval", "ping_timeout"):
        if (value := getattr(settings, name)) is not None:
            options[name] = value or None
    if settings.compression is not None:
        none = settings.compression == "none"
        options["compression"] = None if none else settings.compression
    if settings.origins:
        any_page = "any" in settings.origins
        options["origins"] = None if any_page else ["same", None, *settings.origins]
    if settings.max_connections is not None:
        limits = options.get("limits")
        if limits is None:
            limits = Limits()
            if hasattr(app.handler, "make_peer"):  # an rpc.Server has its own default
                from ..rpc.server import MAX_SIZE

                options.setdefault("max_size", MAX_SIZE)
        count = settings.max_connections
        options["limits"] = dataclasses.replace(limits, connections=count)
    return options
