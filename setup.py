"""Extension modules only; everything else is declared in pyproject.toml.

What is compiled is found, not listed: every ``.py`` of the package that has a ``.pxd``
of the same stem in the same folder, and every ``.pyx``. Where a ``.pyx`` and a ``.py``
share a stem, the ``.pyx`` is the kernel and the ``.py`` its reference.

Environment:
    LONGWIRE_PURE_BUILD=1        compile nothing
    LONGWIRE_REQUIRE_COMPILED=1  fail where an extension cannot be built
    LONGWIRE_FORCE_BUILD=1       compile everything, whatever the times of files say
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, LinkError, PlatformError

SRC = Path("src")

NO_EXTENSIONS = """\
longwire: NOTE: no extension modules were built ({reason}).
longwire: Everything works without them, in pure Python, but several times slower.
longwire: Install a C compiler and Python's headers, then install longwire again.\
"""


def is_set(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


def say(reason: str) -> None:
    print(NO_EXTENSIONS.format(reason=reason), file=sys.stderr, flush=True)


def compilable() -> dict[str, Path]:
    """Module name to source, of everything that Cython compiles."""
    sources = {
        source
        for declared in (SRC / "longwire").rglob("*.pxd")
        if (source := declared.with_suffix(".py")).is_file()
    }
    found = {**_by_module(sources), **_by_module((SRC / "longwire").rglob("*.pyx"))}
    return dict(sorted(found.items()))


def _by_module(paths):
    return {".".join(p.relative_to(SRC).with_suffix("").parts): p for p in paths}


def extensions() -> list[Extension]:
    """The extension modules to build here, with their C code generated."""
    if is_set("LONGWIRE_PURE_BUILD"):
        say("LONGWIRE_PURE_BUILD is set")
        return []
    if platform.python_implementation() != "CPython":
        say("this is not CPython")
        return []
    found = compilable()
    if not found:
        return []
    from Cython.Build import cythonize

    return cythonize(
        [
            Extension(
                name, [str(path)], optional=not is_set("LONGWIRE_REQUIRE_COMPILED")
            )
            for name, path in found.items()
        ],
        build_dir="build/cython",
        force=is_set("LONGWIRE_FORCE_BUILD"),
        quiet=True,
        compiler_directives={
            "language_level": 3,
            # Annotations are for readers and mypy; the C types stand in the .pxd.
            "annotation_typing": False,
            "embedsignature": True,
            "embedsignature.format": "python",
        },
    )


class BuildExtensions(build_ext):
    """Builds what it can: without a compiler the package is installed as it is."""

    def run(self) -> None:
        try:
            super().run()
        except (CompileError, ExecError, LinkError, PlatformError) as exc:
            if is_set("LONGWIRE_REQUIRE_COMPILED"):
                raise
            say(str(exc))

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except (CompileError, ExecError, LinkError, PlatformError) as exc:
            if not ext.optional:
                raise
            say(f"{ext.name}: {exc}")


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExtensions})
