"""Brokers for the contract, and the servers behind them: one of each for all tests."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.support.needs import needs

BROKERS = ("memory", "redis", "cluster", "nats")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis server that no test hurts."""
    needs("hiredis")
    from tests.hub.redis_servers import redis_server

    with redis_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """The URL of a cluster that no test hurts."""
    needs("hiredis")
    from tests.hub.redis_servers import redis_cluster

    with redis_cluster() as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """The URL of a NATS server that no test hurts."""
    from tests.hub.nats_servers import nats_server

    with nats_server() as server:
        yield server.url


@pytest.fixture(params=BROKERS)
def make_broker(request: pytest.FixtureRequest) -> Callable[[], object]:
    """A function that makes brokers which share what they store.

    Those of memory share nothing: there each is the first.
    """
    needs("msgspec")
    if request.param == "memory":
        from longwire.hub import MemoryBroker

        return MemoryBroker
    url = request.getfixturevalue(f"{request.param}_url")
    namespace = secrets.token_hex(6)

    def make() -> object:
        if request.param == "nats":
            from longwire.hub.nats import NatsBroker

            return NatsBroker(url, namespace=namespace)
        from longwire.hub.redis import RedisBroker

        return RedisBroker(url, namespace=namespace)

    return make


@contextlib.asynccontextmanager
async def running(broker: object) -> AsyncIterator[object]:
    """A sink with ``broker`` running into it."""
    from tests.hub.contract import Sink

    sink = Sink()
    async with sink.fed_by(broker):
        yield sink


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of a run of chaos: what was done, and what became of messages."""
    chaos = sys.modules.get("tests.hub.chaos")
    if chaos is None or not chaos.TABLE:
        return
    terminalreporter.section("what became of messages")
    names = [name.rjust(9) for name in chaos.Row._fields[1:]]
    terminalreporter.write_line(" ".join([*names, " test"]))
    for row in chaos.TABLE:
        numbers = [f"{number:9,}" for number in row[1:]]
        terminalreporter.write_line(" ".join([*numbers, f" {row.test}"]))
