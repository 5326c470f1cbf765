"""What we write, other libraries read, and the other way round; without sockets."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longwire.messages import Deflate
from tests.core.wires import client, server
from tests.support.needs import MARK

for name in ("websockets", "wsproto"):
    pytest.importorskip(name, reason=f"{MARK}{name}: pip install {name}")
peers = pytest.importorskip("tests.core.peers")

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
few_examples = settings(max_examples=30)
both_sides = pytest.mark.parametrize("is_client", [True, False])
each_peer = pytest.mark.parametrize("peer", ["websockets", "wsproto"])


def us(is_client, deflate):
    if is_client:
        return client(deflate, random_bytes=os.urandom)
    return server(deflate)


def in_fragments(message, parts):
    step = max(1, len(message) // parts)
    return [message[i : i + step] for i in range(0, len(message), step)] or [message]


def write(protocol, messages, parts):
    for message in messages:
        opcode = 1 if isinstance(message, str) else 2
        pieces = in_fragments(message, parts)
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            protocol.send_message(opcode if i == 0 else 0, piece, last)
    return protocol.take_output()


def split(wire, step):
    return [wire[i : i + step] for i in range(0, len(wire), step)]


def read(protocol, chunks):
    """Whole messages, from any chunks."""
    found, pieces = [], []
    for chunk in chunks:
        protocol.receive(chunk)
        while (event := protocol.next_event()) is not None:
            kind, data, fin = event
            pieces.append(data)
            if fin:
                found.append(("" if kind == 1 else b"").join(pieces))
                pieces = []
    return found


@each_peer
@both_sides
@given(messages, st.integers(1, 4), agreements, cuts)
@few_examples
def test_a_peer_reads_what_we_write(peer, is_client, messages, parts, deflate, step):
    wire = write(us(is_client, deflate), messages, parts)

    found = getattr(peers, f"{peer}_reads")(not is_client, deflate, split(wire, step))

    assert found == messages


@each_peer
@both_sides
@given(messages, agreements, cuts)
@few_examples
def test_we_read_what_a_peer_writes(peer, is_client, messages, deflate, step):
    wire = getattr(peers, f"{peer}_writes")(not is_client, deflate, messages)

    assert read(us(is_client, deflate), split(wire, step)) == messages


@both_sides
@given(messages, st.integers(1, 4), agreements, cuts)
@few_examples
def test_we_read_what_we_write(is_client, messages, parts, deflate, step):
    wire = write(us(is_client, deflate), messages, parts)

    assert read(us(not is_client, deflate), split(wire, step)) == messages
