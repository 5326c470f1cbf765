"""A pytest plugin that writes how each test of a run ended, as lines of JSON.

The file is the environment variable ``DEPENDENTS_RECORD``. Its first line says which
library answers ``import websockets``. Each further line is the outcome of one test or
of a module that could not be collected, written when it is known: what a run that
crashes or hangs had done by then is there. Imports nothing that it need not, for it
runs in the environments of other packages, with their edition of pytest.

Where the variable ``DEPENDENTS_ASGI`` names a class that speaks WebSocket for uvicorn,
uvicorn's own tests are run with that class alone in place of those that they have.
"""

import importlib
import json
import os

import pytest


def pytest_configure(config):
    if hasattr(config, "workerinput"):
        return  # a process of pytest-xdist: what it finds is told to the first
    asgi = os.environ.get("DEPENDENTS_ASGI")
    if asgi is None:
        import websockets as library
    else:
        library = importlib.import_module(asgi.partition(":")[0])
        config.pluginmanager.register(Replacing(asgi), "dependents-replacing")
    file = library.__spec__.name, library.__file__
    path = os.environ["DEPENDENTS_RECORD"]
    config.pluginmanager.register(Recorder(path, file), "dependents-recording")


class Replacing:
    """Gives the fixture that chooses uvicorn's class one other value."""

    def __init__(self, asgi):
        self.asgi = asgi

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc):
        for fixture in metafunc._arg2fixturedefs.get("ws_protocol_cls", ()):
            fixture.params, fixture.ids = (self.asgi,), ("implementation",)


class Recorder:
    def __init__(self, path, library):
        self.path = path
        self.write(library=library[0], file=library[1])

    def write(self, **line):
        with open(self.path, "a", encoding="utf-8") as file:
            print(json.dumps(line), file=file)

    def pytest_collectreport(self, report):
        if report.failed:
            self.write(
                test=report.nodeid or "(collection)",
                outcome="not collected",
                why=last_line(report),
            )

    def pytest_runtest_logreport(self, report):
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xpassed" if report.passed else "xfailed"
        elif report.when != "call":
            if report.passed:
                return
            outcome = "skipped" if report.skipped else "error in " + report.when
        why = "" if report.passed else last_line(report)
        self.write(test=report.nodeid, outcome=outcome, why=why)

    def pytest_sessionfinish(self, exitstatus):
        self.write(finished=int(exitstatus))


def last_line(report):
    """Return the line of a report that says most: pytest's own short summary of it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return crash.message[:400]
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])[:400]
    lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
    return lines[-1][:400] if lines else ""
