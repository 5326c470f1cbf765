"""RESP: one connection to Redis, with commands in a row and answers in the same row.

Read by hiredis, written with ``pack_command``. A command that is not answered in time
ends the connection, for whatever comes later could not be told from its answer.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable
from typing import Any

import hiredis

from ..addresses import Address
from ..errors import BrokerUnavailable
from ..tasks import fail_all
from .addresses import Place

__all__ = ["Argument", "Connection", "ServerError"]

Argument = str | bytes | int
"""What a command is made of."""

_Pending = tuple[asyncio.Future[Any], float]
"""What waits for an answer, and until when."""

MAX_READ = 512 * 1024 * 1024
"""Most bytes of one answer, as Redis itself has it."""


class ServerError(Exception):
    """Redis answered with an error; ``kind`` is its first word.

    It was not carried out, but for a script that failed half-way.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.kind = message.partition(" ")[0]


class Connection(asyncio.Protocol):
    """One connection. ``open()`` makes it; ``closed`` says that, and why, it ended.

    ``on_push(reply)`` is given what comes without having been asked for: it returns
    False for what is an answer. ``on_lost(why)`` is called when it has ended.
    """

    def __init__(
        self,
        address: Address,
        timeout: float,
        *,
        on_push: Callable[[list[Any]], bool] | None = None,
        on_lost: Callable[[str], None] | None = None,
    ) -> None:
        self.address = address
        self.closed: str | None = None
        self.last_read = 0.0
        self._timeout = timeout
        self._on_push = on_push
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._pending: collections.deque[_Pending] = collections.deque()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self._out: list[bytes] = []

    # --- opening -----------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        address: Address,
        place: Place,
        timeout: float,
        name: str,
        **options: Any,
    ) -> Connection:
        """Return a connection that has said who it is; raises BrokerUnavailable."""
        loop = asyncio.get_running_loop()
        connection = cls(address, timeout, **options)
        try:
            async with asyncio.timeout(timeout):
                await loop.create_connection(
                    lambda: connection, address.host, address.port, ssl=place.tls
                )
        except (OSError, TimeoutError) as exc:
            why = str(exc) or "no answer"
            raise BrokerUnavailable(f"{address}: {why}", stored=False) from None
        try:
            await connection._introduce(place, name)
        except BaseException:
            connection.close("introduction failed")
            raise
        return connection

    async def _introduce(self, place: Place, name: str) -> None:
        commands: list[tuple[Argument, ...]] = []
        if place.password is not None:
            user = () if place.username is None else (place.username,)
            commands.append(("AUTH", *user, place.password))
        if place.database:
            commands.append(("SELECT", place.database))
        if place.kind != "sentinel":
            commands.append(("CLIENT", "SETNAME", name))
        try:
            for command in commands:
                await self.call(*command)
        except ServerError as exc:
            raise BrokerUnavailable(f"{self.address}: {exc}", stored=False) from None

    # --- commands ----------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether a command can be sent without waiting."""
        return self.closed is None and self._writable is None

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command; return the future of its answer.

        The future raises ServerError, or BrokerUnavailable when the connection ends
        first. Raises BrokerUnavailable when it has ended: nothing was sent then.
        """
        return self.send_packed(_packed(command))

    def send_packed(self, command: bytes) -> asyncio.Future[Any]:
        """Send a command that is bytes already, as ``send()`` does."""
        if self.closed is not None or self._transport is None:
            why = f"{self.address}: {self.closed or 'not connected'}"
            raise BrokerUnavailable(why, stored=False)
        future = self._loop.create_future()
        deadline = self._loop.time() + self._timeout
        self._pending.append((future, deadline))
        self._write(command)
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check_time)
        return future

    async def call(self, *command: Argument) -> Any:
        """Send a command and return its answer."""
        await self.until_writable()
        return await self.send(*command)

    def tell(self, *command: Argument) -> None:
        """Send a command whose answer comes as a push."""
        if self.closed is None and self._transport is not None:
            self._write(_packed(command))

    def _write(self, command: bytes) -> None:
        """Write a command at the end of this turn, with all others of it.

        A system call for each was half of what a publish cost (bench/hub.py --only
        publish); one for each 16 of 64 still takes 4 us more of each.
        """
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and self.closed is None:
            self._transport.write(b"".join(out))

    async def until_writable(self) -> None:
        """Wait while too much has not left yet."""
        while self._writable is not None:
            await asyncio.shield(self._writable)

    def _check_time(self) -> None:
        self._timer = None
        if not self._pending:
            return
        deadline = self._pending[0][1]
        if self._loop.time() >= deadline:
            self.close(f"no answer within {self._timeout:g} seconds")
        else:
            self._timer = self._loop.call_at(deadline, self._check_time)

    # --- asyncio.Protocol --------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """The connection is there; uvloop's transports are of no class of asyncio's."""
        self._transport = transport
        self.last_read = self._loop.time()

    def data_received(self, data: bytes) -> None:
        """Answers came, or what nobody asked for."""
        self.last_read = self._loop.time()
        reader, push = self._reader, self._on_push
        try:
            reader.feed(data)
            while True:
                reply = reader.gets()
                if reply is False:
                    break
                if push is None or type(reply) is not list or not push(reply):
                    self._answer(reply)
        except hiredis.ProtocolError as exc:
            self.close(f"not RESP: {exc}")

    def _answer(self, reply: Any) -> None:
        if not self._pending:
            self.close("an answer to nothing")
            return
        future = self._pending.popleft()[0]
        if future.done():
            return
        if isinstance(reply, hiredis.ReplyError):
            future.set_exception(ServerError(str(reply)))
        else:
            future.set_result(reply)

    def pause_writing(self) -> None:
        """Too much waits to leave."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has left."""
        waiting, self._writable = self._writable, None
        if waiting is not None:
            waiting.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._end(str(exc) if exc is not None else "closed by the server")

    # --- the end -----------------------------------------------------------------

    def close(self, why: str) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self._end(why)

    def _end(self, why: str) -> None:
        if self.closed is not None:
            return
        self.closed = why
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        pending, self._pending = self._pending, collections.deque()
        # They may have been carried out.
        fail_all((future for future, _ in pending), f"{self.address}: {why}")
        if self._on_lost is not None:
            self._on_lost(why)


def _packed(command: tuple[Any, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(command)
    return packed
