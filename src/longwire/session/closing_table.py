"""The end of a connection as one table: (state, event) → what is done, and the state.

RFC 6455 section 7. :mod:`.closing` carries the table out; docs/explain/states.md shows
it, and a test compares the two. An event without a row in a state changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from ..messages import Cause

# States. Messages can be sent in the first two; TCP has ended from UNREAD on.
OPEN = 0
ANSWERING = 1
CLOSING = 2
ENDED = 3
UNREAD = 4
ABANDONED = 5
GONE = 6

STATES = {
    OPEN: ("open", "messages go both ways"),
    ANSWERING: (
        "answering",
        "a close frame or a fault was read behind messages, which are answered first",
    ),
    CLOSING: ("closing", "our close frame was sent, the peer's is awaited"),
    ENDED: ("ended", "the report is made; TCP has still to end"),
    UNREAD: (
        "unread",
        "TCP has ended; the reader has no room yet for all that was received",
    ),
    ABANDONED: ("abandoned", "the same, and the reader has not come back in time"),
    GONE: ("gone", "the report is made and TCP has ended"),
}

# Events. Those that are the peer's take effect when what came before was read.
READ_BEHIND = 0
CLOSE = 1
PEER_CLOSE = 2
FAULT = 3
SLOW_CONSUMER = 4
NO_PONG = 5
CLOSE_TIMEOUT = 6
WRITE_TIMEOUT = 7
ABORTED = 8
END_OF_INPUT = 9
LOST = 10

EVENTS = {
    READ_BEHIND: "a close frame or a fault is read behind unread messages",
    CLOSE: "`close()` is called, or the block that uses the connection ends",
    PEER_CLOSE: "the peer's close frame takes effect",
    FAULT: "the connection fails: a fault of the peer's, a limit, a mistake of ours",
    SLOW_CONSUMER: "more waits for the peer than `Limits.unsent_bytes`",
    NO_PONG: "the pong does not come within `ping_timeout`",
    CLOSE_TIMEOUT: "`close_timeout` passes",
    WRITE_TIMEOUT: "the peer takes no bytes within `Timeouts.write`",
    ABORTED: "the connection is cut off",
    END_OF_INPUT: "the stream has ended, and all of it was parsed",
    LOST: "TCP ends",
}

# What the close frame says, where none was sent before.
NOTHING = 0
GIVEN = 1
ECHO = 2
OWN = 3

SENDS = {
    NOTHING: "",
    GIVEN: "the code of `close()`",
    # Section 5.5.1: "it typically echos the status code it received".
    ECHO: "the peer's code",
    OWN: "the code of the fault",
}

# What becomes of TCP, in the order of urgency: `Session.ending`.
STAY = 0
HALF_CLOSE = 1
CLOSE_TCP = 2
ABORT = 3
# Section 7.1.1: the server ends TCP first, and the client waits for that.
SERVER_FIRST = 4
AS_ASKED = 5

TCP = {
    STAY: "",
    HALF_CLOSE: "our end is sent",
    CLOSE_TCP: "closed when all is written",
    ABORT: "cut off",
    SERVER_FIRST: "a server sends its end; a client waits",
    AS_ASKED: "cut off, or our end is sent, as the caller asks",
}


class Step(NamedTuple):
    """What an event does in a state."""

    after: int
    sends: int = NOTHING
    tcp: int = STAY


STEPS: dict[tuple[int, int], Step] = {
    (OPEN, READ_BEHIND): Step(ANSWERING),
    # In ANSWERING what was read takes effect before close() does.
    (OPEN, CLOSE): Step(CLOSING, GIVEN),
    (OPEN, PEER_CLOSE): Step(ENDED, ECHO, SERVER_FIRST),
    (ANSWERING, PEER_CLOSE): Step(ENDED, ECHO, SERVER_FIRST),
    (CLOSING, PEER_CLOSE): Step(ENDED, NOTHING, SERVER_FIRST),
    (UNREAD, PEER_CLOSE): Step(GONE, ECHO, SERVER_FIRST),
    (ABANDONED, PEER_CLOSE): Step(GONE, ECHO, SERVER_FIRST),
    # Section 7.1.7, "Fail the WebSocket Connection": a close frame with the code, and
    # no more input is looked at.
    (OPEN, FAULT): Step(ENDED, OWN, HALF_CLOSE),
    (ANSWERING, FAULT): Step(ENDED, OWN, HALF_CLOSE),
    (CLOSING, FAULT): Step(ENDED, NOTHING, HALF_CLOSE),
    (UNREAD, FAULT): Step(GONE, OWN, HALF_CLOSE),
    (ABANDONED, FAULT): Step(GONE, OWN, HALF_CLOSE),
    (OPEN, SLOW_CONSUMER): Step(ENDED, OWN, ABORT),
    (ANSWERING, SLOW_CONSUMER): Step(ENDED, OWN, ABORT),
    (OPEN, NO_PONG): Step(ENDED, OWN, HALF_CLOSE),
    (ANSWERING, NO_PONG): Step(ENDED, OWN, HALF_CLOSE),
    (CLOSING, CLOSE_TIMEOUT): Step(ENDED, NOTHING, ABORT),
    (ENDED, CLOSE_TIMEOUT): Step(ENDED, NOTHING, ABORT),
    (UNREAD, CLOSE_TIMEOUT): Step(ABANDONED),
    (OPEN, WRITE_TIMEOUT): Step(ENDED, NOTHING, ABORT),
    (ANSWERING, WRITE_TIMEOUT): Step(ENDED, NOTHING, ABORT),
    (CLOSING, WRITE_TIMEOUT): Step(ENDED, NOTHING, ABORT),
    (ENDED, WRITE_TIMEOUT): Step(ENDED, NOTHING, ABORT),
    (OPEN, ABORTED): Step(ENDED, NOTHING, AS_ASKED),
    (ANSWERING, ABORTED): Step(ENDED, NOTHING, AS_ASKED),
    (CLOSING, ABORTED): Step(ENDED, NOTHING, AS_ASKED),
    (ENDED, ABORTED): Step(ENDED, NOTHING, AS_ASKED),
    (UNREAD, ABORTED): Step(GONE, NOTHING, AS_ASKED),
    (ABANDONED, ABORTED): Step(GONE, NOTHING, AS_ASKED),
    (GONE, ABORTED): Step(GONE, NOTHING, AS_ASKED),
    (OPEN, END_OF_INPUT): Step(ENDED, NOTHING, CLOSE_TCP),
    (CLOSING, END_OF_INPUT): Step(ENDED, NOTHING, CLOSE_TCP),
    (ENDED, END_OF_INPUT): Step(ENDED, NOTHING, CLOSE_TCP),
    (UNREAD, END_OF_INPUT): Step(GONE, NOTHING, CLOSE_TCP),
    (ABANDONED, END_OF_INPUT): Step(GONE, NOTHING, CLOSE_TCP),
    (GONE, END_OF_INPUT): Step(GONE, NOTHING, CLOSE_TCP),
    (OPEN, LOST): Step(UNREAD),
    (ANSWERING, LOST): Step(UNREAD),
    (CLOSING, LOST): Step(UNREAD),
    (ENDED, LOST): Step(GONE),
}

# The cause that the report names, None: that of the error or of the caller.
CAUSES: dict[int, Cause | None] = {
    PEER_CLOSE: Cause.PEER,
    FAULT: None,
    SLOW_CONSUMER: Cause.LIMIT,
    NO_PONG: Cause.KEEPALIVE,
    CLOSE_TIMEOUT: Cause.CLOSE_TIMEOUT,
    WRITE_TIMEOUT: Cause.WRITE_TIMEOUT,
    ABORTED: None,
    END_OF_INPUT: Cause.NETWORK,
}
# Where close() was called before one of these, its cause is that of the end. HANDLER
# is so before any of the others, too: what the peer then does or fails to do is a
# detail.
COMPLETES_CLOSE = frozenset((PEER_CLOSE, END_OF_INPUT))


def cause_of(event: int, given: Cause | None, closing: Cause | None) -> Cause:
    """Return the cause of an end by ``event``.

    ``given`` is the caller's or the error's, ``closing`` that of ``close()`` if it was
    called before.
    """
    if closing is Cause.HANDLER or (closing is not None and event in COMPLETES_CLOSE):
        return closing
    cause = CAUSES[event] or given
    assert cause is not None
    return cause
