"""Connections that do nothing: what each costs in memory, and in CPU for its pings.

A figure is the growth of the server's private memory over that of the warm server,
divided by the number of connections; the kernel's memory for sockets is not in it.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from floor import Floor
from processes import Figures, Idle, Results, Server, run_load
from scenarios import Scenario

WARM = 50  # connections that come and go before memory is first looked at
KEEPALIVE = 20  # seconds between pings, which is most libraries' default
OWN_FILES = 100  # what a server may have open besides its connections
PER_LOAD = 10_000  # connections of one process of the load


def most_connections() -> int:
    """How many connections a server may hold here: its limit of open files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = PER_LOAD * 10 if hard == resource.RLIM_INFINITY else hard - OWN_FILES
    return min(most, 25_000)  # all from one address: the ports of one have an end


def raise_limit() -> None:
    """As many open files as this user may have; servers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Crowd:
    """Idle connections to one server, and what they cost it."""

    def __init__(self, server: Server, floor: Floor, scenario: Scenario, count: int):
        self.server, self.count = server, count
        deflate = int(scenario.deflate)
        base = {
            "port": server.port,
            "deflate": deflate,
            "size": 1024 if deflate else 32,
        }
        echoes = {**base, "deflate": 0, "mode": "echo", "connections": WARM}
        run_load(floor, {**echoes, "seconds": 0.05})
        time.sleep(0.5)
        before = server.memory()
        self.loads = []
        for start in range(0, count, PER_LOAD):
            part = min(PER_LOAD, count - start)
            self.loads.append(Idle(floor, {**base, "connections": part}))
        time.sleep(0.5)
        opened = (server.memory() - before) / count
        self.figures: Figures = {"connections": count, "opened": opened}
        self._before = before

    def use(self) -> None:
        """Exchange a message on each: this is what makes buffers and contexts."""
        for load in self.loads:
            load.use()
        time.sleep(0.5)
        self.figures["used"] = (self.server.memory() - self._before) / self.count

    def stop(self) -> None:
        for load in self.loads:
            load.stop()


def memory(server: Server, floor: Floor, scenario: Scenario) -> Figures:
    """The figures of one server, ``opened`` and ``used`` in bytes per connection."""
    crowd = Crowd(server, floor, scenario, scenario.connections)
    try:
        crowd.use()
    finally:
        crowd.stop()
    return crowd.figures


def pinging(
    servers: dict[str, Server],
    floor: Floor,
    scenario: Scenario,
    noting: Callable[[Scenario, str], AbstractContextManager[None]],
) -> Results:
    """``opened``, and ``idle_cpu``: the share of a core that pings take.

    All servers have their connections at the same time, because a period of pings is
    long.
    """
    crowds: dict[str, Crowd] = {}
    count = scenario.connections or most_connections()
    try:
        for name, server in servers.items():
            with noting(scenario, name):
                crowds[name] = Crowd(server, floor, scenario, count)
        before = {name: crowd.server.cpu() for name, crowd in crowds.items()}
        time.sleep(KEEPALIVE)
        for name, crowd in crowds.items():
            spent = crowd.server.cpu() - before[name]
            crowd.figures["idle_cpu"] = spent / KEEPALIVE
    finally:
        for crowd in crowds.values():
            crowd.stop()
    return {name: crowd.figures for name, crowd in crowds.items()}
