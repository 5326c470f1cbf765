"""When a client connects anew."""

from __future__ import annotations

import itertools
import logging
import ssl

import pytest

from longwire import errors
from longwire.http.headers import Headers
from longwire.http.heads import Response
from longwire.messages import Cause, Close, CloseReport
from longwire.opening.retry import Retries, backoff, process_exception


def status(code):
    return Response(code, "Text", Headers())


def broken(cause, kind=errors.InvalidMessage):
    exc = kind("did not receive a valid HTTP response")
    exc.__cause__ = cause
    return exc


@pytest.mark.parametrize(
    "exc",
    [
        ConnectionRefusedError(),
        OSError("unreachable"),
        TimeoutError(),
        EOFError(),
        ssl.SSLError(),
        broken(EOFError()),
        broken(EOFError(), errors.InvalidProxyMessage),
        *(errors.InvalidStatus(status(code)) for code in (500, 502, 503, 504)),
        errors.InvalidProxyStatus(status(503)),
    ],
    ids=repr,
)
def test_what_may_pass_is_tried_again(exc):
    assert process_exception(exc) is None


@pytest.mark.parametrize(
    "exc",
    [
        *(errors.InvalidStatus(status(code)) for code in (302, 401, 404, 429, 501)),
        errors.InvalidProxyStatus(status(407)),
        errors.SecurityError("no"),
        errors.InvalidURI("x", "no"),
        broken(None),
        ValueError(),
    ],
    ids=repr,
)
def test_everything_else_is_final(exc):
    assert process_exception(exc) is exc


def test_delays_grow_to_a_limit():
    delays = list(itertools.islice(backoff(random=lambda: 0.5), 12))

    assert delays[:4] == pytest.approx([2.5, 3.0, 4.8, 7.68])
    assert delays == sorted(delays)
    assert delays[-1] == 90.0


@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_delays_are_never_longer_than_the_limit_nor_negative(chance):
    delays = list(itertools.islice(backoff(max_delay=20, random=lambda: chance), 20))

    assert all(0 <= delay <= 20 for delay in delays)
    assert min(delays[1:]) >= 2.25


def make(process=process_exception, delays=lambda: [1.0, 2.0]):
    return Retries(process, delays, logging.getLogger("longwire.client"))


def test_each_failure_waits_for_the_next_delay_and_success_begins_anew():
    retries = make()

    waited = [retries.delay_after(OSError()) for _ in range(2)]
    waited.append(retries.delay_after_end(ended(messages_received=1)))
    waited.append(retries.delay_after(OSError()))

    assert waited == [1.0, 2.0, 0.0, 1.0]


def ended(code=None, *, cause=Cause.PEER, **fields):
    """Return the exception of a connection that the server closed with ``code``."""
    rcvd = None if code is None else Close(code)
    report = CloseReport(
        cause=cause, closed_by=None, code=code or 1006, reason="", rcvd=rcvd, **fields
    )
    return errors.ConnectionClosedError(rcvd, None, None, report)


HUNG_UP = {"cause": Cause.NETWORK}
OF_NO_USE = {
    "hung up at once": ended(**HUNG_UP, duration=0.01),
    "hung up just before the delay was over": ended(**HUNG_UP, duration=4.9),
    "closed at once": ended(1000, duration=0.01),
    "going away at once": ended(1001, duration=0.01),
    "policy": ended(1008, duration=0.01),
    "internal error": ended(1011, duration=0.01),
    "restart": ended(1012, duration=0.01),
    "try again later": ended(1013, duration=0.01),
    "try again later, after messages": ended(1013, messages_received=9),
    "try again later, after hours": ended(1013, duration=9999.0),
    "a protocol error": ended(cause=Cause.PEER_ERROR, duration=0.01),
    "over a limit": ended(cause=Cause.LIMIT, duration=0.01),
    "ours, but it had hung up": ended(cause=Cause.LOCAL, duration=0.01),
}
OF_USE = {
    "hung up after a message": ended(**HUNG_UP, duration=0.01, messages_received=1),
    "outlived the delay": ended(**HUNG_UP, duration=5.0),
    "outlived it, then closed": ended(1001, duration=5.1),
    "no answer to a ping": ended(cause=Cause.KEEPALIVE, duration=40.0),
}


@pytest.mark.parametrize("exc", OF_NO_USE.values(), ids=OF_NO_USE)
def test_a_connection_of_no_use_is_a_failure(exc):
    retries = make(delays=lambda: [5.0, 6.0, 7.0])

    assert [retries.delay_after_end(exc) for _ in range(2)] == [5.0, 6.0]
    assert retries.delay_after(OSError()) == 7.0
    with pytest.raises(errors.ConnectionClosedError) as raised:
        retries.delay_after_end(exc)
    assert raised.value is exc


