"""Fixtures of the tests of RPC."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import run_chromium


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DevTools URI of a Chromium that keeps pages which were left."""
    # Where memory is short it would not.
    keeps = "--disable-features=BackForwardCacheMemoryControls"
    yield from run_chromium(tmp_path_factory.mktemp("chromium"), keeps)
