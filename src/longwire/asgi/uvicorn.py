"""The class that ``uvicorn --ws`` takes, and what it rests on.

uvicorn documents no interface for it. What is used here, of every version from 0.34 on,
is named in this file alone and tested with the oldest and the newest:

* the class is called with ``config``, ``server_state`` and ``app_state`` as keywords;
* it is an :class:`asyncio.Protocol` whose ``connection_made()`` gets the transport on
  which the request came, and whose ``data_received()`` gets that request, as bytes;
* ``shutdown()`` is called for each element of ``server_state.connections`` when the
  server ends, which then waits until that set and ``server_state.tasks`` are empty, and
  cancels the tasks where ``timeout_graceful_shutdown`` is over;
* ``server_state.default_headers`` are fields for each response;
* of ``config``: ``loaded_app``, ``root_path``, ``asgi_version`` and the ``ws_…``
  settings.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from ..asyncio import server_connection, transport
from ..asyncio.server import Server
from ..http.headers import Headers
from ..opening.origins import Origins, check_origins, check_pages
from ..opening.server_plan import ServerSettings, server_settings
from ..opening.settings import compression_from
from ..options import Compression, Keepalive, Limits, LoggerLike, Timeouts
from .connection import AsgiConnection

__all__ = ["Host", "Protocol", "protocol"]

Application = Callable[..., Awaitable[Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Own:
    """What :func:`protocol` was given; "uvicorn" stands for its own setting."""

    limits: Limits | None = None
    timeouts: Timeouts = dataclasses.field(default_factory=Timeouts)
    compression: str | Compression | None = "uvicorn"
    origins: Origins | None = None
    logger: LoggerLike | str | None = None


class Host(Server):
    """All connections of one uvicorn server: their limits, memory and application."""

    def __init__(self, config: Any, own: _Own) -> None:
        self.application: Application = config.loaded_app
        self.root_path: str = config.root_path
        self.asgi_version: str = config.asgi_version
        self._signed: tuple[Any, Headers] = (None, Headers())
        settings = _settings(config, own)
        super().__init__(
            _never,
            self.application,
            settings.logger,
            settings=settings,
            create_connection=AsgiConnection,
        )

    @staticmethod
    def date() -> str:
        """Return the time in the form of RFC 9110 section 5.6.7."""
        return server_connection.date()

    def default_headers(self, found: Any) -> Headers:
        """Return the server's own fields, found in its state, as ours are kept."""
        raw, headers = self._signed
        if found is not raw:  # uvicorn makes a new list each second
            headers = Headers(
                [
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in found
                ]
            )
            self._signed = found, headers
        return headers

    def _warn_if_one_shot(self, ws: Any) -> None:
        """An application may well return after one message."""


class _Running(asyncio.Future[None]):
    """An application that runs: what uvicorn waits for, and may cancel.

    The connection's task goes on after it, until TCP has ended.
    """

    task: asyncio.Task[None]

    def cancel(self, msg: Any = None) -> bool:
        """Cancel the application."""
        return self.task.cancel(msg)


async def _never(server: Server) -> Any:
    raise RuntimeError("uvicorn listens")


def _settings(config: Any, own: _Own) -> ServerSettings:
    """Return our settings for uvicorn's: what was given to us comes first."""
    limits = own.limits
    if limits is None:
        # uvicorn is behind a proxy more often than not, so that all clients have one
        # address, and the true one is in a field that only uvicorn knows to trust.
        limits = Limits(
            message=config.ws_max_size,
            queued_messages=config.ws_max_queue,
            connections_per_address=None,
        )
    compression = own.compression
    if compression == "uvicorn":
        compression = "deflate" if config.ws_per_message_deflate else None
    return server_settings(
        limits=limits,
        timeouts=own.timeouts,
        keepalive=Keepalive(
            # 0 stands for none there.
            interval=config.ws_ping_interval or None,
            timeout=config.ws_ping_timeout or None,
        ),
        origins=own.origins,
        compression=compression_from(compression),
        logger=own.logger or logging.getLogger("uvicorn.error"),
    )


_UNSENT = "get_write_buffer_size"
_HOSTS: weakref.WeakKeyDictionary[Any, Host] = weakref.WeakKeyDictionary()


class Protocol(transport.Wire):
    """longwire's WebSocket for uvicorn: ``--ws longwire.asgi:Protocol``.

    Follows uvicorn's settings ``ws_max_size``, ``ws_max_queue``, ``ws_ping_interval``,
    ``ws_ping_timeout`` and ``ws_per_message_deflate``; :func:`protocol` makes a class
    with other limits than its.
    """

    own: ClassVar[_Own] = _Own()
    _running: _Running

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: Mapping[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        host = _HOSTS.get(server_state)
        if host is None:
            host = _HOSTS[server_state] = Host(config, self.own)
        self._host = host
        self.state = server_state
        connection = host._make_connection()
        assert isinstance(connection, AsgiConnection)
        connection.entry = self
        connection._state = app_state
        self._connection = connection
        super().__init__(connection)
        connection.wire = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin on the transport of a request that uvicorn has read."""
        state = self.state
        state.connections.add(self)
        super().connection_made(transport)
        task = self._host._task_of(self._connection)
        if task is None:  # over a limit, and cut off
            state.connections.discard(self)
            return
        self._running = running = _Running(loop=self.loop)
        running.task = task
        state.tasks.add(running)

    def shutdown(self) -> None:
        """Close the connection: the server ends."""
        self._connection.shut_down()

    @property
    def close_timeout(self) -> float | None:
        """Seconds for the client's answer to a close frame; as uvicorn's own have."""
        return self._connection._timeouts.close

    @close_timeout.setter
    def close_timeout(self, seconds: float | None) -> None:
        self._connection.set_close_timeout(seconds)

    @property
    def close_timer(self) -> float | None:
        """When that answer has to be there; None while it is not waited for."""
        return self._connection.awaits_close

    def application_ended(self) -> None:
        """Tell uvicorn that the application has returned."""
        if not self._running.done():
            self._running.set_result(None)
        self.state.tasks.discard(self._running)

    def connection_ended(self) -> None:
        """Tell uvicorn that TCP has ended."""
        self.application_ended()
        self.state.connections.discard(self)

    # What a transport that is not quite one of asyncio's may lack.

    def set_write_limits(self, high: int, low: int | None) -> None:
        """Set the marks of ``write_paused`` and ``write_resumed``, in bytes."""
        if hasattr(self.transport, "set_write_buffer_limits"):
            super().set_write_limits(high, low)

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return super().unsent if hasattr(self.transport, _UNSENT) else 0

    def half_close(self) -> None:
        """Send the end of the stream after what was written; go on reading."""
        if hasattr(self.transport, "can_write_eof"):
            super().half_close()
        else:
            self.close()

    def abort(self) -> None:
        """Close now, whatever was not sent."""
        if hasattr(self.transport, "abort"):
            super().abort()
        else:
            self.close()


def protocol(
    *,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    compression: str | Compression | None = "uvicorn",
    origins: Origins | None = None,
    logger: LoggerLike | str | None = None,
) -> type[Protocol]:
    """Return a class for ``uvicorn.run(app, ws=…)`` with settings of longwire's.

    ``limits`` replace what uvicorn's own options say of sizes; ``timeouts``,
    ``compression`` and ``origins`` are as for :func:`longwire.serve`; ``logger``
    replaces "uvicorn.error".
    """
    origins = check_origins(origins)
    check_pages(origins)
    own = _Own(limits, timeouts or Timeouts(), compression, origins, logger)
    return type("Protocol", (Protocol,), {"own": own, "__module__": __name__})
