"""Redis servers that a test starts for itself, on ports of their own, and may hurt."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import hiredis

from tests.hub.servers import BrokerServer
from tests.support.ports import free_port


class RedisServer(BrokerServer):
    """One server; ``call`` sends a command and returns the answer, blocking."""

    program = "redis-server"
    scheme = "redis"
    data = ("dump.rdb", "appendonlydir")

    def arguments(self) -> list[str]:
        return [
            *("--port", str(self.port), "--bind", self.host, "--dir", self.folder),
            *("--save", "", "--loglevel", "warning", "--daemonize", "no"),
            *("--repl-diskless-sync-delay", "0"),
            *self.options,
        ]

    def answers(self) -> bool:
        try:
            return bool(self.call("PING") == b"PONG")
        except ServerSaid as exc:
            return str(exc).startswith("NOAUTH")

    def halt(self) -> None:
        """End it with all that it has on disk."""
        self.call("SAVE")
        self.kill()

    def call(self, *command: Any, timeout: float = 5.0) -> Any:
        """Send a command, by a connection of its own."""
        with socket.create_connection((self.host, self.port), timeout) as sock:
            sock.settimeout(timeout)
            sock.sendall(hiredis.pack_command(tuple(command)))
            reader = hiredis.Reader()
            while True:
                data = sock.recv(65536)
                if not data:
                    raise ConnectionResetError("closed by the server")
                reader.feed(data)
                reply = reader.gets()
                if reply is not False:
                    if isinstance(reply, hiredis.ReplyError):
                        raise ServerSaid(str(reply))
                    return reply

    def keys(self) -> list[str]:
        return sorted(key.decode() for key in self.call("KEYS", "*"))

    # --- what may happen to it ---------------------------------------------------

    def replicate(self, other: RedisServer) -> None:
        """Become a replica, and wait until all has come."""
        self.call("REPLICAOF", "127.0.0.1", other.port)
        until = time.monotonic() + 15
        while self.call("ROLE")[3] != b"connected":
            assert time.monotonic() < until, "the replica does not connect"
            time.sleep(0.02)

    @property
    def is_primary(self) -> bool:
        """Whether it says so; who is promoted by a sentinel cuts its clients off."""
        try:
            return self.call("ROLE")[0] == b"master"  # type: ignore[no-any-return]
        except OSError:
            return False

    def promote(self) -> None:
        self.call("REPLICAOF", "NO", "ONE")


class ServerSaid(Exception):
    """An error of the server."""


@contextlib.contextmanager
def redis_server(*options: str, **more: Any) -> Iterator[RedisServer]:
    with RedisServer(*options, **more) as server:
        yield server.start()


class RedisCluster:
    """Some primaries that share the slots, and perhaps replicas."""

    def __init__(self, primaries: int = 3, replicas: int = 0) -> None:
        options = (
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "2000"),
            *("--cluster-require-full-coverage", "no"),
            *("--cluster-replica-validity-factor", "0"),
        )
        # A server of a cluster also has a port 10,000 above its own.
        ports = [_low_port() for _ in range(primaries + replicas)]
        self.servers = [RedisServer(*options, port=port) for port in ports]
        self.primaries = self.servers[:primaries]
        self.replicas = self.servers[primaries:]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.primaries)
        return f"redis+cluster://{hosts}"

    def start(self) -> RedisCluster:
        for server in self.servers:
            server.start()
        share = 16384 // len(self.primaries)
        for index, server in enumerate(self.primaries):
            last = index == len(self.primaries) - 1
            end = 16383 if last else (index + 1) * share - 1
            server.call("CLUSTER", "ADDSLOTSRANGE", index * share, end)
            server.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        first = self.servers[0]
        for server in self.servers[1:]:
            server.call("CLUSTER", "MEET", "127.0.0.1", first.port)
        self.wait()
        for index, server in enumerate(self.replicas):
            primary = self.primaries[index % len(self.primaries)]
            self._replicate(server, primary)
        self.wait()
        return self

    def _replicate(self, server: RedisServer, primary: RedisServer) -> None:
        name = primary.call("CLUSTER", "MYID")
        until = time.monotonic() + 15
        while True:
            try:
                server.call("CLUSTER", "REPLICATE", name)
                break
            except ServerSaid:
                assert time.monotonic() < until
                time.sleep(0.1)
        while server.call("ROLE")[3] != b"connected":
            assert time.monotonic() < until
            time.sleep(0.05)

    def wait(self) -> None:
        until = time.monotonic() + 30
        for server in self.servers:
            while True:
                info = server.call("CLUSTER", "INFO")
                known = f"cluster_known_nodes:{len(self.servers)}".encode()
                if b"cluster_state:ok" in info and known in info:
                    break
                assert time.monotonic() < until, info
                time.sleep(0.05)

    def owner_of(self, slot: int) -> RedisServer:
        for first, last, primary, *_ in self.servers[0].call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(s for s in self.servers if s.port == primary[1])
        raise AssertionError(f"nobody has slot {slot}")

    def migrate(self, slot: int, target: RedisServer) -> None:
        """Move a slot with its keys to another server, as an operator does."""
        source = self.owner_of(slot)
        ids = {each.port: each.call("CLUSTER", "MYID") for each in (source, target)}
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.call(
                *("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS"), *keys
            )
        for server in (target, source, *self.primaries):
            server.call("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])

    def close(self) -> None:
        for server in self.servers:
            server.close()


def _low_port() -> int:
    while True:
        port = free_port()
        if port < 55_000:
            return port
        with socket.socket() as sock:
            try:
                port = 20_000 + port % 30_000
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextlib.contextmanager
def redis_cluster(primaries: int = 3, replicas: int = 0) -> Iterator[RedisCluster]:
    cluster = RedisCluster(primaries, replicas)
    try:
        yield cluster.start()
    finally:
        cluster.close()
