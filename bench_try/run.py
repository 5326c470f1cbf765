"""The benchmarks: longwire, its peers and a server in C, in one run.

    python bench/run.py                      everything
    python bench/run.py echo-64x1 'active-*' some; --list names them
    python bench/run.py echo-64x1 --servers longwire,c --rounds 3

In each round every server is loaded in turn, so that a busy machine slows all alike; a
figure is the median over the rounds. The server has one core, the load another.
"""

from __future__ import annotations

import argparse
import fnmatch
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import floor
import report
from processes import Failed, Figures, Server, run_client, run_load
from scenarios import SCENARIOS, Kind, Scenario

Results = dict[str, Figures]  # of one scenario, by server


def certificate(folder: Path) -> Path:
    """A file with a fresh certificate for localhost and its key (ECDSA P-256)."""
    import trustme

    path = folder / "localhost.pem"
    issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


class Bench:
    """Runs scenarios with the servers, rounds and seconds that were asked for."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.floor = floor.build()
        self.folder = folder
        self.notes: list[str] = []

    def run(self, scenario: Scenario) -> Results:
        """Measure one scenario; what could not be measured is left out and noted."""
        servers = self._start(scenario)
        found: dict[str, list[Figures]] = {}
        try:
            for _ in range(self.options.rounds or scenario.rounds):
                for name, server in servers.items():
                    try:
                        figures = self._measure(scenario, name, server)
                    except Failed as exc:
                        self._note(scenario, name, exc)
                    else:
                        found.setdefault(name, []).extend(figures)
        finally:
            for server in set(servers.values()):
                server.stop()
        return {name: medians(figures) for name, figures in found.items()}

    def _note(self, scenario: Scenario, name: str, why: object) -> None:
        note = f"{scenario.name}: {name}: {why}"
        if note not in self.notes:
            self.notes.append(note)
            print(f"  left out: {note}", flush=True)

    def _start(self, scenario: Scenario) -> dict[str, Server]:
        wanted = self.options.servers or scenario.servers
        options: dict[str, Any] = {"deflate": scenario.deflate}
        if scenario.tls:
            options["tls"] = certificate(self.folder)
        for feature in ("tls", "deflate"):
            if getattr(scenario, feature) and feature in self.floor.missing:
                self._note(scenario, "all", self.floor.missing[feature])
                return {}
        if scenario.kind is Kind.CLIENT:
            return dict.fromkeys(wanted, Server("c", self.floor, scenario.mode))
        servers = {}
        for name in wanted:
            try:
                servers[name] = Server(name, self.floor, scenario.mode, **options)
            except Failed as exc:
                self._note(scenario, name, exc)
        return servers

    def _measure(self, scenario: Scenario, name: str, server: Server) -> list[Figures]:
        options: dict[str, object] = {
            **scenario.load,
            "port": server.port,
            "seconds": self.options.seconds or scenario.seconds,
            "repeat": scenario.repeat,
        }
        if scenario.kind is Kind.CLIENT:
            if name != "c":
                return per_message(run_client(name, options), "load_cpu")
            mode = {"roundtrip": "echo", "pipelined": "echo", "firehose": "firehose"}
            flight = 64 if options["mode"] == "pipelined" else 1
            options = {**options, "mode": mode[str(options["mode"])], "flight": flight}
            return per_message(run_load(self.floor, options), "load_cpu")
        options["pid"] = server.pid
        if scenario.tls:
            options["tls"] = 1
        return per_message(run_load(self.floor, options), "server_cpu")


def per_message(measured: list[Figures], whose: str) -> list[Figures]:
    """``cpu`` in seconds per message, ``rate`` per second, and percentiles."""
    return [
        {
            "cpu": figures[whose] / figures["messages"],
            "rate": figures["messages"] / figures["seconds"],
            **{key: figures[key] for key in ("p50", "p99") if key in figures},
        }
        for figures in measured
    ]


def medians(figures: list[Figures]) -> Figures:
    return {key: statistics.median(each[key] for each in figures) for key in figures[0]}


def chosen(patterns: list[str]) -> list[Scenario]:
    if not patterns:
        return SCENARIOS
    for pattern in patterns:
        if not fnmatch.filter([each.name for each in SCENARIOS], pattern):
            names = ", ".join(each.name for each in SCENARIOS)
            sys.exit(f"no scenario is named {pattern!r}; there are {names}")
    return [
        each
        for each in SCENARIOS
        if any(fnmatch.fnmatch(each.name, pattern) for pattern in patterns)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--servers", type=lambda text: tuple(text.split(",")))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each measurement")
    options = parser.parse_args()
    if options.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:18}{scenario.title}")
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        for scenario in chosen(options.scenarios):
            print(report.table(scenario, bench.run(scenario)), flush=True)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
