"""States: the life of a connection after its opening handshake, as one table.

RFC 6455 section 7.1: a connection is closing once a close frame was sent or
received and closed when its TCP connection is. Everything that depends on who
closed first is a question to this module.
"""

from __future__ import annotations

from ..errors import InvalidState
from ..messages import State

OPEN = 0
CLOSING_BY_US = 1  # our close frame is out, the peer's is awaited
CLOSING_BY_PEER = 2  # the peer's close frame came, ours is due
CLOSING = 3  # both close frames were exchanged, TCP is to end
CLOSED = 4  # TCP has ended

SENT_CLOSE = 0
GOT_CLOSE = 1
LOST = 2

STATE_NAMES = ("open", "closing by us", "closing by the peer", "closing", "closed")
EVENT_NAMES = ("sending a close frame", "receiving a close frame", "the end of TCP")

NEXT = {
    (OPEN, SENT_CLOSE): CLOSING_BY_US,
    (OPEN, GOT_CLOSE): CLOSING_BY_PEER,
    (OPEN, LOST): CLOSED,
    (CLOSING_BY_US, GOT_CLOSE): CLOSING,
    (CLOSING_BY_US, LOST): CLOSED,
    (CLOSING_BY_PEER, SENT_CLOSE): CLOSING,
    (CLOSING_BY_PEER, LOST): CLOSED,
    (CLOSING, LOST): CLOSED,
}

# Section 5.5.1: after our close frame no data may follow; after the peer's we may
# finish what we were sending.
_SENDING_DATA = frozenset((OPEN, CLOSING_BY_PEER))
# Section 5.5.2: pings are answered until the peer's close frame came, which our own
# close frame does not change.
_SENDING_PONGS = frozenset((OPEN, CLOSING_BY_US, CLOSING_BY_PEER))

_PUBLIC = (State.OPEN, State.CLOSING, State.CLOSING, State.CLOSING, State.CLOSED)


def after(state: int, event: int) -> int:
    """Return the state that follows; InvalidState if the event cannot happen."""
    try:
        return NEXT[state, event]
    except KeyError:
        raise InvalidState(
            f"{EVENT_NAMES[event]} is not possible while {STATE_NAMES[state]}"
        ) from None


def name(state: int) -> str:
    """Return the name of a state, for messages to people."""
    return STATE_NAMES[state]


def may_send_data(state: int) -> bool:
    """Return whether messages and pings may be sent."""
    return state in _SENDING_DATA


def may_send_pong(state: int) -> bool:
    """Return whether pongs may be sent."""
    return state in _SENDING_PONGS


def public(state: int) -> int:
    """Return the :class:`~longwire.State` users see, as an int."""
    return int(_PUBLIC[state])
