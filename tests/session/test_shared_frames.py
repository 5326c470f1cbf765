"""One message for many connections: who shares what, and that everybody can read it."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longwire.core.protocol import Protocol
from longwire.messages import Deflate
from longwire.options import Keepalive, Limits, Timeouts
from longwire.session.session import Session
from longwire.session.shared_frames import MAX_STREAMS, Forms

NO_TAKEOVER = Deflate(server_no_context_takeover=True)
JSON = b'{"user": "grace", "text": "message number %d", "tags": ["new", "red"]}'


class Peer:
    """A server's session and the client at its other end, which keeps its context."""

    def __init__(self, deflate: Deflate | None = None, client: bool = False) -> None:
        self.session = Session(
            client,
            limits=Limits(),
            timeouts=Timeouts(),
            keepalive=Keepalive(),
            random_bytes=os.urandom,
            now=0.0,
            deflate=deflate,
        )
        self.other = Session(
            not client,
            limits=Limits(queued_messages=None),
            timeouts=Timeouts(),
            keepalive=Keepalive(),
            random_bytes=os.urandom,
            now=0.0,
            deflate=deflate,
        )
        self.sent = 0

    @property
    def protocol(self) -> Protocol:
        return self.session.protocol

    def flush(self) -> None:
        data = self.session.take_output()
        self.sent += len(data)
        self.other.receive(data, 0.0)

    def send(self, payload: bytes, compress: bool = True) -> None:
        self.session.send(2, payload, True, compress)
        self.flush()

    def get(self, forms: Forms) -> bytes:
        frame = forms.frame_for(self.session)
        assert frame is not None
        self.session.send_encoded(frame, 0, 0.0)
        self.flush()
        return frame

    def read(self) -> list[Any]:
        assert self.other.fault is None, self.other.fault
        return [self.other.take()[1] for _ in range(self.other.inbox.whole)]


def form(payload: bytes) -> Forms:
    return Forms(2, payload, os.urandom)


def broadcast(peers: list[Peer], payload: bytes) -> set[bytes]:
    """Send to all; return the different frames there were."""
    forms = form(payload)
    frames = {peer.get(forms) for peer in peers}
    forms.settle()
    return frames


def all_read(peers: list[Peer]) -> list[list[Any]]:
    return [peer.read() for peer in peers]


# --- what is shared ---


@pytest.mark.parametrize("deflate", [None, NO_TAKEOVER, Deflate()])
def test_all_of_one_kind_share_one_frame(deflate: Deflate | None) -> None:
    peers = [Peer(deflate) for _ in range(5)]

    for n in range(4):
        assert len(broadcast(peers, JSON % n)) == 1

    assert all_read(peers) == [[JSON % n for n in range(4)]] * 5


def test_every_kind_can_read_it() -> None:
    kinds = [
        None,
        NO_TAKEOVER,
        Deflate(),
        Deflate(server_max_window_bits=10),
        Deflate(level=1),
        Deflate(min_size=1000),
    ]
    peers = [Peer(deflate) for deflate in kinds * 2]

    for n in range(3):
        assert len(broadcast(peers, (JSON % n) * 3)) <= len(kinds)

    assert all_read(peers) == [[(JSON % n) * 3 for n in range(3)]] * len(peers)


def test_a_shared_context_makes_messages_as_small_as_an_own_one() -> None:
    shared, own = [Peer(Deflate()) for _ in range(2)], Peer(Deflate())

    for n in range(10):
        broadcast(shared, JSON % n)
        own.send(JSON % n)

    assert [peer.sent for peer in shared] == [own.sent] * 2


def test_clients_share_what_is_compressed_but_no_mask() -> None:
    peers = [Peer(Deflate(), client=True) for _ in range(3)]

    for n in range(3):
        assert len(broadcast(peers, JSON % n)) == 3

    assert all_read(peers) == [[JSON % n for n in range(3)]] * 3


def test_who_comes_later_is_given_a_context_that_others_then_join() -> None:
    peers = [Peer(Deflate()) for _ in range(3)]
    broadcast(peers, JSON % 0)

    late = []
    for n in range(1, 2 * MAX_STREAMS):
        late.append(Peer(Deflate()))
        frames = broadcast([*peers, *late], JSON % n)
        assert len(frames) <= MAX_STREAMS + 1

    assert len(broadcast([*peers, *late], JSON % 99)) <= 2 * MAX_STREAMS - MAX_STREAMS


def test_a_message_of_its_own_leaves_the_shared_context() -> None:
    peers = [Peer(Deflate()) for _ in range(3)]
    broadcast(peers, JSON % 0)
    peers[1].send(b"of its own")

    assert len(broadcast(peers, JSON % 2)) == 2

    assert all_read(peers) == [
        [JSON % 0, JSON % 2],
        [JSON % 0, b"of its own", JSON % 2],
        [JSON % 0, JSON % 2],
    ]


