"""The parts of `make dist`: what may be in an archive, and that all of it is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.needs import needs
from tools import dist

pytestmark = pytest.mark.once

KNOWN = {
    "src/longwire/__init__.py",
    "src/longwire/core/frames.py",
    "src/longwire/core/masking.pyx",
    "src/longwire/py.typed",
    "setup.py",
}
TAG = "cpython-311-x86_64-linux-gnu.so"


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("longwire/__init__.py", True),  # in a wheel
        ("src/longwire/__init__.py", True),  # in a source distribution
        ("setup.py", True),
        ("longwire-0.1.0.dist-info/RECORD", True),
        ("longwire-0.1.0.dist-info/licenses/LICENSE", True),
        ("PKG-INFO", True),
        ("src/longwire.egg-info/SOURCES.txt", True),
        (f"longwire/core/frames.{TAG}", True),
        (f"longwire/core/masking.{TAG}", True),
        (f"longwire/core/gone.{TAG}", False),
        ("longwire/core/frames.c", False),
        ("longwire/notes.txt", False),
        ("longwire-0.1.0.dist-info/secret", False),
        ("other/__init__.py", False),
        ("longwire.libs/libz.so.1", False),
        ("../setup.py", False),
    ],
)
def test_a_file_is_tracked_or_made_by_the_build_or_unknown(name, is_known):
    assert (dist.unknown_files([name], KNOWN) == []) == is_known


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A source distribution, and a pure wheel made of it."""
    needs("setuptools")
    folder = tmp_path_factory.mktemp("dist")
    source = dist.sdist(folder)
    command = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w")
    dist.run(sys.executable, *command, folder, source, **dist.PURE)
    (wheel,) = folder.glob("*.whl")
    return source, wheel


def test_every_file_of_the_archives_has_a_known_origin(archives):
    known = dist.tracked() | untracked()
    for archive in archives:
        assert dist.unknown_files(dist.names_in(archive), known) == []


def test_every_file_of_the_package_is_in_both_archives(archives):
    source, wheel = (set(dist.names_in(archive)) for archive in archives)
    package = {name for name in dist.tracked() if name.startswith("src/longwire/")}
    package = {name for name in package if (dist.ROOT / name).exists()}

    assert package - source == set()
    assert {name.removeprefix("src/") for name in package} - wheel == set()
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.py"} <= source


def untracked():
    """Files of a change that is not committed yet."""
    command = ["git", "ls-files", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=dist.ROOT, capture_output=True, text=True)
    return set(done.stdout.splitlines())


def test_a_python_is_found_for_each_minor_version_once():
    found = dist.pythons()

    assert len(found) == len(set(found))
    assert all(name.startswith("/") for name in found)


def test_the_archives_are_named_after_the_version_of_the_package(archives):
    import longwire

    for archive in archives:
        assert archive.name.startswith(f"longwire-{longwire.__version__}")


def test_both_packages_have_the_same_version_and_name():
    import json

    import longwire

    package = json.loads((dist.ROOT / "js" / "package.json").read_text())
    assert (package["name"], package["version"]) == ("longwire", longwire.__version__)
