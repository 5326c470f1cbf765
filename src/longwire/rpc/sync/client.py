"""Client for threads: one name for a connection, then the next one.

A thread connects, reads, and connects anew. Calls made while there is no connection
wait for it; calls under way when it is lost fail, for nobody knows whether they were
carried out.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, Self

from ...hints import Blocking, explained
from ...messages import CloseReport
from ...opening.retry import Retries
from ...options import check_timeout
from .. import keeping
from ..calling import DEFAULT, as_params
from ..envelope import Params
from ..errors import CallTimeout, Disconnected
from ..link import LEAVING
from ..performing import current_call
from .calling import Calling
from .peer import Peer
from .routes import Settings
from .streams import Stream
from .waiting import Waiter

__all__ = ["Client"]


class Client(Blocking, keeping.Keeper[Peer], Calling):
    """A client that calls the server at ``uri``, and keeps its connection.

    ::

        with rpc.sync.Client("ws://localhost:8765/") as client:
            print(client.call("add", 1, 2, timeout=10))

    Entering starts to connect, in a thread, and does not wait for it; after each loss
    it connects anew, after the delays of :class:`longwire.sync.reconnect`. Any thread
    may call, and many at the same time. ``routes`` are what the server may call here:
    plain functions and generators, which run in threads.

    * ``wire``: ``"jsonrpc"``, ``"msgpack"``, ``"wsrpc"`` or ``"wsrpc.1"``; offered as
      the subprotocol, for those of wsrpc nothing is.
    * ``offline``: what becomes of calls that are made without a connection.
      ``"queue"``: they wait for one; where connecting fails they raise Disconnected
      after 2 seconds, which says why, and that they were not sent. ``"keep"``: they
      wait as long as their ``timeout`` allows. ``"reject"``: they raise it at once. At
      most ``max_queued`` wait.
    * ``limits``, ``errors``, ``tracebacks``, ``enc_hook``, … are those of
      :class:`Server`; everything else goes to :class:`longwire.sync.reconnect`.

    ``peer`` is the present connection's :class:`Peer`, None without one.
    """

    _plain = "with Client(...) as client"
    settings: Settings
    _settings_class = Settings

    @explained("rpc.sync.Client('ws://localhost:8765/', name=value, ...)")
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
        from longwire.sync import reconnect

        self._begin_keeper(uri, routes, wire, offline, max_queued, options)
        options["process_exception"] = self._attempt_failed
        # It connects; when, and after what, is decided by the thread below.
        self._connecting = keeping.connect_with(reconnect, uri, options)
        self._retries: Retries = self._connecting._retries()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    # --- the connection ----------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to connect; what ``with`` does first."""
        with self.settings.lock:
            if self._thread is not None:
                raise RuntimeError("the client was started before; make another")
            self._thread = threading.Thread(
                target=self._run, name="longwire-rpc client", daemon=True
            )
        self._thread.start()

    def connected(self, timeout: float | None = None) -> Peer:
        """Wait for a connection; return its peer.

        Raises TimeoutError after ``timeout`` seconds, and what made connecting
        impossible, such as InvalidStatus for a 403.
        """
        check_timeout(timeout)
        return self._online(timeout)

    def close(self) -> None:
        """Close the connection and end all calls.

        An attempt to connect that is under way is not waited for: what it opens is
        closed at once.
        """
        with self.settings.lock:
            if self._final is None:
                self._final = Disconnected(self._report, "the client is closed")
            peer = self.peer
            self._closed.set()
            self._refuse_waiting()
        if peer is None:
            return
        peer.close()
        outer = current_call()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        if outer is None or outer.peer is not peer:
            # Not for a route of ours, which must not wait for its own end.
            thread.join(3 * LEAVING)

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                self._closed.wait(self._keep_one())
        except Exception as exc:
            with self.settings.lock:
                if self._final is None:
                    self._has_failed(exc)
        finally:
            with self.settings.lock:
                self._refuse_waiting()

    def _keep_one(self) -> float:
        """Connect, and serve the connection; return the seconds to wait after it."""
        try:
            connection = self._connecting.connect()
        except Exception as exc:
            return self._retries.delay_after(exc)
        with connection:
            peer = Peer(connection, settings=self.settings, client=True)
            with self.settings.lock:
                if self._final is not None:
                    return 0.0
                self._came(peer)
            try:
                self._report = peer.run()
            finally:
                with self.settings.lock:
                    self.peer = None
        if peer.ended is None or self._closed.is_set():
            return 0.0
        return self._retries.delay_after_end(peer.ended)

    def _attempt_failed(self, exc: Exception) -> Exception | None:
        with self.settings.lock:
            return self._failed_at(exc, time.monotonic())

    def _online(self, timeout: float | None, method: str = "") -> Peer:
        """Return the peer; wait for one where calls may."""
        began_at = time.monotonic()
        with self.settings.lock:
            peer = self._open_peer()
            if peer is not None:
                return peer
            started = self._thread is not None
            self._check_may_wait(started, method, "enter it with a with statement")
            waiter = Waiter()
            waits_long = bool(method) and self.offline == "queue"
            self._waiting[waiter] = began_at if waits_long else math.inf
            self._queued += bool(method)
        try:
            return self._wait(waiter, timeout, waits_long, method)
        except Disconnected as exc:
            raise self._told(exc, method) from None
        finally:
            with self.settings.lock:
                self._queued -= bool(method)
                self._waiting.pop(waiter, None)

    def _wait(
        self, waiter: Waiter, timeout: float | None, waits_long: bool, method: str
    ) -> Peer:
        ends_at = math.inf if timeout is None else time.monotonic() + timeout
        if waits_long:
            until = min(ends_at, time.monotonic() + keeping.PATIENCE)
            if not waiter.wait(until - time.monotonic()):
                with self.settings.lock:
                    self._give_up(waiter)
        seconds = None if timeout is None else ends_at - time.monotonic()
        if not waiter.wait(seconds) and not waiter.done():
            assert timeout is not None
            raise CallTimeout(method, timeout, self._not_connected(method))
        return waiter.result()  # type: ignore[no-any-return]

    # --- calling -----------------------------------------------------------------

    def call_with(
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
            begun = time.monotonic()
            peer = self._online(timeout, method)
            if timeout is not None:
                # Time in the queue counts.
                timeout = max(timeout - (time.monotonic() - begun), 0.001)
        return peer.call_with(method, params, timeout=timeout, returns=returns)

    def _notify(self, method: str, params: Params) -> None:
        peer = self._online(self.settings.limits.timeout, method)
        peer._notify(method, params)

    def _stream(
        self, method: str, params: Params, window: int | None, returns: Any
    ) -> Stream[Any]:
        return ClientStream(self, (method, params, window, returns), None)

    def stream(
        self,
        method: str,
        /,
        *args: Any,
        window: int | None = None,
        returns: Any = Any,
        resubscribe: Callable[[CloseReport | None], object] | None = None,
        **kwargs: Any,
    ) -> Stream[Any]:
        """Return the items that the stream route ``method`` gives, as they come.

        With ``resubscribe``, a function, the stream survives the loss of its
        connection: it is asked for again, with the same arguments, by the next one.
        The function is called then with the close report of the lost one, for items
        may be missing, or come twice. The other keywords are as for Peer.stream.
        """
        if resubscribe is not None and not callable(resubscribe):
            raise TypeError("resubscribe must be a function: it is told of the gap")
        params = as_params(args, kwargs)
        return ClientStream(self, (method, params, window, returns), resubscribe)


class ClientStream(Stream[Any]):
    """A stream of a client, by one connection after the other if it asked for that.

    One thread at a time may take its items.
    """

    def __init__(
        self,
        client: Client,
        request: tuple[str, Params, int | None, Any],
        resubscribe: Callable[[CloseReport | None], object] | None,
    ) -> None:
        self._client = client
        self._request = request
        self._resubscribe = resubscribe
        self._left = False
        self._inner: Stream[Any] | None = None
        peer = client._open_peer()
        if peer is not None:
            self._inner = peer._stream(*request)

    def get(self, timeout: float | None = None) -> Any:
        """Return the next item."""
        ends_at = None if timeout is None else time.monotonic() + timeout
        while not self._left:
            seconds = None if ends_at is None else ends_at - time.monotonic()
            if self._inner is None:
                self._open(seconds)
                continue
            try:
                return self._inner.get(seconds)
            except Disconnected as exc:
                if self._resubscribe is None or self._client.is_closed:
                    raise
                self._inner = None
                # However long it takes: the client knows when to give up.
                self._client._online(seconds)
                self._open(seconds)
                self._resubscribe(exc.report)
        raise StopIteration

    def _open(self, seconds: float | None) -> None:
        limit = self._client.settings.limits.timeout
        given = [each for each in (limit, seconds) if each is not None]
        peer = self._client._online(min(given, default=None), self._request[0])
        if not self._left:
            self._inner = peer._stream(*self._request)

    def close(self) -> None:
        """Leave the stream: the other side stops, what came is dropped."""
        self._left = True
        if self._inner is not None:
            self._inner.close()
