"""Peer on trio: one connection, calls in both directions.

Carries out what ``link.py`` decides. One task reads frames, one sends what does not
leave at once, and each call of the peer's has one; all are in the nursery of `run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import msgspec
import trio

from ...errors import ConnectionClosed
from ...messages import CloseReport
from ...options import check_timeout
from ...trio.link import check_run
from ..callbacks import INFO, log
from ..calling import DEFAULT, Calling
from ..envelope import PING, Params
from ..errors import CallTimeout, Disconnected, RemoteError
from ..link import LEAVING, LOOK_AT_END, STALLED, Link, read_result
from ..performing import lend_place
from ..signals import Signal
from ..streams import Stream
from .incoming import Incoming, tell
from .sending import Outbox
from .settings import Settings
from .streams import Inbox, PeerStream
from .waiting import Waiter

__all__ = ["Peer"]


class Peer(Link, Calling):
    """The other side of one connection: call it, and let it call our ``routes``.

    ::

        async with longwire.trio.connect(uri) as connection:
            async with rpc.trio.Peer(connection, routes) as peer:
                print(await peer.call("add", 1, 2))

    Leaving the block ends the calls, not the connection; so does cancelling ``run()``.
    A call is cancelled by the cancel scope that it is in. ``wire`` is what is spoken
    where no subprotocol was agreed on; ``options`` are those of :class:`Server`. A
    server makes its peers itself, :class:`Client` makes one for each connection.

    ``state`` is a dict for the application, ``connection`` the connection.
    """

    settings: Settings
    incoming: Incoming

    _has_ended = False
    _events: Signal | None = None
    _change: Waiter | None = None
    _scope: trio.CancelScope | None = None
    _manager: Any = None
    _nursery: trio.Nursery | None = None

    def __init__(
        self,
        connection: Any,
        routes: Any = None,
        *,
        client: bool = False,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        if settings is None:
            settings = Settings(routes, **options)
        self._begin_link(connection, settings, client)
        # Where it is a connection of longwire.trio, its run is asked for.
        self._home = getattr(connection, "_home", None)
        self.outbox = Outbox(self)
        self.post = self.outbox.post
        self.ended: ConnectionClosed | None = None
        self.incoming = Incoming(self)

    # --- what is known -----------------------------------------------------------

    def on_event(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Call ``function``, a plain one, with each event of the wire ``wsrpc``.

        Events are objects without id.
        """
        if self._events is None:
            self._events = Signal("on_event")
            self._events.only_plain()
        return self._events.connect(function)

    def _give_event(self, value: Any) -> None:
        if self._events is not None:
            self._events.send(value)

    # --- running -----------------------------------------------------------------

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> CloseReport | None:
        """Read, and do what is read, until the connection has ended; say how.

        Cancelling it ends all calls and leaves the connection as it is.
        """
        async with trio.open_nursery() as nursery:
            self.incoming.nursery = self._nursery = nursery
            nursery.start_soon(self.outbox.run)
            try:
                self.settings.signals.opened.send(self)
                task_status.started()
                while True:
                    await self._take_next()
            except ConnectionClosed as exc:
                self.ended, self._report = exc, exc.report
            finally:
                with trio.CancelScope(shield=True):
                    await self._end()
                nursery.cancel_scope.cancel()
        return self.close_report

    async def _take_next(self) -> None:
        """Wait for one frame, or for what is due first, and do what it asks for."""
        frame = None
        with trio.CancelScope(deadline=self._wakes_at) as self._scope:
            frame = await self.connection.recv()
        if frame is None:
            self.expire(trio.current_time())
            return
        if type(frame) is not self._frames:
            await self._close_for(1003, f"{self.wire.name} is not spoken so")
            return
        for message in self.wire.read(frame):
            self.take(message)
        if self._must_look():
            await self._wait_to_read()
        if self.table.strange:
            self.table.forgive(trio.current_time())
            if self.table.is_strange:
                await self._close_for(1008, "too many messages without sense")

    async def _close_for(self, code: int, reason: str) -> None:
        log(INFO, "closing %r with %d: %s", self.connection, code, reason)
        await self.connection.aclose(code, reason)

    async def __aenter__(self) -> Self:
        self._manager = trio.open_nursery()
        nursery = await self._manager.__aenter__()
        await nursery.start(self.run)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # The body's exception is not the nursery's: it leaves as it is, in no group.
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        await self._manager.__aexit__(None, None, None)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection."""
        await self.connection.aclose(code, reason)

    def _start_close(self, code: int, reason: str) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self.connection.aclose, code, reason)

    async def _end(self) -> None:
        """The connection has ended, or we leave it: so do all calls."""
        if self._has_ended:
            return
        self._has_ended = True
        ours, theirs = self.table.lose()
        for call in ours:
            self._fail(call, Disconnected(self.close_report))
        self.outbox.stop()
        try:
            await self.incoming.end(theirs, LEAVING)
        finally:
            await self.incoming.performer.close(LEAVING)
            while self._closing:
                function = self._closing.pop()
                await tell(function, what="a function of on_close()", timeout=LEAVING)
            self.settings.signals.closed.send(self, self.close_report)

    # --- reading, or not ---------------------------------------------------------

    def expect_change(self) -> Waiter:
        """Return what is done when a call has ended, or was sent."""
        self._change = Waiter()
        return self._change

    async def _wait_to_read(self) -> None:
        """Wait until more may be read, or the connection has ended."""
        since = trio.current_time()
        while self._must_wait() and self.connection.close_report is None:
            until = min(trio.current_time() + LOOK_AT_END, self._wakes_at)
            with trio.CancelScope(deadline=until) as self._scope:
                await self.expect_change().wait()
                since = trio.current_time()
            now = trio.current_time()
            self.table.is_stalled = now - since >= STALLED
            self.incoming.retry()
            if now >= self._wakes_at:
                self.expire(now)
        self.incoming.retry()

    def _wake(self) -> None:
        change, self._change = self._change, None
        if change is not None:
            change.set_result(None)

    def has_sent(self) -> None:
        """Less waits to be sent than before."""
        self._has_sent()

    # --- calling -----------------------------------------------------------------

    async def call_raw(
        self, method: str, params: Params, timeout: float | None
    ) -> msgspec.Raw:
        """Return the result of a call as it came."""
        if timeout is DEFAULT:
            timeout = self.settings.limits.timeout
        else:
            check_timeout(timeout)
        check_run(self._home)
        deadline = math.inf if timeout is None else trio.current_time() + timeout
        await trio.lowlevel.checkpoint_if_cancelled()
        call = self._begin(Waiter(), math.inf)
        resume = lend_place()
        try:
            frame = self._encoded(call, method, params)
            with trio.CancelScope(deadline=deadline):
                if self._must_ask(frame):
                    await self._learn_limits()
                    self._check_size(method, frame)
                await self.outbox.send(frame)
                return await call.waiter.wait()  # type: ignore[no-any-return]
            assert timeout is not None
            raise CallTimeout(method, timeout)
        except ConnectionClosed as exc:
            raise Disconnected(exc.report or self.close_report) from exc
        finally:
            # Whichever way we leave, nobody waits for the answer any more.
            self._give_up(call)
            if resume is not None:
                resume()

    async def _learn_limits(self) -> None:
        """Wait until it is known whether the other side limits messages.

        A server that does says so before it answers anything.
        """
        try:
            await self.call_raw(PING, None, None)
        except RemoteError:
            pass  # an answer, too
        self._is_announced = True

    async def call_with(
        self,
        method: str,
        params: Params = None,
        *,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
    ) -> Any:
        """Call ``method`` with a list of arguments, or a dict; return its result."""
        read = self.wire.codec.decoder(returns)
        raw = await self.call_raw(method, params, timeout)
        return read_result(method, raw, read)

    async def _notify(self, method: str, params: Params) -> None:
        frame = self.notification(method, params)
        if self._must_ask(frame):
            await self._learn_limits()
            self._check_size(method, frame)
        await self._send(frame)

    async def emit(self, event: Any) -> None:
        """Send an event, an object without id, on the wire ``wsrpc``.

        Raises TypeError on other wires, which have notifications, and ValueError for an
        object with ``id``, ``method`` or ``error``, which would be something else.
        """
        await self._send(self._event(event))

    async def _send(self, frame: bytes) -> None:
        check_run(self._home)
        try:
            await self.outbox.send(frame)
        except ConnectionClosed as exc:
            raise Disconnected(exc.report or self.close_report) from exc

    def _stream(
        self, method: str, params: Params, window: int | None, returns: Any
    ) -> Stream[Any]:
        check_run(self._home)
        read = self.wire.codec.decoder(returns)
        inbox = Inbox()
        call = self._begin_stream(inbox, method, params, window)
        return PeerStream(self, inbox, call, lambda raw: read_result(method, raw, read))

    # --- time --------------------------------------------------------------------

    def _call_at(self, when: float) -> None:
        if self._scope is not None and when < self._scope.deadline:
            self._scope.deadline = when
