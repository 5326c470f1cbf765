"""Fan-out: one message to all subscribers of a topic, in slices.

A topic with very many subscribers must not keep everything else waiting. Messages of
one topic go out in their order; topics take turns.
"""

from __future__ import annotations

import collections
from collections.abc import Callable

from .feeds import Feed
from .subscriptions import Missing, Push, Subscription

__all__ = ["Fanout", "Job"]

Message = Push | Missing


class Job:
    """One message and those who are still to get it."""

    __slots__ = ("message", "next")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.next = 0


class Fanout:
    """What is to be sent, of all topics.

    ``send(subscription, message)`` sends it, or does not; ``done(message)`` is told
    when all have been asked.
    """

    def __init__(
        self,
        send: Callable[[Subscription, Message], None],
        done: Callable[[Message], None],
    ) -> None:
        self._send = send
        self._done = done
        self._jobs: dict[Feed, collections.deque[Job]] = {}
        self._turns: collections.deque[Feed] = collections.deque()

    def add(self, message: Message) -> None:
        """Send ``message`` after those of its topic that were added before."""
        jobs = self._jobs.get(message.feed)
        if jobs is None:
            jobs = self._jobs[message.feed] = collections.deque()
            self._turns.append(message.feed)
        jobs.append(Job(message))

    def __bool__(self) -> bool:
        return bool(self._turns)

    def run(self, count: int) -> bool:
        """Send to at most ``count`` subscribers; return whether there are more."""
        while count > 0 and self._turns:
            feed = self._turns[0]
            jobs = self._jobs[feed]
            job = jobs[0]
            recipients = job.message.recipients
            end = min(job.next + count, len(recipients))
            count -= end - job.next
            for index in range(job.next, end):
                self._send(recipients[index], job.message)
            job.next = end
            if end == len(recipients):
                jobs.popleft()
                self._done(job.message)
            if jobs:
                self._turns.rotate(-1)
            else:
                self._turns.popleft()
                del self._jobs[feed]
        return bool(self._turns)
