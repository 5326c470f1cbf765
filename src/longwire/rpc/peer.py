"""Peer: one connection, calls in both directions, on asyncio.

Carries out what ``calls.py`` decides about what ``envelope.py`` reads. One loop reads
frames; plain functions are run and answered in it, everything else in a task of its
own. Reading goes on while answers wait for a slow peer, until too many of them do.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self

import msgspec

from ..errors import ConnectionClosed
from ..messages import CloseReport
from .calling import DEFAULT, Calling
from .calls import Admission, CallTable, Ours, Theirs
from .envelope import (
    Answer,
    Bad,
    Batch,
    Call,
    Cancel,
    Event,
    Failure,
    Item,
    More,
    Params,
)
from .errors import (
    CallTimeout,
    Cancelled,
    DeadlineExceeded,
    Disconnected,
    InvalidRequest,
    InvalidResult,
    MethodNotFound,
    StreamMismatch,
    TooBusy,
)
from .limits import check_window
from .performing import LEAVING, Performer
from .routes import UNSET, Caller, Route
from .sending import Outbox
from .settings import Settings
from .signatures import describe
from .streams import Inbox, PeerStream, Stream

__all__ = ["Peer"]

logger = logging.getLogger("longwire.rpc")

_OVERDUE = object()


class _Job:
    """What a call of theirs is about: for the table, its ``job``."""

    __slots__ = ("call", "coroutine", "route", "task")

    def __init__(self, call: Call, route: Route, coroutine: Any) -> None:
        self.call = call
        self.route = route
        self.coroutine = coroutine
        self.task: asyncio.Task[None] | None = None

    def stop(self) -> asyncio.Task[None] | None:
        """End it, wherever it is; return the task that has to end for that."""
        if self.task is not None:
            self.task.cancel()
        elif inspect.iscoroutine(self.coroutine):
            self.coroutine.close()  # begun by nobody
        return self.task


class Peer(Caller, Calling):
    """The other side of one connection: call it, and let it call our ``routes``.

    ::

        async with longwire.connect(uri) as connection:
            async with rpc.Peer(connection, routes) as peer:
                print(await peer.call("add", 1, 2))

    Leaving the block ends the calls, not the connection. ``wire`` is what is spoken
    where no subprotocol was agreed on; ``options`` are those of :class:`Server`. A
    server makes its peers itself, :class:`Client` makes one for each connection.

    ``state`` is a dict for the application, ``connection`` the connection.
    """

    def __init__(
        self,
        connection: Any,
        routes: Any = None,
        *,
        client: bool = False,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        self.connection = connection
        self.state: dict[str, Any] = {}
        self.settings = settings or Settings(routes, **options)
        self.wire = self.settings.make_wire(
            getattr(connection, "subprotocol", None), client=client
        )
        self.table = CallTable(
            self.settings.limits,
            self.settings.budget,
            first_id=self.wire.first_id,
            step=self.wire.step,
        )
        self._find = self.settings.routes.find
        self._own = self.settings.own_routes(self.wire)
        self._performer = Performer(self.settings, self.wire, self)
        self._loop = asyncio.get_running_loop()
        self._frames = str if self.wire.codec.is_text else bytes
        self._outbox = Outbox(connection, self.wire.codec.is_text)
        self.send = self._outbox.send
        self._post = self._outbox.post
        self._unsent = self.settings.limits.unsent
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = math.inf
        self._credit: dict[Theirs, asyncio.Future[None]] = {}
        self._held: set[Theirs] = set()
        self._closing: list[Callable[[], Any]] = []
        self._report: CloseReport | None = None
        self._running: asyncio.Task[Any] | None = None
        self._on_event: list[Callable[[Any], None]] = []

    # --- what is known -----------------------------------------------------------

    @property
    def request(self) -> Any:
        """The request of the opening handshake: path, headers."""
        return getattr(self.connection, "request", None)

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return not self.table.is_lost

    @property
    def close_report(self) -> CloseReport | None:
        """How the connection ended; None while it has not."""
        return self._report or getattr(self.connection, "close_report", None)

    def on_close(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Call ``function``, plain or async, when the connection has ended."""
        self._closing.append(function)
        return function

    def on_event(self, function: Callable[[Any], None]) -> Callable[[Any], None]:
        """Call ``function`` with each event of the wsrpc wire: objects without id."""
        self._on_event.append(function)
        return function

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Peer {self.wire.name} {state} at {id(self):#x}>"

    # --- running -----------------------------------------------------------------

    async def run(self) -> CloseReport | None:
        """Read, and do what is read, until the connection has ended; say how.

        Cancelling it ends all calls and leaves the connection as it is.
        """
        recv, read = self.connection.recv, self.wire.read
        most, unsent = self.settings.limits.strange, self._unsent
        table, outbox = self.table, self._outbox
        try:
            self.settings.signals.opened.send(self)
            while True:
                frame = await recv()
                if type(frame) is not self._frames:
                    await self._close_for(1003, f"{self.wire.name} is not spoken so")
                    continue
                for message in read(frame):
                    _TAKES[type(message)](self, message)
                if outbox.size > 2 * unsent:
                    await outbox.drained()
                if table.strange >= most:
                    await self._close_for(1008, "too many messages without sense")
        except ConnectionClosed as exc:
            self._report = exc.report
        finally:
            await self._end()
        return self.close_report

    async def _close_for(self, code: int, reason: str) -> None:
        logger.info("closing %r with %d: %s", self.connection, code, reason)
        await self.connection.close(code, reason)

    async def __aenter__(self) -> Self:
        self._running = self._loop.create_task(self.run())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait([self._running])
        if not self._running.cancelled():
            self._running.result()  # raises what should not have happened

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection."""
        await self.connection.close(code, reason)

    async def _end(self) -> None:
        """The connection has ended, or we leave it: so do all calls."""
        if self._timer is not None:
            self._timer.cancel()
        ours, theirs = self.table.lose()
        for call in ours:
            self._fail(call, Disconnected(self.close_report))
        tasks = [call.job.stop() for call in theirs]
        tasks.append(self._outbox.stop())
        running = [task for task in tasks if task is not None]
        if running:
            _, late = await asyncio.wait(running, timeout=LEAVING)
            if late:
                logger.warning(
                    "%d calls still run %s seconds after their connection ended",
                    len(late),
                    LEAVING,
                )
        await self._performer.close()
        for function in reversed(self._closing):
            try:
                waiting = function()
                if inspect.isawaitable(waiting):
                    async with asyncio.timeout(LEAVING):
                        await waiting
            except Exception:
                logger.exception("a function of on_close() failed")
        self.settings.signals.closed.send(self, self.close_report)

    # --- sending -----------------------------------------------------------------

    def _answer_to(self, call: Call, frame: bytes) -> bytes | None:
        """Return what to send now that a call is answered with ``frame``, if anything.

        That is nothing for a notification, and for a batch until all of it is answered.
        """
        if call.id is None:
            return None
        return frame if call.batch is None else self._batched(call.batch, frame)

    def _batched(self, batch: Batch, frame: bytes) -> bytes | None:
        answers = batch.add(frame)
        return None if answers is None else self.wire.codec.array(answers)

    # --- calling -----------------------------------------------------------------

    async def call_raw(
        self, method: str, params: Params, timeout: float | None
    ) -> msgspec.Raw:
        """Return the result of a call as it came."""
        if timeout is DEFAULT:
            timeout = self.settings.limits.timeout
        future: asyncio.Future[Any] = self._loop.create_future()
        deadline = math.inf if timeout is None else self._loop.time() + timeout
        call = self._begin(future, deadline)
        try:
            await self.send(self._encoded(call, method, params))
            raw = await future
        except asyncio.CancelledError:
            if self.table.abandon(call) and self.wire.extended:
                self._post(self.wire.cancel(call.id))
            raise
        except ConnectionClosed as exc:
            self.table.abandon(call)
            raise Disconnected(exc.report or self.close_report) from exc
        finally:
            if future.done() and not future.cancelled():
                future.exception()  # looked at, whichever way we leave
        if raw is _OVERDUE:
            assert timeout is not None
            raise CallTimeout(method, timeout)
        return raw  # type: ignore[no-any-return]

    async def call_with(
        self,
        method: str,
        params: Params = None,
        *,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
    ) -> Any:
        """Call ``method`` with a list of arguments, or a dict; return its result."""
        raw = await self.call_raw(method, params, timeout)
        return self._read(method, raw, returns)

    def _read(self, method: str, raw: msgspec.Raw, returns: Any) -> Any:
        codec = self.wire.codec
        try:
            if returns is Any:
                return codec.decode(raw)
            return codec.decoder(returns)(raw)
        except (msgspec.MsgspecError, RecursionError) as exc:
            text = f"the result of {method}: {describe(exc)}"
            raise InvalidResult(text) from None

    def _begin(self, waiter: Any, deadline: float, window: int = 0) -> Ours:
        if self.table.is_lost:
            raise Disconnected(self.close_report)
        try:
            call = self.table.begin(waiter, deadline, window)
        except Admission as exc:
            raise TooBusy(str(exc)) from None
        self._watch(deadline)
        return call

    def _encoded(self, call: Ours, method: str, params: Params) -> bytes:
        """Return the frame of our call; without one it has not begun."""
        try:
            frame = self.wire.call(call.id, method, params, call.window)
            limit = self.settings.limits.message
            if len(frame) > limit:
                raise ValueError(
                    f"the call of {method} takes {len(frame)} bytes; "
                    f"at most {limit} are allowed"
                )
        except BaseException:
            self.table.settle(call.id)
            raise
        return frame

    def _notification(self, method: str, params: Params) -> bytes:
        if self.table.is_lost:
            raise Disconnected(self.close_report)
        if self.wire.extended:
            return self.wire.notification(method, params)
        # A call like any other, but for its answer, which nobody waits for.
        call = self._begin(None, math.inf)
        frame = self._encoded(call, method, params)
        self.table.abandon(call)
        return frame

    def post_notification(self, method: str, params: Params) -> None:
        """Notify without waiting until it is sent."""
        self._post(self._notification(method, params))

    async def _notify(self, method: str, params: Params) -> None:
        frame = self._notification(method, params)
        try:
            await self.send(frame)
        except ConnectionClosed as exc:
            raise Disconnected(exc.report or self.close_report) from exc

    def _stream(
        self, method: str, params: Params, window: int | None, returns: Any
    ) -> Stream[Any]:
        if not self.wire.extended:
            raise TypeError(f"the wire {self.wire.name} has no streams")
        window = self.settings.limits.window if window is None else window
        inbox = Inbox(method)
        call = self._begin(inbox, math.inf, check_window(window))
        self._post(self._encoded(call, method, params))
        return PeerStream(
            inbox,
            call,
            lambda raw: self._read(method, raw, returns),
            self._item_taken,
            self._leave_stream,
            self._loop,
        )

    def _item_taken(self, call: Ours) -> Awaitable[None] | None:
        count = self.table.take_item(call)
        return self._grant(call, count) if count else None

    async def _grant(self, call: Ours, count: int) -> None:
        try:
            await self.send(self.wire.more(call.id, count))
        except ConnectionClosed:
            pass  # the stream's end says so, after the items that came

    def _leave_stream(self, call: Ours) -> None:
        if self.table.abandon(call):
            self._post(self.wire.cancel(call.id))

    def _fail(self, call: Ours, error: Exception) -> None:
        waiter = call.waiter
        if isinstance(waiter, Inbox):
            waiter.end(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    # --- answers -----------------------------------------------------------------

    def _take_answer(self, answer: Answer) -> None:
        call = self.table.settle(answer.id)
        if call is None:
            return
        waiter = call.waiter
        if isinstance(waiter, Inbox):
            waiter.end()
        elif waiter is not None and not waiter.done():
            waiter.set_result(answer.result)

    def _take_failure(self, failure: Failure) -> None:
        call = self.table.settle(failure.id)
        if call is not None:
            self._fail(call, self.settings.errors.revive(failure.error))

    def _take_item(self, item: Item) -> None:
        call, granted = self.table.receive_item(item.id)
        if call is None:
            return
        if granted:
            call.waiter.put(item.value)
        elif self.table.abandon(call):
            self._post(self.wire.cancel(call.id))
            call.waiter.end(StreamMismatch("more items came than were granted"))

    def _take_event(self, event: Event) -> None:
        for function in self._on_event:
            try:
                function(event.value)
            except Exception:
                logger.exception("a function of on_event() failed")

    def _take_bad(self, bad: Bad) -> None:
        self.table.strange += 1
        frame = self.wire.failure(bad.id, bad.error)
        answer = frame if bad.batch is None else self._batched(bad.batch, frame)
        if answer is not None:
            self._post(answer)

    # --- calls of theirs ---------------------------------------------------------

    def _take_call(self, call: Call) -> None:
        call.peer = self
        route = self._find(call.method) or self._own.get(call.method)
        if route is None:
            name = call.method if len(call.method) <= 64 else f"{call.method[:61]}..."
            self._refuse(call, MethodNotFound(f"no such method: {name!r}"))
        elif route.signature.is_stream is not (call.stream > 0):
            self._refuse(call, StreamMismatch(_mismatch(route)))
        elif call.id in self.table.theirs:
            self._refuse(call, InvalidRequest("the id is in use by another call"))
        elif (
            route.is_plain
            and not self._performer.awaits
            and self._outbox.size <= self._unsent
        ):
            frame = self._performer.perform_plain(call, route)
            if type(frame) is bytes:
                self._reply(call, frame)
            else:
                self._start(call, route, frame)
        else:
            self._start(call, route)

    def _reply(self, call: Call, frame: bytes) -> None:
        """Answer a call from the loop that reads."""
        answer = self._answer_to(call, frame)
        if answer is not None:
            self._post(answer)

    def _refuse(self, call: Call, error: Exception) -> None:
        self._reply(call, self._performer.failure(call, error))

    def _start(self, call: Call, route: Route, coroutine: Any = None) -> None:
        """Begin a call in a task of its own, or let it wait for its turn."""
        limit: Any = route.deadline
        if limit is UNSET:
            limit = None if call.stream else self.settings.limits.deadline
        deadline = math.inf if limit is None else self._loop.time() + limit
        key = call if call.id is None else call.id
        job = _Job(call, route, coroutine)
        try:
            record = self.table.admit(key, job, deadline, call.stream)
        except Admission as exc:
            job.stop()
            self._refuse(call, TooBusy(str(exc)))
            return
        self._watch(deadline)
        if record.running:
            self._begin_theirs(record)

    def _begin_theirs(self, record: Theirs) -> None:
        record.job.task = begin(self._perform(record), self._loop)

    async def _perform(self, record: Theirs) -> None:
        job = record.job
        try:
            frame = await self._performer.perform(
                job.call, job.route, record, job.coroutine
            )
            if self.table.answer(record):
                answer = self._answer_to(job.call, frame)
                if answer is not None:
                    # The place is kept until the peer has taken the answer: who calls
                    # and does not read is not let in for ever.
                    await self.send(answer)
        except ConnectionClosed:
            pass  # run() learns of it too
        finally:
            if record not in self._held:
                self._finish(record)

    def _finish(self, record: Theirs) -> None:
        succeeding = self.table.finish(record)
        if succeeding is not None:
            # Not at once: each that ends at once would begin another inside of it.
            succeeding.job.task = self._loop.create_task(self._perform(succeeding))

    def hold_until(self, record: Theirs, future: asyncio.Future[Any]) -> None:
        """Let a call that has ended keep its place until ``future`` is done."""
        self._held.add(record)

        def release(future: asyncio.Future[Any]) -> None:
            if not future.cancelled():
                future.exception()  # nobody is left to be told
            self._held.discard(record)
            self._finish(record)

        future.add_done_callback(release)

    def _take_cancel(self, cancel: Cancel) -> None:
        record = self.table.theirs.get(cancel.id)
        if record is not None:
            self._stop(record, Cancelled("cancelled"))

    def _stop(self, record: Theirs, error: Exception) -> None:
        """Stop a call of theirs and answer it with ``error``."""
        if not self.table.answer(record):
            return
        job = record.job
        answer = self._answer_to(job.call, self._performer.failure(job.call, error))
        if answer is not None:
            self._post(answer)
        if job.stop() is None:
            self._finish(record)  # it waited for its turn

    def _take_more(self, more: More) -> None:
        record = self.table.grant(more.id, more.count)
        if record is not None:
            waiting = self._credit.get(record)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def wait_for_credit(self, record: Theirs) -> None:
        """Wait until the peer takes more items of a stream."""
        future = self._credit[record] = self._loop.create_future()
        try:
            await future
        finally:
            del self._credit[record]

    # --- time --------------------------------------------------------------------

    def _watch(self, deadline: float) -> None:
        if deadline < self._wakes_at:
            if self._timer is not None:
                self._timer.cancel()
            self._wakes_at = deadline
            self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        """Give up on what is overdue: our calls, and the peer's."""
        self._timer, self._wakes_at = None, math.inf
        ours, theirs = self.table.overdue(self._loop.time())
        for call in ours:
            if self.table.abandon(call) and not call.waiter.done():
                call.waiter.set_result(_OVERDUE)
                if self.wire.extended:
                    self._post(self.wire.cancel(call.id))
        for record in theirs:
            self._stop(record, DeadlineExceeded("the call took too long"))
        self._watch(self.table.next_deadline())


# What is done with each kind of message.
_TAKES: dict[type, Callable[[Peer, Any], None]] = {
    Call: Peer._take_call,
    Answer: Peer._take_answer,
    Failure: Peer._take_failure,
    Cancel: Peer._take_cancel,
    Item: Peer._take_item,
    More: Peer._take_more,
    Event: Peer._take_event,
    Bad: Peer._take_bad,
}


if sys.version_info >= (3, 12):

    def begin(
        coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[None]:
        """Begin a task at once: what has nothing to wait for ends without a turn."""
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

else:

    def begin(
        coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[None]:
        """Begin a task in the loop's next turn."""
        return loop.create_task(coroutine)


def _mismatch(route: Route) -> str:
    if route.signature.is_stream:
        return f"{route.name} gives a stream; it was called as a plain route"
    return f"{route.name} gives no stream; it was called as one"
