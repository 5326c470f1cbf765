"""The two roles of a run: our server or our client against the suite.

Knows the programs and how they are put together; nothing of what is expected.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from pathlib import Path

import cases
import environment
import verdicts
from processes import ChildFailed, child, first_line, free_port, listening, tail

__all__ = ["AGENT", "HERE", "Run", "run_role", "say"]

HERE = Path(__file__).resolve().parent
AGENT = "longwire"
ATTEMPTS = 3

# Runs the suite over the cases of one share, in the folder of the share.
Fuzz = Callable[[Path, list[str]], Awaitable[None]]


def say(text: str) -> None:
    """Print at once, so that a log shows how far a run is."""
    print(text, flush=True)


@dataclasses.dataclass
class Run:
    """One role of one build over one list of cases, its reports and its problems."""

    role: str
    build: str
    front_end: str
    wanted: list[str]
    jobs: int
    python27: Path
    reports: Path
    entries: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        front_end = "" if self.front_end == "asyncio" else f" {self.front_end}"
        return f"{self.role}{front_end} {self.build}"

    def environ(self) -> dict[str, str]:
        """Return the environment of our own programs: it chooses the build."""
        ours = {k: v for k, v in os.environ.items() if k != "LONGWIRE_PURE"}
        return ours | {"LONGWIRE_PURE": "1"} if self.build == "pure" else ours

    def check_build(self, build: str) -> None:
        """Raise ChildFailed unless the program runs the build we want to test."""
        if build != self.build:
            raise ChildFailed(
                f"the echo {self.role} runs the {build} build, not the {self.build} one"
            )

    def wstest(
        self, mode: str, share: Path, wanted: list[str], peer: dict[str, object]
    ) -> list[str]:
        """Return the command that runs the suite over the wanted cases of a share."""
        config = share / "config.json"
        specification = {
            "outdir": str(share),
            "cases": wanted,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        config.write_text(json.dumps(specification | peer, indent=2))
        script = HERE / "wstest_on_loopback.py"
        options = ["-m", mode, "-s", str(config), "--webport", "0"]
        return [str(self.python27), str(script), *options]


async def run_server(run: Run) -> None:
    """Test our server: one echo server, a fuzzing client for each share."""
    log = run.reports / "echo-server.log"
    command = [sys.executable, str(HERE / "echo_server.py"), run.front_end]
    async with child(command, log, run.environ(), answers=True) as server:
        build, port = await first_line(server, log)
        run.check_build(build)

        async def fuzz(share: Path, wanted: list[str]) -> None:
            ours = {"agent": AGENT, "url": f"ws://127.0.0.1:{port}"}
            command = run.wstest("fuzzingclient", share, wanted, {"servers": [ours]})
            log = share / "wstest.log"
            async with child(command, log, environment.clean_environ()) as suite:
                if await suite.wait():
                    raise ChildFailed(f"wstest failed\n{tail(log)}")

        shares = asyncio.create_task(run_shares(run, fuzz))
        await while_alive(shares, server, log)
    if server.returncode:
        raise ChildFailed(f"echo server: status {server.returncode}\n{tail(log)}")


async def while_alive(shares: asyncio.Task[None], server: Process, log: Path) -> None:
    """Wait for the shares. Raises ChildFailed as soon as the server has ended."""
    ended = asyncio.create_task(server.wait())
    try:
        await asyncio.wait({shares, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise ChildFailed(f"the echo server ended too early\n{tail(log)}")
        shares.result()
    finally:
        for future in (shares, ended):
            future.cancel()
        await asyncio.gather(shares, ended, return_exceptions=True)


async def run_client(run: Run) -> None:
    """Test our client: a fuzzing server and an echo client for each share."""

    async def fuzz(share: Path, wanted: list[str]) -> None:
        for _ in range(ATTEMPTS):
            port = free_port()
            url = f"ws://127.0.0.1:{port}"
            command = run.wstest("fuzzingserver", share, wanted, {"url": url})
            log = share / "wstest.log"
            async with child(command, log, environment.clean_environ()) as suite:
                # Somebody else may have taken the port in between: try another.
                if await listening(suite, port):
                    return await echo(share, port, len(wanted))
        raise ChildFailed(f"wstest did not listen\n{tail(log)}")

    async def echo(share: Path, port: int, count: int) -> None:
        log = share / "echo-client.log"
        uri = f"ws://127.0.0.1:{port}"
        program = str(HERE / "echo_client.py")
        command = [sys.executable, program, uri, AGENT, run.front_end]
        async with child(command, log, run.environ(), answers=True) as client:
            build, found = await first_line(client, log)
            run.check_build(build)
            if found != count:
                raise ChildFailed(f"the suite offers {found} cases, not {count}")
            if await client.wait():
                raise ChildFailed(f"echo client failed\n{tail(log)}")

    await run_shares(run, fuzz)


async def run_shares(run: Run, fuzz: Fuzz) -> None:
    """Run all shares, as many at a time as there are jobs, and keep the verdicts.

    A share that fails is a problem of the run; the others go on.
    """
    shares = cases.share_out(run.wanted, run.jobs)
    turn = asyncio.Semaphore(run.jobs)

    async def one(number: int, wanted: list[str]) -> None:
        share = run.reports / f"share-{number:02}"
        share.mkdir()
        async with turn:
            start = time.monotonic()
            try:
                await fuzz(share, wanted)
            except ChildFailed as failure:
                run.problems.append(f"share {number}: {failure}")
            run.entries.update(verdicts.read_index(share))
            say(
                f"{run.name}: share {number} of {len(shares)}, {len(wanted)} cases, "
                f"{time.monotonic() - start:.0f} s"
            )

    async with asyncio.TaskGroup() as group:
        for number, wanted in enumerate(shares, 1):
            group.create_task(one(number, wanted))


async def run_role(run: Run, timeout: float) -> None:
    """Run one role; what goes wrong is added to the problems of the run."""
    shutil.rmtree(run.reports, ignore_errors=True)
    run.reports.mkdir(parents=True)
    try:
        async with asyncio.timeout(timeout):
            await (run_server(run) if run.role == "server" else run_client(run))
    except TimeoutError:
        run.problems.append(f"not done after {timeout:.0f} s")
    except ChildFailed as failure:
        run.problems.append(str(failure))
