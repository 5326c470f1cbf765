"""Every test here runs on each front end, and with longwire on either side."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.frontends import FRONT_ENDS, AsyncioFrontEnd, Links
from tests.support.toy_front_end import ToyFrontEnd

PURE_RUN = os.environ.get("LONGWIRE_PURE", "0") not in ("", "0")


# The other front ends are Python on both builds: `make long` has them on the pure one.
LONG = {"sync": pytest.mark.long, "trio": pytest.mark.long} if PURE_RUN else {}
ALL: dict[str, Any] = dict(FRONT_ENDS)
if "sync" in FRONT_ENDS:
    # What it proves is proved by one run now and then.
    ALL["toy"] = ToyFrontEnd
    LONG["toy"] = pytest.mark.long


def front_ends(names: Iterable[str]) -> Any:
    """Return the fixture ``front`` for these front ends."""

    @pytest.fixture(params=[pytest.param(n, marks=LONG.get(n, ())) for n in names])
    def front(request: pytest.FixtureRequest) -> Iterator[AsyncioFrontEnd]:
        """A running front end; fails the test if it leaves something behind."""
        front = ALL[request.param]()
        yield front
        front.stop()

    return front


front = front_ends(ALL)


@pytest.fixture(params=["server", "client"])
def link(
    request: pytest.FixtureRequest,
    front: AsyncioFrontEnd,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Links]:
    """Call it for ``ours, peer``: longwire is the server, then the client.

    Whatever a raw peer does is its own fault, so no log record may have a traceback.
    """
    caplog.set_level("INFO", "longwire")
    links = Links(front, request.param)
    yield links
    links.close()
    traces = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not traces


@pytest.fixture
def cancelling(front: AsyncioFrontEnd) -> None:
    """For tests of front ends whose verbs can be cancelled."""
    if "cancel" not in front.can:
        pytest.skip(f"{front.name} cannot cancel")


@pytest.fixture(params=["tcp", "tls"])
def wire(request: pytest.FixtureRequest, certificates: Certificates) -> dict[str, Any]:
    """Options that make a link plain, or over TLS."""
    return {"tls": certificates} if request.param == "tls" else {}
