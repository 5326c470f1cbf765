"""When a client connects anew."""

from __future__ import annotations

import itertools
import logging
import ssl

import pytest

from longwire import errors
from longwire.http.headers import Headers
from longwire.http.heads import Response
from longwire.retrying import Retries, backoff, process_exception


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
    retries.succeeded()
    waited.append(retries.delay_after(OSError()))

    assert waited == [1.0, 2.0, 1.0]


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
