"""The end of a connection: each row of the closing table, by what causes it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import longwire
from longwire.errors import ProtocolError
from longwire.messages import Cause, Close
from longwire.options import Keepalive, Limits, Timeouts
from longwire.session import closing_table as table

OPTIONS = {
    "limits": Limits(queued_messages=3, queued_bytes=150, unsent_bytes=100),
    "timeouts": Timeouts(close=50, write=2, fault_grace=10),
    "keepalive": Keepalive(interval=1, timeout=1),
}
MESSAGE = b"\x82\x98\x00\x00\x00\x00" + b"m" * 24
PEER_CLOSE = b"\x88\x82\x00\x00\x00\x00\x0f\xa1"  # 4001
OWN_CODES = {table.FAULT: 1002, table.SLOW_CONSUMER: 1008, table.NO_PONG: 1011}
GIVEN_CODE, PEER_CODE = 4000, 4001
WITH_CAUSE = {table.FAULT: Cause.PEER_ERROR, table.ABORTED: Cause.HANDLER}


def reached(bench: Any, state: int, event: int) -> Any:
    """Bring a session to ``state``, with what ``event`` needs behind it."""
    session = bench.session
    tail = PEER_CLOSE if event == table.PEER_CLOSE else b""
    if state == table.ANSWERING:
        bench.feed(MESSAGE + PEER_CLOSE)
    elif state == table.CLOSING:
        session.close(GIVEN_CODE, "", bench.now)
    elif state == table.ENDED:
        bench.feed(PEER_CLOSE)
    elif state in (table.UNREAD, table.ABANDONED):
        bench.feed(5 * MESSAGE + tail)
        session.lost(None, bench.now)
        if state == table.ABANDONED:
            bench.after(50)
    elif state == table.GONE:
        session.lost(None, bench.now)
    assert session.phase == state
    return session


def cause(bench: Any, event: int) -> None:
    """Do what causes ``event``."""
    session = bench.session
    if event == table.READ_BEHIND:
        bench.feed(MESSAGE + PEER_CLOSE)
    elif event == table.CLOSE:
        session.close(GIVEN_CODE, "", bench.now)
    elif event == table.PEER_CLOSE:
        if session.can_send or session.phase == table.CLOSING:
            bench.feed(PEER_CLOSE)
        read_all(bench)
    elif event == table.FAULT:
        session.fail(ProtocolError("made up"), bench.now)
    elif event == table.SLOW_CONSUMER:
        assert not session.send_encoded(b"\x82\x00", 101, bench.now)
    elif event == table.NO_PONG:
        bench.after(1)
        bench.after(1)
    elif event == table.CLOSE_TIMEOUT:
        bench.after(50)
    elif event == table.WRITE_TIMEOUT:
        session.write_paused(bench.now)
        bench.after(2, unsent=9)
        bench.after(2, unsent=9)
    elif event == table.ABORTED:
        session.abort(Cause.HANDLER, "", bench.now)
    elif event == table.END_OF_INPUT:
        if session.tcp_lost:
            read_all(bench)
        session.receive_eof(bench.now)
    elif event == table.LOST:
        session.lost(None, bench.now, more=True)


def read_all(bench: Any) -> None:
    while bench.session.has_message:
        bench.session.take()
    bench.session.wait(bench.now)


@pytest.mark.parametrize(
    ("state", "event"),
    table.STEPS,
    ids=[f"{table.STATES[s][0]}-{e}" for s, e in table.STEPS],
)
def test_each_row_of_the_table_is_what_the_session_does(server, state, event):
    options = dict(OPTIONS)
    if event != table.NO_PONG:
        options["keepalive"] = Keepalive(interval=None)
    bench = server(**options)
    session = reached(bench, state, event)
    before, said_before = session.ended, session.protocol.close_sent
    step = table.STEPS[state, event]

    cause(bench, event)

    assert session.phase == step.after
    assert session.can_send == (step.after in (table.OPEN, table.ANSWERING))
    sent = session.protocol.close_sent
    codes = {
        table.NOTHING: said_before,
        table.GIVEN: (GIVEN_CODE, ""),
        table.ECHO: (PEER_CODE, ""),
        table.OWN: (OWN_CODES.get(event), None if sent is None else sent[1]),
    }
    assert sent == codes[step.sends]
    if before is None and session.ended is not None:
        closing = Cause.LOCAL if state == table.CLOSING else None
        assert session.ended.cause is table.cause_of(
            event, WITH_CAUSE.get(event), closing
        )
        assert session.ended.sent == (None if sent is None else Close(*sent))
    else:
        assert session.ended is before
    expected = {table.SERVER_FIRST: table.HALF_CLOSE, table.AS_ASKED: table.ABORT}
    ending = expected.get(step.tcp, step.tcp)
    if session.tcp_lost:
        assert session.ending >= ending  # nothing is left of TCP that it could change
    else:
        assert session.ending == max(ending, initial_ending(state))


def initial_ending(state: int) -> int:
    return table.HALF_CLOSE if state == table.ENDED else table.STAY


@pytest.mark.parametrize("state", table.STATES)
def test_an_event_without_a_row_changes_nothing(server, state):
    for event in table.EVENTS:
        if (state, event) in table.STEPS or event in (table.READ_BEHIND, table.LOST):
            continue
        bench = server(**OPTIONS | {"keepalive": Keepalive(interval=None)})
        session = reached(bench, state, event)
        before = session.phase, session.ended, session.ending, session.take_flags()
        sent = session.protocol.close_sent
        bench.written()

        session.end(event, bench.now, Cause.LOCAL, 1000)

        assert (session.phase, session.ended, session.ending) == before[:3]
        assert session.protocol.close_sent == sent
        assert session.take_flags() == 0 and bench.written() == b""


def test_every_state_and_event_has_a_name_and_is_used():
    assert {state for state, _ in table.STEPS} == set(table.STATES)
    assert {event for _, event in table.STEPS} == set(table.EVENTS)
    assert {step.after for step in table.STEPS.values()} <= set(table.STATES)
    ends = {e for (_, e), step in table.STEPS.items() if step.after == table.ENDED}
    assert ends <= table.CAUSES.keys()


def test_tcp_that_has_ended_does_not_come_back_and_a_report_stays():
    for (state, _), step in table.STEPS.items():
        assert (state >= table.UNREAD) <= (step.after >= table.UNREAD)
        if state in (table.ENDED, table.GONE):
            assert step.after in (table.ENDED, table.GONE)


def test_every_state_comes_to_its_end():
    for state in table.STATES:
        seen = state
        for event in (table.CLOSE_TIMEOUT, table.FAULT, table.LOST, table.END_OF_INPUT):
            step = table.STEPS.get((seen, event))
            seen = seen if step is None else step.after
        assert seen == table.GONE


def test_a_handler_that_raised_stays_the_cause():
    for event in table.CAUSES:
        assert table.cause_of(event, Cause.LIMIT, Cause.HANDLER) is Cause.HANDLER


OWNED = {
    *("phase", "can_send", "ending", "ended", "got_eof", "undated", "grace_by"),
    *("close_by", "fault", "peer_close", "closing_cause", "error", "loss"),
}
SESSIONS = {"session", "self._session", "self._live", "_live"}


@pytest.mark.once
def test_only_the_closing_module_sets_what_says_how_a_connection_ends():
    package = Path(longwire.__file__).parent
    wrong = []
    for path in sorted(package.rglob("*.py")):
        inside = path.parent.name == "session"
        if inside and path.name in ("closing.py", "intake.py"):
            continue  # an Intake has its own `ended`
        owners = SESSIONS | {"self"} if path.name == "session.py" else SESSIONS
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
                targets = [node.target]
            wrong += [
                f"{path.relative_to(package)}:{node.lineno}: {ast.unparse(target)}"
                for target in targets
                if isinstance(target, ast.Attribute)
                and target.attr in OWNED
                and ast.unparse(target.value) in owners
            ]
    assert not wrong
