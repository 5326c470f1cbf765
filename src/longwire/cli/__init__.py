"""The command line: ``longwire connect``, ``serve``, ``echo``, ``demo``, ``hub``
and ``rpc``.

The commands need click, rich and prompt_toolkit, which the extra ``cli`` brings; the
library itself imports none of them, and nothing of ours imports this package.
"""

from __future__ import annotations

import sys

from .. import __version__, build

__all__ = ["main"]

_NEEDED = ("click", "rich", "prompt_toolkit")


def main() -> int:
    """Run the command in ``sys.argv``; return the exit status.

    0 is success, 1 a failure that one line on stderr describes, 2 a command that was
    not understood.
    """
    try:
        from .commands import longwire
        from .hub import hub_group  # noqa: F401 - adds its commands
        from .rpc import rpc_group  # noqa: F401 - adds its commands
        from .serve import serve_command  # noqa: F401 - adds itself
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        if sys.argv[1:] == ["--version"]:
            print(f"longwire, version {__version__} ({build.described()})")
            return 0
        print(
            f"longwire: the command line needs {missing}, which is not installed; "
            "in a checkout of longwire: pip install '.[cli]'",
            file=sys.stderr,
        )
        return 1
    longwire(prog_name="longwire")  # ends with SystemExit
    return 0
