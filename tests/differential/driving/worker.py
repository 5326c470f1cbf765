"""A process with one library: programs come in, one a line, and traces go out.

Arguments: what to put before the path of modules. Time stands still but where a
program lets it pass, so that no outcome depends on how fast this machine is.
"""

import asyncio
import importlib
import json
import logging
import sys
import time
import traceback

NOW = [1000.0]
OF_39 = "--as-python-3.9"


def accept_loops():
    """Let asyncio accept ``loop=``, as until 3.9, the last Python that 9.1 was for."""

    def without_loop(function):
        return lambda *args, loop=None, **kwargs: function(*args, **kwargs)

    for name in ("Lock", "Event", "Queue", "sleep", "wait", "wait_for", "gather"):
        setattr(asyncio, name, without_loop(getattr(asyncio, name)))


def main():
    output = sys.stdout
    sys.stdout = sys.stderr
    time.monotonic = time.perf_counter = lambda: NOW[0]
    # Who wants to know what a library logs asks for it in a program.
    logging.getLogger().addHandler(logging.NullHandler())
    logging.raiseExceptions = False
    sys.path[:0] = [path for path in sys.argv[1:] if path != OF_39]
    if OF_39 in sys.argv:
        accept_loops()
    sys.modules["worker"] = sys.modules["__main__"]
    for line in sys.stdin:
        program = json.loads(line)
        try:
            trace = importlib.import_module(program["api"]).run(program)
        except Exception:
            trace = [{"did": "crash", "result": traceback.format_exc()}]
        print(json.dumps(trace), file=output, flush=True)


main()
