"""Connection: the documented public contract, its words written once.

What every front end's connections have in common: names, properties, the checks of
what may be sent, the log. Waits for nothing; a front end adds ``recv``, ``send`` and
the other verbs that wait in its own manner.
"""

from __future__ import annotations

import functools
import logging
import uuid
import weakref
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from typing import Any

from .errors import ProtocolError
from .escaping import excerpt
from .hints import give_hints, give_own_hints, not_sendable, without_hints
from .http.heads import Request, Response
from .messages import CloseReport, Opcode, State
from .once import MAKING
from .options import Keepalive, Limits, Timeouts
from .session.frame_log import log_head, taps
from .session.session import Session

__all__ = [
    "BytesLike",
    "Connection",
    "ConnectionLogger",
    "Data",
    "Fragments",
    "Message",
    "Pieces",
    "as_wanted",
    "check_fragments",
    "client_named",
    "control_payload",
    "opcode_for",
]

Data = str | bytes
"""What ``recv()`` returns: text as str, binary as bytes."""

BytesLike = bytes, bytearray, memoryview

Message = str | bytes | bytearray | memoryview
"""One whole message, or one fragment of it, for ``send()``."""
Fragments = Sequence[Message] | Iterator[Message]
"""A message in pieces. No Iterable, which would let a dict pass to type checkers."""


class ConnectionLogger(logging.LoggerAdapter[Any]):
    """Adds ``websocket`` to each log record: the connection, without keeping it alive.

    Keywords in ``extra`` of a call are kept beside it.
    """

    def __init__(self, logger: Any, connection: Connection) -> None:
        super().__init__(logger, {"websocket": weakref.proxy(connection)})

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add our ``extra`` to the call's own."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


# Between modules, not for programs: no completion of a shell offers them.
_INTERNALS = frozenset(
    {
        *("abandon", "attend", "bucket", "cut", "entry", "eof", "events"),
        *("failed_to_open", "feed", "is_read", "lost", "next_deadline", "nursery"),
        "offer",
        *("on_drain", "opened", "peer_left", "reads", "recent", "serve", "tick"),
        *("wire_made", "write_paused", "write_resumed"),
    }
)


