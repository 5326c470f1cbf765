"""Those who are behind: what they get when they have room again, by policy.

Nothing waits for them but their place. With history they are fed from it; where only
the latest counts they get that; where nothing is kept they are told how many are gone.
"""

from __future__ import annotations

from collections.abc import Callable

from .effects import Hangup, Send
from .entries import Entry, Position, Verdict
from .node import NEVER, Node
from .subscriptions import GONE, LIVE, Lag, Link, Missing, Push, Subscription

__all__ = ["Lagging"]

LOOK_EVERY = 1.0
"""Seconds between looks at who has been behind for too long."""


class Lagging:
    """Feeds those who are behind.

    ``ask(sub, now)`` asks for the entries after a subscriber's cursor; what comes of it
    is handed to `fed`.
    """

    ask: Callable[[Subscription, float], None]

    def __init__(self, node: Node) -> None:
        self._node = node

    # --- who has room ------------------------------------------------------------

    def wants(self, sub: Subscription, message: Push | Missing) -> bool:
        """Whether ``message`` is what comes next for this subscriber."""
        if message.to is not None:
            return sub.state != GONE
        return sub.state == LIVE and sub.number <= message.number

    def sent(self, sub: Subscription, message: Push | Missing) -> None:
        """What was meant for one subscriber alone was sent to it."""
        if sub.lag is not None and sub.lag is message.lag:
            sub.lag.feeding = False

    def no_room(self, sub: Subscription, message: Push | Missing, now: float) -> None:
        """A subscriber had no room for what was sent to it, and did not get it."""
        if not self.wants(sub, message):
            return
        lag = message.lag or Lag(now, message.resets, slow=True)
        if isinstance(message, Missing) and message.reason == Verdict.TRIMMED:
            sub.trimmed -= bool(sub.trimmed)  # it was not told
        lag.feeding = False
        lag.slow = True
        self._node.fall_behind(sub, message.before, lag)

    def room(self, link: Link, now: float) -> bool:
        """A connection has room: feed one of those it is behind in.

        Returns whether something will come of it; call it again when that was sent.
        """
        for sub in list(link.behind):
            assert sub.lag is not None
            if not sub.lag.feeding:
                # By turns: the next time it is the last.
                del link.behind[sub]
                link.behind[sub] = None
                self.feed(sub, now)
                return True
        return False

    # --- what they get -----------------------------------------------------------

    def feed(self, sub: Subscription, now: float) -> None:
        """Send the next of what a subscriber has not got, by its topic's policy."""
        feed, lag = sub.feed, sub.lag
        assert lag is not None and sub.cursor is not None
        if sub.cursor == feed.position:
            self._node.make_live(sub)
        elif lag.slow and feed.slow == "latest" and feed.position is not None:
            self._feed_newest(sub, feed.position)
        elif lag.slow and feed.slow == "drop" and feed.position is not None:
            self._tell(sub, feed.position, "slow", same=lag.resets == feed.resets)
        else:
            lag.feeding = True
            self.ask(sub, now)

    def _feed_newest(self, sub: Subscription, top: Position) -> None:
        """Send the newest entry of each key, and say how many were skipped."""
        feed, cursor, lag = sub.feed, sub.cursor, sub.lag
        assert cursor is not None and lag is not None
        found = sorted(feed.newest.values(), key=lambda entry: entry.offset)
        entries = [entry for entry in found if entry.offset > cursor.offset]
        same = lag.resets == feed.resets
        if not same or not entries or entries[-1].position != top:
            self._tell(sub, top, "slow", same=same)
            return
        missed = self._node.missed(cursor, top, "")
        skipped = None if missed is None else missed - len(entries)
        self._send(sub, Push(feed, entries, cursor, top, skipped=skipped))

    def fed(
        self,
        sub: Subscription,
        verdict: Verdict | None,
        entries: list[Entry],
        position: Position,
        now: float,
    ) -> None:
        """Send what was found for a subscriber that is behind."""
        lag, cursor = sub.lag, sub.cursor
        assert lag is not None and cursor is not None
        if verdict is not Verdict.COMPLETE:
            sub.trimmed += verdict is Verdict.TRIMMED
            if sub.trimmed > 1 and lag.slow:
                self._node.effects.append(
                    Hangup(sub.link, "older than history, twice in a row")
                )
            reason = "lost" if verdict is Verdict.NO_HISTORY else str(verdict)
            self._tell(sub, position, reason)
        elif entries:
            self._send(sub, Push(sub.feed, entries, cursor, position))
            if sub.state == LIVE:
                sub.trimmed = 0
        else:
            lag.feeding = False
            self.feed(sub, now)

    def _tell(
        self, sub: Subscription, after: Position, reason: str, *, same: bool = True
    ) -> None:
        """Tell of a gap; ``same``: both ends are known to be of one history."""
        cursor = sub.cursor
        assert cursor is not None
        self._node.signalled += 1
        missed = self._node.missed(cursor, after, reason) if same else None
        self._send(sub, Missing(sub.feed, cursor, after, reason, missed))

    def _send(self, sub: Subscription, message: Push | Missing) -> None:
        """Send it, and move the subscriber to where it will be then."""
        lag = sub.lag
        assert lag is not None
        message.to = sub
        message.lag = lag
        message.recipients = [sub]
        lag.feeding = True
        if message.after == sub.feed.position:
            self._node.make_live(sub)
        else:
            sub.cursor = message.after
        self._node.effects.append(Send(message))

    # --- time --------------------------------------------------------------------

    def end_the_late(self, now: float) -> None:
        """Hang up on connections that have been behind for too long."""
        most = self._node.limits.behind
        late: dict[Link, None] = {}
        for sub in self._node.behind:
            lag = sub.lag
            if most is not None and lag is not None and now - lag.since >= most:
                late[sub.link] = None
                lag.since = now  # said once, and again only if it does not help
        for link in late:
            self._node.effects.append(Hangup(link, f"behind for {most:g} seconds"))
        again = now + LOOK_EVERY if self._node.behind else NEVER
        self._node.look_at_behind = again
