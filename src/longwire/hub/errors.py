"""What a call of the hub can end with, other than a result.

::

    longwire.rpc.RemoteError
    └── HubError
        ├── UnknownTopic           -32010  no declaration has that name
        ├── NotSubscribed          -32011  needs a subscription to the topic
        ├── TooLarge               -32012  data, headers, or a name
        ├── BrokerUnavailable      -32013  `data.retry`: come back in so many ms
        ├── TokenExpired           -32014  get another one
        ├── TooManySubscriptions   -32015
        └── OptionOff              -32016  `data.option` names it
    longwire.rpc.TooBusy
    └── Overloaded             -32002  the queue of publish_nowait() is full
    WebSocketException
    └── Gap                    messages are missing; raised in loops of subscribers

The same classes are raised on both sides of the wire, and by a ``Hub`` itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import WebSocketException
from ..escaping import escape, excerpt
from ..rpc.errors import RemoteError, TooBusy

__all__ = [
    "BY_CODE",
    "BrokerUnavailable",
    "Gap",
    "HubError",
    "NotSubscribed",
    "OptionOff",
    "Overloaded",
    "TokenExpired",
    "TooLarge",
    "TooManySubscriptions",
    "UnknownTopic",
    "revived",
]


class HubError(RemoteError):
    """The hub refused, or could not do it; ``message`` says why."""


class UnknownTopic(HubError):
    """No declaration has a topic of that name."""

    code = -32010


class NotSubscribed(HubError):
    """The connection has no subscription to that topic, which this call needs."""

    code = -32011


class TooLarge(HubError):
    """Data, headers or a name of more bytes than allowed; the message says how many."""

    code = -32012


class BrokerUnavailable(HubError):
    """The broker cannot be reached, or does not answer.

    ``retry`` is when to try again, in milliseconds. ``stored`` is None: where it was a
    publish, nobody knows whether the message was stored, unless it is False.
    """

    code = -32013

    def __init__(
        self, message: str = "", *, retry: int = 1000, stored: bool | None = None
    ) -> None:
        super().__init__(message, {"retry": retry})
        self.stored = stored

    @property
    def retry(self) -> int:
        """Milliseconds after which to try again."""
        value = self.data.get("retry") if isinstance(self.data, dict) else None
        return value if isinstance(value, int) else 1000


class TokenExpired(HubError):
    """The token was valid once: get another one."""

    code = -32014


class TooManySubscriptions(HubError):
    """The connection, or this server, has as many as are allowed."""

    code = -32015


class OptionOff(HubError):
    """What was asked for is switched off for this topic."""

    code = -32016

    def __init__(self, message: str = "", *, option: str = "") -> None:
        super().__init__(message, {"option": option})

    @property
    def option(self) -> str:
        """The keyword of ``Hub.topic()`` that switches it on."""
        value = self.data.get("option") if isinstance(self.data, dict) else None
        return value if isinstance(value, str) else ""


class Overloaded(TooBusy):
    """More wait to be published than allowed; this message was not taken."""


class Gap(WebSocketException):
    """Messages of a topic are missing here.

    ``reason`` is one of the verdicts, such as ``"trimmed"``, or ``"slow"``, ``"lost"``;
    ``missed`` is how many, None if that is not known; ``position`` is where it goes on.
    """

    def __init__(self, topic: str, reason: str, missed: int | None, position: str):
        super().__init__(topic, reason, missed, position)
        self.topic = topic
        self.reason = reason
        self.missed = missed
        self.position = position

    def __str__(self) -> str:
        count = "messages" if self.missed is None else f"{self.missed} messages"
        text = f"{count} of {excerpt(self.topic)} are missing ({excerpt(self.reason)})"
        return escape(text)


BY_CODE: Mapping[int, type[HubError]] = {
    kind.code: kind
    for kind in (
        UnknownTopic,
        NotSubscribed,
        TooLarge,
        BrokerUnavailable,
        TokenExpired,
        TooManySubscriptions,
        OptionOff,
    )
}


def revived(error: RemoteError) -> RemoteError:
    """Return the exception of ours that another side's error stands for."""
    kind = BY_CODE.get(error.code)
    if kind is None or isinstance(error, kind):
        return error
    found: Any = kind.__new__(kind)
    RemoteError.__init__(
        found,
        error.message,
        error.data,
        type=error.type,
        code=error.code,
        id=error.id,
        traceback=error.traceback,
    )
    found.arrived = True
    if kind is BrokerUnavailable:
        found.stored = None
    return found  # type: ignore[no-any-return]