class Connection:
    """One WebSocket connection, on either side.

    Iterate over it for messages, ``send()`` to answer, ``close()`` when done.
    """

    _awaits = True  # whether what waits is a coroutine
    _client = False
    _logger_name = "longwire"

    request: Request | None = None
    """The opening handshake's request; None until it is known."""
    response: Response | None = None
    """The opening handshake's response; None until it is known."""
    subprotocol: str | None = None
    """The subprotocol agreed on, None if there is none."""
    data: Any = None
    """Yours: what a program knows of its connection. longwire does not look at it."""

    # What most connections never set costs them nothing here. CPython keeps instances
    # small as long as they have no more than 30 attributes: one more cost 1.7 KiB.
    _adapter: ConnectionLogger | None = None
    _id: uuid.UUID | None = None
    _session: Session | None = None
    _never_opened = False
    _taps: Any = None
    _left_early = False  # the peer, during the opening handshake

    def __init__(
        self,
        limits: Limits,
        timeouts: Timeouts,
        keepalive: Keepalive,
        logger: Any = None,
    ) -> None:
        self._limits = limits
        self._timeouts = timeouts
        self._keepalive = keepalive
        self._base_logger = logger

    def _set_heads(self, request: Request, response: Response) -> None:
        """Keep what the opening handshake said, in about as much memory as it took."""
        for head in (request, response):
            # Most handlers look at one field, or at none.
            head.headers.pack()
        self.request = request
        self.response = response

    @property
    def id(self) -> uuid.UUID:
        """A unique name for this connection, for logs. Made at the first look."""
        if self._id is None:
            with MAKING:
                if self._id is None:
                    self._id = uuid.uuid4()
        return self._id

    @property
    def logger(self) -> ConnectionLogger:
        """The logger of this side; its records carry the connection."""
        if self._adapter is None:
            with MAKING:
                if self._adapter is None:
                    self._adapter = ConnectionLogger(self._plain_logger, self)
        return self._adapter

    @property
    def _plain_logger(self) -> Any:
        return self._base_logger or logging.getLogger(self._logger_name)

    def _note(self, text: str, *args: object, **extra: object) -> None:
        """Log at INFO; make no adapter for it where nobody listens."""
        if self._plain_logger.isEnabledFor(logging.INFO):
            self.logger.info(text, *args, extra=extra)

    @property
    def state(self) -> State:
        """Where the connection is in its life; ``State.OPEN`` is the one to use."""
        if self._session is None:
            gone = self._never_opened or self._left_early
            return State.CLOSED if gone else State.CONNECTING
        return self._session.state

    @property
    def latency(self) -> float:
        """Seconds the last answered ping took, 0 before the first one.

        Keepalive pings measure it every ``ping_interval`` seconds.
        """
        return 0.0 if self._session is None else self._session.heartbeat.latency

    @property
    def dropped(self) -> int:
        """Messages of ``broadcast()`` that this connection went without.

        They were dropped because its peer was slow, or because it ended first.
        """
        return 0 if self._session is None else self._session.dropped

    @property
    def has_room(self) -> bool:
        """Whether a message would leave now, after all that was sent before it."""
        return self._session is not None and self._session.has_room

    @property
    def close_report(self) -> CloseReport | None:
        """How and why the connection ended; None while that is not certain."""
        return None if self._session is None else self._session.ended

    @property
    def close_code(self) -> int | None:
        """The close code received, 1006 if none came; None while not closed."""
        report = self.close_report
        return None if report is None else report.code

    @property
    def close_reason(self) -> str | None:
        """The close reason received, "" if none came; None while not closed."""
        report = self.close_report
        return None if report is None else report.reason

    # Whether lines of the log say who and where.
    _is_named = True

    def _log_open(self, opened: Any) -> None:
        """Say that the connection is open; at DEBUG, show its heads and frames."""
        if not self._plain_logger.isEnabledFor(logging.INFO):
            return
        self._note("connection open%s", self._named())
        if self._taps is None and self._plain_logger.isEnabledFor(logging.DEBUG):
            debug = self.logger.debug
            arrows = "><" if self._client else "<>"
            log_head(debug, arrows[0], opened.request)
            log_head(debug, arrows[1], opened.response)
            self._taps = taps(
                functools.partial(self._put_off, debug),
                client=self._client,
                deflate=opened.deflate,
                others=bool(opened.extensions),
            )

    def _log_end(self) -> None:
        report = self.close_report
        if report is None or not self._plain_logger.isEnabledFor(logging.INFO):
            return
        text = "connection closed%s: %s"
        self._note(text, self._named(), report, close_report=report)

    def _put_off(self, log: Callable[..., object], *args: object) -> None:
        """Log by ``log(*args)``; where a lock is held, when it is not any more."""
        log(*args)

    def _log_rest(self) -> None:
        """Log what was put off: no lock is held."""

    def _react(self) -> None:
        """Do what the session's flags ask for."""
        raise AssertionError("a front end does")

    def _soon(self, change: Callable[..., object], *args: object) -> None:
        """Call ``change``, which changes the session, as soon as that can be done.

        In front ends with a lock it waits for it, and not who calls this.
        """
        change(*args)
        self._react()

    # Whether a list for a message is asked about; longwire.websockets documents lists.
    _asks_about_lists = True

    def _ask_about_list(self, message: object) -> None:
        """Say once what a list means, whose author may have meant JSON."""
        if not (isinstance(message, (list, tuple)) and len(message) > 1):
            return
        if self._asks_about_lists:
            self._asks_about_lists = False
            self.logger.warning(
                "send() was given a %s, and sends it as one message in %d fragments; "
                "for JSON, send json.dumps(message); an iterator is sent without this "
                "line",
                type(message).__name__,
                len(message),
            )

    def _named(self) -> str:
        """Return who and where, for the log."""
        if not self._is_named:
            return ""
        return f" ({self._who()}, id {self.id.hex[:8]})"

    def _who(self) -> str:
        """Return the other side in words."""
        return "unknown"

    def __dir__(self) -> list[str]:
        """Return the names that are there for programs.

        Neither those that are only explained, nor those by which the wire, the server
        and the poller reach a connection.
        """
        names = without_hints(type(self), super().__dir__())
        return [name for name in names if name not in _INTERNALS]

    def __repr__(self) -> str:
        kind = type(self)
        name = f"{kind.__module__}.{kind.__qualname__}"
        return f"<{name} {self.state.name} at {id(self):#x}>"


