"""What is tried: the packages of packages.toml, each with its tests."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["HERE", "ROOT", "Package", "packages"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DATA = HERE / "packages.toml"
FOLDER = ROOT / ".tools" / "dependents"


@dataclass(frozen=True)
class Package:
    """One package in one version, with the edition of websockets it is tried with."""

    name: str
    package: str  # as pip knows it, with its version: "uvicorn==0.34.3"
    websockets: str  # the version of the library that it is compared with
    api: str  # what it uses: "legacy", "asyncio", "sans-I/O", ...
    tests: tuple[str, ...]  # arguments for pytest, below the package's own sources
    passed: int  # how many of them pass with the library itself
    extras: str = ""  # of the package: "websockets,httpx"
    requires: tuple[str, ...] = ()  # what else its tests need
    programs: bool = False  # tests are ours, in programs/NAME, and need no sources
    quick: bool = False  # also run by .ci/run
    seconds: int = 600  # when a run is given up
    shares: str = ""  # another entry, whose environment and sources it has
    # Two classes that speak WebSocket for uvicorn, whose tests are run with one and the
    # other, both beside the library itself: that to compare with, and longwire's.
    asgi: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    # How the names of tests begin, and why: what is not run, and what ends otherwise.
    leave_out: dict[str, str] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> str:
        return self.package.partition("==")[0]

    @property
    def version(self) -> str:
        return self.package.partition("==")[2]

    @property
    def folder(self) -> Path:
        return FOLDER / (self.shares or self.name)

    @property
    def results(self) -> Path:
        """Where its runs write. Entries that share an environment have one each."""
        return FOLDER / self.name

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def sources(self) -> Path:
        """Where its tests are run: its own sources, or our programs for it."""
        return HERE / "programs" if self.programs else self.folder / "sources"

    @property
    def lock(self) -> Path:
        """The exact versions of all that is installed for it."""
        return HERE / "locks" / f"{self.shares or self.name}.txt"

    @property
    def wanted(self) -> list[str]:
        """What is installed for it where there is no lock."""
        extras = f"[{self.extras}]" if self.extras else ""
        return [
            f"{self.project}{extras}=={self.version}",
            f"websockets=={self.websockets}",
            "pytest-timeout",
            *self.requires,
        ]


def packages() -> list[Package]:
    with DATA.open("rb") as file:
        listed = tomllib.load(file)["packages"]
    return [read(name, entry) for name, entry in listed.items()]


def read(name: str, entry: dict[str, object]) -> Package:
    lists = {key: tuple(value) for key, value in entry.items() if _is_list(value)}
    return Package(name=name, **(entry | lists))  # type: ignore[arg-type]


def _is_list(value: object) -> bool:
    return isinstance(value, list)
