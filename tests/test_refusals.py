"""A server or proxy that refuses: the refusal counts, whatever becomes of its body."""

from __future__ import annotations

import ssl

import pytest

from longwire import errors
from longwire.opening.retry import process_exception
from longwire.opening.steps import Hangup, LimitReads, OpenTcp, Read
from longwire.options import Limits
from tests.support.playing import OPEN, TUNNEL, Player, plan, redirect

NO = b"HTTP/1.1 403 Forbidden\r\nX-Why: tired\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
SILENCE = TimeoutError()  # what LimitReads makes of it
RESET = ConnectionResetError(104, "Connection reset by peer")
TLS_FAULT = ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]")

# What a server says after the head, and what then is the body.
BODIES = {
    "by its length": ([b"Content-Length: 4\r\n\r\n", b"no", b"pe"], b"nope"),
    "up to the end": ([b"\r\nnope", b"!", b""], b"nope!"),
    "in chunks": ([CHUNKED + b"4\r\nnope\r\n0\r\n\r\n"], b"nope"),
    "of no bytes": ([b"Content-Length: 0\r\n\r\n"], b""),
    "never begun": ([b"Content-Length: 9\r\n\r\n", SILENCE], b""),
    "never ended": ([b"Content-Length: 9\r\n\r\nno", b"pe", SILENCE], b"nope"),
    "never ended, without length": ([b"\r\nno", b"pe", SILENCE], b"nope"),
    "never ended, in chunks": ([CHUNKED + b"2\r\nno\r\n9\r\npe", SILENCE], b"nope"),
    "never ended, in a chunk size": ([CHUNKED + b"2\r\nno\r\n9", SILENCE], b"no"),
    "never ended, in a trailer": ([CHUNKED + b"2\r\nno\r\n0\r\nX", SILENCE], b"no"),
    "cut": ([b"Content-Length: 9\r\n\r\nnope", b""], b"nope"),
    "cut before it began": ([b"Content-Length: 9\r\n\r\n", b""], b""),
    "cut in a chunk": ([CHUNKED + b"9\r\nnope", b""], b"nope"),
    "cut behind a chunk": ([CHUNKED + b"4\r\nnope", b""], b"nope"),
    "cut before the last chunk": ([CHUNKED + b"4\r\nnope\r\n", b""], b"nope"),
    "reset": ([b"Content-Length: 9\r\n\r\nnope", RESET], b"nope"),
    "reset without length": ([b"\r\nnope", RESET], b"nope"),
    "reset in chunks": ([CHUNKED + b"9\r\nnope", RESET], b"nope"),
    "broken TLS": ([b"Content-Length: 9\r\n\r\nnope", TLS_FAULT], b"nope"),
    "no chunk size": ([CHUNKED + b"4\r\nnope\r\nxyz\r\n"], b"nope"),
    "a negative chunk size": ([CHUNKED + b"-4\r\nnope\r\n"], b""),
    "a chunk without end": ([CHUNKED + b"4\r\nnopexx"], b"nope"),
    "a bare LF": ([CHUNKED + b"4\nnope"], b""),
    "an endless chunk extension": (
        [CHUNKED + b"4\r\nnope\r\n1;" + b"x" * 9000],
        b"nope",
    ),
    "endless trailers": (
        [CHUNKED + b"4\r\nnope\r\n0\r\n" + b"X: y\r\n" * 200],
        b"nope",
    ),
    "a trailer that is none": ([CHUNKED + b"4\r\nnope\r\n0\r\nx y\r\n"], b"nope"),
    "a negative length": ([b"Content-Length: -1\r\n\r\nnope"], b"nope"),
    "a length that is none": ([b"Content-Length: many\r\n\r\nnope"], b"nope"),
    "two lengths": (
        [b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nnope"],
        b"nope",
    ),
    "length and chunks": ([b"Content-Length: 4\r\n" + CHUNKED + b"0\r\n"], b"0\r\n"),
    "another coding": ([b"Transfer-Encoding: gzip\r\n\r\nnope"], b"nope"),
    "two codings": ([b"Transfer-Encoding: gzip, chunked\r\n\r\nnope"], b"nope"),
    "over the limit": ([b"Content-Length: 99\r\n\r\n" + b"x" * 20], b"x" * 12),
    "over the limit, in chunks": ([CHUNKED + b"63\r\n" + b"x" * 20], b"x" * 12),
    "over the limit, without length": ([b"\r\n" + b"x" * 20], b"x" * 12),
    "over the limit and of unknown length": (
        [b"Content-Length: x\r\n\r\n" + b"x" * 20],
        b"x" * 12,
    ),
}
SMALL = Limits(handshake_body=12)


@pytest.mark.parametrize("name", BODIES)
def test_a_refusal_is_raised_with_what_came_of_its_body(name):
    (first, *more), body = BODIES[name]

    with pytest.raises(errors.InvalidStatus) as caught:
        Player(NO + first, *more).play(plan(limits=SMALL))

    response = caught.value.response
    assert (response.status_code, response.headers["X-Why"]) == (403, "tired")
    assert response.body == body
    assert process_exception(caught.value) is caught.value  # no use trying again


@pytest.mark.parametrize("name", BODIES)
def test_so_is_that_of_a_proxy(name):
    (first, *more), body = BODIES[name]

    with pytest.raises(errors.InvalidProxyStatus) as caught:
        Player(NO + first, *more).play(plan(proxy="http://proxy:1", limits=SMALL))

    assert caught.value.response.status_code == 403
    assert caught.value.response.body == body


@pytest.mark.parametrize("name", BODIES)
def test_a_refusal_may_come_byte_by_byte(name):
    reads, body = BODIES[name]
    pieces = []
    for read in reads:
        split = isinstance(read, bytes) and read
        pieces += [bytes([byte]) for byte in read] if split else [read]
    start = [bytes([byte]) for byte in NO]

    with pytest.raises(errors.InvalidStatus) as caught:
        Player(*start, *pieces).play(plan(limits=SMALL))

    response = caught.value.response
    assert response.status_code == 403
    # Where nobody knows the length, it is what was here when that was found.
    assert body.startswith(response.body)


@pytest.mark.parametrize("status", [400, 401, 404, 426, 429, 500, 503, 200, 204, 304])
def test_every_status_but_101_is_a_refusal(status):
    answer = b"HTTP/1.1 %d Hm\r\nContent-Length: 9\r\n\r\nno" % status

    with pytest.raises(errors.InvalidStatus, match=f"HTTP {status}"):
        Player(answer, SILENCE).play(plan())


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_what_may_pass_is_tried_again_also_without_its_body(status):
    answer = b"HTTP/1.1 %d Hm\r\nContent-Length: 9\r\n\r\nno" % status

    with pytest.raises(errors.InvalidStatus) as caught:
        Player(answer, b"").play(plan())

    assert process_exception(caught.value) is None


# --- time ------------------------------------------------------------------------


def test_the_time_for_a_body_begins_when_the_head_is_whole():
    player = Player(NO, b"Content-Length: 9\r\n\r\n", b"no", b"pe", SILENCE)

    with pytest.raises(errors.InvalidStatus):
        player.play(plan())

    kinds = [type(step) for step in player.steps if isinstance(step, Read | LimitReads)]
    assert kinds == [Read, Read, LimitReads, Read, Read, Read]
    (limit,) = [step for step in player.steps if isinstance(step, LimitReads)]
    assert 0 < limit.seconds <= 2


@pytest.mark.parametrize(
    "answer", [OPEN, NO + b"Content-Length: 2\r\n\r\nno", NO + CHUNKED + b"0\r\n\r\n"]
)
def test_what_is_whole_at_once_needs_no_time(answer):
    player = Player(answer)
    try:
        player.play(plan())
    except errors.InvalidStatus:
        pass

    assert not any(isinstance(step, LimitReads) for step in player.steps)


# --- before there is a refusal ---------------------------------------------------


@pytest.mark.parametrize("reads", [[RESET], [NO, RESET], [b"HTTP/1.1 403 For", RESET]])
def test_a_reset_in_the_head_comes_out_as_it_is(reads):
    with pytest.raises(ConnectionResetError):
        Player(*reads).play(plan())


@pytest.mark.parametrize("reads", [[b""], [NO, b""], [b"HTTP/1.1 403 For", b""]])
def test_a_stream_that_ends_in_the_head_is_no_refusal(reads):
    with pytest.raises(errors.InvalidMessage) as caught:
        Player(*reads).play(plan())

    assert isinstance(caught.value.__cause__, EOFError)
    assert process_exception(caught.value) is None


def test_a_head_with_a_fault_is_no_refusal():
    with pytest.raises(errors.InvalidMessage, match="invalid header line"):
        Player(NO + b"x y\r\n\r\nnope").play(plan())


def test_a_101_has_no_body_to_wait_for():
    player = Player(OPEN.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"))

    assert player.play(plan()).response.body == b""


# --- redirects -------------------------------------------------------------------

MOVED = b"HTTP/1.1 302 Moved\r\nLocation: ws://other.example/\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"\r\nan endless page",
        b"Content-Length: 999999\r\n\r\n",
        b"Content-Length: 999999\r\n\r\na page",
        CHUNKED + b"fff\r\na page",
        CHUNKED + b"xyz\r\n",
        b"Content-Length: many\r\n\r\n",
        b"Content-Length: 1\r\n" + CHUNKED,
    ],
)
def test_a_redirect_is_followed_without_its_body(body):
    player = Player(MOVED + body, OPEN)

    player.play(plan())

    assert player.opened == [
        OpenTcp("example.com", 80, None, {}),
        Hangup(),
        OpenTcp("other.example", 80, None, {}),
    ]
    assert sum(isinstance(step, Read) for step in player.steps) == 2
    assert not any(isinstance(step, LimitReads) for step in player.steps)


