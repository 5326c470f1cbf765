"""Tries all cases on all libraries; see the package."""

from __future__ import annotations

import argparse

from . import page
from .cases import CASES
from .trying import LIBRARIES, try_all


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m conformance.strictness")
    parser.add_argument("--write", action="store_true", help="keep what is found")
    arguments = parser.parse_args()
    names = [library.name for library in LIBRARIES]
    versions = {library.name: library.version() for library in LIBRARIES}
    found = {library.name: try_all(library, CASES) for library in LIBRARIES}
    verdicts: page.Verdicts = {}
    print(f"{'':12}{'':44}{''.join(f'{name:12}' for name in names)}")
    for case in CASES:
        each = {name: found[name][case.kind, case.name] for name in names}
        verdicts.setdefault(case.kind, {})[case.name] = each
        shown = "".join(f"{each[name]:12}" for name in names)
        mark = "  <- stricter" if page.stricter(case, verdicts) else ""
        print(f"{case.kind:12}{page._name(case.name)[:42]:44}{shown}{mark}")
    if arguments.write:
        page.store(versions, verdicts)
        page.PAGE.write_text(page.with_tables(page.PAGE.read_text()))


if __name__ == "__main__":
    main()
