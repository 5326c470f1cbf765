"""The calls of a connection without I/O: messages in, messages out, a clock by hand."""

from __future__ import annotations

import contextvars
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from longwire.rpc.link import OVERDUE, Link
from longwire.rpc.performing import ROOM, Performer, Room, Send
from longwire.rpc.serving import Serving
from longwire.rpc.settings import Settings

pytestmark = pytest.mark.once


class Waiter:
    """What came of a call of ours."""

    def __init__(self) -> None:
        self.came: list[Any] = []

    def done(self) -> bool:
        return bool(self.came)

    set_result = set_exception = lambda self, value: self.came.append(value)


class ServedByHand(Serving):
    """Begins calls when the test says so."""

    runs_plain = False

    def _now(self) -> float:
        return self._peer.now  # type: ignore[no-any-return]

    def _begin(self, record: Any) -> None:
        self._peer.begun.append(record)

    def perform(self, record: Any) -> None:
        """Carry out a call that has begun, in a context of its own as a task has."""
        contextvars.copy_context().run(self._perform, record)

    def _perform(self, record: Any) -> None:
        plan, answer = self.carry_out(record), None
        try:
            while True:
                what = plan.send(answer)
                if type(what) is Send:
                    self._peer.post(what.frame)
                else:
                    assert type(what) is Room
        except StopIteration:
            self._ended(record)


class FrontEnd(Link):
    """The least that a front end is."""

    incoming: ServedByHand

    def __init__(self, routes: Any = None, **options: Any) -> None:
        self._begin_link(object(), Settings(routes, **options), False)
        self.now, self.wakes, self.woken = 100.0, math.inf, 0
        self.outbox = SimpleNamespace(size=0)
        self.begun: list[Any] = []
        self.sent: list[Any] = []
        self.closed_with: Any = None
        performer = Performer(self.settings, self.wire, self)
        self.incoming = ServedByHand(self, performer)

    def post(self, frame: bytes) -> None:
        self.sent.append(json.loads(frame))

    def _call_at(self, when: float) -> None:
        self.wakes = when

    def _wake(self) -> None:
        self.woken += 1

    def _start_close(self, code: int, reason: str) -> None:
        self.closed_with = code, reason

    def put(self, frame: Any) -> None:
        for message in self.wire.read(json.dumps({"jsonrpc": "2.0", **frame})):
            self.take(message)

    def call(self, seconds: float = math.inf) -> tuple[Any, Waiter]:
        waiter = Waiter()
        call = self._begin(waiter, self.now + seconds)
        self.post(self._encoded(call, "theirs", [1]))
        return call, waiter


def test_an_answer_ends_the_call_it_is_for_and_no_other():
    link = FrontEnd()
    (_, first), (second, other) = link.call(), link.call()

    link.put({"id": second.id, "result": "yes"})
    link.put({"id": 17, "result": "nobody's"})

    assert [json.loads(bytes(raw)) for raw in other.came] == ["yes"]
    assert first.came == []
    assert link.table.strange == 1


def test_a_call_whose_time_is_over_is_cancelled():
    link = FrontEnd()
    call, waiter = link.call(seconds=5)
    assert link.wakes == 105

    link.expire(106.0)

    assert waiter.came == [OVERDUE]
    assert link.sent[-1] == {
        "jsonrpc": "2.0",
        "method": "$/cancel",
        "params": {"id": call.id},
    }


def test_a_call_of_theirs_is_begun_carried_out_and_answered_once():
    link = FrontEnd({"add": lambda a, b: a + b}, limits=rpc.RpcLimits(calls=1))
    link.put({"id": 1, "method": "add", "params": [1, 2]})
    link.put({"id": 2, "method": "add", "params": [3, 4]})
    assert [record.id for record in link.begun] == [1]  # there is one place

    link.incoming.perform(link.begun.pop())
    assert [record.id for record in link.begun] == [2]
    link.put({"method": "$/cancel", "params": {"id": 2}})
    link.incoming.perform(link.begun.pop())

    assert [frame["id"] for frame in link.sent] == [1, 2]
    assert link.sent[0]["result"] == 3
    assert link.sent[1]["error"]["code"] == rpc.Cancelled.code
    assert not link.table.theirs


def test_draining_refuses_new_calls_and_closes_after_the_last():
    link = FrontEnd({"add": lambda: 1})
    link.put({"id": 1, "method": "add"})

    link.drain(1001, "restart")
    link.put({"id": 2, "method": "add"})
    assert link.closed_with is None
    link.incoming.perform(link.begun.pop())

    assert link.closed_with == (1001, "restart")
    assert [frame["id"] for frame in link.sent] == [2, 1]
    assert link.sent[0]["error"]["code"] == rpc.TooBusy.code


def test_nothing_begins_while_too_much_waits_to_be_sent():
    link = FrontEnd({"add": lambda: 1})
    link.outbox.size = link.settings.limits.unsent + 1
    link.put({"id": 1, "method": "add"})

    plan = link.incoming.carry_out(link.begun[0])

    assert next(plan) is ROOM
    assert not link._must_wait()
    link.outbox.size *= 2
    assert link._must_wait()
