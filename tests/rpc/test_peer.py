"""A peer on a connection whose other end the test plays: limits, endings, strangers."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import time
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from tests.rpc.links import LOST, Line


def call(id: Any, method: str, *params: Any, **more: Any) -> dict[str, Any]:
    """A call as the peer sends it."""
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params, **more}


async def forever() -> None:
    await asyncio.Event().wait()


def error_of(frame: dict[str, Any]) -> tuple[Any, int]:
    return frame["id"], frame["error"]["code"]


# --- limits ----------------------------------------------------------------------


async def test_calls_over_the_limit_wait_and_more_are_refused():
    line, running = Line(), []

    async def work(number: int) -> int:
        running.append(number)
        await gate.wait()
        return number

    gate = asyncio.Event()
    limits = rpc.RpcLimits(calls=2, queued=1)
    async with rpc.Peer(line, {"work": work}, limits=limits):
        for number in range(1, 5):
            line.put(call(number, "work", number))

        assert error_of(await line.sent()) == (4, rpc.TooBusy.code)
        assert await line.settled() == []
        assert running == [1, 2]
        gate.set()
        results = [(await line.sent())["result"] for _ in range(3)]

    assert sorted(results) == [1, 2, 3]
    assert running == [1, 2, 3]


async def test_a_call_that_waits_for_its_turn_can_be_cancelled():
    line = Line()
    limits = rpc.RpcLimits(calls=1, queued=1)
    async with rpc.Peer(line, {"forever": forever}, limits=limits):
        line.put(call(1, "forever"))
        line.put(call(2, "forever"))
        line.put({"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": 2}})

        assert error_of(await line.sent()) == (2, rpc.Cancelled.code)
        line.put(call(3, "forever"))  # there is room for another to wait
        assert await line.settled() == []


async def test_streams_over_the_limit_are_refused():
    async def ticks():
        while True:
            await forever()
            yield

    line = Line()
    async with rpc.Peer(line, {"ticks": ticks}, limits=rpc.RpcLimits(streams=1)):
        line.put(call(1, "ticks", stream=1))
        line.put(call(2, "ticks", stream=1))

        assert error_of(await line.sent()) == (2, rpc.TooBusy.code)


async def test_the_calls_of_all_connections_are_counted_together():
    server = rpc.Server({"forever": forever}, limits=rpc.RpcLimits(calls_in_all=1))
    lines = [Line(), Line()]
    first, second = [server.make_peer(line) for line in lines]
    async with first:
        async with second:
            lines[0].put(call(1, "forever"))
            assert await lines[0].settled() == []
            lines[1].put(call(1, "forever"))

            assert error_of(await lines[1].sent()) == (1, rpc.TooBusy.code)
    async with server.make_peer(lines[0]):
        lines[0].put(call(2, "forever"))  # the first has ended with its connection
        assert await lines[0].settled() == []


async def test_our_own_calls_are_limited_too():
    line = Line()
    async with rpc.Peer(line, limits=rpc.RpcLimits(pending=1)) as peer:
        waiting = asyncio.create_task(peer.call("x"))
        await line.sent()

        with pytest.raises(rpc.TooBusy, match="1 calls wait for answers already"):
            await peer.call("x")
        waiting.cancel()


async def test_a_call_that_takes_too_long_is_stopped_and_answered():
    ended = []

    async def slow() -> None:
        try:
            await forever()
        finally:
            ended.append(True)

    line = Line()
    async with rpc.Peer(line, {"slow": slow}, limits=rpc.RpcLimits(deadline=0.05)):
        line.put(call(1, "slow"))

        assert error_of(await line.sent()) == (1, rpc.DeadlineExceeded.code)
        assert await line.settled() == []
    assert ended == [True]


async def test_a_route_may_have_a_deadline_of_its_own():
    routes = rpc.Routes()
    routes.add("short", forever, deadline=0.05)
    routes.add("long", forever, deadline=None)
    line = Line()
    async with rpc.Peer(line, routes, limits=rpc.RpcLimits(deadline=0.01)):
        line.put(call(1, "long"))
        line.put(call(2, "short"))

        assert error_of(await line.sent()) == (2, rpc.DeadlineExceeded.code)
        assert await line.settled() == []


async def test_a_result_larger_than_we_send_is_an_error_that_says_so():
    line = Line()
    routes = {"big": lambda: "x" * 2000}
    async with rpc.Peer(line, routes, limits=rpc.RpcLimits(message=1000)):
        line.put(call(1, "big"))
        answer = await line.sent()

    assert answer["error"]["code"] == rpc.InternalError.code
    assert "exceeds the limit of 1000 bytes" in answer["error"]["message"]


async def test_a_call_larger_than_we_send_is_refused_here():
    line = Line()
    async with rpc.Peer(line, limits=rpc.RpcLimits(message=1000)) as peer:
        with pytest.raises(ValueError, match="at most 1000 are allowed"):
            await peer.call("x", "y" * 1000)
        assert not peer.table.ours


async def test_a_batch_over_the_limit_is_refused_whole():
    line = Line()
    async with rpc.Peer(line, {"x": lambda: 1}, limits=rpc.RpcLimits(batch=2)):
        line.put([call(n, "x") for n in range(3)])

        assert error_of(await line.sent()) == (None, rpc.InvalidRequest.code)


async def test_a_batch_waits_for_the_slowest_of_its_calls():
    async def later() -> str:
        await asyncio.sleep(0.02)
        return "later"

    line = Line()
    async with rpc.Peer(line, {"later": later, "now": lambda: "now"}):
        line.put([call(1, "later"), call(2, "now"), call(3, "none")])
        answers = await line.sent()

    assert [answer["id"] for answer in answers] == [2, 3, 1]


async def test_a_batch_is_answered_when_its_last_call_is_cancelled():
    line = Line()
    async with rpc.Peer(line, {"forever": forever, "now": lambda: "now"}):
        line.put([call(1, "forever"), call(2, "now")])
        assert await line.settled() == []
        line.put({"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": 1}})
        now, cancelled = await line.sent()

    assert now["result"] == "now"
    assert error_of(cancelled) == (1, rpc.Cancelled.code)


async def test_a_slow_reader_holds_up_its_own_calls_and_nothing_piles_up():
    done = 0

    async def work() -> int:
        nonlocal done
        done += 1
        return done

    line = Line()
    line.open_gate.clear()  # nothing we send is taken
    limits = rpc.RpcLimits(calls=4, queued=2)
    async with rpc.Peer(line, {"work": work}, limits=limits):
        for number in range(20):
            line.put(call(number, "work"))
        await asyncio.sleep(0.05)

        assert done <= 6


# --- strangers -------------------------------------------------------------------

NONSENSE: list[Any] = [
    "",
    "null",
    "[[[]]]",
    "\x00",
    "{" * 1000,
    "[" * 100_000,
    '{"jsonrpc":"2.0","id":1,"method":"x","params":' + "[" * 100_000,
    '{"jsonrpc":"2.0","id":{"a":1},"method":"x"}',
    '{"jsonrpc":"2.0","id":1.5,"method":"x"}',
    '{"jsonrpc":"2.0","id":true,"method":"x"}',
    '{"jsonrpc":2,"id":1,"method":"x"}',
    '{"jsonrpc":"2.0","id":1,"method":null}',
    '{"jsonrpc":"2.0","id":1,"method":"","params":[]}',
    '{"jsonrpc":"2.0","id":1,"method":"x","stream":true}',
    '{"jsonrpc":"2.0","method":"x","stream":1}',
    '{"jsonrpc":"2.0","id":1,"error":null}',
    '{"jsonrpc":"2.0","id":1e400,"method":"x"}',
    "9" * 5000,
]


@pytest.mark.parametrize("wire", ["longwire.jsonrpc", "wsrpc", "wsrpc.1"])
@pytest.mark.parametrize("text", NONSENSE, ids=range(len(NONSENSE)))
async def test_nonsense_is_answered_or_ignored_and_the_next_call_works(wire, text):
    line = Line(wire)
    async with rpc.Peer(line, {"echo": lambda value: value}):
        line.put(text)
        answers = await line.settled()
        if wire == "wsrpc.1":
            line.put({"serial": 3, "call": "echo", "arguments": [5]})
            assert (await line.sent())["data"] == 5
        else:
            line.put(call(3, "echo", 5))
            assert (await line.sent())["result"] == 5

    assert len(answers) <= 1
    assert line.closed_with is None


NOT_MESSAGES: list[Any] = [
    {"id": 1},
    {"jsonrpc": "2.0", "id": 1, "result": 1, "error": {"code": "x", "message": 5}},
    {"jsonrpc": "2.0", "id": 1, "error": 17},
    {"jsonrpc": "2.0", "id": 1, "error": {}},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": 2, "data": {"type": 5, "id": []}}},
]


@pytest.mark.parametrize("frame", NOT_MESSAGES)
async def test_a_malformed_answer_ends_its_call_or_is_refused(frame):
    line = Line()
    async with rpc.Peer(line) as peer:
        task = asyncio.create_task(peer.call("x"))
        await line.sent()
        line.put(frame)
        await line.settled()

        if "error" in frame:
            with pytest.raises(rpc.RemoteError):
                await task
        else:
            assert not task.done()
            task.cancel()


@pytest.mark.parametrize(
    "frame",
    [{"jsonrpc": "2.0", "id": 99, "result": 1}, "{", {"jsonrpc": "2.0"}],
    ids=["answers to nobody", "what is not JSON", "what is nothing"],
)
async def test_a_flood_of_nonsense_closes_with_1008(frame):
    line = Line()
    async with rpc.Peer(line, limits=rpc.RpcLimits(strange=10)):
        for _ in range(10):
            line.put(frame)
        await line.settled_or_closed()

    assert line.closed_with == 1008


async def test_a_binary_frame_on_a_wire_of_text_closes_with_1003():
    line = Line()
    async with rpc.Peer(line):
        line.put(b"{}")
        await line.settled_or_closed()

    assert line.closed_with == 1003


async def test_a_result_of_another_type_than_asked_for_is_an_error_here():
    line = Line()
    async with rpc.Peer(line) as peer:
        task = asyncio.create_task(peer.call("x", returns=int))
        await line.sent()
        line.put({"jsonrpc": "2.0", "id": 1, "result": "five"})

        with pytest.raises(rpc.InvalidResult, match="x: expected int, got str"):
            await task


# --- endings ---------------------------------------------------------------------


async def test_a_lost_connection_fails_every_call_at_once_with_its_report():
    line = Line()
    async with rpc.Peer(line) as peer:
        calls = [asyncio.create_task(peer.call("x")) for _ in range(1000)]
        await asyncio.sleep(0)
        line.lose()
        ended = await asyncio.gather(*calls, return_exceptions=True)

        assert all(type(exc) is rpc.Disconnected for exc in ended)
        assert all(exc.report is LOST for exc in ended)
        assert len({id(exc) for exc in ended}) == 1000
        with pytest.raises(rpc.Disconnected):
            await peer.call("x")
        with pytest.raises(rpc.Disconnected):
            await peer.notify("x")
        with pytest.raises(rpc.Disconnected):
            peer.stream("x")


async def test_a_lost_connection_stops_what_the_peer_called():
    ended = []

    async def work() -> None:
        try:
            await forever()
        finally:
            ended.append("call")

    async def items():
        try:
            yield 1
            await forever()
        finally:
            ended.append("stream")

    line = Line()
    async with rpc.Peer(line, {"work": work, "items": items}) as peer:
        line.put(call(1, "work"))
        line.put(call(2, "items", stream=5))
        await line.settled()
        line.lose()
        await peer._running

    assert sorted(ended) == ["call", "stream"]


async def test_a_timeout_raises_and_cancels_the_remote_call():
    line = Line()
    async with rpc.Peer(line) as peer:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no answer from x within 0\.05 s") as e:
            await peer.call("x", timeout=0.05)

        assert time.monotonic() - begun < 2
        assert isinstance(e.value, rpc.CallTimeout)
        await line.sent()
        assert (await line.sent())["method"] == "$/cancel"


async def test_without_a_timeout_the_limit_is_that_of_all_calls():
    line = Line()
    async with rpc.Peer(line, limits=rpc.RpcLimits(timeout=0.05)) as peer:
        with pytest.raises(rpc.CallTimeout):
            await peer.call("x")


async def test_a_peer_that_is_left_ends_its_calls_and_keeps_the_connection():
    line = Line()
    peer = rpc.Peer(line)
    async with peer:
        task = asyncio.create_task(peer.call("x"))
        await line.sent()

    with pytest.raises(rpc.Disconnected, match="not connected"):
        await task
    assert line.closed_with is None


async def test_routes_that_do_not_end_are_left_behind_with_a_warning(
    caplog, monkeypatch
):
    monkeypatch.setattr("longwire.rpc.peer.LEAVING", 0.05)
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                pass

    line = Line()
    async with rpc.Peer(line, {"stubborn": stubborn}) as peer:
        line.put(call(1, "stubborn"))
        await line.settled()
        line.lose()
        await peer._running
    released.set()
    await asyncio.sleep(0)

    assert "1 calls still run 0.05 seconds" in caplog.text


async def test_a_stream_that_nobody_holds_is_cancelled():
    line = Line()
    async with rpc.Peer(line) as peer:
        peer.stream("ticks")
        await line.sent()
        gc.collect()

        assert (await line.sent())["method"] == "$/cancel"


async def test_a_stream_is_read_by_one_task_at_a_time():
    line = Line()
    async with rpc.Peer(line) as peer:
        async with peer.stream("ticks") as stream:
            first = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task"):
                await stream.__anext__()
            first.cancel()


async def test_a_cancelled_read_of_a_stream_loses_nothing():
    line = Line()
    async with rpc.Peer(line) as peer:
        async with peer.stream("ticks") as stream:
            first = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            item = {"id": 1, "value": 5}
            line.put({"jsonrpc": "2.0", "method": "$/item", "params": item})

            assert await stream.__anext__() == 5


async def test_an_item_is_had_though_the_grant_cannot_be_sent_yet():
    line = Line()
    async with rpc.Peer(line) as peer:
        async with peer.stream("ticks", window=2) as stream:
            asked = await line.sent()
            line.open_gate.clear()  # the peer reads nothing
            for value in (5, 6):
                item = {"id": asked["id"], "value": value}
                line.put({"jsonrpc": "2.0", "method": "$/item", "params": item})
            async with asyncio.timeout(5):
                assert [await anext(stream) for _ in range(2)] == [5, 6]
            line.open_gate.set()
            grants = [await line.sent() for _ in range(2)]

    assert [frame["method"] for frame in grants] == ["$/more", "$/more"]
    assert sum(frame["params"]["count"] for frame in grants) == 2


async def test_frames_keep_their_order_while_the_peer_is_slow():
    line = Line()
    async with rpc.Peer(line, {"echo": lambda value: value}) as peer:
        line.open_gate.clear()
        notes = []
        for number in range(5):
            line.put(call(number, "echo", number))
            await asyncio.sleep(0.001)
            notes.append(asyncio.create_task(peer.notify("note", number)))
            await asyncio.sleep(0.001)
        given_up = notes.pop()
        given_up.cancel()
        await asyncio.sleep(0.001)
        line.open_gate.set()
        frames = [await line.sent() for _ in range(9)]
        await asyncio.gather(*notes)
        assert await line.settled() == []

    found = [frame.get("result", frame.get("params", [0])) for frame in frames]
    assert found == [0, [0], 1, [1], 2, [2], 3, [3], 4]


async def test_a_call_given_up_before_it_was_sent_is_not_sent():
    line = Line()
    async with rpc.Peer(line, {"echo": lambda value: value}) as peer:
        line.open_gate.clear()
        line.put(call(1, "echo", 1))
        await asyncio.sleep(0.001)
        task = asyncio.create_task(peer.call("x"))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0.001)
        line.open_gate.set()
        frames = [await line.sent(), await line.sent()]

    assert frames[0]["result"] == 1
    assert frames[1]["method"] == "$/cancel"


async def test_what_waits_to_be_sent_ends_with_the_connection():
    line = Line()
    async with rpc.Peer(line, {"echo": lambda value: value}) as peer:
        line.open_gate.clear()
        line.put(call(1, "echo", 1))
        await asyncio.sleep(0.001)
        note = asyncio.create_task(peer.notify("note"))
        asked = asyncio.create_task(peer.call("x"))
        await asyncio.sleep(0.001)
        line.lose()
        line.open_gate.set()
        ended = await asyncio.gather(note, asked, return_exceptions=True)

    assert [type(exc) for exc in ended] == [rpc.Disconnected] * 2


async def test_a_notification_runs_without_a_task_of_its_own():
    tasks = []
    line = Line()
    async with rpc.Peer(line, {"note": lambda: tasks.append(asyncio.current_task())}):
        for _ in range(3):
            line.put({"jsonrpc": "2.0", "method": "note"})
        await line.settled()

    assert len(tasks) == 3
    assert len({id(task) for task in tasks}) == 1


# --- what is shown, what is logged -----------------------------------------------


async def test_an_undeclared_error_is_in_the_log_by_the_id_that_the_peer_gets(caplog):
    def crash(secret: str) -> None:
        raise RuntimeError("it broke")

    line = Line()
    async with rpc.Peer(line, {"crash": crash}):
        line.put(call(1, "crash", "hunter2"))
        error = (await line.sent())["error"]

    record = next(r for r in caplog.records if r.name == "longwire.rpc")
    assert error["message"] == "internal error"
    assert error["data"] == {"type": "InternalError", "id": record.id}
    assert "it broke" in caplog.text
    assert "it broke" not in json.dumps(error)


async def test_arguments_and_results_are_in_no_log(caplog):
    caplog.set_level(logging.DEBUG)

    async def fails(secret: str) -> None:
        raise RuntimeError("no")

    line = Line()
    routes = {"echo": lambda secret: secret, "fails": fails}
    async with rpc.Peer(line, routes) as peer:
        line.put(call(1, "echo", "hunter2"))
        line.put(call(2, "fails", "hunter2"))
        line.put(call(3, "none", "hunter2"))
        line.put(call(4, "fails", "hunter2", "hunter2"))
        await line.settled()
        task = asyncio.create_task(peer.call("x", "hunter2"))
        await line.sent()
        line.put({"jsonrpc": "2.0", "id": 1, "result": "hunter2"})
        assert await task == "hunter2"

    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr(caplog.records)


async def test_what_is_shown_of_errors_can_be_more_for_development():
    def crash() -> None:
        raise KeyError("it broke")

    line = Line()
    async with rpc.Peer(line, {"crash": crash}, show_errors=True, tracebacks=True):
        line.put(call(1, "crash"))
        error = (await line.sent())["error"]

    assert error["message"] == "'it broke'"
    assert error["data"]["type"] == "KeyError"
    assert "in crash" in error["data"]["traceback"]


async def test_a_remote_traceback_is_a_note_of_the_exception():
    line = Line()
    async with rpc.Peer(line) as peer:
        task = asyncio.create_task(peer.call("x"))
        await line.sent()
        data = {"type": "KeyError", "traceback": "Traceback: in crash"}
        error = {"code": -32000, "message": "no", "data": data}
        line.put({"jsonrpc": "2.0", "id": 1, "error": error})

        with pytest.raises(rpc.RemoteError) as raised:
            await task

    assert raised.value.type == "KeyError"
    assert str(raised.value) == "KeyError: no"
    assert "in crash" in raised.value.__notes__[0]


async def test_an_answer_of_one_peer_is_not_passed_on_to_another():
    """A route that calls elsewhere and fails there failed for a reason of its own."""
    other_line = Line()
    other = rpc.Peer(other_line)

    async def forward() -> None:
        await other.call("x")

    line = Line()
    async with other, rpc.Peer(line, {"forward": forward}):
        line.put(call(1, "forward"))
        await other_line.sent()
        error = {"code": -32000, "message": "secret", "data": {"type": "Private"}}
        other_line.put({"jsonrpc": "2.0", "id": 1, "error": error})

        assert error_of(await line.sent()) == (1, rpc.InternalError.code)


class Custom(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.data = {"left": 1}


class Awkward(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one, two)


async def test_registered_classes_cross_the_wire_as_themselves():
    def fails() -> None:
        raise Custom("no")

    line = Line()
    async with rpc.Peer(line, {"fails": fails}, errors=[Custom, Awkward]) as peer:
        line.put(call(1, "fails"))
        error = (await line.sent())["error"]
        caught = []
        for number, name in enumerate(["Custom", "Awkward", "Other"], 1):
            task = asyncio.create_task(peer.call("x"))
            await line.sent()
            arriving = {"code": -32000, "message": "no", "data": {"type": name}}
            line.put({"jsonrpc": "2.0", "id": number, "error": arriving})
            caught += await asyncio.gather(task, return_exceptions=True)

    assert error == {
        "code": -32000,
        "message": "no",
        "data": {"type": "Custom", "data": {"left": 1}},
    }
    # One that cannot be made from a message stays what it is: somebody else's.
    assert [type(exc) for exc in caught] == [
        Custom,
        rpc.ApplicationError,
        rpc.ApplicationError,
    ]
    assert isinstance(caught[0].__cause__, rpc.RemoteError)


async def test_data_of_an_error_that_cannot_be_written_is_left_out(caplog):
    def fails() -> None:
        raise rpc.ApplicationError("no", data=object())

    line = Line()
    async with rpc.Peer(line, {"fails": fails}):
        line.put(call(1, "fails"))
        error = (await line.sent())["error"]

    assert error["message"] == "no"
    assert "data" not in error["data"]


# --- threads ---------------------------------------------------------------------


async def test_a_route_in_a_thread_leaves_the_loop_free_and_knows_its_call():
    routes = rpc.Routes()
    release = threading.Event()

    @routes.route(threads=True)
    def blocking() -> list[Any]:
        release.wait(5)
        return [rpc.current().method, threading.current_thread().name]

    routes.add("release", release.set)
    line = Line()
    async with rpc.Peer(line, routes):
        line.put(call(1, "blocking"))
        line.put(call(2, "release"))
        answers = [await line.sent(), await line.sent()]

    assert answers[0]["id"] == 2
    assert answers[1]["result"][0] == "blocking"
    assert answers[1]["result"][1].startswith("longwire-rpc")


async def test_a_cancelled_thread_keeps_its_place_until_it_ends():
    routes = rpc.Routes()
    release = threading.Event()
    routes.add("blocking", lambda: release.wait(5), threads=True)
    routes.add("forever", forever)
    line = Line()
    limits = rpc.RpcLimits(calls=1, queued=0)
    async with rpc.Peer(line, routes, limits=limits) as peer:
        line.put(call(1, "blocking"))
        await line.settled()
        line.put({"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": 1}})
        assert error_of(await line.sent()) == (1, rpc.Cancelled.code)
        line.put(call(2, "forever"))
        assert error_of(await line.sent()) == (2, rpc.TooBusy.code)

        release.set()
        while peer.table.theirs:
            await asyncio.sleep(0.01)
        line.put(call(3, "forever"))
        assert await line.settled() == []


async def test_a_fault_of_the_connection_itself_is_not_kept_quiet():
    class Broken(Line):
        async def recv(self) -> str:
            raise RuntimeError("somebody else reads")

    with pytest.raises(RuntimeError, match="somebody else reads"):
        async with rpc.Peer(Broken()) as peer:
            with pytest.raises(rpc.Disconnected):
                await peer.call("x")
