"""The call table under hypothesis: in whatever order, every call ends exactly once."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire.rpc import RpcLimits
from longwire.rpc.calls import Admission, Budget, CallTable, State

LIMITS = RpcLimits(calls=3, queued=2, streams=2, pending=4, calls_in_all=20, memory=100)


class Calls(RuleBasedStateMachine):
    """One table with a peer that does as it likes, beside a model of what is due."""

    mine = Bundle("mine")
    their = Bundle("their")

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(LIMITS.calls_in_all, 1000)
        self.table = CallTable(LIMITS, self.budget)
        self.now = 0.0
        self.ended: dict[int, int] = {}  # calls of ours: how often they ended
        self.answers: dict[int, int] = {}  # calls of theirs: how often answered
        self.numbers = iter(range(1_000_000))
        self.live: list = []
        self.lent: list = []  # a record for each call of its own
        self.resumed = False

    # --- ours --------------------------------------------------------------------

    @rule(target=mine, seconds=st.sampled_from([1.0, 5.0, math.inf]))
    def call(self, seconds):
        try:
            call = self.table.begin(object(), self.now + seconds)
        except Admission:
            assert self.table.is_lost or len(self.table.ours) == LIMITS.pending
            return None
        assert call.id not in self.ended
        self.ended[call.id] = 0
        return call

    @rule(call=mine)
    def answer_comes(self, call):
        if call is not None:
            found = self.table.settle(call.id)
            self.ended[call.id] += found is not None

    @rule(call=mine)
    def give_up(self, call):
        if call is not None:
            self.ended[call.id] += self.table.abandon(call)

    @rule(id=st.integers(min_value=100_000))
    def answer_to_nobody(self, id):
        before = self.table.strange
        assert self.table.settle(id) is None
        assert self.table.strange == before + 1

    # --- theirs ------------------------------------------------------------------

    @rule(
        target=their,
        seconds=st.sampled_from([1.0, 5.0, math.inf]),
        credit=st.sampled_from([0, 0, 1, 3]),
        size=st.sampled_from([0, 1, 60]),
        is_silent=st.booleans(),
    )
    def they_call(self, seconds, credit, size, is_silent):
        id, deadline = next(self.numbers), self.now + seconds
        more = {"size": size, "is_silent": is_silent and not credit}
        try:
            record = self.table.admit(id, None, deadline, credit, **more)
        except Admission:
            assert id not in self.table.theirs
            return None
        self.answers[id] = 0
        if record.running:
            self.live.append(record)
        return record

    @rule(record=their)
    def they_call_by_an_id_in_use(self, record):
        if record is not None and record.id in self.table.theirs:
            with pytest.raises(Admission):
                self.table.admit(record.id, None)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def a_call_is_done(self, data):
        record = data.draw(st.sampled_from(self.live))
        self.answers[record.id] += self.table.answer(record)
        self.end(record)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def a_done_call_is_finished_again(self, data):
        record = data.draw(st.sampled_from(self.live))
        self.answers[record.id] += self.table.answer(record)
        self.end(record)
        assert self.table.finish(record) is None

    def end(self, record):
        self.live.remove(record)
        succeeding = self.table.finish(record)
        if succeeding is not None:
            assert succeeding.running
            self.live.append(succeeding)

    @rule(record=their)
    def they_cancel(self, record):
        if record is None or record.id not in self.table.theirs:
            return
        self.stop(record)

    def stop(self, record):
        if self.table.answer(record):
            self.answers[record.id] += 1
            if not record.running:
                assert self.table.finish(record) is None

    @rule(record=their, size=st.sampled_from([0, 5, 200]))
    def its_arguments_are_read(self, record, size):
        if record in self.live and not record.is_read:
            self.table.read(record, size)

    @rule(record=their)
    def it_waits_for_a_call_of_its_own(self, record):
        if record in self.live:
            succeeding = self.table.lend(record)
            if not record.is_stream:
                self.lent.append(record)
            if succeeding is not None:
                assert succeeding.running
                self.live.append(succeeding)

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def what_it_waited_for_has_come(self, data):
        record = data.draw(st.sampled_from(self.lent))
        self.lent.remove(record)
        self.resumed = True
        self.table.resume(record)

    @rule(record=their)
    def it_waits_for_credit(self, record):
        if record in self.live and record.is_stream:
            self.table.starve(record, self.now + 3.0)

    @rule(record=their)
    def it_has_credit_again(self, record):
        if record is not None and record.is_stream:
            self.table.feed(record)

    # --- streams -----------------------------------------------------------------

    @rule(record=their, count=st.integers(1, 5))
    def they_take_more(self, record, count):
        if record is None:
            return
        waits = self.table.grant(record.id, count)
        assert waits is None or (waits is record and record.is_stream)

    @rule(record=their)
    def an_item_is_sent(self, record):
        if record is not None and record.is_stream:
            credit = record.credit
            assert self.table.spend(record) == (credit > 0)
            assert record.credit == max(0, credit - 1)

    # --- time, and the end -------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 2.0, 10.0]))
    def time_passes(self, seconds):
        self.now += seconds
        ours, theirs = self.table.overdue(self.now)
        for call in ours:
            self.ended[call.id] += self.table.abandon(call)
        for record in theirs:
            self.stop(record)
        assert self.table.next_deadline() > self.now

    @rule()
    def the_connection_is_lost(self):
        ours, theirs = self.table.lose()
        for call in ours:
            self.ended[call.id] += 1
        for record in theirs:
            assert not self.table.answer(record)
            assert not record.is_silent  # what wants no answer is carried out
        assert self.table.lose()[0] == []

    # --- what always holds -------------------------------------------------------

    @invariant()
    def no_call_ends_twice(self):
        assert all(count <= 1 for count in self.ended.values())
        assert all(count <= 1 for count in self.answers.values())

    @invariant()
    def what_has_not_ended_is_in_the_table(self):
        waiting = {id for id, count in self.ended.items() if not count}
        assert waiting == self.table.ours.keys()

    @invariant()
    def nothing_is_over_its_limit(self):
        records = self.table.theirs.values()
        plain = [record for record in records if not record.is_stream]
        running = [r for r in plain if r.state is State.RUNNING]
        assert len(self.table.ours) <= LIMITS.pending
        assert len(plain) <= LIMITS.calls + LIMITS.queued
        # Those that go on after a call of their own come on top.
        if not self.resumed:
            assert len(running) <= LIMITS.calls
        assert sum(record.is_stream for record in records) <= LIMITS.streams

    @invariant()
    def the_budget_is_what_is_under_way(self):
        assert self.budget.left == LIMITS.calls_in_all - len(self.table.theirs)

    @invariant()
    def nobody_waits_while_there_is_room(self):
        plain = [r for r in self.table.theirs.values() if not r.is_stream]
        if any(not record.running for record in plain):
            running = sum(record.state is State.RUNNING for record in plain)
            assert running >= LIMITS.calls

    @invariant()
    def what_is_held_is_what_is_under_way(self):
        records = self.table.theirs.values()
        sizes = {True: 0, False: 0}
        for record in records:
            sizes[record.is_read] += record.size
        assert self.table.read_size == sizes[True]
        assert self.table.waiting_size == sizes[False]
        assert self.budget.memory_left == 1000 - sum(sizes.values())
        assert self.table._starved == sum(record.is_starved for record in records)

    def teardown(self):
        self.the_connection_is_lost()
        while self.live:
            self.end(self.live[0])
        for record in [r for r in self.table.theirs.values() if not r.running]:
            self.table.finish(record)
        for record in self.lent:
            self.table.resume(record)
        assert all(count == 1 for count in self.ended.values())
        assert not self.table.theirs
        assert self.budget.left == LIMITS.calls_in_all
        assert self.budget.memory_left == 1000
        table = self.table
        assert (table._running, table._lent, table._streams) == (0, 0, 0)


Calls.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
TestCalls = Calls.TestCase


def test_more_is_granted_when_half_of_the_window_was_taken():
    table = CallTable(RpcLimits())
    call = table.begin(None, window=5)

    assert [table.take_item(call) for _ in range(6)] == [0, 2, 0, 2, 0, 2]


def test_an_item_over_what_was_granted_is_seen():
    table = CallTable(RpcLimits())
    call = table.begin(None, window=2)

    found = [table.receive_item(call.id) for _ in range(3)]

    assert found == [(call, True), (call, True), (call, False)]


def test_nothing_is_granted_to_a_stream_that_has_ended():
    table = CallTable(RpcLimits())
    call = table.begin(None, window=1)
    table.settle(call.id)

    assert table.take_item(call) == 0


def test_an_answer_to_a_call_given_up_is_nothing_strange():
    table = CallTable(RpcLimits())
    call = table.begin(None)
    table.abandon(call)

    assert table.settle(call.id) is None
    assert table.strange == 0
    table.settle(call.id)
    assert table.strange == 1


def test_the_calls_given_up_are_remembered_up_to_a_bound():
    table = CallTable(RpcLimits())
    for _ in range(5000):
        table.abandon(table.begin(None))

    assert len(table._abandoned) == 1024


def test_calls_are_numbered_as_the_wire_has_it():
    table = CallTable(RpcLimits(), first_id=2, step=2)

    assert [table.begin(None).id for _ in range(3)] == [2, 4, 6]


def test_waiting_calls_have_their_turn_in_order():
    table = CallTable(RpcLimits(calls=1, queued=3))
    first, second, third = (table.admit(n, None) for n in range(3))

    assert (first.running, second.running, third.running) == (True, False, False)
    assert table.finish(first) is second
    assert table.finish(second) is third
    assert table.finish(third) is None


def test_answers_to_calls_that_nobody_remembers_are_nothing_strange():
    table = CallTable(RpcLimits())
    calls = [table.begin(None) for _ in range(5000)]
    for call in calls:
        table.abandon(call)

    assert all(table.settle(call.id) is None for call in calls)
    assert table.strange == 0
    table.settle(5001)
    assert table.strange == 1


def test_what_is_strange_is_forgiven_at_the_rate_of_the_limit():
    table = CallTable(RpcLimits(strange=60))
    table.strange = 50

    table.forgive(100.0)
    assert table.strange == 50
    table.forgive(100.5)
    assert table.strange == 50
    table.forgive(110.0)
    assert table.strange == 40
    table.forgive(1000.0)
    assert table.strange == 0


def test_a_place_that_was_lent_is_another_calls():
    table = CallTable(RpcLimits(calls=1, queued=3))
    first, second, third = (table.admit(n, None) for n in range(3))

    assert table.lend(first) is second
    assert table.lend(first) is None  # it waits for two calls of its own
    table.resume(first)
    assert first.state is State.LENT
    table.resume(first)
    assert first.state is State.RUNNING
    assert table.finish(second) is None  # one is running
    assert table.finish(first) is third


def test_a_call_cannot_become_what_it_was_not():
    table = CallTable(RpcLimits(calls=1))
    table.admit(1, None)
    waiting = table.admit(2, None)

    with pytest.raises(AssertionError, match="no LEND for a call that is WAITING"):
        table.lend(waiting)
