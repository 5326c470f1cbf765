"""Exceptions travel: between processes, and through copies."""

from __future__ import annotations

import copy
import pickle

import pytest

from longwire import errors
from longwire.http.headers import Headers, MultipleValuesError
from longwire.http.heads import Response
from longwire.messages import Cause, Close, CloseReport, Side

REPORT = CloseReport(
    cause=Cause.PEER,
    closed_by=Side.CLIENT,
    code=1000,
    reason="bye",
    rcvd=Close(1000, "bye"),
    sent=Close(1000),
    error=errors.PayloadTooBig(5, 4),
)
RESPONSE = Response(404, "Not Found", Headers(Server="x"), b"no")

SAMPLES: list[Exception] = [
    errors.ConnectionClosedOK(Close(1000), Close(1000), True, REPORT),
    errors.ConnectionClosedError(None, Close(1011), None, None),
    errors.ProtocolError("bad", code=1007),
    errors.InvalidHandshake("bad", status=418),
    errors.PayloadTooBig(10, 5, 3, limit="fragment"),
    errors.PayloadTooBig("slow", 5, limit="unsent_bytes"),
    errors.TooManyFragments(4),
    errors.TooManyPings(4),
    errors.RequestLineTooLong(4),
    errors.StatusLineTooLong(4),
    errors.HeaderLineTooLong(4, total=True),
    errors.TooManyHeaders(4),
    errors.InvalidMessage("bad"),
    errors.InvalidMethod("POST"),
    errors.InvalidProtocol("HTTP/1.0", status=400),
    errors.InvalidStatus(RESPONSE),
    errors.InvalidHeader("Host"),
    errors.InvalidHeaderFormat("Host", "expected a token", "a b", 1),
    errors.InvalidHeaderValue("Host", ""),
    errors.InvalidOrigin("http://evil.example"),
    errors.InvalidUpgrade("Upgrade", "h2c"),
    errors.NegotiationError("no"),
    errors.DuplicateParameter("a"),
    errors.InvalidParameterName("a"),
    errors.InvalidParameterValue("a", None),
    errors.ProxyError("no"),
    errors.InvalidProxyMessage("no"),
    errors.InvalidProxyStatus(RESPONSE),
    errors.SecurityError("no"),
    errors.InvalidClose("no"),
    errors.InvalidState("no"),
    errors.ConcurrencyError("no"),
    errors.InvalidURI("x", "no"),
    errors.InvalidProxy("x", "no"),
    MultipleValuesError("Host"),
]


def described(exc: BaseException) -> tuple[object, ...]:
    fields = {name: repr(value) for name, value in vars(exc).items()}
    return type(exc), str(exc), fields


@pytest.mark.parametrize("exc", SAMPLES, ids=lambda exc: type(exc).__name__)
@pytest.mark.parametrize(
    "way", [copy.copy, copy.deepcopy, lambda exc: pickle.loads(pickle.dumps(exc))]
)
def test_an_exception_is_the_same_after_a_journey(exc, way):
    assert described(way(exc)) == described(exc)


def test_the_arguments_of_a_closed_connection_are_the_documented_three():
    rcvd, sent = Close(1000, "bye"), Close(1000, "bye")
    for report in (None, REPORT):
        error = errors.ConnectionClosedOK(rcvd, sent, True, report)
        assert error.args == (rcvd, sent, True)
        assert copy.copy(error).report is report
