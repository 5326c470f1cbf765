"""Every scenario can be run, with every library, and says what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.needs import ROOT

pytestmark = [pytest.mark.long, pytest.mark.once, pytest.mark.usefixtures("programs")]

RUN = [sys.executable, str(ROOT / "bench" / "run.py")]
TINY = ["--rounds", "1", "--seconds", "0.01", "--connections", "20"]
OURS = ("c", "longwire")
PEERS = ("websockets", "picows", "picows.websockets", "aiohttp")


def run(*arguments: str, folder) -> tuple[dict, str]:
    """The stored form of a run's figures, and what it printed."""
    file = folder / "figures.json"
    process = subprocess.run(
        [*RUN, *arguments, "--json", str(file)], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    return json.loads(file.read_text())["scenarios"], process.stdout


def listed() -> list[str]:
    output = subprocess.check_output([*RUN, "--list"], text=True)
    return [line.split()[0] for line in output.splitlines()]


# One of each kind; those between differ by a number.
KINDS = {
    "server": ["echo-64x1", "one-way-in", "broadcast-1000", "fragments-1k"],
    "compressed": ["echo-deflate"],
    "tls": ["echo-tls", "handshakes-tls"],
    "many": ["handshakes", "active-1000", "echo-64k"],
    "client": ["client-roundtrip", "client-pipelined", "client-firehose"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_scenario_gives_figures_for_each_server(kind, tmp_path):
    found, printed = run(
        *KINDS[kind], *TINY, "--servers", ",".join(OURS), folder=tmp_path
    )

    for name in KINDS[kind]:
        assert set(found[name]) == set(OURS)
        for figures in found[name].values():
            assert 0 < figures["cpu"] < 1
            assert figures["rate"] > 0
        assert f"\n{name}: " in printed


def test_idle_connections_give_their_memory(tmp_path):
    servers = ["--servers", ",".join(OURS)]

    found, _ = run("idle-10000", "--connections", "400", *servers, folder=tmp_path)

    for figures in found["idle-10000"].values():
        assert figures["connections"] == 400
        # The contexts that a message was compressed and inflated with.
        assert figures["used"] > figures["opened"] + 10_000
    assert found["idle-10000"]["longwire"]["opened"] > 1000


@pytest.mark.parametrize("loop", ["", "@uvloop"])
def test_the_peers_do_the_same_work(loop, tmp_path):
    names = [peer + loop for peer in PEERS]
    scenarios = ["echo-16x64", "one-way-in", "broadcast-1000", "handshakes"]
    scenarios += ["fragments-64k", "client-pipelined", "client-firehose"]

    found, _ = run(*scenarios, *TINY, "--servers", ",".join(names), folder=tmp_path)

    assert set(found) == set(scenarios)
    assert all(set(results) == set(names) for results in found.values())


def test_variants_of_longwire_are_what_they_are_called(tmp_path):
    names = ["longwire", "longwire-pure", "longwire-transport", "longwire@uvloop"]

    found, _ = run("echo-16x64", *TINY, "--servers", ",".join(names), folder=tmp_path)

    figures = found["echo-16x64"]
    assert set(figures) == set(names)
    assert figures["longwire-pure"]["cpu"] > figures["longwire"]["cpu"]


def test_a_server_that_cannot_be_started_is_told_and_fails_the_run(tmp_path):
    (tmp_path / "picows.py").write_text("raise ImportError('broken here')\n")
    process = subprocess.run(
        [*RUN, "round-trip", *TINY, "--servers", "c,picows"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )

    assert process.returncode == 1
    assert "FAILED: round-trip: picows: ImportError: broken here" in process.stdout
    assert "\n  c   " in process.stdout


def test_a_server_that_nobody_knows_is_refused():
    process = subprocess.run(
        [*RUN, "--servers", "c,nobody"], capture_output=True, text=True
    )

    assert process.returncode == 2
    assert "'nobody' is none of c, longwire, " in process.stderr


def test_a_scenario_that_does_not_exist_is_refused_with_those_that_do():
    process = subprocess.run([*RUN, "echo-65x1"], capture_output=True, text=True)

    assert process.returncode == 1
    assert "no scenario is named 'echo-65x1'; there are round-trip, " in process.stderr


def test_names_of_scenarios_are_there_once():
    names = listed()

    assert len(names) == len(set(names)) > 20
    assert {name for names in KINDS.values() for name in names} < set(names)


def test_without_a_compiler_the_run_says_so(tmp_path):
    process = subprocess.run(
        [*RUN, "round-trip"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(tmp_path)},
    )

    assert process.returncode == 1
    assert process.stderr == (
        "the benchmarks need a C compiler (Debian: apt install gcc)\n"
    )