def test_a_message_that_is_not_compressed_leaves_the_shared_context_alone() -> None:
    peers = [Peer(Deflate()) for _ in range(3)]
    broadcast(peers, JSON % 0)
    peers[1].send(JSON % 1, compress=False)

    assert len(broadcast(peers, JSON % 2)) == 1


def test_short_messages_keep_a_context_that_is_in_use() -> None:
    peer = Peer(Deflate())
    for n in range(3):
        peer.send(JSON % n)
    context = peer.protocol.codec

    # One for many between its own: its own context shrinks it best.
    frame = peer.get(form(JSON % 3))
    assert context.shared is None
    assert len(frame) < len(JSON) / 2

    # Two in a row: it has become one of the crowd.
    peer.get(form(JSON % 4))
    assert context.shared is not None


def test_long_messages_are_shared_at_once() -> None:
    peers = [Peer(Deflate()) for _ in range(2)]
    for peer in peers:
        peer.send(JSON)

    assert len(broadcast(peers, JSON * 100)) == 1


def test_the_same_connection_twice_gets_it_twice() -> None:
    peer, other = Peer(Deflate()), Peer(Deflate())
    for n in range(3):
        broadcast([peer, other, peer], JSON % n)

    assert peer.read() == [JSON % n for n in range(3) for _ in range(2)]
    assert other.read() == [JSON % n for n in range(3)]


def test_forgetting_starts_anew() -> None:
    peers = [Peer(Deflate()) for _ in range(2)]
    broadcast(peers, JSON % 0)
    lost = form(JSON % 1)
    for peer in peers:
        lost.frame_for(peer.session)
        peer.protocol.codec.forget()
    lost.settle()

    broadcast(peers, JSON % 2)

    assert all_read(peers) == [[JSON % 0, JSON % 2]] * 2


# --- everybody can read everything, whatever happens ---

WHO = st.sets(st.integers(0, 5), min_size=1)
STEPS = st.one_of(
    st.tuples(st.just("broadcast"), WHO, st.integers(1, 40)),
    st.tuples(st.just("slow"), WHO, st.integers(1, 40)),
    st.tuples(st.just("drop"), WHO, st.just(1)),
    st.tuples(st.just("deliver"), WHO, st.just(1)),
    st.tuples(st.just("send"), WHO, st.integers(1, 40)),
    st.tuples(st.just("plain"), WHO, st.integers(1, 40)),
    st.tuples(st.just("fragments"), WHO, st.integers(1, 40)),
)
AGREED = st.sampled_from(
    [Deflate(), Deflate(), Deflate(level=1), NO_TAKEOVER, Deflate(min_size=200), None]
)


class Crowd:
    """Six connections, of which some are slow: messages wait for them unencoded."""

    def __init__(self, agreed: list[Deflate | None]) -> None:
        self.peers = [Peer(each) for each in agreed]
        self.waiting: list[list[Forms]] = [[] for _ in agreed]
        self.expected: list[list[bytes]] = [[] for _ in agreed]
        self.count = 0

    def message(self, times: int) -> bytes:
        self.count += 1
        return (JSON % self.count) * times

    def do(self, what: str, who: set[int], times: int) -> None:
        if what in ("broadcast", "slow"):
            self.broadcast(who, times, what == "slow")
            return
        for i in who:
            if what == "drop":
                del self.waiting[i][:1]
                continue
            self.deliver(i)
            if what != "deliver":
                self.send(i, what, self.message(times))

    def broadcast(self, who: set[int], times: int, slow: bool) -> None:
        payload = self.message(times)
        forms = form(payload)
        for i in who:
            if self.waiting[i] or (slow and i % 2):
                self.waiting[i].append(forms)
            else:
                self.peers[i].get(forms)
                self.expected[i].append(payload)
        forms.settle()

    def deliver(self, i: int) -> None:
        for forms in self.waiting[i]:
            self.peers[i].get(forms)
            self.expected[i].append(forms.payload)
        self.waiting[i] = []

    def send(self, i: int, what: str, payload: bytes) -> None:
        peer = self.peers[i]
        if what == "fragments":
            peer.session.send(2, payload[:50], False, True)
            peer.session.send(0, payload[50:], True, True)
            peer.flush()
        else:
            peer.send(payload, compress=what == "send")
        self.expected[i].append(payload)


@settings(max_examples=200, deadline=None)
@given(st.lists(AGREED, min_size=6, max_size=6), st.lists(STEPS, max_size=40))
def test_everybody_reads_what_was_sent(
    agreed: list[Deflate | None], steps: list[tuple[str, set[int], int]]
) -> None:
    crowd = Crowd(agreed)

    for step in steps:
        crowd.do(*step)

    assert all_read(crowd.peers) == crowd.expected
