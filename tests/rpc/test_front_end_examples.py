"""The programs of docs/rpc/front_ends.md, run as they stand there."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from tests.support.ports import free_port
from tests.support.rawpeer import SECONDS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "rpc"

pytestmark = pytest.mark.once


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run thread_server.py; give its URI."""
    port = free_port()
    command = [sys.executable, str(EXAMPLES / "thread_server.py")]
    process = subprocess.Popen(command, env={**os.environ, "PORT": str(port)})
    try:
        wait_for(port)
        yield f"ws://localhost:{port}/"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    """Wait until a server listens."""
    ends_at = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("localhost", port)).close()
            return
        except OSError:
            assert time.monotonic() < ends_at
            time.sleep(0.05)


def output_of(name: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_script_calls_is_called_and_gives_up():
    with serving() as uri:
        printed = output_of("script.py", URI=uri).splitlines()

    assert printed == [
        *("3", "Sure? Yes.", "0", "1", "2"),
        "no answer from sleep within 0.1 seconds",
    ]


def test_the_views_share_a_client(monkeypatch):
    needs("flask")
    with serving() as uri:
        monkeypatch.setenv("URI", uri)
        monkeypatch.syspath_prepend(str(EXAMPLES))
        import flask_views

        answers: queue.Queue[tuple[int, str]] = queue.Queue()

        def ask(number: int) -> None:
            answer = flask_views.app.test_client().get(f"/add?a={number}&b=1")
            answers.put((answer.status_code, answer.text))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        found = {answers.get(timeout=SECONDS) for _ in threads}
        assert found == {(200, str(n + 1)) for n in range(4)}
        flask_views.service().close()
        answer = flask_views.app.test_client().get("/add")
        assert answer.status_code == 503


def test_the_views_of_django_share_a_client():
    needs("django")
    port = free_port()
    site = f"http://localhost:{port}"
    command = [sys.executable, str(EXAMPLES / "django_views.py"), "runserver"]
    with serving() as uri:
        process = subprocess.Popen(
            [*command, "--noreload", f"localhost:{port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "URI": uri},
        )
        try:
            wait_for(port)
            answers: queue.Queue[tuple[int, str]] = queue.Queue()

            def ask(number: int) -> None:
                answers.put(get(f"{site}/add?a={number}&b=1"))

            threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            found = {answers.get(timeout=SECONDS) for _ in threads}
            assert found == {(200, str(n + 1)) for n in range(4)}
            assert get(f"{site}/count?to=3") == (200, "0\n1\n2\n")
            assert get(f"{site}/add?a=x")[0] == 400
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


def test_the_views_of_django_say_that_the_service_is_away(tmp_path):
    needs("django")
    program = tmp_path / "ask.py"
    program.write_text(
        "from django.test import Client\n"
        "from django_views import application, service\n"
        "service().close()\n"
        "print(Client(SERVER_NAME='localhost').get('/add').status_code)\n"
    )
    assert output_of(str(program), PYTHONPATH=str(EXAMPLES)) == "503\n"


def get(url: str) -> tuple[int, str]:
    """Return status and body, without a proxy of the environment."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_pair_on_trio_talks_and_cancels():
    needs("trio")

    assert output_of("trio_pair.py") == "done\ncancelled\n"
