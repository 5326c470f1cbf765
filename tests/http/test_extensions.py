"""Negotiation of extensions: RFC 6455 section 9, with extensions of our own."""

import dataclasses

import pytest

from longwire import errors
from longwire.http import extensions
from longwire.http.extensions import (
    ClientExtensionFactory,
    ClientPerMessageDeflateFactory,
    Extension,
    ServerExtensionFactory,
    ServerPerMessageDeflateFactory,
)
from longwire.messages import Deflate, Frame, Opcode

pytestmark = pytest.mark.once


class Shout(Extension):
    name = "x-shout"

    def __init__(self, level: str | None):
        self.level = level

    def encode(self, frame):
        return dataclasses.replace(frame, data=bytes(frame.data).upper())

    def decode(self, frame, *, max_size=None):
        return frame


class ClientShout(ClientExtensionFactory):
    name = Shout.name

    def __init__(self, level: str):
        self.level = level

    def get_request_params(self):
        return [("level", self.level)]

    def process_response_params(self, params, accepted_extensions):
        if list(params) != [("level", self.level)]:
            raise errors.NegotiationError(f"expected level {self.level}")
        return Shout(self.level)


class ServerShout(ServerExtensionFactory):
    name = Shout.name

    def __init__(self, level: str):
        self.level = level

    def process_request_params(self, params, accepted_extensions):
        if params != [("level", self.level)]:
            raise errors.NegotiationError("another level")
        return params, Shout(self.level)


def test_what_was_agreed_on_changes_frames():
    frame = Shout("1").encode(Frame(Opcode.TEXT, b"hello"))

    assert frame == Frame(Opcode.TEXT, b"HELLO")


def test_a_base_class_alone_does_nothing():
    for base in (Extension, ClientExtensionFactory, ServerExtensionFactory):
        with pytest.raises(TypeError, match="abstract"):
            base()


def test_offers_come_in_order():
    factories = [ClientShout("1"), ClientPerMessageDeflateFactory(), ClientShout("2")]

    assert extensions.offer(factories) == (
        "x-shout; level=1, permessage-deflate; client_max_window_bits, x-shout; level=2"
    )


def test_without_factories_nothing_is_offered():
    assert extensions.offer([]) is None


def test_a_server_grants_the_first_offer_that_fits():
    header, agreed = extensions.grant(
        ["x-shout; level=1, x-shout; level=2", "x-shout; level=3"],
        [ServerShout("3"), ServerShout("2")],
    )

    assert header == "x-shout; level=2"
    assert [extension.level for extension in agreed] == ["2"]


def test_a_server_grants_several_extensions_in_the_clients_order():
    header, agreed = extensions.grant(
        ["permessage-deflate", "unknown; x, x-shout; level=1"],
        [ServerShout("1"), ServerPerMessageDeflateFactory()],
    )

    assert header == "permessage-deflate, x-shout; level=1"
    assert [extension.name for extension in agreed] == [
        "permessage-deflate",
        "x-shout",
    ]


def test_a_server_declines_what_does_not_fit():
    assert extensions.grant(["x-shout; level=1"], [ServerShout("2")]) == (None, [])
    assert extensions.grant(["x-shout; level=1"], []) == (None, [])
    assert extensions.grant([], [ServerShout("2")]) == (None, [])


@pytest.mark.parametrize("factories", [[], [ServerPerMessageDeflateFactory()]])
def test_an_offer_that_cannot_be_read_is_refused(factories):
    with pytest.raises(errors.InvalidHeaderFormat):
        extensions.grant(["permessage-deflate; ="], factories)


def test_a_client_confirms_what_it_offered():
    agreed = extensions.confirm(
        ["x-shout; level=1", "permessage-deflate"],
        [ClientPerMessageDeflateFactory(), ClientShout("1")],
    )

    assert [extension.name for extension in agreed] == [
        "x-shout",
        "permessage-deflate",
    ]
    assert isinstance(agreed[1], Deflate)


def test_a_client_takes_the_answer_to_any_of_its_offers():
    agreed = extensions.confirm(
        ["x-shout; level=2"], [ClientShout("1"), ClientShout("2")]
    )

    assert agreed[0].level == "2"


def test_no_answer_agrees_on_nothing():
    assert extensions.confirm([], [ClientShout("1")]) == []


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["other"], "unsupported extension: other was not offered"),
        (["permessage-deflate"], "permessage-deflate was not offered"),
        (["x-shout; level=1, x-shout; level=1"], "duplicate extension: x-shout"),
        (["x-shout; level=1", "x-shout; level=1"], "duplicate extension: x-shout"),
        (["x-shout; level=9"], "expected level 1"),
    ],
)
def test_a_client_refuses_what_it_did_not_offer(values, text):
    with pytest.raises(errors.NegotiationError, match=text):
        extensions.confirm(values, [ClientShout("1"), ClientShout("2")])
