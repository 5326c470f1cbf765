"""One target under libFuzzer, in the sanitizers' environment; fuzz/run.py starts this.

    python -m fuzz.libfuzzer TARGET [libFuzzer's own arguments]

Compiled modules report where they have been through fuzz/coverage.c, the layer of HTTP
and RPC through Atheris, which instruments their bytecode.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import atheris

from fuzz import sanitized

with atheris.instrument_imports(include=["longwire.http", "longwire.rpc"]):
    import longwire.http.extensions
    import longwire.http.handshake
    import longwire.http.heads
    import longwire.http.uri
    import longwire.rpc  # noqa: F401

from fuzz import builds, targets


def main(arguments: list[str]) -> None:
    target, *options = arguments
    check: Any = targets.checker(target, builds.compiled())
    ctypes.CDLL(str(sanitized.COVERAGE)).longwire_register_coverage()
    atheris.Setup([sys.argv[0], *options], lambda data: check(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
