"""The names that ``protocol`` had in edition 10.4: ``Connection``."""

from __future__ import annotations

import warnings

from .aliases import give_aliases
from .protocol import OPEN, SEND_EOF, MaxSize, Protocol, Side, State
from .typing import BytesLike, LoggerLike

__all__ = ["SEND_EOF", "Connection", "Side", "State"]


class FormerRules(Protocol):
    """What the sans-I/O classes of edition 10.4 did differently."""

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        """Send a Close frame.

        Raises ProtocolError while a fragmented message is being sent, for a code that
        may not be sent, and for a reason without a code.
        """
        self._check_no_message()
        super().send_close(code, reason)

    def send_ping(self, data: BytesLike) -> None:
        """Send a Ping frame of at most 125 bytes, in state OPEN."""
        self._check_open()
        super().send_ping(data)

    def send_pong(self, data: BytesLike) -> None:
        """Send a Pong frame of at most 125 bytes, in state OPEN."""
        self._check_open()
        super().send_pong(data)

    def _check_open(self) -> None:
        if self.state is not OPEN:
            raise self._not_now()

    def receive_eof(self) -> None:
        """Take the end of the data from the network; raise EOFError the second time."""
        if self._eof_received:
            raise EOFError("stream ended")
        super().receive_eof()


class Connection(FormerRules):
    """Protocol, as edition 10.4 calls and makes it. Deprecated."""

    def __init__(
        self,
        side: Side,
        state: State = OPEN,
        max_size: MaxSize = 2**20,
        logger: LoggerLike | None = None,
    ) -> None:
        warn_renamed("Connection", "Protocol")
        super().__init__(side, state=state, max_size=max_size, logger=logger)


def warn_renamed(old: str, new: str) -> None:
    """Warn whoever makes an ``old`` that it is called ``new`` today."""
    text = f"{old} was renamed to {new}"
    warnings.warn(text, DeprecationWarning, stacklevel=3)


give_aliases(globals())
