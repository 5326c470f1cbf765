"""Wires: a connected socket, with TLS over it or not, for front ends without asyncio.

Waits for nothing. TLS works on memory, so that one may wait for input while another
writes. What the kernel does not take at once stays here until ``flush()`` is called
again. A front end adds ``receive()``, ``drain()`` and how to wait in a TLS handshake.

A signal's handler may raise after any call that Python makes, but not within C. So what
a call returns that must not be lost is unpacked from a ``map``, which calls in C, into
what owns it; and bytes stay where they are until it was counted how many have gone on.
An interrupt loses none, and none goes twice.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Generator
from typing import Any

__all__ = ["NO_WAIT", "READ_SIZE", "Wire", "is_of_tcp"]

READ_SIZE = 65536

# Where the system has no such flag, sockets do not block and are waited for.
NO_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
_PENDING = (BlockingIOError, InterruptedError)

# Arguments of what `map` calls.
_FIRST = (0,)
_ALL = (-1,)
_READ_SIZES = (READ_SIZE,)
_NO_WAITS = (NO_WAIT,)


class Wire:
    """One socket, as far as nobody has to wait for it."""

    error: OSError | None = None
    """Why writing failed."""
    closed = False
    ended = False
    """The peer sends nothing more, once ``plain`` is empty."""
    _half_closed = False
    _ended = False  # nothing more is sent

    def __init__(self, sock: socket.socket) -> None:
        if isinstance(sock, ssl.SSLSocket):
            raise TypeError("sock must be a plain socket; give the context as ssl")
        sock.settimeout(None if NO_WAIT else 0)
        if sock.family in (socket.AF_INET, getattr(socket, "AF_INET6", None)):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._prepare()

    def _prepare(self) -> None:
        """Make what holds bytes on their way."""
        self.layers: list[_Tls] = []
        """TLS; the first is next to the socket."""
        self.came: list[bytes] = []
        """As read from the network; an empty one is its end."""
        self.plain: list[bytes] = self.came
        """What came below TLS: to be taken from the front. Without TLS, ``came``."""
        self.given = b""
        """What the session gave to be sent, until ``flush()`` is called."""
        self.fresh: list[bytes] = []
        """What is to be sent before ``given``, in order, behind ``_unsent``."""
        self._unsent = bytearray()
        # How much the kernel took, until that was removed from what is to be sent.
        self._taken: int | None = None

    def addresses(self) -> tuple[Any, Any]:
        """Return our address and the peer's, as far as they are known."""
        return _address(self.sock.getsockname), _address(self.sock.getpeername)

    # --- reading -----------------------------------------------------------------

    def receive_now(self) -> bool:
        """Read what is there, for ``came``; return whether there was something."""
        try:
            self.came += map(self.sock.recv, _READ_SIZES, _NO_WAITS)
        except _PENDING:
            return False
        return True

    def decode(self) -> None:
        """Bring what came to ``plain``. Raises ssl.SSLError for what is no TLS."""
        source = self.came
        for layer in self.layers:
            layer.decrypt(source)
            source = layer.plain
            self.ended = self.ended or layer.ended
            # TLS answers by itself: a change of keys, an alert.
            self._encrypt()
            self.flush()

    def take(self) -> bytes:
        """Return all that came, below TLS: for opening handshakes."""
        self.decode()
        self.ended = self.ended or b"" in self.plain
        data = b"".join(self.plain)
        self.plain.clear()
        return data

    @property
    def is_tls(self) -> bool:
        """Whether the stream is encrypted."""
        return bool(self.layers)

    # --- writing -----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send ``data``, or as much as can be sent now; ``error`` says if it failed."""
        self.fresh.append(data)
        self.flush()

    def flush(self) -> bool:
        """Send as much as can be sent now of what waits; return whether that is all."""
        given, fresh, unsent = self.given, self.fresh, self._unsent
        try:
            if not (fresh or unsent or self.layers or self._ended or self.error):
                # By far the most common: no TLS, and room.
                if self._taken is None:
                    (self._taken,) = map(self.sock.send, (given,), _NO_WAITS)
                if self._taken == len(given):
                    # In one statement: counted, and not to be sent again.
                    self._taken, self.given = None, b""
                    return True
                rest = given[self._taken :]
                unsent[:], self._taken, self.given = rest, None, b""
            elif given:
                fresh[len(fresh) :], self.given = (given,), b""
            return self._flush_all()
        except _PENDING:
            # In one piece: many small ones would take much more memory.
            waiting = self._first_pieces()
            any(map(unsent.extend, map(waiting.pop, _FIRST * len(waiting))))
            unsent[len(unsent) :], self.given = self.given, b""
            return False
        except OSError as exc:
            if not is_of_tcp(exc):
                raise
            self._fail(exc)
            return False

    def _first_pieces(self) -> list[bytes]:
        """Return the list of what goes to the socket."""
        return self.layers[0].sealed if self.layers else self.fresh

    def _flush_all(self) -> bool:
        if self._ended or self.error is not None:
            self._drop()
            return False
        if self.layers:
            self._encrypt()
        fresh, unsent = self._first_pieces(), self._unsent
        while unsent or fresh:
            first = unsent or fresh[0]
            if not first:
                del fresh[0]
                continue
            if self._taken is None:
                (self._taken,) = map(self.sock.send, (first,), _NO_WAITS)
            if unsent:
                unsent[: self._taken], self._taken = b"", None
            elif self._taken == len(first):
                fresh[:1], self._taken = (), None
            else:
                unsent[:], fresh[:1], self._taken = first[self._taken :], (), None
        return True

    def _fail(self, exc: OSError) -> None:
        self.error = exc
        self._drop()

    def _drop(self) -> None:
        """Send nothing of what waits."""
        self.given, self._taken = b"", None
        self.fresh.clear()
        for layer in self.layers:
            layer.sealed.clear()
        self._unsent.clear()

    def _encrypt(self) -> None:
        """Bring what is to be sent through TLS, from the innermost on."""
        source = self.fresh
        for layer in reversed(self.layers):
            layer.encrypt(source)
            source = layer.sealed

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        size = len(self._unsent) + len(self.given)
        if self.fresh:
            size += sum(map(len, self.fresh))
        for layer in self.layers:
            size += sum(map(len, layer.sealed))
        return size

    # --- TLS ---------------------------------------------------------------------

    def tls_handshake(
        self, context: ssl.SSLContext, server_hostname: str | None, server_side: bool
    ) -> Generator[None, None, None]:
        """Do a TLS handshake, inside of the TLS that is there.

        Yields when what waits here is to be sent, and is resumed when more has come
        from the network. Raises OSError or ssl.SSLError when it fails.
        """
        layer = _Tls(context, server_hostname, server_side)
        while True:
            try:
                layer.object.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            finally:
                # An alert that says what was wrong is sent, too.
                self.write(layer.outgoing.read())
            while not (data := self.take()):
                if self.ended:
                    raise ConnectionResetError("connection lost in the TLS handshake")
                yield
            layer.incoming.write(data)
        # What came with the end of the handshake is read as what comes later.
        self.layers.append(layer)
        self.plain = layer.plain
        self.decode()

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The innermost TLS, None without."""
        return self.layers[-1].object if self.layers else None

    # --- ending ------------------------------------------------------------------

    def is_quiet(self) -> bool:
        """Return whether nothing lies unread; False where TLS hides it."""
        if self.layers or self.came or not NO_WAIT:
            return False
        try:
            self.sock.recv(1, socket.MSG_PEEK | NO_WAIT)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False  # bytes, or the end of the stream

    def half_close(self) -> None:
        """Send the end of the stream, when all is sent; go on reading."""
        if self._half_closed or self.unsent or self.closed:
            return
        # A peer that has ended reads nothing more inside of the TLS of a proxy.
        for layer in self.layers[:1] if self.ended else reversed(self.layers):
            layer.end()
            self.flush()
        if self.unsent:
            return  # to be called again
        self._half_closed = self._ended = True
        self._shut_down(socket.SHUT_WR)

    def close(self, *, in_use: bool) -> None:
        """Close TCP, whatever was not sent.

        Where a thread waits ``in_use`` of the socket it is woken, and has to call
        ``release()`` then: the descriptor must not become another's meanwhile.
        """
        if not self.closed:
            self.closed = self._ended = True
            self._drop()
            if in_use:
                self._shut_down(socket.SHUT_RDWR)
        if not in_use:
            self.sock.close()

    def release(self) -> None:
        """Close the descriptor of a wire that was closed while in use."""
        if self.closed:
            self.sock.close()

    def _shut_down(self, how: int) -> None:
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # TCP has ended already


class _Tls:
    """One layer of TLS, from memory to memory."""

    ended = False
    """The peer has ended it, or what is below."""

    def __init__(
        self, context: ssl.SSLContext, server_hostname: str | None, server_side: bool
    ) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
        )
        # SSLObject is Python, which a signal may interrupt with bytes in its hands.
        self._inner: Any = getattr(self.object, "_sslobj", self.object)
        self.plain: list[bytes] = []
        """Decrypted, to be taken from the front."""
        self.sealed: list[bytes] = []
        """Encrypted, to be sent."""
        self._taken: list[int] = []

    def encrypt(self, source: list[Any]) -> None:
        """Bring all of ``source`` to ``sealed``, and what TLS itself has to say."""
        taken = self._taken
        while source:
            first = source[0]
            if first and not taken:
                taken += map(self._inner.write, (first,))
            if not first:
                del source[0]
            elif taken[0] == len(first):
                del source[0], taken[0]
            else:
                source[0], taken[:] = memoryview(first)[taken[0] :], ()
        while self.outgoing.pending:
            self.sealed += map(self.outgoing.read, _ALL)

    def decrypt(self, source: list[bytes]) -> None:
        """Bring all of ``source`` to ``plain``; an empty one is the end."""
        while source:
            if source[0]:
                any(map(self.incoming.write, map(source.pop, _FIRST)))
            else:
                self.ended = True
                del source[0]
        try:
            while True:
                self.plain += map(self._inner.read, _READ_SIZES)
                if not self.plain[-1]:
                    break
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            pass
        self.ended = True

    def end(self) -> None:
        """Say that nothing more will be sent (close_notify)."""
        try:
            self.object.unwrap()
        except ssl.SSLError:
            pass  # it waits for the peer's, which is read with the rest


def is_of_tcp(exc: OSError) -> bool:
    """Return whether a socket has raised ``exc``: else it is a signal handler's.

    Sockets here wait without a limit, so a TimeoutError of theirs is one of TCP's, with
    a number; programs limit time by an alarm whose handler raises one without.
    """
    return not isinstance(exc, TimeoutError) or exc.errno is not None


def _address(name: Callable[[], Any]) -> Any:
    try:
        return name()
    except OSError:
        return None  # the peer has gone already
