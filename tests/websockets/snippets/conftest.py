"""Fixtures of the documents' programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import run_chromium
from tests.support.ports import free_port


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DevTools URI of a running Chromium, for `Browser`."""
    yield from run_chromium(tmp_path_factory.mktemp("chromium"))


@pytest.fixture
def unused_port() -> int:
    """A port of localhost that nobody listens on."""
    return free_port()
