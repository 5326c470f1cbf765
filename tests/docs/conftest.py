"""One Chromium for the pages among the examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import run_chromium


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DevTools URI of a running Chromium, for `Browser`."""
    yield from run_chromium(tmp_path_factory.mktemp("chromium"))
