"""Machine: what this process may have of descriptors and memory, for default limits.

The operating system is asked each time, for a program may set its own limits first.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from pathlib import Path

resource: types.ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

__all__ = ["MOST_CONNECTIONS", "default_connections", "default_memory"]

MOST_CONNECTIONS = 65536
MOST_MEMORY, LEAST_MEMORY = 1 << 30, 64 << 20

SPARE_FILES = 64
"""Descriptors left for what is no connection, and for those that are told why not."""

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def default_connections() -> int:
    """Return how many connections this process has descriptors for."""
    files = _soft_limit("RLIMIT_NOFILE")
    most = MOST_CONNECTIONS if files is None else files - SPARE_FILES
    return max(1, min(MOST_CONNECTIONS, most))


def default_memory() -> int:
    """Return the bytes that a server's connections may take together.

    A quarter of what the process may have, from 64 MiB to 1 GiB.
    """
    most = min(_limits_on_memory(), default=4 * MOST_MEMORY)
    return max(LEAST_MEMORY, min(MOST_MEMORY, most // 4))


def _limits_on_memory() -> Iterator[int]:
    """Yield what the machine, the container and the process are allowed."""
    try:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        pass  # Windows has no such question
    for name in ("RLIMIT_AS", "RLIMIT_DATA"):
        limit = _soft_limit(name)
        if limit is not None:
            yield limit
    for file in _files_of_cgroups():
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdigit():  # else "max"
            yield int(text)


def _files_of_cgroups() -> Iterator[Path]:
    """Yield where Linux keeps the limits of a container or service, in both editions.

    Inside of a container its own group is seen as the root.
    """
    yield CGROUPS / "memory.max"
    yield CGROUPS / "memory" / "memory.limit_in_bytes"
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        path = line.rpartition(":")[2].strip("/")
        if line.startswith("0::") and path:
            group = CGROUPS / path
            # A group may also be limited by any that it is in.
            while group != CGROUPS and CGROUPS in group.parents:
                yield group / "memory.max"
                group = group.parent


def _soft_limit(name: str) -> int | None:
    """Return a limit of the process, None where there is none."""
    if resource is None or not hasattr(resource, name):
        return None
    soft = int(resource.getrlimit(getattr(resource, name))[0])
    return None if soft == resource.RLIM_INFINITY or soft < 0 else soft
