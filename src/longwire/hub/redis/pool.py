"""Pool: one connection for commands to each server, made when it is needed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..addresses import Address
from ..errors import BrokerUnavailable
from .addresses import Place
from .resp import Argument, Connection

__all__ = ["Pool"]

logger = logging.getLogger("longwire.hub")

RETRY = 0.25
"""Seconds in which a server that refused is not asked again."""


class Pool:
    """Connections by address, and by purpose: what blocks has its own."""

    def __init__(self, place: Place, timeout: float, name: str) -> None:
        self._place = place
        self._timeout = timeout
        self._name = name
        self._open: dict[tuple[Address, str], Connection] = {}
        self._opening: dict[tuple[Address, str], asyncio.Task[Connection]] = {}
        self._refused: dict[tuple[Address, str], tuple[float, str]] = {}
        self._closed = False

    async def call(
        self, address: Address, *command: Argument, purpose: str = ""
    ) -> Any:
        """Send a command to a server and return its answer.

        Raises ServerError, or BrokerUnavailable, whose ``stored`` is False where
        nothing was sent.
        """
        connection = await self.get(address, purpose)
        return await connection.call(*command)

    def ready(self, address: Address, purpose: str = "") -> Connection | None:
        """Return the connection to a server if it takes a command at once."""
        connection = self._open.get((address, purpose))
        if connection is None or not connection.is_ready:
            return None
        return connection

    async def get(self, address: Address, purpose: str = "") -> Connection:
        """Return the connection to a server; raises BrokerUnavailable."""
        key = (address, purpose)
        connection = self._open.get(key)
        if connection is not None and connection.closed is None:
            return connection
        if self._closed:
            raise BrokerUnavailable("the hub is closed", stored=False)
        now = asyncio.get_running_loop().time()
        since, why = self._refused.get(key, (-RETRY, ""))
        if now - since < RETRY:
            raise BrokerUnavailable(why, stored=False)
        task = self._opening.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._open_one(key))
            self._opening[key] = task
            task.add_done_callback(lambda done: self._opened(key, done))
        return await asyncio.shield(task)

    async def _open_one(self, key: tuple[Address, str]) -> Connection:
        return await Connection.open(key[0], self._place, self._timeout, self._name)

    def _opened(self, key: tuple[Address, str], task: asyncio.Task[Connection]) -> None:
        del self._opening[key]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            now = asyncio.get_running_loop().time()
            self._refused[key] = (now, str(error))
            return
        self._refused.pop(key, None)
        if self._closed:
            task.result().close("the hub is closed")
        else:
            self._open[key] = task.result()

    def drop(self, address: Address, why: str) -> None:
        """Close the connections to a server that is not what it was."""
        for key in [key for key in self._open if key[0] == address]:
            self._open.pop(key).close(why)

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        opening = list(self._opening.values())
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening)
        for connection in self._open.values():
            connection.close("the hub is closed")
        self._open.clear()
