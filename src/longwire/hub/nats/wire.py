"""The protocol of NATS clients: one connection, with subscriptions and requests.

https://docs.nats.io/reference/reference-protocols/nats-protocol. Lines that end with
CRLF, and payloads of a length that the line before them says.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

from ... import __version__
from ..addresses import Address
from ..errors import BrokerUnavailable
from ..patience import Patience
from ..tasks import fail_all
from .addresses import Place

__all__ = ["Connection", "Headers", "Reply", "parse_headers"]

MAX_LINE = 1 << 20
"""Most bytes of a line: the INFO of a large cluster names all of its servers."""
MAX_PAYLOAD = 64 << 20
"""Most bytes of one message; a server allows 1 MiB by default, at most 64."""

Headers = dict[str, str]
Take = Callable[[str, Headers, bytes], None]
"""Takes a message: its subject, its headers and its payload."""


class Reply(NamedTuple):
    """An answer to a request."""

    status: int
    """0 where there is none: an ordinary message."""
    headers: Headers
    data: bytes


def _always(reply: Reply) -> bool:
    return True


class _Waiting:
    """A request whose answers are still to come."""

    __slots__ = ("future", "is_last", "replies")

    def __init__(
        self, future: asyncio.Future[list[Reply]], is_last: Callable[[Reply], bool]
    ) -> None:
        self.future = future
        self.is_last = is_last
        self.replies: list[Reply] = []


class Connection(asyncio.Protocol):
    """One connection. ``open()`` makes it; ``closed`` says why it ended, or None.

    ``on_lost(why)`` is called when it has ended, ``on_info(info)`` when a server says
    anew what it is, ``on_error(text)`` for an error that ends nothing.
    """

    def __init__(
        self,
        address: Address,
        timeout: float,
        *,
        on_lost: Callable[[str], None],
        on_info: Callable[[dict[str, Any]], None],
        on_error: Callable[[str], None],
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.closed: str | None = None
        self.info: dict[str, Any] = {}
        self.last_read = 0.0
        self._on_lost, self._on_info, self._on_error = on_lost, on_info, on_error
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        # Of the message whose payload is being read: its line, and its bytes.
        self._head: list[bytes] = []
        self._need = -1
        self._subs: dict[bytes, Take] = {}
        self._sids = itertools.count(2)
        self._inbox = ""
        self._requests: dict[str, _Waiting] = {}
        self._numbers = itertools.count(1)
        self._pongs: list[asyncio.Future[None]] = []
        self._first_info: asyncio.Future[None] = self._loop.create_future()
        self._is_introduced = False
        self._writable: asyncio.Event = asyncio.Event()
        self._writable.set()
        self._out: list[bytes] = []
        self._patience = Patience(timeout)

    # --- opening -----------------------------------------------------------------

    @classmethod
    async def open(
        cls, address: Address, place: Place, timeout: float, name: str, **options: Any
    ) -> Connection:
        """Return a connection that has said who it is; raises BrokerUnavailable."""
        loop = asyncio.get_running_loop()
        connection = cls(address, timeout, **options)
        try:
            async with asyncio.timeout(timeout):
                await loop.create_connection(
                    lambda: connection, address.host, address.port
                )
                await connection._first_info
                await connection._secure(place)
                await connection._introduce(place, name)
                await connection.flush()
                connection._is_introduced = True
        except (OSError, TimeoutError, BrokerUnavailable) as exc:
            if isinstance(exc, BrokerUnavailable):
                why = exc.message
            else:
                why = f"{address}: {str(exc) or 'no answer'}"
            raise BrokerUnavailable(why, stored=False) from None
        finally:
            if connection.closed is None and not connection._is_introduced:
                connection.close("introduction failed")
        return connection

    async def _secure(self, place: Place) -> None:
        """Begin TLS, where we or the server ask for it."""
        context = place.tls
        if context is None:
            if not self.info.get("tls_required"):
                return
            context = ssl.create_default_context()
        elif not (self.info.get("tls_required") or self.info.get("tls_available")):
            raise BrokerUnavailable(f"{self.address}: it has no TLS", stored=False)
        assert self._transport is not None
        secured = await self._loop.start_tls(
            self._transport, self, context, server_hostname=self.address.host
        )
        assert secured is not None
        self._transport = secured

    async def _introduce(self, place: Place, name: str) -> None:
        options: dict[str, Any] = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "lang": "python-longwire",
            "version": __version__,
            "protocol": 1,
            "name": name,
        }
        if place.username is not None:
            options |= {"user": place.username, "pass": place.password}
        elif place.token is not None:
            options["auth_token"] = place.token
        elif place.login is not None:
            nonce = str(self.info.get("nonce", ""))
            try:
                # It may read a file.
                options |= await asyncio.to_thread(place.login.answer, nonce)
            except ValueError as exc:
                raise BrokerUnavailable(str(exc), stored=False) from None
        self._send(b"CONNECT %b\r\n" % json.dumps(options).encode())
        self._inbox = f"{place.inbox}.{secrets.token_hex(11)}"
        self._subs[b"1"] = self._take_reply
        self._send(b"SUB %b.* 1\r\n" % self._inbox.encode())

    # --- sending -----------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        """Write at the end of the loop's turn, with all else of this turn."""
        if self.closed is not None:
            raise BrokerUnavailable(f"{self.address}: {self.closed}", stored=False)
        if not self._out:
            self._loop.call_soon(self._write)
        self._out.append(data)

    def _write(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and out:
            self._transport.write(b"".join(out))

    def pause_writing(self) -> None:
        """The transport has enough to send."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._writable.set()

    def publish(
        self, subject: str, data: bytes, headers: Headers | None, reply: str = ""
    ) -> None:
        """Send a message, whose answer goes to the subject ``reply`` if any."""
        to = f"{subject} {reply}" if reply else subject
        if not headers:
            self._send(b"PUB %b %d\r\n%b\r\n" % (to.encode(), len(data), data))
            return
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        sizes = len(head), len(head) + len(data)
        self._send(b"HPUB %b %d %d\r\n%b%b\r\n" % (to.encode(), *sizes, head, data))

    async def request(
        self, subject: str, data: bytes, headers: Headers | None = None
    ) -> Reply:
        """Send a request and return its answer; BrokerUnavailable if none comes."""
        return (await self.request_many(subject, data, headers))[0]

    async def request_many(
        self,
        subject: str,
        data: bytes,
        headers: Headers | None,
        is_last: Callable[[Reply], bool] = _always,
    ) -> list[Reply]:
        """Send a request and return its answers, up to the one that is the last."""
        token = str(next(self._numbers))
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        sent = False
        try:
            with self._patience.limit():
                if not self._writable.is_set():
                    await self._writable.wait()
                self._requests[token] = _Waiting(future, is_last)
                self.publish(subject, data, headers, f"{self._inbox}.{token}")
                sent = True
                return await future
        except TimeoutError:
            raise BrokerUnavailable(
                f"{self.address}: no answer in {self.timeout:g} seconds",
                stored=None if sent else False,
            ) from None
        finally:
            self._requests.pop(token, None)

    def subscribe(self, subject: str, take: Take) -> bytes:
        """Begin to get the messages of a subject; return what to unsubscribe."""
        sid = b"%d" % next(self._sids)
        self._subs[sid] = take
        self._send(b"SUB %b %b\r\n" % (subject.encode(), sid))
        return sid

    def unsubscribe(self, sid: bytes) -> None:
        """Get no more messages by a subscription."""
        if self._subs.pop(sid, None) is not None and self.closed is None:
            self._send(b"UNSUB %b\r\n" % sid)

    async def flush(self) -> None:
        """Return when the server has read all that was sent before."""
        pong: asyncio.Future[None] = self._loop.create_future()
        self._send(b"PING\r\n")
        self._pongs.append(pong)
        try:
            async with asyncio.timeout(self.timeout):
                await pong
        except TimeoutError:
            # Whatever PONG comes next would be taken for this one.
            self.end("no PONG in time")
            raise BrokerUnavailable(f"{self.address}: {self.closed}") from None

    # --- reading -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is there."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Take what came, message by message."""
        self.last_read = self._loop.time()
        self._buffer += data
        try:
            self._parse()
        except (ValueError, IndexError) as exc:
            self.end(f"it does not speak NATS: {ascii(str(exc))[:100]}")

    def _parse(self) -> None:
        buffer, start = self._buffer, 0
        while self.closed is None:
            if self._need >= 0:
                end = start + self._need
                if len(buffer) < end + 2:
                    break
                payload = bytes(buffer[start:end])
                self._need = -1
                start = end + 2
                self._take(payload)
                continue
            end = buffer.find(b"\r\n", start)
            if end < 0:
                if len(buffer) - start > MAX_LINE:
                    raise ValueError("a line without an end")
                break
            line = bytes(buffer[start:end])
            start = end + 2
            self._take_line(line)
        del buffer[:start]

    def _take_line(self, line: bytes) -> None:
        kind, _, rest = line.partition(b" ")
        kind = kind.upper()
        if kind == b"MSG" or kind == b"HMSG":
            self._head = [kind, *rest.split()]
            self._need = int(self._head[-1])
            if not 0 <= self._need <= MAX_PAYLOAD:
                raise ValueError(f"a message of {self._need} bytes")
        elif kind == b"PING":
            self._send(b"PONG\r\n")
        elif kind == b"PONG":
            if self._pongs:
                _set(self._pongs.pop(0), None)
        elif kind == b"INFO":
            self._take_info(json.loads(rest))
        elif kind == b"-ERR":
            self._take_error(rest.decode(errors="replace").strip().strip("'"))
        elif kind != b"+OK":
            raise ValueError(repr(line[:40]))

    def _take_info(self, info: Any) -> None:
        if not isinstance(info, dict):
            raise ValueError("INFO without an object")
        self.info = info
        if not self._first_info.done():
            self._first_info.set_result(None)
        else:
            self._on_info(info)

    def _take_error(self, text: str) -> None:
        # https://docs.nats.io/reference/reference-protocols/nats-protocol#okerr
        # "Some protocol errors result in the server closing the connection"; it
        # does so by itself. These two do not.
        if text.lower().startswith(("permissions violation", "invalid subject")):
            self._on_error(text)
        else:
            self.end(f"the server says {ascii(text)[:200]}")

    def _take(self, payload: bytes) -> None:
        head = self._head
        take = self._subs.get(head[2])
        if take is None:
            return  # was unsubscribed from
        headers: Headers = {}
        if head[0] == b"HMSG":
            size = int(head[-2])
            headers = parse_headers(payload[:size])
            payload = payload[size:]
        take(head[1].decode(errors="replace"), headers, payload)

    def _take_reply(self, subject: str, headers: Headers, data: bytes) -> None:
        token = subject.rpartition(".")[2]
        waiting = self._requests.get(token)
        if waiting is None:
            return  # came too late
        reply = Reply(int(headers.get(STATUS) or 0), headers, data)
        waiting.replies.append(reply)
        if reply.status >= 300 or waiting.is_last(reply):
            _set(waiting.future, waiting.replies)

    # --- the end -----------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is gone."""
        self.end(str(exc) if exc is not None and str(exc) else "closed by the server")

    def close(self, why: str) -> None:
        """Close the connection; nobody is told, for nobody wants it any more."""
        self._on_lost = lambda why: None
        if self.closed is None and self._out:
            self._write()
        self.end(why)

    def end(self, why: str) -> None:
        """End the connection, and all that waits on it."""
        if self.closed is not None:
            return
        self.closed = why
        if self._transport is not None:
            self._transport.abort() if self._out else self._transport.close()
        waiting: list[asyncio.Future[Any]]
        waiting = [each.future for each in self._requests.values()]
        waiting += [*self._pongs, self._first_info]
        fail_all(waiting, f"{self.address}: {why}")
        self._requests.clear()
        self._pongs.clear()
        self._subs.clear()
        self._writable.set()
        self._on_lost(why)


STATUS = ""
"""The key of a message's status among its headers; no header has it."""


def parse_headers(block: bytes) -> Headers:
    """Return the headers of a message; those of the first line are its status."""
    first, *lines = block.decode(errors="surrogateescape").split("\r\n")
    if not first.startswith("NATS/1.0"):
        raise ValueError("headers of another version")
    headers = {}
    status = first[8:].split()
    if status:
        headers[STATUS] = status[0]
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name] = value.strip()
    return headers


def _set(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)
