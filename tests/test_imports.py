"""Who may import whom: the arrows of docs/explain/architecture.md, and sizes.

A module or package that is not in `ARROWS` fails, so that a new one is decided on.
"""

import ast
from pathlib import Path

import pytest

import longwire

pytestmark = pytest.mark.once

PACKAGE = Path(longwire.__file__).parent

VALUES = {"errors", "escaping", "messages"}
FRONT_END = VALUES | {
    *("admission", "broadcasting", "budget", "connection", "hints", "http"),
    *("departed", "dialing", "hosting", "observer", "once", "opening", "options"),
    *("session", "socks"),
}

# What each module or package of longwire may import of longwire, itself aside: the
# table of docs/explain/architecture.md.
ARROWS: dict[str, set[str]] = {
    "escaping": set(),
    "messages": {"escaping"},
    "errors": {"escaping", "messages"},
    "machine": set(),
    "options": {"hints", "machine"},
    "build": set(),
    "foreign_names": set(),
    "hints": {"foreign_names"},
    "observer": set(),
    "once": set(),
    "random_bytes": set(),
    "admission": {"options"},
    "departed": {"admission"},
    "budget": VALUES,
    "core": VALUES,
    "http": VALUES | {"once"},
    "session": VALUES | {"core", "options"},
    "opening": VALUES | {"hints", "http", "once", "options", "session"},
    "connection": VALUES | {"hints", "http", "once", "options", "session"},
    "verbs": VALUES | {"connection", "session"},
    "broadcasting": {"connection", "errors", "hints", "options", "session"},
    "dialing": {"connection", "opening", "options"},
    "hosting": VALUES
    | {"admission", "budget", "connection", "departed", "hints", "http", "opening"}
    | {"options", "session"},
    "socks": VALUES | {"http"},
    "asyncio": FRONT_END | {"random_bytes"},
    # What front ends without asyncio have in common.
    "wire": set(),
    "link": VALUES | {"connection", "opening", "session", "verbs", "wire"},
    "trio": FRONT_END | {"link", "verbs", "wire"},
    "sync": FRONT_END | {"link", "verbs", "wire"},
    # Servers, pairs in memory and a clock, for the tests of programs.
    "testing": {"asyncio", "errors", "hints", "opening"},
    # One more front door, for servers of others.
    "asgi": VALUES | {"asyncio", "http", "opening", "options", "session"},
    # Public names of longwire, at the moment they are needed: no front end by its name.
    "rpc": VALUES
    | {"Server", "broadcast", "connect", "hints", "http", "once", "opening"}
    | {"options", "serve"},
    # The public names of a front end each, at the moment they are needed.
    "rpc/sync": VALUES | {"hints", "opening", "options", "rpc", "sync"},
    "rpc/trio": VALUES | {"broadcasting", "hints", "opening", "options", "rpc", "trio"},
    # Watches whatever serves or connects, by the hooks of `observer`.
    "metrics": {"Server", "connect", "hints", "observer", "rpc"},
    # Several processes; what they serve is somebody else's.
    "workers": {
        *("Server", "admission", "escaping", "messages", "metrics", "options"),
        *("rpc", "serve"),
    },
    # A broker's client library is another matter: it is no part of longwire.
    "hub": VALUES | {"connection", "hints", "once", "random_bytes", "rpc", "session"},
}
# The front doors: anything public.
FREE = {"__init__", "__main__", "cli", "websockets"}

# Whatever waits, tells the time or rolls dice is an argument in these.
SANS_IO = {"admission", "broadcasting", "budget", "core", "http", "session", "verbs"}
# The parts of rpc that decide; peers, servers and clients carry it out.
SANS_IO |= {
    f"rpc/{name}.py"
    for name in (
        *("budget", "calls", "calls_table", "codecs", "construction", "costly"),
        *("describing", "envelope", "errors", "foreign", "glimpse", "hosting"),
        *("keeping", "kinds", "limits", "link", "memory", "routes", "serving"),
        *("signatures", "texts", "typescript", "wsrpc"),
    )
}
# The core of the hub; its driver, brokers and clients carry it out.
SANS_IO |= {
    f"hub/{name}.py"
    for name in (
        *("answering", "broker", "budgets", "core", "effects", "entries", "errors"),
        *("expiries", "fanout", "feeds", "following", "lagging", "limits", "node"),
        *("payloads", "permissions", "presence", "reading", "subscriptions", "tails"),
        *("tokens", "topics", "wire", "redis/keys", "redis/scripts"),
    )
}
BANNED = {"asyncio", "socket", "ssl", "threading", "time", "random", "logging"}

MOST_LINES = 700
MOST_LINES_OF_FUNCTION = 80

SOURCES = sorted(PACKAGE.rglob("*.py"))
# Kernels in Cython, which ast cannot read; what they cimport is declared in their .pxd.
KERNELS = sorted(PACKAGE.rglob("*.pyx"))


