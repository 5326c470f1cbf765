"""Names that other libraries and former editions have, and what to write here.

``hints.py`` answers a name that is not there by these tables.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ATTRIBUTES", "KEYWORDS", "MODULE", "RENAMED"]

_JSON = "write json.dumps() and send(), json.loads() and recv()"
_RECEIVE = "write 'message = await websocket.recv()'"
_SEND = "write 'await websocket.send(message)': str goes out as Text, bytes as Binary"
_ITERATE = "write 'async for message in websocket'"
_CLOSED = "write 'websocket.state is State.CLOSED', or catch ConnectionClosed"
_OPEN = "write 'websocket.state is State.OPEN'"
_REQUEST = "it is in websocket.request: .path, .headers"
_ADDRESS = "write websocket.remote_address"
_DATA = "websocket.data is yours: keep what you know of a connection there"
_ROOMS = (
    "keep a set of connections for each room and write broadcast(room, message), or "
    "take topics of longwire.hub"
)

# Names that connections of other libraries have.
ATTRIBUTES = {
    "send_json": _JSON,
    "receive_json": _JSON,
    "recv_json": _JSON,
    "iter_json": _JSON,
    "receive": _RECEIVE,
    "receive_text": _RECEIVE,
    "receive_bytes": _RECEIVE,
    "receive_str": _RECEIVE,
    "recv_str": _RECEIVE,
    "read_message": _RECEIVE,
    "get_message": _RECEIVE,
    "send_text": _SEND,
    "send_str": _SEND,
    "send_bytes": _SEND,
    "send_message": _SEND,
    "write_message": _SEND,
    "write": _SEND,
    "emit": _SEND,
    "iter_text": _ITERATE,
    "iter_bytes": _ITERATE,
    "on_message": _ITERATE,
    "on": _ITERATE,
    "run_forever": _ITERATE,
    "accept": "a handler gets connections that are open already",
    "prepare": "a handler gets connections that are open already",
    # What trio calls aclose() is close() elsewhere: each has its own name.
    "close": "write 'await websocket.aclose()'",
    "aclose": "write 'await websocket.close()'",
    "disconnect": "write 'await websocket.close()'",
    "closed": _CLOSED,
    "is_closed": _CLOSED,
    "open": _OPEN,
    "is_open": _OPEN,
    "connected": _OPEN,
    "client_state": _OPEN,
    "path": _REQUEST,
    "url": _REQUEST,
    "headers": _REQUEST,
    "request_headers": _REQUEST,
    "cookies": _REQUEST,
    "query_params": "write websocket.request.query",
    "query": "write websocket.request.query",
    "client": _ADDRESS,
    "host": _ADDRESS,
    "port": _ADDRESS,
    "remote_ip": _ADDRESS,
    "args": "write websocket.request.query",
    "query_string": "write websocket.request.query",
    "json": _JSON,
    "user": _DATA,
    "session": _DATA,
    "scope": _DATA,
    "app": _DATA,
    "join": _ROOMS,
    "leave": _ROOMS,
    "rooms": _ROOMS,
    "broadcast": "write broadcast(connections, message), a function of this package",
    "settimeout": "recv() is what waits: write recv(timeout=seconds) in threads, a "
    "timeout() block around it on an event loop",
    "drain": "there is nothing to drain: send() waits while its peer does not read",
    "connect": "it is connected: connect() gave it",
}

# Keywords of other libraries for which there is no single one here.
KEYWORDS = {
    "max_connections": "write limits=longwire.Limits(connections=...)",
    "limit_concurrency": "write limits=longwire.Limits(connections=...)",
    "max_clients": "write limits=longwire.Limits(connections=...)",
    "cors": "write origins=[...], the pages that may connect",
    "cors_allowed_origins": "write origins=[...], the pages that may connect",
    "allowed_origins": "write origins=[...], the pages that may connect",
    "certfile": "write ssl=context, an ssl.SSLContext with load_cert_chain()",
    "keyfile": "write ssl=context, an ssl.SSLContext with load_cert_chain()",
    "ssl_certfile": "write ssl=context, an ssl.SSLContext with load_cert_chain()",
    "ssl_keyfile": "write ssl=context, an ssl.SSLContext with load_cert_chain()",
    "verify": "write ssl=context, an ssl.SSLContext that says so",
    "static": "write process_request=longwire.pages({'/': 'page.html'})",
    "static_files": "write process_request=longwire.pages({'/': 'page.html'})",
    "debug": "write logging.basicConfig(level=logging.DEBUG)",
    "log_level": "write logging.basicConfig(level=logging.DEBUG)",
    "on_message": "write 'async for message in websocket'",
    "on_open": "what is to be done first comes before 'async for message in websocket'",
    "on_close": "what is to be done last comes after 'async for message in websocket'",
    "on_error": "write 'except longwire.ConnectionClosed'",
    "auth": "write process_request=longwire.basic_auth(...) on a server; a client has "
    "user and password in its URI",
    "cookies": "write additional_headers={'Cookie': ...}",
    "loop": "the running event loop is used",
    "read_limit": "write max_queue, or limits=longwire.Limits(queued_bytes=...)",
    "reconnect": "write 'async for websocket in connect(...)'",
    "keepalive": "write ping_interval= and ping_timeout=",
    "path": "a handler gets every path: look at websocket.request.path, or write "
    "longwire.route()",
}

# Names that other editions, other libraries and plain habit use for ours; where there
# are two, the first is the client's and the second the server's.
RENAMED: Mapping[str, str] = {
    "extra_headers": "additional_headers process_response",
    "headers": "additional_headers process_response",
    "header": "additional_headers process_response",
    "timeout": "open_timeout",
    "ssl_context": "ssl",
    "sslopt": "ssl",
    "user_agent": "user_agent_header",
    "create_protocol": "create_connection",
    "klass": "create_connection",
    "heartbeat": "ping_interval",
    "max_msg_size": "max_size",
    "protocols": "subprotocols",
}

_CONNECT = "write 'async with longwire.connect(uri) as websocket'"
_SERVE = "write 'async with longwire.serve(handler, host, port) as server'"
_IN_LONGWIRE = "it is in longwire itself: longwire.connect, longwire.ConnectionClosed"

# Names of modules of other libraries.
MODULE = {
    "WebSocket": _CONNECT,
    "WebSocketApp": _CONNECT,
    "WebSocketClient": _CONNECT,
    "WebSocketClientProtocol": _CONNECT,
    "Client": _CONNECT,
    "create_connection": _CONNECT,
    "ws_connect": _CONNECT,
    "connect_async": _CONNECT,
    "aconnect_ws": _CONNECT,
    "WebSocketServer": _SERVE,
    "WebSocketServerProtocol": _SERVE,
    "start_server": _SERVE,
    "run": _SERVE,
    "client": _IN_LONGWIRE,
    "server": _IN_LONGWIRE,
    "exceptions": _IN_LONGWIRE,
}
