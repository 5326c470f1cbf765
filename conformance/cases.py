"""The cases of the Autobahn Testsuite: which to run, and how to share them out.

Knows the numbering and about how long each case takes; nothing of verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["COUNT", "by_number", "select", "share_out"]

COUNT = 517
"""Cases in the pinned suite: a list of any other length is a mistake."""

# Sections 12 and 13 repeat the same 18 rows for each choice of window and takeover:
# a thousand messages of so many KiB, in one frame (rows 1-10) or in several.
ROW_KIB = [1 / 64, 1 / 16, 1 / 4, 1, 4, 8, 16, 32, 64, 128]
ROW_KIB += [8, 16, 32, 64, 128, 128, 128, 128]

# What these groups send is hard to compress.
HARD_GROUPS = {"12.2", "12.3", "12.5"}

# Small messages, whole and fragmented: half a second for each group.
SAMPLED_ROWS = {1, 11}

# Cases that wait for a clock: the seconds they wait.
WAITS = {"5.19": 1.0, "5.20": 1.0, "6.4.": 2.0}

SHARE_SECONDS = 45.0
"""Longest share worth its own process; short ones let all jobs end together."""


def by_number(case: str) -> list[int]:
    """Return what sorts 9.2.1 before 10.1.1."""
    return [int(part) for part in case.split(".")]


def select(cases: Iterable[str], which: str) -> list[str]:
    """Return the cases of a run in order: "all", or "quick" for the first part.

    Quick is all of sections 1 to 10 and, of every group in 12 and 13, the rows
    with small messages.
    """
    ordered = sorted(cases, key=by_number)
    return [case for case in ordered if which == "all" or is_quick(case)]


def is_quick(case: str) -> bool:
    section, *_, row = by_number(case)
    return section <= 10 or row in SAMPLED_ROWS


def seconds(case: str) -> float:
    """Return about how long a case takes, most of it spent by the suite itself."""
    section, *_, row = by_number(case)
    if section >= 12:
        hardness = 2.5 if case.rpartition(".")[0] in HARD_GROUPS else 1.0
        return 0.27 + 0.024 * ROW_KIB[row - 1] * hardness
    if section == 9:
        return 0.15
    return next((wait for start, wait in WAITS.items() if case.startswith(start)), 0.01)


def share_out(cases: Iterable[str], jobs: int) -> list[list[str]]:
    """Return the cases in shares of about equal time, the longest share first.

    There are as many shares as jobs, or a multiple of it.
    """
    waiting = sorted(cases, key=seconds, reverse=True)
    rounds = 1 + int(sum(map(seconds, waiting)) / (jobs * SHARE_SECONDS))
    shares: list[list[str]] = [[] for _ in range(min(jobs * rounds, len(waiting)))]
    loads = [0.0] * len(shares)
    for case in waiting:
        lightest = loads.index(min(loads))
        shares[lightest].append(case)
        loads[lightest] += seconds(case)
    heaviest_first = sorted(range(len(shares)), key=loads.__getitem__, reverse=True)
    return [sorted(shares[index], key=by_number) for index in heaviest_first]
