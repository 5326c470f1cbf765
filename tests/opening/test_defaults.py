"""Each default is that of ``longwire.options``, in every signature that shows it."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from longwire.opening.settings import PRODUCT
from longwire.options import Keepalive, Limits, Timeouts

pytestmark = pytest.mark.once

LIMITS, TIMEOUTS, KEEPALIVE = Limits(), Timeouts(), Keepalive()

DEFAULTS: dict[str, Any] = {
    "open_timeout": TIMEOUTS.open,
    "close_timeout": TIMEOUTS.close,
    "ping_interval": KEEPALIVE.interval,
    "ping_timeout": KEEPALIVE.timeout,
    "max_size": LIMITS.message,
    "max_queue": LIMITS.queued_messages,
    "write_limit": LIMITS.output_bytes,
    "compression": "deflate",
    "proxy": True,
    "limits": None,
    "timeouts": None,
    "user_agent_header": PRODUCT,
    "server_header": PRODUCT,
}

# Keywords of connection classes say with a default that what `serve` or `connect`
# was given stays; the number is the same.
PLACES = [
    "longwire.serve",
    "longwire.connect",
    "longwire.asyncio.connection.Connection",
    "longwire.sync.serve",
    "longwire.sync.reconnect",
    "longwire.websockets.asyncio.server.serve",
    "longwire.websockets.asyncio.client.connect",
    "longwire.websockets.asyncio.connection.Connection",
    "longwire.websockets.sync.server.serve",
    "longwire.websockets.sync.client.connect",
    "longwire.websockets.client.ClientProtocol",
    "longwire.websockets.server.ServerProtocol",
    "longwire.websockets.protocol.Protocol",
    "longwire.websockets.legacy.client.connect",
    "longwire.websockets.legacy.client.unix_connect",
    "longwire.websockets.legacy.server.serve",
    "longwire.websockets.legacy.server.unix_serve",
]

# The older documented API has defaults of its own, and one keyword more.
LEGACY = {"close_timeout": None, "max_queue": 32, "write_limit": 65536}


def shown(place: str) -> dict[str, Any]:
    """Return the defaults that the signature of ``place`` shows."""
    module, _, name = place.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), name))
    return {
        parameter.name: parameter.default
        for parameter in signature.parameters.values()
        if parameter.default is not parameter.empty
    }


@pytest.mark.parametrize("place", PLACES)
def test_a_signature_shows_the_defaults_of_the_options(place: str) -> None:
    expected = DEFAULTS | (LEGACY if ".legacy." in place else {})
    defaults = shown(place)
    common = defaults.keys() & expected.keys()

    assert {name: defaults[name] for name in common} == {
        name: expected[name] for name in common
    }
    assert common, "no keyword of this signature is compared"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("longwire.serve", "longwire.sync.serve"),
        ("longwire.connect", "longwire.sync.reconnect"),
        ("longwire.serve", "longwire.websockets.asyncio.server.serve"),
        ("longwire.connect", "longwire.websockets.asyncio.client.connect"),
        ("longwire.sync.serve", "longwire.websockets.sync.server.serve"),
    ],
)
def test_front_ends_that_share_a_keyword_share_its_default(
    one: str, other: str
) -> None:
    first, second = shown(one), shown(other)
    own = {"create_connection", "reconnect_delays", "process_exception"}
    common = (first.keys() & second.keys()) - own

    assert {n: first[n] for n in common} == {n: second[n] for n in common}
    assert DEFAULTS.keys() & first.keys() == DEFAULTS.keys() & second.keys()


@pytest.mark.parametrize("place", PLACES)
def test_every_keyword_with_a_default_of_the_options_is_compared(place: str) -> None:
    """A new keyword for a limit, timeout or ping has to be added to the table above."""
    names = {
        name
        for name in shown(place)
        if name.endswith("_timeout") or name.startswith(("ping_", "max_"))
    }

    assert names - DEFAULTS.keys() <= {"max_redirects"}
