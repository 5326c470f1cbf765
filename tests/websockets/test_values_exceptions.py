"""One tree: clauses of every edition catch what they caught."""

import copy
import http
import pickle

import pytest

import longwire
from longwire.websockets import exceptions
from longwire.websockets.datastructures import Headers
from longwire.websockets.exceptions import (
    AbortHandshake,
    ConnectionClosed,
    ConnectionClosedError,
    InvalidHandshake,
    InvalidStatus,
    InvalidStatusCode,
    RedirectHandshake,
    WebSocketException,
)
from longwire.websockets.frames import Close


@pytest.mark.parametrize("name", exceptions.__all__)
def test_every_exception_is_a_websocket_exception(name):
    assert issubclass(getattr(exceptions, name), WebSocketException)


@pytest.mark.parametrize(
    "name", [name for name in exceptions.__all__ if hasattr(longwire, name)]
)
def test_exceptions_are_those_of_longwire(name):
    assert getattr(exceptions, name) is getattr(longwire, name)


def test_a_protocol_error_has_its_former_name():
    assert exceptions.WebSocketProtocolError is exceptions.ProtocolError


def test_a_status_code_error_is_caught_by_clauses_of_both_editions():
    headers = Headers(location="/there")

    error = InvalidStatusCode(302, headers)

    assert isinstance(error, InvalidStatus)
    assert isinstance(error, InvalidHandshake)
    assert (error.status_code, error.headers) == (302, headers)
    assert error.response.status_code == 302
    assert error.response.headers == headers
    assert str(error) == "server rejected WebSocket connection: HTTP 302"


def test_an_aborted_handshake_says_how_it_is_answered():
    error = AbortHandshake(http.HTTPStatus.OK, [("X-A", "b")], b"OK\n")

    assert (error.status, error.headers["X-A"], error.body) == (200, "b", b"OK\n")
    assert str(error) == "HTTP 200, 1 headers, 3 bytes"


def test_a_redirected_handshake_says_where_to():
    error = RedirectHandshake("wss://example.com/")

    assert error.uri == "wss://example.com/"
    assert str(error) == "redirect to wss://example.com/"


@pytest.mark.parametrize(
    "error",
    [
        InvalidStatusCode(403, Headers(server="x")),
        AbortHandshake(403, Headers(server="x"), b"no"),
        RedirectHandshake("/x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_former_exceptions_can_be_copied(error):
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == str(error)


def test_a_closed_connection_can_be_made_of_code_and_reason():
    error = ConnectionClosed(1001, "bye")

    assert (error.code, error.reason) == (1001, "bye")
    assert error.rcvd == Close(1001, "bye")
    assert error.sent is None
    assert str(error) == "received 1001 (going away) bye; no close frame sent"


def test_a_closed_connection_of_code_1006_received_nothing():
    error = ConnectionClosedError(1006, "")

    assert (error.code, error.reason) == (1006, "")
    assert error.rcvd is None
    assert str(error) == "no close frame received or sent"


def test_a_closed_connection_can_be_made_of_close_frames():
    error = ConnectionClosed(Close(1000, ""), Close(1000, ""), True)

    assert (error.code, error.reason) == (1000, "")
    assert error.rcvd_then_sent is True
    assert str(error) == "received 1000 (OK); then sent 1000 (OK)"


@pytest.mark.parametrize("kind", [ConnectionClosed, ConnectionClosedError])
def test_its_text_has_the_reason_of_each_close_frame(kind):
    error = kind(Close(4000, "bye"), Close(4000, "bye"), False)

    assert str(error) == (
        "sent 4000 (private use) bye; then received 4000 (private use) bye"
    )


def test_a_reason_without_a_code_is_an_error():
    with pytest.raises(TypeError, match="close reason"):
        ConnectionClosed(None, "bye")


def test_limits_of_a_handshake_can_be_raised_with_a_text_of_ones_own():
    assert str(exceptions.RequestLineTooLong("line is long")) == "line is long"
    assert str(exceptions.TooManyHeaders("too many")) == "too many"
