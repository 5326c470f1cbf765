"""Nanoseconds per frame of the protocol core, beside other libraries without I/O.

    python bench/core.py            a table, and what changed since the last stored run
    python bench/core.py --store    the same, kept in bench/results/core.jsonl
    python bench/core.py --rounds 3 --only decode

Each library has a process of its own. In every round each of them measures each case
for a short time in turn, so that a busy machine slows all alike; a figure is the median
over the rounds. A case is one text frame at a time: for decoding, masked bytes into a
server until the message is a str; for encoding, a str into bytes ready to write.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "core.jsonl"
FORMAT = 1

SUBJECTS = ("longwire", "pure", "websockets", "wsproto")
OPERATIONS = ("decode", "encode-server", "encode-client")
SIZES = (20, 1024, 65536)
CASES = [f"{operation} {size}" for operation in OPERATIONS for size in SIZES]
SECONDS = 0.05  # per measurement

Step = Callable[[], object]


# --- what is measured: one step is one frame ---


def masked_frame(size: int) -> bytes:
    payload = text_of(size).encode()
    key = b"\x37\xfa\x21\x3d"
    masked = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
    if size < 126:
        head = bytes([0x81, 0x80 | size])
    elif size < 65536:
        head = b"\x81\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x81\xff" + size.to_bytes(8, "big")
    return head + key + masked


def text_of(size: int) -> str:
    return ("The quick brown fox. " * (size // 21 + 1))[:size]


def longwire_step(operation: str, size: int) -> Step:
    from longwire.core.protocol import Protocol

    protocol = Protocol(operation == "encode-client", random_bytes=os.urandom)
    if operation == "decode":
        wire = masked_frame(size)

        def step() -> object:
            protocol.receive(wire)
            return protocol.next_event()

    else:
        text = text_of(size)

        def step() -> object:
            protocol.send_message(1, text)
            return protocol.take_output()

    return step


def websockets_step(operation: str, size: int) -> Step:
    from websockets.protocol import Protocol, Side, State

    side = Side.CLIENT if operation == "encode-client" else Side.SERVER
    protocol = Protocol(side, state=State.OPEN, max_size=None)
    if operation == "decode":
        wire = masked_frame(size)

        def step() -> object:
            protocol.receive_data(wire)
            return [bytes(frame.data).decode() for frame in protocol.events_received()]

    else:
        text = text_of(size)

        def step() -> object:
            protocol.send_text(text.encode())
            return b"".join(protocol.data_to_send())

    return step


def wsproto_step(operation: str, size: int) -> Step:
    from wsproto.connection import Connection, ConnectionType
    from wsproto.events import TextMessage

    client = operation == "encode-client"
    kind = ConnectionType.CLIENT if client else ConnectionType.SERVER
    connection = Connection(kind)
    if operation == "decode":
        wire = masked_frame(size)

        def step() -> object:
            connection.receive_data(wire)
            return [event.data for event in connection.events()]

    else:
        text = text_of(size)

        def step() -> object:
            return connection.send(TextMessage(data=text))

    return step


STEPS: dict[str, Callable[[str, int], Step]] = {
    "longwire": longwire_step,
    "pure": longwire_step,
    "websockets": websockets_step,
    "wsproto": wsproto_step,
}


# --- one process for each subject ---


def work(subject: str) -> None:
    """Answer each case on standard input with nanoseconds per step."""
    for line in sys.stdin:
        operation, size = line.split()
        step = STEPS[subject](operation, int(size))
        print(measure(step), flush=True)


def measure(step: Step) -> float:
    repeat = 1
    while (spent := timed(step, repeat)) < SECONDS / 8:
        repeat *= 2
    repeat = max(1, int(repeat * SECONDS / spent))
    return timed(step, repeat) / repeat * 1e9


def timed(step: Step, repeat: int) -> float:
    times = range(repeat)
    start = time.perf_counter()
    for _ in times:
        step()
    return time.perf_counter() - start


class Worker:
    """A process that measures one subject."""

    def __init__(self, subject: str) -> None:
        pure = "1" if subject == "pure" else "0"
        path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", subject],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LONGWIRE_PURE": pure, "PYTHONPATH": path},
        )

    def measure(self, case: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def run(rounds: int, cases: list[str]) -> dict[str, dict[str, float]]:
    """Return the median for each case and subject."""
    workers = {subject: Worker(subject) for subject in SUBJECTS}
    found: dict[str, dict[str, list[float]]] = {
        case: {subject: [] for subject in SUBJECTS} for case in cases
    }
    for _ in range(rounds):
        for case in cases:
            for subject, worker in workers.items():
                found[case][subject].append(worker.measure(case))
    for worker in workers.values():
        worker.close()
    return {
        case: {subject: statistics.median(all_) for subject, all_ in subjects.items()}
        for case, subjects in found.items()
    }


# --- the table, and what is kept ---


def circumstances(rounds: int) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return {
        "format": FORMAT,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{platform.system()} {platform.machine()}, {cpu()}",
        "python": platform.python_version(),
        "websockets": importlib.metadata.version("websockets"),
        "wsproto": importlib.metadata.version("wsproto"),
        "rounds": rounds,
    }


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{len(models)} × {models[0]}" if models else "unknown"


def table(medians: dict[str, dict[str, float]], last: dict[str, Any] | None) -> str:
    lines = [
        "ns per frame, median                            ×: as many times longwire's",
        f"{'case':20}{'longwire':>10}{'pure':>10}{'websockets':>12}{'×':>6}"
        f"{'wsproto':>10}{'×':>6}{'since last':>12}",
    ]
    for case, ns in medians.items():
        ours = ns["longwire"]
        change = ""
        if last is not None and case in last["medians"]:
            change = f"{ours / last['medians'][case]['longwire'] - 1:+.0%}"
        lines.append(
            f"{case:20}{ours:10.0f}{ns['pure']:10.0f}"
            f"{ns['websockets']:12.0f}{ns['websockets'] / ours:6.1f}"
            f"{ns['wsproto']:10.0f}{ns['wsproto'] / ours:6.1f}{change:>12}"
        )
    return "\n".join(lines)


def last_stored(machine: str) -> dict[str, Any] | None:
    if not RESULTS.exists():
        return None
    stored = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    same = [run for run in stored if run["machine"] == machine]
    return same[-1] if same else None


def is_compiled() -> bool:
    from longwire import build

    return build.BUILD == "compiled"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="cases that contain this")
    parser.add_argument("--store", action="store_true", help="keep the figures")
    parser.add_argument("--worker", choices=SUBJECTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return
    sys.path.insert(0, str(ROOT / "src"))
    if not is_compiled():
        sys.exit("the core is not compiled here: make build")
    facts = circumstances(options.rounds)
    for name, value in facts.items():
        print(f"{name + ':':12}{value}")
    medians = run(options.rounds, [case for case in CASES if options.only in case])
    print(table(medians, last_stored(facts["machine"])))
    if options.store:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps({**facts, "medians": medians}) + "\n")


if __name__ == "__main__":
    main()
