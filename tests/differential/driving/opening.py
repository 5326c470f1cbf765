"""Drives opening handshakes: what is asked and answered, and what a client makes of it.

``side`` is "server" or "client" for the sans-I/O classes, "connect" or "legacy" for
the ``connect()`` of either asyncio API.
"""

import asyncio
import importlib
import re
import socket

from live import Peer
from sansio import Client, Server, accept_key, guarded, parse_uri
from values import Wire, describe

KEY = re.compile(rb"Sec-WebSocket-Key: (\S+)", re.IGNORECASE)


def extensions(options):
    """Return the options with a factory in place of the word that asks for one."""
    from websockets.extensions import permessage_deflate

    options = dict(options)
    wanted = options.pop("deflate", None)
    if wanted == "server":
        options["extensions"] = [permessage_deflate.ServerPerMessageDeflateFactory()]
    elif wanted == "client":
        factory = permessage_deflate.ClientPerMessageDeflateFactory
        options["extensions"] = [factory(client_max_window_bits=True)]
    return options


def run(program):
    options = extensions(program["options"])
    data, trace = program["data"].encode("latin-1"), []
    if program["side"] in ("connect", "legacy"):
        return asyncio.run(connect(program["side"], data))
    try:
        {"server": serve, "client": ask}[program["side"]](options, data, trace)
    except Exception as error:
        trace.append({"did": "raised", "result": describe(error)})
    return trace


def written(protocol, wire):
    found = []
    for data in protocol.data_to_send():
        found += ["end of stream"] if data == b"" else wire.feed(data)
    return found


def look(protocol):
    return {
        "state": describe(protocol.state),
        "handshake_exc": guarded(lambda: protocol.handshake_exc),
        "subprotocol": guarded(lambda: protocol.subprotocol),
        "extensions": guarded(lambda: [each.name for each in protocol.extensions]),
    }


def serve(options, data, trace):
    protocol, wire = Server(**options), Wire(http=True)
    protocol.receive_data(data)
    events = protocol.events_received()
    trace.append({"did": "receive", "events": describe(events), **look(protocol)})
    for request in events[:1]:
        # A request that could not be read is an event as well, in later editions.
        if getattr(protocol, "handshake_exc", None) is None:
            response = protocol.accept(request)
            trace.append({"did": "accept", "result": describe(response)})
            protocol.send_response(response)
    wrote = written(protocol, wire)
    trace.append({"did": "write", "wrote": wrote, **look(protocol)})


def ask(options, data, trace):
    wire = Wire(http=True)
    protocol = Client(parse_uri("ws://example.com:1234/path?query"), **options)
    request = protocol.connect()
    protocol.send_request(request)
    trace.append({"did": "ask", "wrote": written(protocol, wire), **look(protocol)})
    accept = accept_key(request.headers["Sec-WebSocket-Key"]).encode()
    protocol.receive_data(data.replace(b"ACCEPT", accept))
    events = describe(protocol.events_received())
    trace.append({"did": "receive", "events": events, **look(protocol)})
    protocol.receive_eof()
    events = describe(protocol.events_received())
    wrote = written(protocol, wire)
    trace.append({"did": "eof", "events": events, "wrote": wrote, **look(protocol)})


async def connect(api, data):
    where = (
        "websockets.asyncio.client" if api == "connect" else "websockets.legacy.client"
    )
    call = importlib.import_module(where).connect
    ours, theirs = socket.socketpair()
    peer = Peer(theirs, http=True)
    opening = asyncio.ensure_future(
        awaited(call, "ws://127.0.0.1:1/", sock=ours, compression=None)
    )
    head = b""
    while b"\r\n\r\n" not in head:
        await asyncio.sleep(0)
        try:
            head += theirs.recv(1 << 16)
        except BlockingIOError:
            pass
    accept = accept_key(KEY.search(head)[1].decode()).encode()
    peer.write(data.replace(b"ACCEPT", accept))
    theirs.shutdown(socket.SHUT_WR)
    try:
        connection = await opening
    except Exception as error:
        # What a handshake failed of is told by a message or by its cause.
        return [{"did": "connect", "result": describe(error)}]
    finally:
        theirs.close()
    return [{"did": "connect", "result": connection.subprotocol}]


async def awaited(call, *args, **kwargs):
    return await call(*args, **kwargs)
