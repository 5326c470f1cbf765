"""What the old protocol classes say of attributes, and at what cost."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from longwire.websockets.legacy import client, server

CLASSES = [client.WebSocketClientProtocol, server.WebSocketServerProtocol]
EARLY = ("path", "request_headers", "response_headers")
MORE = ("close_report", "request", "response", "wire")


@pytest.fixture
def made():
    """Each protocol, before its opening handshake."""

    async def make():
        def serve(ws):
            return None

        given = {server.WebSocketServerProtocol: (serve, server.WebSocketServer())}
        return [kind(*given.get(kind, ())) for kind in CLASSES]

    return asyncio.run(make())


@pytest.mark.parametrize("name", EARLY)
def test_what_the_opening_handshake_tells_is_said_to_be_unknown_before(made, name):
    for protocol in made:
        with pytest.raises(AttributeError, match=f"{name} is known only after"):
            getattr(protocol, name)
        assert not hasattr(protocol, name)


@pytest.mark.parametrize(("name", "ends"), [("nothing", 2), ("username", 1)])
def test_what_does_not_exist_is_named_with_its_class(made, name, ends):
    for protocol in made[:ends]:  # a server's has a username
        text = f"'{type(protocol).__name__}' object has no attribute '{name}'"
        with pytest.raises(AttributeError, match=text) as raised:
            getattr(protocol, name)
        assert raised.value.name == name


@pytest.mark.parametrize("name", MORE)
def test_what_no_edition_has_is_read_inside_until_it_is_set(made, name):
    for protocol in made:
        assert getattr(protocol, name) == getattr(protocol._connection, name)
        setattr(protocol, name, "mine")
        assert getattr(protocol, name) == "mine"


@pytest.mark.parametrize("kind", CLASSES)
def test_no_attribute_is_looked_for_in_two_ways(kind):
    # A class with one has every ``ws.send`` looked for by it, too: 4 % of an echo.
    assert inspect.getattr_static(kind, "__getattr__", None) is None
