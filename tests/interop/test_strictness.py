"""What longwire refuses and others accept: as the page says, each with its clause."""

from __future__ import annotations

import pytest
from conformance.strictness import page, trying
from conformance.strictness.cases import CASES, Case

from tests.support.needs import needs

VERSIONS, VERDICTS = page.load()
# A busy machine is not a verdict; what is silent is not asked here.
PATIENCE = 20.0


def expected(library: str) -> dict[Case, str]:
    """Return the cases that a library answers, each with its verdict."""
    found = {case: VERDICTS[case.kind][case.name][library] for case in CASES}
    return {case: verdict for case, verdict in found.items() if verdict != "silent"}


def found(library: str, monkeypatch: pytest.MonkeyPatch) -> dict[Case, str]:
    """Return the same, as tried now."""
    monkeypatch.setattr(trying, "PATIENCE", PATIENCE)
    cases = list(expected(library))
    (program,) = [each for each in trying.LIBRARIES if each.name == library]
    verdicts = trying.try_all(program, cases)
    return {case: verdicts[case.kind, case.name] for case in cases}


def differences(wanted: dict[Case, str], got: dict[Case, str]) -> list[str]:
    return [
        f"{case.kind}, {case.name}: {got[case]}, not {wanted[case]}"
        for case in wanted
        if got[case] != wanted[case]
    ]


@pytest.mark.timeout(120)
def test_longwire_is_as_strict_as_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, got = expected("longwire"), found("longwire", monkeypatch)

    assert differences(wanted, got) == []


@pytest.mark.once
@pytest.mark.parametrize("library", page.PEERS)
def test_others_are_as_is_written(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(library)
    (program,) = [each for each in trying.LIBRARIES if each.name == library]
    if program.version() != VERSIONS[library]:
        pytest.skip(f"{program.version()} is here; {VERSIONS[library]} was tried")

    # How they refuse is up to them, and may depend on who is faster.
    def accepted(verdicts: dict[Case, str]) -> dict[Case, str]:
        return {case: str(verdict == "yes") for case, verdict in verdicts.items()}

    wanted, got = expected(library), found(library, monkeypatch)

    assert differences(accepted(wanted), accepted(got)) == []


@pytest.mark.once
def test_each_check_that_others_do_without_has_a_clause() -> None:
    missing = [
        (case.kind, case.name)
        for case in CASES
        if page.stricter(case, VERDICTS) and not case.clause
    ]

    assert missing == []


@pytest.mark.once
def test_a_clause_stands_beside_nothing_that_is_accepted() -> None:
    wrong = [
        (case.kind, case.name)
        for case in CASES
        if case.clause and VERDICTS[case.kind][case.name]["longwire"] == "yes"
    ]

    assert wrong == []


@pytest.mark.once
def test_every_case_was_tried_on_all() -> None:
    names = {page.OURS, *page.PEERS}

    assert len({(case.kind, case.name) for case in CASES}) == len(CASES) > 400
    assert {kind: list(cases) for kind, cases in VERDICTS.items()} == {
        kind: [case.name for case in CASES if case.kind == kind] for kind in page.TITLES
    }
    assert all(
        set(each) == names for cases in VERDICTS.values() for each in cases.values()
    )


@pytest.mark.once
def test_the_page_has_what_was_found() -> None:
    text = page.PAGE.read_text()

    assert page.with_tables(text) == text
