"""The steps that an opening handshake is made of: what a plan can ask for.

A plan is a generator in ``client_plan.py`` or ``server_plan.py``. It decides everything
and does nothing: it yields one of these steps and is resumed with the step's result, or
has the step's exception thrown in. A driver (one for each front end) carries them out.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from .. import messages

__all__ = [
    "Call",
    "Hangup",
    "LimitReads",
    "OpenSocks",
    "OpenTcp",
    "OpenUnix",
    "Opened",
    "Plan",
    "Read",
    "Sleep",
    "StartTls",
    "Step",
    "Write",
]


@dataclasses.dataclass(frozen=True, slots=True)
class OpenTcp:
    """Resolve ``host``, connect to it, and speak TLS at once if ``tls`` is given.

    ``options`` are the caller's keywords for the front end's own way to connect.
    ``host`` is None when they carry a connected ``sock``. Result: None.
    """

    host: str | None
    port: int | None
    tls: StartTls | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class OpenUnix:
    """Connect to a Unix socket. Result: None."""

    path: str | None
    tls: StartTls | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class OpenSocks:
    """Connect to ``host:port`` through the SOCKS proxy at ``proxy``. Result: None."""

    proxy: Any
    """A :class:`longwire.http.proxy.Proxy`."""
    host: str
    port: int
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class StartTls:
    """Start TLS on the open stream, as a client. Result: None.

    ``context`` None stands for the process's one cached default context.
    """

    context: ssl.SSLContext | None
    server_hostname: str | None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """Send all of ``data``. Result: None, perhaps before it has left."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """Wait for bytes. Result: at least one byte, or ``b""`` at the end of stream."""


@dataclasses.dataclass(frozen=True, slots=True)
class LimitReads:
    """Give all further Reads of this stream ``seconds`` together, or less.

    A Read that is not over by then raises TimeoutError. It is less where the time of
    the whole plan would be over first: the plan is to have its say. Result: None.
    """

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Hangup:
    """Close the open stream, whatever it carries. Result: None."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for ``seconds``. Result: None."""

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """Call the user's ``function``; wait for it when it is asynchronous.

    Result: what it returns; what it raises is thrown into the plan.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """What an opening handshake agreed on: the result of a plan that succeeds.

    ``deflate`` is permessage-deflate's part of it, ``extensions`` are the others, in
    the order agreed on; ``rest`` are the bytes that came after the head.
    """

    request: Any
    """A :class:`longwire.Request`."""
    response: Any
    """A :class:`longwire.Response`."""
    subprotocol: str | None = None
    deflate: messages.Deflate | None = None
    extensions: tuple[Any, ...] = ()
    rest: bytes = b""


Opening = OpenTcp | OpenUnix | OpenSocks | StartTls
Step = Opening | Write | Read | LimitReads | Hangup | Sleep | Call

T = TypeVar("T")
Plan = Generator[Step, Any, T]
