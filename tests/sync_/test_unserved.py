"""Servers for threads that listened, and never served."""

from __future__ import annotations

import contextlib
import gc
import linecache
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from tests.support.commands import environment
from tests.support.needs import needs
from tests.sync_.serving import echo, running

import longwire.sync
from longwire.sync import serve, unix_serve
from longwire.websockets.sync import server as documented

TEXT = "has accepted no connection: serve_forever() was never called"


def warned_of(use, *args):
    """Return the warnings of a call of ``use``, when all that it made has gone."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use(*args)
        gc.collect()
    return [w for w in caught if w.category is RuntimeWarning]


def listen(**options):
    return serve(echo, "127.0.0.1", 0, **options)


# --- forgotten --------------------------------------------------------------------


def leave_a_block():
    with serve(echo, "127.0.0.1", 0):
        pass


def leave_a_block_for_rpc():
    needs("msgspec")
    from longwire.rpc import sync

    server = sync.Server({"abs": abs})
    with server.serve("127.0.0.1", 0):
        pass


def leave_a_block_for_routes():
    needs("werkzeug")
    from werkzeug.routing import Map

    with longwire.sync.route(Map([]), "127.0.0.1", 0):
        pass


def drop():
    serve(echo, "127.0.0.1", 0).socket.close()


@pytest.mark.parametrize(
    "use", [leave_a_block, leave_a_block_for_rpc, leave_a_block_for_routes, drop]
)
def test_a_server_that_never_served_is_warned_of_where_it_was_made(use):
    (warning,) = warned_of(use)

    text = str(warning.message)
    assert text.startswith("the server on 127.0.0.1:")
    assert TEXT in text
    assert warning.filename == __file__
    assert "127.0.0.1" in linecache.getline(__file__, warning.lineno)


def test_one_on_a_unix_socket_is_named_by_its_path(tmp_path):
    def leave():
        with unix_serve(echo, tmp_path / "socket"):
            pass

    (warning,) = warned_of(leave)
    assert str(tmp_path / "socket") in str(warning.message)


# --- not forgotten ----------------------------------------------------------------


def serve_in_a_thread():
    with running(listen()):
        pass  # the thread may not have come to serve_forever() yet


def shut_down_before():
    listen().shutdown()


def shut_down_in_its_block():
    with listen() as server:
        server.shutdown()


def drain_before():
    listen().drain()


def stop_before_serving():
    server = listen()
    server.shutdown()
    server.serve_forever()


def leave_by_an_exception():
    with contextlib.suppress(KeyboardInterrupt), listen():
        raise KeyboardInterrupt


def be_refused():
    with pytest.raises(TypeError):
        listen(nonsense=1)


def leave_a_documented_one():
    with documented.serve(echo, "127.0.0.1", 0):
        pass


def drop_a_documented_one():
    documented.serve(echo, "127.0.0.1", 0).socket.close()


def block_until_shut_down():
    with listen() as server:
        timer = threading.Timer(0.05, server.shutdown)
        timer.start()
        server.serve_forever()
        timer.join()


@pytest.mark.parametrize(
    "use",
    [
        serve_in_a_thread,
        shut_down_before,
        shut_down_in_its_block,
        drain_before,
        stop_before_serving,
        leave_by_an_exception,
        be_refused,
        leave_a_documented_one,
        drop_a_documented_one,
        block_until_shut_down,
    ],
)
def test_one_that_served_or_was_closed_on_purpose_is_not(use):
    assert warned_of(use) == []


def test_a_thread_that_comes_late_to_serve_forever_is_waited_for():
    go_on = threading.Event()

    def serve_late(server):
        go_on.wait(20)
        server.serve_forever()

    def leave():
        with listen() as server:
            thread = threading.Thread(target=serve_late, args=(server,))
            thread.start()
        del server
        gc.collect()
        go_on.set()
        thread.join(20)

    assert warned_of(leave) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_server_that_a_child_process_may_serve_is_not_warned_of():
    program = """
import os, sys, longwire.sync
server = longwire.sync.serve(print, "127.0.0.1", 0)
child = os.fork()
if child:
    os.waitpid(child, 0)
"""
    assert run(program) == ""


# --- at the end of the program ----------------------------------------------------


def run(program: str) -> str:
    """Return what a program says on its error output."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "lines",
    [
        "with serve(print, 'localhost', 0) as server:\n    pass\n",
        "server = serve(print, 'localhost', 0)\n",
    ],
    ids=["with", "plain"],
)
def test_a_program_that_ends_without_serving_is_told(lines: str, tmp_path: Path):
    program = f"from longwire.sync import serve\n{lines}"

    told = run(program)

    assert told.count("RuntimeWarning") == 1
    assert TEXT in told
    assert told.startswith("<string>:2: ")


def test_a_program_that_served_ends_without_a_word():
    program = """
import threading
from longwire.sync import serve
server = serve(print, "localhost", 0)
thread = threading.Thread(target=server.serve_forever)
thread.start()
server.shutdown()
thread.join()
"""
    assert run(program) == ""
