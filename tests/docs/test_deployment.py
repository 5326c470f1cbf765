"""The files of docs/howto/deployment.md: each is read by the program it is for."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import longwire
from tests.docs.programs import ROOT, program, until_listening
from tests.support.commands import environment
from tests.support.needs import needs
from tests.support.ports import free_port

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]

DEPLOY = ROOT / "docs" / "howto" / "deploy"
SERVER = DEPLOY / "server.py"


# --- the program -----------------------------------------------------------------


async def health(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n")[0]


async def test_the_server_serves_is_healthy_and_drains() -> None:
    port = free_port()
    with program(SERVER, PORT=str(port), HOST="127.0.0.1") as running:
        await until_listening(port, running)
        assert await health(port) == b"HTTP/1.1 200 OK"
        async with longwire.connect(f"ws://127.0.0.1:{port}/") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
            running.process.send_signal(signal.SIGTERM)
            with pytest.raises(longwire.ConnectionClosedOK):
                await websocket.recv()
        assert websocket.close_code == 1001
        assert await asyncio.to_thread(running.wait) == 0


async def test_the_server_takes_the_socket_that_systemd_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        number = listening.fileno()

        def pass_on() -> None:  # as systemd does: descriptor 3, and the child's own id
            os.dup2(number, 3)
            os.set_inheritable(3, True)

        code = (
            "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); "
            f"os.execv(sys.executable, [sys.executable, {str(SERVER)!r}])"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code),
            env=environment(),
            preexec_fn=pass_on,
            pass_fds=(3, number),
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with longwire.connect(f"ws://127.0.0.1:{port}/") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


# --- systemd ---------------------------------------------------------------------


def test_systemd_understands_its_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not here")
    for name in ("longwire.service", "longwire.socket"):
        text = (DEPLOY / name).read_text()
        # The program of the page is not here; whatever can be run stands for it.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M)
        text = re.sub(r"^User=.*", "User=root", text, flags=re.M)
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
    )
    said = [line for line in done.stderr.splitlines() if "longwire." in line]
    assert (done.returncode, said) == (0, [])


def seconds(name: str, pattern: str) -> int:
    found = re.search(pattern, (DEPLOY / name).read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_who_kills_waits_longer_than_the_drain() -> None:
    drain = seconds("server.py", r"drain\(timeout=(\d+)")
    closing = 10  # close_timeout, for what begins to close when the drain is over
    assert seconds("longwire.service", r"^TimeoutStopSec=(\d+)") >= drain + closing
    grace = seconds("kubernetes.yaml", r"terminationGracePeriodSeconds: (\d+)")
    assert grace >= drain + closing


# --- HAProxy ---------------------------------------------------------------------


def test_haproxy_understands_its_configuration() -> None:
    done = subprocess.run(
        [needs("haproxy"), "-c", "-f", str(DEPLOY / "haproxy.cfg")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr


@pytest.mark.long
async def test_haproxy_passes_connections_on_as_described(tmp_path: Path) -> None:
    command = needs("haproxy")
    port = free_port()
    text = (DEPLOY / "haproxy.cfg").read_text()
    seen: list[Any] = []

    async def note(websocket: longwire.ServerConnection) -> None:
        seen.append(websocket.request)
        async for message in websocket:
            await websocket.send(message)

    async with longwire.serve(note, "127.0.0.1", 0, health="/healthz") as server:
        behind = server.sockets[0].getsockname()[1]
        for written, here in (
            ("maxconn 20000", "maxconn 100"),
            ("bind :8080", f"bind 127.0.0.1:{port}"),
            ("127.0.0.1:8765", f"127.0.0.1:{behind}"),
            ("127.0.0.1:8766", f"127.0.0.1:{behind}"),
        ):
            assert text.count(written) == 1
            text = text.replace(written, here)
        (tmp_path / "haproxy.cfg").write_text(text)
        process = subprocess.Popen(
            [command, "-db", "-f", str(tmp_path / "haproxy.cfg")]
        )
        try:
            async for websocket in longwire.connect(
                f"ws://127.0.0.1:{port}/room",
                reconnect_delays=lambda: iter([0.05] * 200),
            ):
                await websocket.send("x" * 100_000)
                assert await websocket.recv() == "x" * 100_000
                break
            await websocket.close()
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)
    assert seen[0].headers["X-Forwarded-For"] == "127.0.0.1"


# --- Docker ----------------------------------------------------------------------

INSTRUCTIONS = {
    *("FROM", "RUN", "CMD", "COPY", "WORKDIR", "USER", "EXPOSE", "STOPSIGNAL"),
    *("HEALTHCHECK", "ENV", "ARG", "ENTRYPOINT", "LABEL"),
}


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_dockerfile_keeps_to_what_linters_ask_for() -> None:
    found = instructions()
    words = [word for word, _ in found]
    assert set(words) <= INSTRUCTIONS
    assert words[0] == "FROM"
    for word, rest in found:
        if word == "FROM":
            assert re.search(r":\d", rest), "an image without a version"
        if word == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists" in rest
        if word == "RUN" and "pip install" in rest:
            assert "--no-cache-dir" in rest
        if word == "WORKDIR":
            assert rest.startswith("/")
        if word in ("CMD", "ENTRYPOINT"):
            assert rest.startswith("["), "a shell would keep SIGTERM from the server"
    last = words[len(words) - words[::-1].index("FROM") :]
    assert "USER" in last
    assert last[-1] == "CMD"
    assert ("STOPSIGNAL", "SIGTERM") in found


def test_hadolint_has_nothing_to_say() -> None:
    command = shutil.which("hadolint")
    if command is None:
        pytest.skip("hadolint is not here")
    done = subprocess.run(
        [command, "--ignore", "DL3008", str(DEPLOY / "Dockerfile")],
        capture_output=True,
        text=True,
    )
    assert done.stdout == ""


# --- Kubernetes ------------------------------------------------------------------


def documents() -> list[Any]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def test_the_manifests_have_the_fields_that_kubernetes_asks_for() -> None:
    deployment, service = documents()
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    spec = deployment["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    (container,) = spec["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    assert set(container) <= {
        *("name", "image", "ports", "readinessProbe", "livenessProbe", "resources"),
        "securityContext",
    }


def test_a_pod_that_drains_is_not_ready_and_not_killed() -> None:
    (container,) = documents()[0]["spec"]["template"]["spec"]["containers"]
    ready, alive = container["readinessProbe"], container["livenessProbe"]
    assert ready["httpGet"] == {"path": "/healthz", "port": "ws"}
    assert "httpGet" not in alive
    assert alive["tcpSocket"] == {"port": "ws"}
