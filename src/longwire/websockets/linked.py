"""What connections of the documented API add to ``documented.py``, in threads and trio.

Several threads may use the sans-I/O side, and a factory of the caller's gets it in
place of the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import link
from ..messages import Opcode, Side
from . import documented
from .asyncio import view
from .datastructures import with_text
from .documented import Documented, DocumentedServer
from .typing import BytesLike

__all__ = [
    "Linked",
    "LinkedClient",
    "LinkedServer",
    "View",
    "of_client",
    "of_server",
]


class View(view.View):
    """The sans-I/O side of a connection; several threads may use it."""

    _connection: Any

    def _send(self, opcode: Opcode, data: BytesLike, fin: bool) -> None:
        connection = self._open_connection()
        with connection._lock:
            connection._live.send(opcode, bytes(data), fin, True)
            connection._react()

    def send_ping(self, data: BytesLike) -> None:
        """Send a Ping frame."""
        connection = self._open_connection()
        with connection._lock:
            connection._live.ping(bytes(data), _Nobody(), connection._now())
            connection._react()

    def send_pong(self, data: BytesLike) -> None:
        """Send a Pong frame."""
        connection = self._open_connection()
        with connection._lock:
            super().send_pong(data)

    def fail(self, code: int, reason: str = "") -> None:
        """Fail the connection: send a Close frame, and listen no more.

        Raises ProtocolError for a code that may not be sent.
        """
        connection = self._connection
        if connection is None:
            super().fail(code, reason)
            return
        with connection._lock:
            super().fail(code, reason)

    def _open_connection(self) -> Any:
        return super()._open_connection()


class _Nobody:
    """Who waits for the pong of a ping that was sent without asking for it."""

    def resolve(self, latency: float) -> None:
        """Do nothing."""

    def fail(self, error: BaseException) -> None:
        """Do nothing."""


class Linked(Documented, link.Link):
    """A connection as programs know it; a front end's own comes behind it."""

    _view_class = View

    def _prepare(self, session: Any) -> None:
        session.ends_with_tcp = True

    def _end_input(self, session: Any) -> None:
        # A ConnectionClosed knows its cause where no close frame came.
        session.note_loss(EOFError("unexpected end of stream"))
        super()._end_input(session)


class LinkedClient(Linked):
    """The client's end."""

    def _note(self, text: str, *args: object, **extra: object) -> None:
        # At INFO are the lines of servers; those of a client are for its author.
        self.logger.debug(text, *args, extra=extra)


class LinkedServer(Linked, DocumentedServer):
    """The server's end."""


def of_client(keywords: dict[str, Any], kind: type[LinkedClient]) -> dict[str, Any]:
    """Return the keywords of ``connect`` with this API's defaults."""
    if "address" in keywords:
        keywords["host"], keywords["port"] = keywords.pop("address")
    if "additional_headers" in keywords:
        keywords["additional_headers"] = with_text(keywords["additional_headers"])
    return _made_by(documented.of_client(keywords), kind, Side.CLIENT)


def of_server(keywords: dict[str, Any], kind: type[LinkedServer]) -> dict[str, Any]:
    """Return the keywords of ``serve`` with this API's defaults."""
    return _made_by(documented.of_server(keywords), kind, Side.SERVER)


def _made_by(
    keywords: dict[str, Any], kind: type[Linked], side: Side
) -> dict[str, Any]:
    create = keywords.get("create_connection")
    keywords["create_connection"] = kind if create is None else _maker(create, side)
    return keywords


def _maker(create: Any, side: Side) -> Callable[..., Any]:
    """Return what makes a connection with a factory of the caller's."""
    if not callable(create):
        return create  # type: ignore[no-any-return]  # which longwire refuses

    def make(*args: Any, **keywords: Any) -> Any:
        # The settings are the last, but for the server.
        at = -1 if side is Side.CLIENT else -2
        seen = list(args)
        seen[at] = View(seen[at], side)
        return create(*seen, **keywords)

    return make
