"""What is measured: the table of scenarios, each a row.

A scenario is a mode of the servers with a way to load them (``SERVER``), a mode of the
clients against the C server (``CLIENT``), or connections that do nothing (``IDLE``).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What asyncio's transports cost is asked where there is something else as well.
SRC = Path(__file__).resolve().parent.parent / "src" / "longwire"
TRANSPORT = ("longwire-transport",) if list(SRC.glob("asyncio/reactor.*")) else ()

STOCK = ("longwire", "websockets", "picows", "picows.websockets", "aiohttp")
LOOPS = ("", "@uvloop")
ALL = ("c", *TRANSPORT, *(f"{name}{loop}" for name in STOCK for loop in LOOPS))
# What may be asked for: the variants of longwire are not all in the usual run.
VARIANTS = (
    "longwire-transport",
    "longwire-pure",
    "longwire-zlib",
    "longwire-fast",
)
KNOWN = ("c", *(f"{name}{loop}" for name in (*STOCK, *VARIANTS) for loop in LOOPS))
# Where opening the connections is most of the time, the nearest ones only.
NEAREST = ("longwire", "picows", "picows.websockets")
FEW = ("c", "websockets", *(f"{name}{loop}" for name in NEAREST for loop in LOOPS))
# The core of picows has no permessage-deflate.
DEFLATING = tuple(name for name in ALL if name.partition("@")[0] != "picows")
# The loop is of no account for what rests.
RESTING = ("c", *STOCK)
RESTING_DEFLATING = tuple(name for name in RESTING if name != "picows")


class Kind(enum.Enum):
    SERVER = enum.auto()
    CLIENT = enum.auto()
    IDLE = enum.auto()


@dataclass(frozen=True)
class Scenario:
    """One row: ``name`` is for the command line, ``title`` for readers."""

    name: str
    title: str
    load: Mapping[str, int | str] = field(default_factory=dict)
    mode: str = "echo"  # of the servers
    kind: Kind = Kind.SERVER
    servers: tuple[str, ...] = ALL
    rounds: int = 5
    repeat: int = 1  # measurements in a round, on the same connections
    seconds: float = 0.3  # that one measurement takes
    tls: bool = False

    @property
    def deflate(self) -> bool:
        return bool(self.load.get("deflate"))

    @property
    def connections(self) -> int:
        return int(self.load.get("connections", 1))


def echo(name: str, title: str, **options: int) -> Scenario:
    return Scenario(name, title, {"mode": "echo", **options})


def active(connections: int) -> Scenario:
    big = connections > 1000
    load = {"mode": "echo", "connections": connections, "active": min(10, connections)}
    return Scenario(
        f"active-{connections}",
        f"{min(10, connections)} of {connections:,} connections active, 32 B",
        load,
        servers=FEW,
        rounds=2 if big else 3,
        repeat=2,
        seconds=0.3,
    )


def broadcast(connections: int) -> Scenario:
    return Scenario(
        f"broadcast-{connections}",
        f"broadcast of 128 B to {connections:,}, per receiver",
        {"mode": "broadcast", "connections": connections, "size": 128},
        mode="broadcast",
        servers=ALL if connections <= 1000 else FEW,
        rounds=3,
    )


def handshakes(name: str, title: str, tls: bool) -> Scenario:
    load = {"mode": "handshake", "connections": 16}
    return Scenario(name, title, load, tls=tls)


def client(name: str, title: str) -> Scenario:
    mode = "firehose" if name == "firehose" else "echo"
    return Scenario(
        f"client-{name}", title, {"mode": name}, mode=mode, kind=Kind.CLIENT
    )


MIB = 1 << 20

SCENARIOS = [
    echo("round-trip", "round trip, 1 connection, 32 B"),
    echo("echo-64x1", "echo, 64 connections × 1 in flight, 32 B", connections=64),
    echo("echo-16x64", "echo, 16 × 64 in flight, 32 B", connections=16, flight=64),
    echo("echo-1k", "echo, 64 × 1, 1 KiB", connections=64, size=1024),
    echo("echo-64k", "echo, 8 × 1, 64 KiB", connections=8, size=65536),
    echo("echo-1m", "echo, 2 × 1, 1 MiB", connections=2, size=MIB),
    Scenario(
        "one-way-in",
        "one way in, 16 connections, 64 B",
        {"mode": "sink", "connections": 16, "size": 64},
        mode="sink",
    ),
    Scenario(
        "echo-tls",
        "echo over TLS, 64 × 1, 32 B",
        {"mode": "echo", "connections": 64},
        tls=True,
    ),
    Scenario(
        "echo-deflate",
        "compressed JSON of 1 KiB both ways, 16 × 1",
        {"mode": "echo", "connections": 16, "size": 1024, "deflate": 1},
        servers=(*DEFLATING, "longwire-zlib", "longwire-fast"),
    ),
    broadcast(1000),
    broadcast(5000),
    handshakes("handshakes", "opened and closed, 16 at a time", tls=False),
    handshakes("handshakes-tls", "opened and closed over TLS", tls=True),
    echo("fragments-1k", "1 MiB in fragments of 1 KiB, 1 × 1", size=MIB, fragment=1024),
    echo(
        "fragments-64k",
        "1 MiB in fragments of 64 KiB, 1 × 1",
        size=MIB,
        fragment=65536,
    ),
    *(active(connections) for connections in (1, 10, 100, 1000, 10000)),
    Scenario(
        "idle-10000",
        "10,000 idle connections, compression agreed",
        {"connections": 10000, "deflate": 1},
        kind=Kind.IDLE,
        servers=RESTING_DEFLATING,
    ),
    Scenario(
        "idle-plain",
        "10,000 idle connections, without compression",
        {"connections": 10000},
        kind=Kind.IDLE,
        servers=RESTING,
    ),
    Scenario(
        "idle-limit",
        "idle connections up to the limit of open files, compression agreed",
        {"connections": 0, "deflate": 1},
        kind=Kind.IDLE,
        servers=("c", "longwire", "websockets", "picows.websockets"),
    ),
    client("roundtrip", "client: round trip, 32 B"),
    client("pipelined", "client: 64 in flight, 32 B"),
    client("firehose", "client: receives 64 B as fast as it can"),
]
