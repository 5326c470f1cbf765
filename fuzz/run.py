"""Fuzzes each target for a while with the sanitizer build: `make fuzz`.

    python -m fuzz.run [--seconds 300] [--jobs 1] [TARGET ...]
    python -m fuzz.run --replay FILE ...    check inputs again, such as those in found/

libFuzzer drives where Atheris is installed, blind mutation where not. What breaks a
contract is kept in fuzz/found/, and its name begins with the target's.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from fuzz import builds, mutate, sanitized, seeds, targets

ROOT = sanitized.ROOT
WORK = ROOT / "build" / "fuzz"
# An input that takes longer, or a process that grows larger, is a finding.
MOST_SECONDS, MOST_MEGABYTES = 20, 2500


def runtime() -> Path | None:
    """Return the sanitizers' runtime with libFuzzer in it; None without Atheris."""
    found = importlib.util.find_spec("atheris")
    if found is None or found.origin is None:
        return None
    library = Path(found.origin).parents[1] / "asan_with_fuzzer.so"
    return library if library.is_file() else None


def fuzz(target: str, seconds: int) -> tuple[str, int, str]:
    """Fuzz one target; return its name, the status and a line on what was done."""
    log = WORK / f"{target}.log"
    library = runtime()
    command = _libfuzzer(target, seconds) if library else _blindly(target, seconds)
    with log.open("w") as kept:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=sanitized.environment(str(library) if library else None),
            stdout=kept,
            stderr=subprocess.STDOUT,
        )
    return target, done.returncode, _closing_line(log)


def _libfuzzer(target: str, seconds: int) -> list[str]:
    corpus, begin = WORK / "corpus" / target, WORK / "seeds" / target
    for folder in (corpus, begin):
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.of(target).items():
        (begin / name).write_bytes(data)
    return [
        *(sys.executable, "-m", "fuzz.libfuzzer", target, f"-max_total_time={seconds}"),
        *(f"-max_len={mutate.MOST}", f"-timeout={MOST_SECONDS}"),
        *(f"-rss_limit_mb={MOST_MEGABYTES}", "-print_final_stats=1"),
        *(f"-artifact_prefix={seeds.FOUND}/{target}-", str(corpus), str(begin)),
    ]


def _blindly(target: str, seconds: int) -> list[str]:
    return [sys.executable, "-m", "fuzz.run", "--blind", str(seconds), target]


def blind(target: str, seconds: float) -> int:
    """Run mutants in this process; keep and show the first that breaks the contract."""
    check = targets.checker(target, builds.compiled())
    known = list(seeds.of(target).values())
    end = time.monotonic() + seconds
    inputs = itertools.chain(known, mutate.mutants(known, int(time.time())))
    for count, data in enumerate(inputs):
        if time.monotonic() > end:
            print(f"Done {count} runs in {seconds:.0f} second(s)")
            break
        # A sanitizer ends the process: the input must be on disk by then.
        (WORK / f"{target}.input").write_bytes(data)
        try:
            check(data)
        except Exception:
            traceback.print_exc()
            found = seeds.FOUND / f"{target}-crash-{sha256(data).hexdigest()[:20]}"
            found.write_bytes(data)
            print(f"Test unit written to {found}")
            return 77
    return 0


def _closing_line(log: Path) -> str:
    """Return what the log ends with: how many runs, or what was found where."""
    lines = log.read_text(errors="replace").splitlines()
    marks = ("Done ", "SUMMARY", "Test unit written")
    found = [line for line in lines if any(mark in line for mark in marks)]
    return "; ".join(found[-2:]) or (lines[-1] if lines else "no output")


def replay(files: list[Path]) -> int:
    """Check inputs by themselves; the first part of a file's name is its target."""
    failed = 0
    for file in files:
        target = file.name.partition("-")[0]
        print(f"{file.name}: ", end="", flush=True)
        try:
            targets.checker(target, builds.compiled())(file.read_bytes())
            print("the contract holds")
        except AssertionError:
            failed = 1
            traceback.print_exc()
    return failed


def _prepare() -> str | None:
    """Build everything; return why nothing can be fuzzed here, or None."""
    if reason := sanitized.why_not():
        return reason
    WORK.mkdir(parents=True, exist_ok=True)
    seeds.FOUND.mkdir(exist_ok=True)
    sanitized.build()
    library = runtime()
    sanitized.check_itself(str(library) if library else None)
    if library is None:
        print("no Atheris for this Python: mutation is blind", flush=True)
    return None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="fuzz.run")
    parser.add_argument("--seconds", type=int, default=300, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--replay", action="store_true", help="arguments are files")
    parser.add_argument("--blind", type=float, help=argparse.SUPPRESS)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(targets.NAMES)}")
    options = parser.parse_args(arguments)
    if options.replay:
        return replay([Path(name) for name in options.what])
    names = options.what or list(targets.NAMES)
    if unknown := set(names) - set(targets.NAMES):
        parser.error(f"no target {', '.join(sorted(unknown))}")
    if options.blind is not None:
        return blind(names[0], options.blind)
    if reason := _prepare():
        print(f"nothing is fuzzed: {reason}", file=sys.stderr)
        return 1
    print(f"{len(names)} targets, {options.seconds} s each", flush=True)
    failed = []
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(fuzz, name, options.seconds) for name in names]
        for job in jobs:
            name, status, line = job.result()
            print(
                f"{'ok    ' if status == 0 else 'FOUND '} {name:<12} {line}", flush=True
            )
            if status:
                failed.append(name)
    if failed:
        print(
            f"see build/fuzz/TARGET.log of {', '.join(failed)}; again, with sanitizers:"
        )
        print("  python -m fuzz.sanitized python -m fuzz.run --replay fuzz/found/NAME")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
