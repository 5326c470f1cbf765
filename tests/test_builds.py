"""Built files are as new as their sources, and both builds load side by side."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import longwire
from tests.support import twins
from tests.support.needs import ROOT

PACKAGE = Path(longwire.__file__).parent


def _load_tool():
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "build.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = _load_tool()
MODULES = [
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in tool.compiled_sources()
]
# Only compiled: without them, asyncio's own transports and futures do.
NATIVE = {"asyncio.reactor", "asyncio.sockets", "asyncio.waiting", "asyncio.addresses"}
TWINS = [name for name in MODULES if name not in NATIVE]


def run(code: str, **environment: str) -> str:
    """Return what ``code`` prints in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LONGWIRE_PURE": "0", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.once
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="nothing is compiled")
def test_extensions_are_built_from_the_sources_that_lie_here():
    assert tool.stale() == [], "run `make build`"


@pytest.mark.once
@pytest.mark.parametrize("name", MODULES)
def test_a_declared_module_is_compiled(name):
    assert twins.compiled(name).__name__ == f"longwire.{name}"


@pytest.mark.parametrize("name", TWINS)
def test_a_compiled_module_has_a_pure_twin(name):
    assert twins.pure(name).__file__.endswith(".py")


@pytest.mark.once
@pytest.mark.parametrize("name", TWINS)
def test_both_builds_have_the_same_public_names(name):
    pure, compiled = twins.twins(name)

    def public(module):
        if hasattr(module, "__all__"):
            return set(module.__all__)
        return {n for n, v in vars(module).items() if _is_own(module, n, v)}

    # Compiled functions may be cdef, and then a test could not call them.
    assert public(pure) == public(compiled)


def _is_own(module, name, value) -> bool:
    own = getattr(value, "__module__", None) in (module.__name__, None)
    return own and not name.startswith("_")


def test_the_pure_twin_shares_errors_and_messages():
    pure = twins.pure("core.frames")

    assert pure.__name__ == "longwire_pure.core.frames"
    assert sys.modules["longwire_pure.errors"] is importlib.import_module(
        "longwire.errors"
    )
    assert importlib.import_module("longwire.errors").__name__ == "longwire.errors"


def test_pure_is_chosen_by_the_environment():
    code = "import longwire.build, longwire.core.frames as f; print(f.__file__)"

    assert run(code, LONGWIRE_PURE="1").endswith("frames.py")


def test_a_pure_process_loads_no_extension_of_ours():
    code = (
        "import sys, longwire, longwire.session.session\n"
        "print([n for n, m in sys.modules.items() if n.startswith('longwire')"
        " and not str(m.__file__).endswith('.py')])"
    )

    assert run(code, LONGWIRE_PURE="1") == "[]"


@pytest.mark.parametrize("value", ["", "0"])
def test_pure_is_not_chosen_by_zero(value):
    code = "import sys, longwire.build as b; print(type(sys.meta_path[0]).__name__)"

    assert run(code, LONGWIRE_PURE=value) != "SourceFinder"


@pytest.mark.once
def test_pure_chosen_too_late_is_refused():
    twins.compiled("core.frames")
    code = (
        "import longwire.core.frames, longwire.build\n"
        "try: longwire.build.use_pure()\n"
        "except RuntimeError as exc: print(exc)"
    )

    assert "longwire.core.frames" in run(code)


def test_build_tells_the_build():
    code = "import longwire.build as b; print(b.BUILD)"

    assert run(code, LONGWIRE_PURE="1") == "pure"


@pytest.mark.once
def test_why_a_build_is_pure_is_said():
    code = "from longwire import build; print(build.BUILD, build.why_pure())"

    assert run(code, LONGWIRE_PURE="1") == "pure LONGWIRE_PURE is set"
    if run("from longwire import build; print(build.BUILD)") == "compiled":
        assert run(code) == "compiled"


@pytest.mark.long
@pytest.mark.once
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="nothing is compiled")
def test_an_editable_install_puts_extensions_beside_their_sources(tmp_path):
    pytest.importorskip("Cython")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    # One module stands for all: each takes seconds.
    kept = shutil.ignore_patterns("*.so", "*.pyx", "*.pxd", "__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=kept)
    core = tmp_path / "src" / "longwire" / "core"
    for source in (PACKAGE / "core").glob("masking.p*"):
        shutil.copy(source, core)

    subprocess.run(
        [sys.executable, "setup.py", "-q", "editable_wheel", "--dist-dir", "dist"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )

    assert len(list(core.glob("masking.*.so"))) == 1