# Not by __getattr__(): one method of that name makes each look at an attribute, and so
# each recv() and send(), cost about 130 instructions more.
give_hints(Connection)
_NO_BODY = "an opening handshake has no body: what the client sends comes by recv()"
give_own_hints(
    Request,
    {
        "query_params args GET query_string": "write request.query, or request.path",
        "url uri path_info": "write request.path",
        "json body text form data": _NO_BODY,
        "cookies": "write request.headers.get('Cookie')",
        "host": "write request.headers['Host']",
        "get header": "write request.headers.get(name)",
        "client remote remote_addr": "write websocket.remote_address",
    },
)


def client_named(peer: Any, request: Request | None) -> str:
    """Return a client's address and the path that it asked for, for the log.

    Without the query: it may have a token, which belongs in no log.
    """
    where = "a Unix socket"
    if isinstance(peer, tuple) and len(peer) > 1:
        host = f"[{peer[0]}]" if ":" in str(peer[0]) else peer[0]
        where = f"{host}:{peer[1]}"
    if request is None:
        return f"from {where}"
    return f"from {where}, {excerpt(request.path.partition('?')[0])}"


def opcode_for(message: object, text: bool | None) -> Opcode:
    """Return the opcode that ``message`` goes out with.

    str is Text and bytes-like is Binary, unless ``text`` says which to use. Raises
    TypeError for anything else.
    """
    if isinstance(message, str):
        return Opcode.BINARY if text is False else Opcode.TEXT
    if isinstance(message, BytesLike):
        return Opcode.TEXT if text else Opcode.BINARY
    # The compiled build's verbs are objects of ours, which call themselves coroutines.
    kind = message.__class__.__name__
    raise TypeError(
        f"a message must be str, bytes-like or an iterable, not {kind}"
        f"{not_sendable(message)}"
    )


def check_fragments(message: object) -> None:
    """Raise TypeError unless ``message`` is an iterable of fragments.

    What is awaited may be iterable, too, as a future is, or a ``recv()`` of the
    compiled build: iterating over it would consume what it waits for.
    """
    if isinstance(message, Mapping):
        raise TypeError(
            "a message cannot be a mapping: send json.dumps(message) for its JSON"
        )
    if isinstance(message, AsyncIterable):
        return
    if isinstance(message, Awaitable) or not isinstance(message, Iterable):
        opcode_for(message, None)
        raise AssertionError("a whole message has no fragments")


class Pieces:
    """Turns the pieces of one message into the type that was asked for."""

    def __init__(self, decode: bool | None) -> None:
        self._decode = decode
        self._tail = b""

    def feed(self, payload: Data, fin: bool) -> Data:
        """Return the piece; a character split by binary pieces waits for its rest."""
        if self._decode is None:
            return payload
        if isinstance(payload, str) or not self._decode:
            return as_wanted(payload, self._decode)
        data = self._tail + payload
        end = len(data) if fin else _whole_characters(data)
        self._tail = data[end:]
        return data[:end].decode()


def _whole_characters(data: bytes) -> int:
    """Return how many bytes of ``data`` are not the beginning of a split character."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 2 if byte & 0xE0 == 0xC0 else 3 if byte & 0xF0 == 0xE0 else 4
        return len(data) - back if byte >= 0xC0 and length > back else len(data)
    return len(data)


def as_wanted(payload: Data, decode: bool) -> Data:
    """Return ``payload`` as str if ``decode``, else as bytes."""
    if decode:
        return payload if isinstance(payload, str) else payload.decode()
    return payload.encode() if isinstance(payload, str) else payload


def control_payload(data: str | bytes) -> bytes:
    """Return what a ping or pong carries; at most 125 bytes (section 5.5)."""
    if isinstance(data, str):
        data = data.encode()
    elif isinstance(data, BytesLike):
        # The length of a memoryview is in items, which may be larger than bytes.
        data = bytes(data)
    else:
        raise TypeError(f"data must be str or bytes-like, not {type(data).__name__}")
    if len(data) > 125:
        raise _TooLong(f"data is {len(data)} bytes long; at most 125 are allowed")
    return data


class _TooLong(ProtocolError, ValueError):
    """A ping or pong may not carry so much.

    Also a ProtocolError, which is what the documented API raises.
    """
