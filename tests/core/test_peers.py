"""What we write, other libraries read, and the other way round; without sockets."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longwire.messages import Deflate
from tests.core.wires import client, server
from tests.support.needs import needs

needs("websockets")
needs("wsproto")

from websockets.extensions.permessage_deflate import PerMessageDeflate  # noqa: E402
from websockets.frames import Opcode  # noqa: E402
from websockets.protocol import Protocol as PeerProtocol  # noqa: E402
from websockets.protocol import Side, State  # noqa: E402
from wsproto.connection import Connection, ConnectionType  # noqa: E402
from wsproto.events import BytesMessage, TextMessage  # noqa: E402
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate  # noqa: E402

messages = st.lists(
    st.text(max_size=200)
    | st.binary(max_size=300)
    | st.sampled_from([b"x" * 70000, "é" * 40000, "", b""]),
    min_size=1,
    max_size=5,
)
agreements = st.none() | st.builds(
    Deflate,
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    server_max_window_bits=st.integers(9, 15),
    client_max_window_bits=st.integers(9, 15),
)
cuts = st.integers(1, 20000)


def in_fragments(message, parts):
    step = max(1, len(message) // parts)
    return [message[i : i + step] for i in range(0, len(message), step)] or [message]


def send_all(protocol, messages, parts):
    for message in messages:
        opcode = 1 if isinstance(message, str) else 2
        pieces = in_fragments(message, parts)
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            protocol.send_message(opcode if i == 0 else 0, piece, last)
    return protocol.take_output()


def split(wire, step):
    return [wire[i : i + step] for i in range(0, len(wire), step)]


def read_all(protocol, wire, step):
    """Whole messages, from any chunks."""
    found, pieces = [], []
    for chunk in split(wire, step):
        protocol.receive(chunk)
        while (event := protocol.next_event()) is not None:
            kind, data, fin = event
            pieces.append(data)
            if fin:
                found.append(("" if kind == 1 else b"").join(pieces))
                pieces = []
    return found


def websockets_peer(is_client, deflate):
    peer = PeerProtocol(Side.CLIENT if is_client else Side.SERVER, State.OPEN)
    peer.max_message_size = None
    if deflate is not None:
        peer.extensions = [websockets_deflate(is_client, deflate)]
    return peer


def websockets_deflate(is_client, agreed):
    server = (agreed.server_no_context_takeover, agreed.server_max_window_bits)
    client = (agreed.client_no_context_takeover, agreed.client_max_window_bits)
    remote, local = (server, client) if is_client else (client, server)
    return PerMessageDeflate(remote[0], local[0], remote[1], local[1])


def websockets_reads(is_client, deflate, wire, step):
    peer = websockets_peer(is_client, deflate)
    found, pieces = [], []
    for chunk in split(wire, step):
        peer.receive_data(chunk)
    assert peer.parser_exc is None
    for frame in peer.events_received():
        if frame.opcode != Opcode.CONT:
            kind = frame.opcode
        pieces.append(bytes(frame.data))
        if frame.fin:
            data = b"".join(pieces)
            found.append(data.decode() if kind == Opcode.TEXT else data)
            pieces = []
    return found


def websockets_writes(is_client, deflate, messages):
    peer = websockets_peer(is_client, deflate)
    for message in messages:
        if isinstance(message, str):
            peer.send_text(message.encode())
        else:
            peer.send_binary(message)
    return b"".join(peer.data_to_send())


@pytest.mark.parametrize("is_client", [True, False])
@given(messages, st.integers(1, 4), agreements, cuts)
@settings(deadline=None, max_examples=40)
def test_websockets_reads_what_we_write(is_client, messages, parts, deflate, step):
    us = (client if is_client else server)(deflate)

    wire = send_all(us, messages, parts)

    assert websockets_reads(not is_client, deflate, wire, step) == messages


@pytest.mark.parametrize("is_client", [True, False])
@given(messages, agreements, cuts)
@settings(deadline=None, max_examples=40)
def test_we_read_what_websockets_writes(is_client, messages, deflate, step):
    us = (client if is_client else server)(deflate)

    wire = websockets_writes(not is_client, deflate, messages)

    assert read_all(us, wire, step) == messages


@pytest.mark.parametrize("is_client", [True, False])
@given(messages, st.integers(1, 4), agreements, cuts)
@settings(deadline=None, max_examples=40)
def test_we_read_what_we_write(is_client, messages, parts, deflate, step):
    us = client if is_client else server
    them = server if is_client else client

    wire = send_all(us(deflate, **masks(is_client)), messages, parts)

    assert read_all(them(deflate), wire, step) == messages


def masks(is_client):
    return {"random_bytes": os.urandom} if is_client else {}


def wsproto_peer(is_client, deflate):
    kind = ConnectionType.CLIENT if is_client else ConnectionType.SERVER
    extensions = []
    if deflate is not None:
        extension = WsprotoDeflate(
            client_no_context_takeover=deflate.client_no_context_takeover,
            client_max_window_bits=deflate.client_max_window_bits,
            server_no_context_takeover=deflate.server_no_context_takeover,
            server_max_window_bits=deflate.server_max_window_bits,
        )
        extension._enabled = True
        extensions.append(extension)
    return Connection(kind, extensions)


@pytest.mark.parametrize("is_client", [True, False])
@given(messages, st.integers(1, 4), agreements, cuts)
@settings(deadline=None, max_examples=40)
def test_wsproto_reads_what_we_write(is_client, messages, parts, deflate, step):
    us = (client if is_client else server)(deflate)
    peer = wsproto_peer(not is_client, deflate)

    found, pieces = [], []
    for chunk in split(send_all(us, messages, parts), step):
        peer.receive_data(chunk)
        for event in peer.events():
            pieces.append(event.data)
            if event.message_finished:
                empty = "" if isinstance(event, TextMessage) else b""
                found.append(empty.join(pieces))
                pieces = []

    assert found == messages


@pytest.mark.parametrize("is_client", [True, False])
@given(messages, agreements, cuts)
@settings(deadline=None, max_examples=40)
def test_we_read_what_wsproto_writes(is_client, messages, deflate, step):
    us = (client if is_client else server)(deflate)
    peer = wsproto_peer(not is_client, deflate)

    wire = b"".join(
        peer.send(TextMessage(m) if isinstance(m, str) else BytesMessage(m))
        for m in messages
    )

    assert read_all(us, wire, step) == messages
