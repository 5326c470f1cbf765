"""Mounting: a hub as an ASGI application, beside a web framework's own.

All that the hub promises holds there, too. Each message is encoded once and framed by
the ASGI server for each connection, so that sending to many takes more time than by
longwire's own server.
"""

from __future__ import annotations

from typing import Any

from ..rpc import Application, Server
from ..rpc import asgi as rpc_asgi
from ..rpc.mounted import Receive, Send
from .hub import Hub

__all__ = ["asgi"]


class HubApplication(Application):
    """An application of ``longwire.rpc`` that a hub begins and ends with."""

    hub: Hub

    async def __call__(
        self, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Serve one connection, or the life of the ASGI server."""
        if scope["type"] == "lifespan":
            await self._live_with_hub(receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _live_with_hub(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.hub.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.hub.close()
        await send({"type": "lifespan.shutdown.complete"})


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
    made = rpc_asgi(server, **options)
    hub.install(made.server, prefix)
    application = HubApplication(
        made.server, max_size=made._max_size, connections=made._connections
    )
    application.hub = hub
    return application
