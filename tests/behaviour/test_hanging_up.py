"""A server closes TCP with the closing handshake (RFC 6455 section 7.1.1)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from longwire import build
from tests.support.frontends import FRONT_ENDS, SECONDS
from tests.support.rawpeer import knock

# asyncio's transports do not tell whether something lies unread.
KNOWING = ["sync", "trio"]
if build.BUILD == "compiled" and os.environ.get("LONGWIRE_ENGINE") != "transport":
    KNOWING.append("asyncio")
NAMES = [name for name in KNOWING if name in FRONT_ENDS]
# On transports asyncio is the only front end, and nothing is left.
pytestmark = [] if NAMES else [pytest.mark.once]


@pytest.fixture(params=NAMES)
def front(request: pytest.FixtureRequest) -> Iterator[Any]:
    front = FRONT_ENDS[request.param]()
    yield front
    front.stop()


@pytest.mark.parametrize("first", ["server", "peer"])
def test_a_peer_that_keeps_tcp_open_is_not_waited_for(front: Any, first: str) -> None:
    options = {"close_timeout": 3 * SECONDS}
    with front.serve(**options) as (port, arrived), knock(port) as peer:
        peer.ask()
        ours = arrived.get(timeout=SECONDS)
        begun = time.monotonic()
        if first == "server":
            closing = ours.start("close", 1001)
            assert peer.read_close() == (1001, "")
            peer.send_close(1001)
            closing.result()
        else:
            peer.send_close(1001)
            assert peer.read_close() == (1001, "")
        ours.wait_closed()
        assert time.monotonic() - begun < SECONDS
        peer.close()
