"""Answering: what becomes of requests to begin somewhere in a topic.

That a position can be continued is answered from the node's own tail. That it cannot
is only answered by what was read after it was asked: the verdicts are the broker's.
"""

from __future__ import annotations

from .effects import Read, Resolved
from .entries import Entry, Page, Position, Run, Verdict
from .feeds import Feed
from .lagging import Lagging
from .node import Node
from .subscriptions import Outcome, Request

__all__ = ["Answering"]


class Answering:
    """Answers requests, from a tail or from what was read."""

    def __init__(self, node: Node, lagging: Lagging) -> None:
        self._node = node
        self._lagging = lagging

    def answer_all(self, feed: Feed, now: float) -> None:
        """Answer what the node can answer by itself; nothing while it is in doubt."""
        if feed.is_settled:
            requests, feed.requests = feed.requests, {}
            left = {
                sub: request
                for sub, request in requests.items()
                if not self.answer(feed, request, now)
            }
            feed.requests = {**left, **feed.requests}

    def answer(self, feed: Feed, request: Request, now: float) -> bool:
        """Answer a request from what the node has; False if that does not do."""
        position, since = feed.position, request.since
        assert position is not None
        if since is None or request.wants_newest:
            return self._answer_newest(feed, request, now)
        if since == position:
            return self._complete(request, [], position, now)
        if request.is_feeding:
            index = feed.tail.find(since)
        else:
            index = feed.place_in_tail(since, self._node.broker_time(now))
        if index is not None:
            return self._complete(request, feed.tail.entries[index:], position, now)
        if feed.fresh <= request.number:
            return False
        # The top was read after this was asked, so what it says holds.
        if since.epoch != position.epoch:
            return self._refuse(feed, request, Verdict.EPOCH, now)
        if since.offset > position.offset:
            return self._refuse(feed, request, Verdict.AHEAD, now)
        if since.offset == position.offset:
            return self._refuse(feed, request, Verdict.FORK, now)
        if not feed.keeps:
            return self._refuse(feed, request, Verdict.NO_HISTORY, now)
        return False

    def _answer_newest(self, feed: Feed, request: Request, now: float) -> bool:
        position, tail = feed.position, feed.tail
        assert position is not None
        last = min(request.last, feed.storage.history)
        if len(tail.entries) < last and not tail.is_whole:
            return False
        newest = tail.entries[-last:] if last else []
        oldest = len(tail.entries) - len(newest)
        if newest and not feed.is_fresh(oldest, self._node.broker_time(now)):
            return False
        self._resolve(request, request.verdict, newest, position, now)
        return True

    def serve(
        self, feed: Feed, run: Run | None, read: Read, page: Page, now: float
    ) -> None:
        """Answer all requests that a read has the answer to."""
        requests, feed.requests = feed.requests, {}
        left = {
            sub: request
            for sub, request in requests.items()
            if not self._serve_one(feed, request, run, read, page, now)
        }
        feed.requests = {**left, **feed.requests}

    def _serve_one(
        self,
        feed: Feed,
        request: Request,
        run: Run | None,
        read: Read,
        page: Page,
        now: float,
    ) -> bool:
        since = request.since
        if since is None or request.wants_newest:
            if run is None or read.since is not None or not request.last:
                return False
            newest = run.entries[-request.last :]
            end = run.end or page.top
            self._resolve(request, request.verdict, newest, end, now)
            return True
        index = None if run is None else run.find(since)
        if run is not None and index is not None and index < len(run.entries):
            return self._complete(request, run.entries[index:], since, now)
        if since == page.top or (request.is_feeding and since == feed.position):
            return self._complete(request, [], since, now)
        refused = page.verdict is not Verdict.COMPLETE and not feed.repairing
        if since == read.since and refused:
            return self._refuse(feed, request, page.verdict, now)
        return False

    def _complete(
        self, request: Request, entries: list[Entry], end: Position, now: float
    ) -> bool:
        """Answer with as many of ``entries`` as an answer takes; ``end`` if none."""
        page = self._page_of(request, entries)
        after = page[-1].position if page else end
        self._resolve(request, Verdict.COMPLETE, page, after, now)
        return True

    def _page_of(self, request: Request, entries: list[Entry]) -> list[Entry]:
        """Return as many entries as one answer, or one push, takes: one at least."""
        limits = self._node.limits
        size = limits.catch_up_bytes if request.is_feeding else limits.page_bytes
        total = 0
        for index, entry in enumerate(entries[: limits.page]):
            total += entry.size
            if total > size and index:
                return entries[:index]
        return entries[: limits.page]

    def _refuse(
        self, feed: Feed, request: Request, verdict: Verdict, now: float
    ) -> bool:
        """Answer that a position cannot be continued; False if that is not all."""
        position = feed.position
        assert position is not None
        if feed.slow == "latest" and not request.is_feeding:
            # What such a topic has to say is its latest, whatever came before.
            request.verdict = verdict
            request.last = request.last or feed.storage.history
            return self._answer_newest(feed, request, now)
        self._resolve(request, verdict, [], position, now)
        return True

    def _resolve(
        self,
        request: Request,
        verdict: Verdict | None,
        entries: list[Entry],
        position: Position,
        now: float,
    ) -> None:
        sub = request.sub
        if request.is_feeding:
            self._lagging.fed(sub, verdict, entries, position, now)
            return
        missed = None
        if verdict not in (None, Verdict.COMPLETE) and request.since is not None:
            missed = self._node.missed(request.since, position, str(verdict))
        sub.cursor = position
        request.outcome = Outcome(verdict, entries, position, missed)
        self._node.effects.append(Resolved(request))
