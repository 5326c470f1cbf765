"""The protocol layers of websockets and wsproto, each as two functions.

``..._reads`` gives the messages of some wire bytes, ``..._writes`` the wire bytes of
some messages; ``is_client`` says which side the peer is.
"""

from __future__ import annotations

from collections.abc import Iterable

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side, State
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate

from longwire.messages import Deflate

Messages = list[str | bytes]


def websockets_peer(is_client: bool, deflate: Deflate | None) -> Protocol:
    side = Side.CLIENT if is_client else Side.SERVER
    peer = Protocol(side, state=State.OPEN, max_size=None)
    if deflate is not None:
        peer.extensions = [websockets_deflate(is_client, deflate)]
    return peer


def websockets_deflate(is_client: bool, agreed: Deflate) -> PerMessageDeflate:
    server = (agreed.server_no_context_takeover, agreed.server_max_window_bits)
    client = (agreed.client_no_context_takeover, agreed.client_max_window_bits)
    remote, local = (server, client) if is_client else (client, server)
    return PerMessageDeflate(remote[0], local[0], remote[1], local[1])


def websockets_reads(
    is_client: bool, deflate: Deflate | None, chunks: Iterable[bytes]
) -> Messages:
    peer = websockets_peer(is_client, deflate)
    for chunk in chunks:
        peer.receive_data(chunk)
    assert peer.parser_exc is None
    found: Messages = []
    pieces = []
    kind = Opcode.CONT
    for frame in peer.events_received():
        if frame.opcode != Opcode.CONT:
            kind = frame.opcode
        pieces.append(bytes(frame.data))
        if frame.fin:
            data = b"".join(pieces)
            found.append(data.decode() if kind == Opcode.TEXT else data)
            pieces = []
    return found


def websockets_writes(
    is_client: bool, deflate: Deflate | None, messages: Messages
) -> bytes:
    peer = websockets_peer(is_client, deflate)
    for message in messages:
        if isinstance(message, str):
            peer.send_text(message.encode())
        else:
            peer.send_binary(message)
    return b"".join(peer.data_to_send())


def wsproto_peer(is_client: bool, agreed: Deflate | None) -> Connection:
    kind = ConnectionType.CLIENT if is_client else ConnectionType.SERVER
    if agreed is None:
        return Connection(kind, [])
    extension = WsprotoDeflate(
        client_no_context_takeover=agreed.client_no_context_takeover,
        client_max_window_bits=agreed.client_max_window_bits,
        server_no_context_takeover=agreed.server_no_context_takeover,
        server_max_window_bits=agreed.server_max_window_bits,
    )
    # There is no other way to an extension without a handshake.
    extension._enabled = True
    return Connection(kind, [extension])


def wsproto_reads(
    is_client: bool, deflate: Deflate | None, chunks: Iterable[bytes]
) -> Messages:
    peer = wsproto_peer(is_client, deflate)
    found: Messages = []
    pieces = []
    for chunk in chunks:
        peer.receive_data(chunk)
        for event in peer.events():
            pieces.append(event.data)
            if event.message_finished:
                empty = "" if isinstance(event, TextMessage) else b""
                found.append(empty.join(pieces))
                pieces = []
    return found


def wsproto_writes(
    is_client: bool, deflate: Deflate | None, messages: Messages
) -> bytes:
    peer = wsproto_peer(is_client, deflate)
    return b"".join(
        peer.send(TextMessage(m) if isinstance(m, str) else BytesMessage(m))
        for m in messages
    )
