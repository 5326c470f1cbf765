"""Negotiation: permessage-deflate agreed on with a peer that says anything.

A server grants at most one extension, with an answer that the client who offered it
confirms, and both then agree on every parameter. What either side agreed on, a codec
can do. Only documented errors, however the fields look.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from fuzz.choices import Choices
from longwire.core.deflate import Codec
from longwire.errors import InvalidHeader, NegotiationError
from longwire.http.extensions import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
    confirm,
    grant,
    offer,
)
from longwire.http.fields import parse_extension
from longwire.messages import Deflate
from longwire.options import PROFILES, Compression

BITS = (None, 9, 10, 12, 15)


def check(data: bytes) -> list[Any]:
    """Decisions: the server's wishes, the client's, who is faced with the field."""
    choices = Choices(data)
    server = _server(choices)
    client = _client(choices)
    who = choices.byte() % 3
    values = choices.rest().decode(errors="surrogateescape").split("\n")

    if who == 0:
        return _agree(client, server)
    try:
        if who == 1:
            header, agreed = grant(values, [server])
            assert (header is None) == (not agreed)
            if header is not None:
                assert len(parse_extension(header)) == 1
        else:
            agreed = confirm(values, [client])
    except InvalidHeader as exc:
        return [str(exc)]
    except NegotiationError as exc:
        assert who == 2, "a server declines, it does not fail"
        return [str(exc)]
    assert len(agreed) <= 1
    for deflate in agreed:
        check_usable(deflate, client=who == 2)
    return [repr(agreed)]


def _server(choices: Choices) -> ServerPerMessageDeflateFactory:
    flags = choices.byte()
    if flags & 4:
        return ServerPerMessageDeflateFactory.of(_profile(choices))
    server_bits, client_bits = choices.pick(BITS), choices.pick(BITS)
    return ServerPerMessageDeflateFactory(
        server_no_context_takeover=bool(flags & 1),
        client_no_context_takeover=bool(flags & 2),
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
        require_client_max_window_bits=bool(flags & 8) and client_bits is not None,
    )


def _client(choices: Choices) -> ClientPerMessageDeflateFactory:
    flags = choices.byte()
    if flags & 4:
        return ClientPerMessageDeflateFactory.of(_profile(choices))
    return ClientPerMessageDeflateFactory(
        server_no_context_takeover=bool(flags & 1),
        client_no_context_takeover=bool(flags & 2),
        server_max_window_bits=choices.pick(BITS),
        client_max_window_bits=choices.pick((*BITS, True)),
        fallback=bool(flags & 8),
    )


def _profile(choices: Choices) -> Compression:
    return PROFILES[choices.pick(sorted(PROFILES))]


def _agree(client: Any, server: Any) -> list[Any]:
    """Let the two talk to each other."""
    offered = offer([client])
    assert offered is not None
    answer, theirs = grant([offered], [server])
    if answer is None:
        assert server.require_client_max_window_bits
        return [offered, None]
    ours = confirm([answer], [client])
    assert len(ours) == len(theirs) == 1
    for deflate, is_client in ((ours[0], True), (theirs[0], False)):
        check_usable(deflate, client=is_client)
    _check_alike(ours[0], theirs[0])
    return [offered, answer, repr(ours), repr(theirs)]


def _check_alike(ours: Deflate, theirs: Deflate) -> None:
    """Each side must read what the other may write."""
    assert ours.server_max_window_bits >= theirs.server_max_window_bits
    assert theirs.client_max_window_bits >= ours.client_max_window_bits
    assert theirs.server_no_context_takeover >= ours.server_no_context_takeover
    assert ours.client_no_context_takeover >= theirs.client_no_context_takeover


def check_usable(deflate: Any, *, client: bool) -> None:
    """Fail unless a codec can do what was agreed on, in both directions."""
    assert isinstance(deflate, Deflate)
    assert dataclasses.replace(deflate) == deflate
    ours, theirs = Codec(deflate, client), Codec(deflate, not client)
    for message in (b"hello" * 9, b"", b"hello" * 9):
        assert theirs.decompress(ours.compress(message, True), True, 99) == message