def part(path: Path) -> str:
    """The row of `ARROWS` that speaks of ``path``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    inner = "/".join(parts[:2])
    return inner if inner in ARROWS else parts[0]


def imported(path: Path, text: str) -> set[tuple[str, int]]:
    """Every module that ``text`` imports, as absolute dotted name, with its line."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = absolute(path, node)
            # `from .. import errors` names modules, `from ..errors import X` names one.
            names = [f"{base}.{alias.name}" for alias in node.names]
            whole = names if base == "longwire" else [base]
            whole = [name for name in whole if name != "longwire.__version__"]
            found |= {(name, node.lineno) for name in whole}
    return found


def absolute(path: Path, node: ast.ImportFrom) -> str:
    """The dotted name of the module that ``node`` imports from."""
    if not node.level:
        return node.module or ""
    package = ["longwire", *path.relative_to(PACKAGE).parent.parts]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def wrong_arrows(path: Path, text: str) -> list[str]:
    """The imports in ``text``, the content of ``path``, that are not allowed."""
    here = part(path)
    wrong = []
    for name, line in sorted(imported(path, text)):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        where = f"{path.relative_to(PACKAGE)}:{line}: {here} imports"
        if top == "longwire":
            if not is_allowed(here, target):
                wrong.append(f"{where} longwire.{target}")
        elif is_sans_io(path) and top in BANNED:
            wrong.append(f"{where} {top}")
    return wrong


def is_sans_io(path: Path) -> bool:
    """Whether ``path`` is, or belongs to, one of `SANS_IO`."""
    return part(path) in SANS_IO or path.relative_to(PACKAGE).as_posix() in SANS_IO


def is_allowed(here: str, target: str) -> bool:
    """Whether the part ``here`` may import the part ``target``."""
    if here == target:
        return True
    if here in FREE:
        # The documented API of another library: longwire itself does without.
        return target != "websockets" or here == "cli"
    return target in ARROWS[here]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_arrow_allows(path):
    assert part(path) in ARROWS.keys() | FREE, "decide what it may import: ARROWS"

    assert wrong_arrows(path, path.read_text()) == []


@pytest.mark.parametrize(
    ("place", "line", "wrong"),
    [
        ("core/frames.py", "import time", "core imports time"),
        ("core/frames.py", "from random import randbytes", "core imports random"),
        ("core/frames.py", "from .. import options", "core imports longwire.options"),
        ("core/frames.py", "from ..session import X", "core imports longwire.session"),
        ("core/frames.py", "from ..errors import X", None),
        ("core/frames.py", "from .masking import X", None),
        ("core/frames.py", "from . import masking", None),
        ("session/session.py", "    import asyncio", "session imports asyncio"),
        ("session/session.py", "from ..core.inbox import Inbox", None),
        ("http/uri.py", "import longwire.core", "http imports longwire.core"),
        ("asyncio/client.py", "from .server import X", None),
        ("asyncio/client.py", "from ..core.frames import X", "longwire.core"),
        (
            "opening/client_plan.py",
            "from ..asyncio.client import X",
            "longwire.asyncio",
        ),
        ("rpc/calls.py", "import asyncio", "rpc imports asyncio"),
        ("rpc/peer.py", "import asyncio", None),
        ("rpc/peer.py", "from ..asyncio.client import X", "longwire.asyncio"),
        ("rpc/client.py", "from .. import connect", None),
        ("rpc/client.py", "from ..session import Session", "longwire.session"),
        ("websockets/uri.py", "from ..http.uri import X", None),
        ("asyncio/client.py", "from ..websockets.uri import X", "longwire.websockets"),
        ("__init__.py", "from .websockets.uri import X", "longwire.websockets"),
    ],
)
def test_the_arrows_are_seen(place, line, wrong):
    text = f"def f():\n{line}\n" if line.startswith(" ") else f"{line}\n"

    found = wrong_arrows(PACKAGE / place, text)

    assert bool(found) == bool(wrong)
    assert all(wrong in complaint for complaint in found)


# Private by their spelling alone: documented names of the standard library.
DOCUMENTED = {"_asdict", "_get_running_loop", "_replace"}


@pytest.mark.parametrize("name", ["rpc", "hub"])
def test_what_runs_on_a_connection_reads_no_private_name_of_it(name):
    trees = {
        path: ast.parse(path.read_text()) for path in (PACKAGE / name).rglob("*.py")
    }
    own = set().union(*map(_names_made, trees.values())) | DOCUMENTED

    foreign = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr not in own
    ]

    assert foreign == []


def _names_made(tree: ast.AST) -> set[str]:
    """Return the names of functions, and of variables and attributes assigned to."""
    made = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            made.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            made.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
    return made


@pytest.mark.parametrize(
    "path", SOURCES + KERNELS, ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_a_file_ends_before_a_reader_is_lost(path):
    lines = len(path.read_text().splitlines())

    assert lines <= MOST_LINES


def test_no_function_is_longer_than_a_page_and_a_half():
    long = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}: {size} lines"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := _body_lines(node)) > MOST_LINES_OF_FUNCTION
    ]

    assert long == []


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the code of ``function``, without its signature and docstring."""
    body = function.body[ast.get_docstring(function) is not None :]
    return function.end_lineno - body[0].lineno + 1 if body else 0
