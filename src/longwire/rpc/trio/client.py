"""Client on trio: one name for a connection, then the next one.

Calls made while there is no connection wait for it; calls under way when it is lost
fail, for nobody knows whether they were carried out.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NoReturn, Self

import trio

from ...hints import explained, use_async
from ...opening.retry import Retries
from ...options import check_timeout
from .. import keeping
from ..calling import DEFAULT
from ..envelope import Params
from ..errors import CallTimeout, Disconnected
from ..kept import Kept
from ..link import LEAVING
from ..performing import current_call
from .peer import Peer
from .settings import Settings
from .waiting import Waiter

__all__ = ["Client"]


class Client(Kept[Peer]):
    """A client that calls the server at ``uri``, and keeps its connection.

    ::

        async with rpc.trio.Client("ws://localhost:8765/") as client:
            with trio.fail_after(10):
                print(await client.call("add", 1, 2))

    Entering starts to connect and does not wait for it; after each loss it connects
    anew, after the delays of :class:`longwire.trio.connect`. ``await
    nursery.start(client.run)`` does the same in a nursery of yours. ``routes`` are what
    the server may call here.

    * ``wire``: ``"jsonrpc"``, ``"msgpack"``, ``"wsrpc"`` or ``"wsrpc.1"``; offered as
      the subprotocol, for those of wsrpc nothing is.
    * ``offline``: what becomes of calls that are made without a connection.
      ``"queue"``: they wait for one; where connecting fails they raise Disconnected
      after 2 seconds, which says why, and that they were not sent. ``"keep"``: they
      wait as long as their ``timeout`` allows. ``"reject"``: they raise it at once. At
      most ``max_queued`` wait.
    * ``limits``, ``errors``, ``tracebacks``, ``enc_hook``, … are those of
      :class:`Server`; everything else goes to :class:`longwire.trio.connect`.

    ``peer`` is the present connection's :class:`Peer`, None without one.
    """

    settings: Settings
    _settings_class = Settings

    _scope: trio.CancelScope | None = None
    _manager: Any = None

    @explained("rpc.trio.Client('ws://localhost:8765/', name=value, ...)")
    def __init__(
        self,
        uri: str,
        routes: Any = None,
        *,
        wire: str = "jsonrpc",
        offline: Literal["queue", "keep", "reject"] = "queue",
        max_queued: int = 1000,
        **options: Any,
    ) -> None:
        from longwire.trio import connect

        self._begin_keeper(uri, routes, wire, offline, max_queued, options)
        options["process_exception"] = self._attempt_failed
        # It connects; when, and after what, is decided by `run`.
        self._connecting = keeping.connect_with(connect, uri, options)
        self._retries: Retries = self._connecting._retries()
        self._over = trio.Event()

    # --- the connection ----------------------------------------------------------

    def __enter__(self) -> NoReturn:
        """Raise TypeError: connecting takes time."""
        raise use_async("Client()", "with Client(...) as client")

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __await__(self) -> NoReturn:
        """Raise TypeError: a client is entered."""
        raise TypeError(
            "Client() is not awaited: write 'async with Client(...) as client'"
        )

    async def __aenter__(self) -> Self:
        self._manager = trio.open_nursery()
        nursery = await self._manager.__aenter__()
        await nursery.start(self.run)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # The body's exception is not the nursery's: it leaves as it is, in no group.
        try:
            await self.aclose()
        finally:
            if self._scope is not None:
                self._scope.cancel()
            await self._manager.__aexit__(None, None, None)

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Connect, and connect anew, until ``aclose()`` or for ever; for a nursery."""
        if self._scope is not None:
            raise RuntimeError("the client was started before; make another")
        try:
            with trio.CancelScope() as self._scope:
                task_status.started()
                while self._final is None:
                    await trio.sleep(await self._keep_one())
        except Exception as exc:
            self._has_failed(exc)
        finally:
            if self._final is None:
                self._final = Disconnected(self._report, "the client was cancelled")
            self._refuse_waiting()
            self._over.set()

    async def connected(self) -> Peer:
        """Wait for a connection; return its peer.

        Raises what made connecting impossible, such as InvalidStatus for a 403.
        """
        return await self._online(None)

    async def aclose(self) -> None:
        """Close the connection and end all calls."""
        if self._final is None:
            self._final = Disconnected(self._report, "the client is closed")
        peer, scope = self.peer, self._scope
        try:
            if peer is not None:
                await peer.aclose()
            self._refuse_waiting()
            outer = current_call()
            if outer is not None and outer.peer is peer:
                return  # a route of ours, which must not wait for its own end
            if peer is not None:
                # It ends by itself, when what the server called has ended.
                with trio.move_on_after(3 * LEAVING):
                    await self._over.wait()
            if scope is not None:
                scope.cancel()
        finally:
            self._refuse_waiting()

    async def _keep_one(self) -> float:
        """Connect, and serve the connection; return the seconds to wait after it."""
        failure: Exception | None = None
        ended = None
        async with trio.open_nursery() as nursery:
            try:
                connection = await self._connecting.connect(nursery)
            except Exception as exc:
                failure = exc  # what leaves the nursery would be in a group
            else:
                async with connection:
                    ended = await self._serve(connection)
        if failure is not None:
            return self._retries.delay_after(failure)
        if ended is None or self._final is not None:
            return 0.0
        return self._retries.delay_after_end(ended)

    async def _serve(self, connection: Any) -> Any:
        """Serve a connection to its end; return the exception of that."""
        if self._final is not None:
            return None
        peer = Peer(connection, settings=self.settings, client=True)
        self._came(peer)
        try:
            self._report = await peer.run()
        finally:
            self.peer = None
        return peer.ended

    def _attempt_failed(self, exc: Exception) -> Exception | None:
        return self._failed_at(exc, trio.current_time())

    async def _online(self, timeout: float | None, method: str = "") -> Peer:
        """Return the peer; wait for one where calls may."""
        peer = self._open_peer()
        if peer is not None:
            return peer
        started = self._scope is not None
        self._check_may_wait(started, method, "enter it with async with")
        waiter = Waiter()
        now = trio.current_time()
        waits_long = bool(method) and self.offline == "queue"
        self._waiting[waiter] = now if waits_long else math.inf
        self._queued += bool(method)
        ends_at = math.inf if timeout is None else now + timeout
        try:
            with trio.CancelScope(deadline=ends_at):
                if waits_long:
                    with trio.move_on_after(keeping.PATIENCE):
                        return await waiter.wait()  # type: ignore[no-any-return]
                    self._give_up(waiter)
                return await waiter.wait()  # type: ignore[no-any-return]
            assert timeout is not None
            raise CallTimeout(method, timeout, self._not_connected(method))
        except Disconnected as exc:
            raise self._told(exc, method) from None
        finally:
            self._queued -= bool(method)
            self._waiting.pop(waiter, None)

    # --- calling -----------------------------------------------------------------

    async def call_with(
        self,
        method: str,
        params: Params = None,
        *,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
    ) -> Any:
        """Call ``method`` with a list of arguments, or a dict; return its result."""
        check_timeout(timeout)
        peer = self._open_peer()
        if peer is None:
            if timeout is DEFAULT:
                timeout = self.settings.limits.timeout
            begun = trio.current_time()
            peer = await self._online(timeout, method)
            if timeout is not None:
                # Time in the queue counts.
                timeout = max(timeout - (trio.current_time() - begun), 0.001)
        return await peer.call_with(method, params, timeout=timeout, returns=returns)