@pytest.mark.parametrize("exc", OF_USE.values(), ids=OF_USE)
def test_a_connection_of_use_is_followed_at_once_and_the_delays_begin_anew(exc):
    retries = make(delays=lambda: [5.0, 6.0, 7.0])

    for _ in range(3):
        assert retries.delay_after_end(exc) == 0.0
        assert retries.delay_after(OSError()) == 5.0


def test_a_server_that_greets_and_closes_is_not_asked_as_fast_as_it_can():
    retries = make(delays=lambda: [1.0, 10.0, 100.0])
    greeted = ended(1008, duration=0.01, messages_received=1)

    waited = [retries.delay_after_end(greeted) for _ in range(8)]
    lasted = ended(1008, duration=1.0, messages_received=1)
    waited.append(retries.delay_after_end(lasted))  # proves itself by its message
    waited += [retries.delay_after_end(greeted) for _ in range(6)]

    at_once = [0.0] * 5
    assert waited == [*at_once, 1.0, 10.0, 100.0, 0.0, *at_once, 1.0]


@pytest.mark.parametrize(
    "how", [{"code": 1000}, {"code": 1008, "cause": Cause.LOCAL}], ids=["done", "ours"]
)
def test_what_is_done_or_closed_by_us_is_never_too_short(how):
    retries = make()
    closed = ended(**how, duration=0.01, messages_received=1)
    assert [retries.delay_after_end(closed) for _ in range(20)] == [0.0] * 20


def test_the_delay_to_outlive_is_the_last_one():
    retries = make(delays=lambda: [1.0, 10.0, 100.0, 1000.0])
    waited = [retries.delay_after(OSError()) for _ in range(2)]

    waited.append(retries.delay_after_end(ended(**HUNG_UP, duration=9.0)))
    waited.append(retries.delay_after_end(ended(**HUNG_UP, duration=101.0)))
    waited.append(retries.delay_after(OSError()))

    assert waited == [1.0, 10.0, 100.0, 0.0, 1.0]


def test_after_a_restart_there_is_one_delay_and_the_series_is_a_new_one():
    retries = make(delays=lambda: [1.0, 10.0, 100.0])
    waited = [retries.delay_after(OSError()) for _ in range(2)]

    waited.append(retries.delay_after_end(ended(1012, messages_received=1)))
    waited.append(retries.delay_after(OSError()))

    assert waited == [1.0, 10.0, 1.0, 10.0]


def test_a_connection_that_we_close_is_followed_at_once_and_changes_nothing():
    retries = make(delays=lambda: [1.0, 10.0, 100.0])
    waited = [retries.delay_after(OSError())]

    waited.append(retries.delay_after_end(ended(1000, cause=Cause.LOCAL)))
    waited.append(retries.delay_after(OSError()))

    assert waited == [1.0, 0.0, 10.0]


def test_where_there_are_no_delays_the_first_useless_connection_is_the_last():
    with pytest.raises(errors.ConnectionClosedError):
        make(delays=list).delay_after_end(ended(**HUNG_UP, duration=9.0))


def test_a_delay_after_an_end_is_logged_with_it(caplog):
    with caplog.at_level("INFO", "longwire.client"):
        make().delay_after_end(ended(1013))

    assert caplog.messages == [
        "connection ended; reconnecting in 1.0 seconds: ConnectionClosedError: "
        "received 1013 (try again later); no close frame sent"
    ]


def test_when_the_delays_are_over_the_last_exception_is_raised():
    retries, last = make(delays=lambda: [1.0]), OSError("last")
    retries.delay_after(OSError("first"))

    with pytest.raises(OSError, match="last") as raised:
        retries.delay_after(last)

    assert raised.value is last


def test_a_final_exception_is_raised_as_it_is():
    exc = ValueError("final")

    with pytest.raises(ValueError, match="final") as raised:
        make().delay_after(exc)

    assert raised.value is exc
    assert raised.value.__cause__ is None


def test_process_exception_may_raise_another_in_its_place():
    exc, other = OSError(), RuntimeError("instead")

    with pytest.raises(RuntimeError, match="instead") as raised:
        make(process=lambda _: other).delay_after(exc)

    assert raised.value.__cause__ is exc


def test_each_new_attempt_is_logged_with_its_delay(caplog):
    with caplog.at_level("INFO", "longwire.client"):
        make().delay_after(ConnectionRefusedError("nobody"))

    assert caplog.messages == [
        "connect failed; reconnecting in 1.0 seconds: ConnectionRefusedError: nobody"
    ]
