"""Mounting: a hub as an ASGI application, beside a web framework's own.

All that the hub promises holds there, too. Each message is encoded once and framed by
the ASGI server for each connection, so that sending to many takes more time than by
longwire's own server.
"""

from __future__ import annotations

from typing import Any

from ..rpc import Application, Server
from ..rpc import asgi as rpc_asgi
from .hub import Hub

__all__ = ["asgi"]


def asgi(
    hub: Hub, server: Server | None = None, *, prefix: str = "hub", **options: Any
) -> Application:
    """Return an ASGI application whose clients may call the hub.

    ::

        hub = Hub()
        hub.topic("chat:{room}", subscribe="anyone", publish="anyone")

        @contextlib.asynccontextmanager
        async def lifespan(app):
            async with hub:
                yield

        app = FastAPI(lifespan=lifespan)
        app.mount("/hub", asgi(hub))

    ``server`` has the other calls of the same clients, if there are any; ``options``
    are those of :func:`longwire.rpc.asgi`. Where it is not mounted but the application
    itself, it starts and closes the hub.
    """
    if not isinstance(hub, Hub):
        raise TypeError(f"asgi() takes a Hub, not {type(hub).__name__}")
    application = rpc_asgi(server, **options)
    hub.install(application.server, prefix)
    application.on_startup, application.on_shutdown = hub.start, hub.close
    return application