def test_a_redirect_that_leads_nowhere_is_a_refusal_with_its_body():
    answer = b"HTTP/1.1 302 Moved\r\nContent-Length: 9\r\n\r\nno"

    with pytest.raises(errors.InvalidStatus) as caught:
        Player(answer, b"pe", SILENCE).play(plan())

    assert caught.value.response.body == b"nope"


def test_a_redirect_that_may_not_be_followed_is_a_refusal_with_its_body(monkeypatch):
    monkeypatch.setenv("LONGWIRE_MAX_REDIRECTS", "0")

    with pytest.raises(errors.InvalidStatus) as caught:
        Player(MOVED + b"Content-Length: 9\r\n\r\nno", b"pe", SILENCE).play(plan())

    assert caught.value.response.body == b"nope"


def test_a_refusal_through_a_tunnel_is_the_servers():
    answers = [TUNNEL, NO + b"Content-Length: 9\r\n\r\nno", RESET]

    with pytest.raises(errors.InvalidStatus) as caught:
        Player(*answers).play(plan(proxy="http://proxy:1"))

    assert caught.value.response.body == b"no"


def test_each_of_ten_redirects_may_have_an_endless_body():
    answers = [
        redirect(f"/{n}").replace(b"Content-Length: 0", b"Content-Length: 99")
        for n in range(10)
    ]

    assert Player(*answers, OPEN).play(plan()).request.path == "/9"
