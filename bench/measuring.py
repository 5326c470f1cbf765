"""Measures a scenario: starts its servers, loads them in turn, takes the medians."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import counting
import floor
import idle
from processes import Failed, Figures, Results, Server, run_client, run_load
from scenarios import Kind, Scenario

# Modes of which the load generator counts every operation that it causes.
COUNTED = ("echo", "broadcast")
CLIENT_MODES = {"roundtrip": "echo", "pipelined": "echo", "firehose": "firehose"}


@dataclass(frozen=True)
class Wishes:
    """What is asked for otherwise than a scenario has it; None for what is not."""

    servers: tuple[str, ...] | None = None
    rounds: int | None = None
    seconds: float | None = None
    connections: int | None = None  # at most, in every scenario
    count: bool = False  # instructions and system calls, too

    def applied(self, scenario: Scenario) -> Scenario:
        """``scenario`` as it is wished for."""
        load = dict(scenario.load)
        if self.connections and "connections" in load:
            # 0 means as many as may be.
            most = scenario.connections or self.connections
            load["connections"] = min(most, self.connections)
            if "active" in load:
                load["active"] = min(int(load["active"]), int(load["connections"]))
        return replace(
            scenario,
            load=load,
            servers=self.servers or scenario.servers,
            rounds=self.rounds or scenario.rounds,
            seconds=self.seconds or scenario.seconds,
        )


class Bench:
    """Runs scenarios; ``left_out`` and ``failed`` tell what has no figures, and why."""

    def __init__(self, wishes: Wishes, folder: Path) -> None:
        self.wishes = wishes
        self.floor = floor.build()
        self.certificate = certificate(folder)
        self.left_out: list[str] = []
        self.failed: list[str] = []

    def run(self, scenario: Scenario) -> Results:
        """Measure one scenario."""
        if why := self._cannot(scenario):
            self.left_out.append(f"{scenario.name}: {why}")
            return {}
        scenario = self.wishes.applied(scenario)
        if scenario.kind is Kind.CLIENT:
            return self._run_clients(scenario)
        if scenario.kind is Kind.IDLE:
            return self._run_idle(scenario)
        with self._servers(scenario, scenario.servers) as servers:
            found: dict[str, list[Figures]] = {}
            for _ in range(scenario.rounds):
                for name, server in servers.items():
                    with self._noting(scenario, name):
                        figures = self._load(scenario, server)
                        found.setdefault(name, []).extend(figures)
            results = {name: medians(figures) for name, figures in found.items()}
            if self.wishes.count and scenario.mode in COUNTED:
                for name, server in servers.items():
                    with self._noting(scenario, name):
                        results[name] |= self._count(scenario, server)
        return results

    def _count(self, scenario: Scenario, server: Server) -> Figures:
        """What an operation costs, in numbers that do not depend on the machine."""
        load = {**scenario.load, "tls": int(scenario.tls)}

        def start(behind: list[str]) -> Server:
            return self._server(scenario, server.name, behind)

        counts = {
            "calls": counting.system_calls(server, self.floor, load),
            "instructions": counting.instructions(start, self.floor, load),
        }
        return {key: count for key, count in counts.items() if count is not None}

    def _cannot(self, scenario: Scenario) -> str | None:
        """Why a scenario is impossible here."""
        for feature in ("tls", "deflate"):
            if getattr(scenario, feature) and feature in self.floor.missing:
                return self.floor.missing[feature]
        needed = self.wishes.applied(scenario).connections
        if needed > (most := idle.most_connections()):
            return f"{needed:,} connections, and {most:,} may be open here"
        return None

    def _load(self, scenario: Scenario, server: Server) -> list[Figures]:
        options = {
            **scenario.load,
            "port": server.port,
            "pid": server.pid,
            "seconds": scenario.seconds,
            "repeat": scenario.repeat,
            "tls": int(scenario.tls),
        }
        return per_message(run_load(self.floor, options), "server_cpu")

    def _run_clients(self, scenario: Scenario) -> Results:
        """Each client in turn, against one server in C."""
        found: dict[str, list[Figures]] = {}
        with self._servers(scenario, ("c",)) as servers:
            for name in scenario.servers * scenario.rounds if servers else ():
                with self._noting(scenario, name):
                    figures = self._client(scenario, name, servers["c"].port)
                    found.setdefault(name, []).extend(figures)
        return {name: medians(figures) for name, figures in found.items()}

    def _client(self, scenario: Scenario, name: str, port: int) -> list[Figures]:
        mode = str(scenario.load["mode"])
        options = {"port": port, "seconds": scenario.seconds}
        if name != "c":
            measured = run_client(name, {**options, "mode": mode})
        else:
            flight = 64 if mode == "pipelined" else 1
            options |= {"mode": CLIENT_MODES[mode], "flight": flight}
            measured = run_load(self.floor, options)
        for figures in measured:
            # The clients in Python do not look at each round trip.
            figures.pop("p50", None)
            figures.pop("p99", None)
        return per_message(measured, "load_cpu")

    def _run_idle(self, scenario: Scenario) -> Results:
        """One server at a time; those that are about pings together."""
        if scenario.name == "idle-limit":
            with self._servers(scenario, scenario.servers) as servers:
                return idle.pinging(servers, self.floor, scenario, self._noting)
        found: Results = {}
        for name in scenario.servers:
            with self._servers(scenario, (name,)) as servers:
                for server in servers.values():
                    with self._noting(scenario, name):
                        found[name] = idle.memory(server, self.floor, scenario)
        return found

    @contextmanager
    def _servers(
        self, scenario: Scenario, names: tuple[str, ...]
    ) -> Iterator[dict[str, Server]]:
        """Start the servers that can be started; end them all."""
        started: dict[str, Server] = {}
        try:
            for name in names:
                with self._noting(scenario, name):
                    started[name] = self._server(scenario, name)
            yield started
        finally:
            for server in started.values():
                server.stop()

    def _server(
        self, scenario: Scenario, name: str, behind: Sequence[str] = ()
    ) -> Server:
        return Server(
            name,
            self.floor,
            scenario.mode,
            tls=self.certificate if scenario.tls else None,
            deflate=scenario.deflate,
            keepalive=idle.KEEPALIVE if scenario.kind is Kind.IDLE else 0,
            behind=behind,
        )

    @contextmanager
    def _noting(self, scenario: Scenario, name: str) -> Iterator[None]:
        """Go on without ``name`` where it fails, and remember why."""
        try:
            yield
        except Failed as exc:
            note = f"{scenario.name}: {name}: {exc}"
            if note not in self.failed:
                self.failed.append(note)


def certificate(folder: Path) -> Path:
    """A file with a fresh certificate for localhost and its key (ECDSA P-256)."""
    import trustme

    path = folder / "localhost.pem"
    issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


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


def medians(measured: list[Figures]) -> Figures:
    """Each figure's median, and between what the CPU was."""
    keys = measured[0]
    found = {key: statistics.median(each[key] for each in measured) for key in keys}
    cpu = [each["cpu"] for each in measured]
    return {**found, "cpu_low": min(cpu), "cpu_high": max(cpu)}
