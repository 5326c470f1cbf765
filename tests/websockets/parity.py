"""What the documents name, module by module: plain facts, for test_parity.

Modules are relative to ``longwire.websockets``, itself the first. ``MEMBERS`` has what
the classes among ``NAMES`` have, ``PARAMETERS`` what functions and methods take.
"""

CONNECTION = """
    __aenter__ __aiter__ close close_code close_reason local_address ping pong recv
    recv_streaming remote_address send state subprotocol wait_closed
"""
SANS_IO = """
    close_code close_expected close_reason data_to_send events_received fail
    receive_data receive_eof send_binary send_close send_continuation send_ping
    send_pong send_text state id logger handshake_exc close_exc
"""
COMMON = """
    __aiter__ abort_pings close close_code close_connection close_reason close_transport
    closed connection_closed_exc connection_open ensure_open fail_connection host
    keepalive_ping local_address open ping pong port read_data_frame read_frame
    read_message recv remote_address secure send side transfer_data wait_closed
    wait_for_connection_lost write_close_frame write_frame write_frame_sync
"""
AFTER_OPENING = """
    is_client worker raw_request_headers raw_response_headers request_headers
    response_headers path id logger latency subprotocol extensions
"""
SERVER = """
    handler read_http_request select_subprotocol write_http_response
"""

NAMES: dict[str, str] = {
    "": """
        ClientConnection ClientProtocol Close CloseCode ConcurrencyError
        ConnectionClosed ConnectionClosedError ConnectionClosedOK Data
        DuplicateParameter ExtensionName ExtensionParameter Frame HeaderLineTooLong
        Headers HeadersLike InvalidHandshake InvalidHeader InvalidHeaderFormat
        InvalidHeaderValue InvalidMessage InvalidMethod InvalidOrigin
        InvalidParameterName InvalidParameterValue InvalidProtocol InvalidProxy
        InvalidProxyMessage InvalidProxyStatus InvalidState InvalidStatus InvalidURI
        InvalidUpgrade LoggerLike MultipleValuesError NegotiationError Opcode Origin
        PayloadTooBig Protocol ProtocolError ProxyError Request RequestLineTooLong
        Response Router SecurityError Server ServerConnection ServerProtocol Side State
        StatusLike StatusLineTooLong Subprotocol TooManyFragments TooManyHeaders
        WebSocketException basic_auth broadcast connect route serve unix_connect
        unix_route unix_serve BasicAuthWebSocketServerProtocol WebSocketClientProtocol
        WebSocketCommonProtocol WebSocketProtocolError WebSocketServer
        WebSocketServerProtocol WebSocketURI basic_auth_protocol_factory parse_uri
        InvalidStatusCode AbortHandshake RedirectHandshake
    """,
    "sync.client": """
        ClientConnection connect reconnect unix_connect unix_reconnect
    """,
    "sync.connection": """
        Connection
    """,
    "sync.router": """
        Router route unix_route
    """,
    "sync.server": """
        Server ServerConnection basic_auth broadcast serve unix_serve
    """,
    "trio.client": """
        ClientConnection connect unix_connect
    """,
    "trio.connection": """
        Connection
    """,
    "trio.router": """
        Router route
    """,
    "trio.server": """
        Server ServerConnection basic_auth broadcast serve
    """,
    "asyncio.client": """
        ClientConnection connect unix_connect process_exception
    """,
    "asyncio.connection": """
        Connection
    """,
    "asyncio.router": """
        Router route unix_route
    """,
    "asyncio.server": """
        Server ServerConnection basic_auth broadcast serve unix_serve
    """,
    "auth": """
        BasicAuthWebSocketServerProtocol basic_auth_protocol_factory
    """,
    "cli": """
        main
    """,
    "client": """
        ClientProtocol ClientConnection process_exception WebSocketClientProtocol
        connect unix_connect
    """,
    "connection": """
        Connection SEND_EOF Side State
    """,
    "datastructures": """
        Headers HeadersLike MultipleValuesError
    """,
    "exceptions": """
        ConcurrencyError ConnectionClosed ConnectionClosedError ConnectionClosedOK
        DuplicateParameter HeaderLineTooLong InvalidHandshake InvalidHeader
        InvalidHeaderFormat InvalidHeaderValue InvalidMessage InvalidMethod
        InvalidOrigin InvalidParameterName InvalidParameterValue InvalidProtocol
        InvalidProxy InvalidProxyMessage InvalidProxyStatus InvalidState InvalidStatus
        InvalidURI InvalidUpgrade NegotiationError PayloadTooBig ProtocolError
        ProxyError RequestLineTooLong SecurityError StatusLineTooLong TooManyFragments
        TooManyHeaders WebSocketException AbortHandshake InvalidStatusCode
        RedirectHandshake WebSocketProtocolError
    """,
    "extensions": """
        ClientExtensionFactory Extension ServerExtensionFactory
    """,
    "extensions.base": """
        ClientExtensionFactory Extension ServerExtensionFactory
    """,
    "extensions.permessage_deflate": """
        ClientPerMessageDeflateFactory PerMessageDeflate ServerPerMessageDeflateFactory
        enable_client_permessage_deflate enable_server_permessage_deflate
    """,
    "frames": """
        Close CloseCode Frame Opcode
    """,
    "framing": """
        Frame read_frame write_frame parse_close serialize_close OP_CONT OP_TEXT
        OP_BINARY OP_CLOSE OP_PING OP_PONG CLOSE_CODES
    """,
    "handshake": """
        build_request check_request build_response check_response
    """,
    "headers": """
        build_authorization_basic build_extension build_host build_subprotocol
        build_www_authenticate_basic parse_authorization_basic parse_connection
        parse_extension parse_subprotocol parse_upgrade validate_subprotocols
    """,
    "http": """
        read_request read_response USER_AGENT
    """,
    "http11": """
        Request Response SERVER USER_AGENT
    """,
    "imports": """
        lazy_import
    """,
    "legacy.auth": """
        BasicAuthWebSocketServerProtocol basic_auth_protocol_factory
    """,
    "legacy.client": """
        WebSocketClientProtocol connect unix_connect
    """,
    "legacy.exceptions": """
        AbortHandshake InvalidHandshake InvalidMessage InvalidStatusCode
        RedirectHandshake StatusLike WebSocketProtocolError datastructures http
    """,
    "legacy.framing": """
        BytesLike Close DataLike Frame PayloadTooBig ProtocolError apply_mask
        encode_data parse_close prepare_ctrl prepare_data serialize_close
    """,
    "legacy.handshake": """
        build_request build_response check_request check_response
    """,
    "legacy.http": """
        read_request read_response
    """,
    "legacy.protocol": """
        WebSocketCommonProtocol
    """,
    "legacy.server": """
        WebSocketServer WebSocketServerProtocol broadcast serve unix_serve
    """,
    "protocol": """
        Protocol SEND_EOF Side State WebSocketCommonProtocol
    """,
    "proxy": """
        Proxy get_proxy parse_proxy
    """,
    "server": """
        ServerProtocol ServerConnection WebSocketServer WebSocketServerProtocol
        broadcast serve unix_serve
    """,
    "streams": """
        StreamReader
    """,
    "typing": """
        Data ExtensionName ExtensionParameter LoggerLike Origin StatusLike Subprotocol
    """,
    "uri": """
        WebSocketURI parse_uri
    """,
    "utils": """
        accept_key apply_mask get_socket_name generate_key
    """,
    "version": """
        commit tag version
    """,
}

SYNC_CONNECTION = """
    __enter__ __iter__ close close_code close_reason local_address ping pong recv
    recv_streaming remote_address send state subprotocol wait_closed
"""

TRIO_CONNECTION = """
    __aenter__ __aiter__ aclose close_code close_reason local_address ping pong recv
    recv_streaming remote_address send state subprotocol wait_closed
"""

MEMBERS: dict[str, dict[str, str]] = {
    "trio.client": {
        "ClientConnection": TRIO_CONNECTION,
        "connect": "__aenter__ __aiter__ connect",
    },
    "trio.connection": {
        "Connection": TRIO_CONNECTION,
    },
    "trio.router": {
        "Router": "get_server_name handler not_found redirect route_request",
    },
    "trio.server": {
        "Server": "__aenter__ aclose connections serve_forever",
        "ServerConnection": f"{TRIO_CONNECTION} respond",
    },
    "sync.client": {
        "ClientConnection": SYNC_CONNECTION,
        "reconnect": "__enter__ __iter__ connect",
    },
    "sync.connection": {
        "Connection": SYNC_CONNECTION,
    },
    "sync.router": {
        "Router": "get_server_name handler not_found redirect route_request",
    },
    "sync.server": {
        "Server": """
            SHUTDOWN_POLLING_INTERVAL __enter__ connections fileno serve_forever
            shutdown
        """,
        "ServerConnection": f"{SYNC_CONNECTION} respond",
    },
    "asyncio.client": {
        "ClientConnection": CONNECTION,
        "connect": "__aenter__ __aiter__ __await__ connect",
    },
    "asyncio.connection": {
        "Connection": CONNECTION,
    },
    "asyncio.router": {
        "Router": "get_server_name handler not_found redirect route_request",
    },
    "asyncio.server": {
        "Server": """
            __aenter__ __await__ close connections get_loop is_serving serve_forever
            sockets start_serving wait_closed
        """,
        "ServerConnection": f"{CONNECTION} respond",
    },
    "auth": {
        "BasicAuthWebSocketServerProtocol": f"""
            {COMMON} {SERVER} check_credentials is_client realm username
        """,
    },
    "client": {
        "ClientProtocol": f"{SANS_IO} connect send_request",
        "ClientConnection": f"{SANS_IO} connect send_request",
    },
    "connection": {
        "Connection": SANS_IO,
    },
    "datastructures": {
        "Headers": """
            __iter__ clear copy get_all raw_items serialize set_insecure update
        """,
    },
    "extensions": {
        "ClientExtensionFactory": "get_request_params process_response_params",
        "Extension": "decode encode",
        "ServerExtensionFactory": "process_request_params",
    },
    "extensions.base": {
        "ClientExtensionFactory": "get_request_params process_response_params",
        "Extension": "decode encode",
        "ServerExtensionFactory": "process_request_params",
    },
    "extensions.permessage_deflate": {
        "ClientPerMessageDeflateFactory": """
            get_request_params name process_response_params
        """,
        "PerMessageDeflate": "decode encode name",
        "ServerPerMessageDeflateFactory": "name process_request_params",
    },
    "frames": {
        "Close": "check serialize parse",
        "Frame": """
            DEFAULT_IS_TEXT MAX_LOG_SIZE check fin rsv1 rsv2 rsv3 serialize parse
        """,
    },
    "http11": {
        "Request": "exception method protocol serialize",
        "Response": "body exception serialize",
    },
    "legacy.auth": {
        "BasicAuthWebSocketServerProtocol": f"""
            {COMMON} {SERVER} check_credentials is_client realm username
        """,
    },
    "legacy.client": {
        "WebSocketClientProtocol": f"""
            {COMMON} {AFTER_OPENING} read_http_response write_http_request handshake
        """,
        "connect": """
            BACKOFF_FACTOR BACKOFF_INITIAL BACKOFF_MAX BACKOFF_MIN MAX_REDIRECTS_ALLOWED
            __aenter__ __aiter__ __await__ handle_redirect
        """,
    },
    "legacy.protocol": {
        "WebSocketCommonProtocol": COMMON,
    },
    "legacy.server": {
        "WebSocketServer": """
            __aenter__ close get_loop is_serving register serve_forever sockets
            start_serving unregister wait_closed wrap websockets
        """,
        "WebSocketServerProtocol": f"""
            {COMMON} {AFTER_OPENING} {SERVER} handshake process_request
        """,
        "serve": "__aenter__ __await__",
    },
    "protocol": {
        "Protocol": SANS_IO,
    },
    "proxy": {
        "Proxy": "password user_info username",
    },
    "server": {
        "ServerProtocol": f"{SANS_IO} accept reject select_subprotocol send_response",
        "ServerConnection": f"{SANS_IO} accept reject send_response",
    },
    "streams": {
        "StreamReader": """
            read_line read_exact read_to_eof at_eof feed_data feed_eof discard
        """,
    },
    "uri": {
        "WebSocketURI": "password resource_name user_info username",
    },
}

PARAMETERS: dict[str, dict[str, str]] = {
    "trio.client": {
        "ClientConnection": (
            "nursery stream protocol * ping_interval ping_timeout close_timeout "
            "max_queue"
        ),
        "connect": (
            "uri * stream ssl server_hostname origin extensions subprotocols "
            "compression additional_headers user_agent_header proxy proxy_ssl "
            "proxy_server_hostname process_exception open_timeout ping_interval "
            "ping_timeout close_timeout reconnect_delays max_size max_queue logger "
            "create_connection **kwargs"
        ),
        "connect.connect": "nursery",
        "unix_connect": "path uri **kwargs",
    },
    "trio.connection": {
        "Connection": (
            "nursery stream protocol * ping_interval ping_timeout close_timeout "
            "max_queue"
        ),
        "Connection.aclose": "code reason",
        "Connection.ping": "data * ack_on_close",
        "Connection.pong": "data",
        "Connection.recv": "decode",
        "Connection.recv_streaming": "decode",
        "Connection.send": "message * text",
    },
    "trio.router": {
        "Router": "url_map server_name url_scheme",
        "Router.get_server_name": "connection request",
        "Router.handler": "connection",
        "Router.not_found": "connection",
        "Router.redirect": "connection url",
        "Router.route_request": "connection request",
        "route": ("url_map *args server_name ssl create_router task_status **kwargs"),
    },
    "trio.server": {
        "Server": "listeners handler logger",
        "Server.aclose": "close_connections code reason",
        "Server.serve_forever": "task_status",
        "ServerConnection": (
            "nursery stream protocol server * ping_interval ping_timeout "
            "close_timeout max_queue"
        ),
        "ServerConnection.respond": "status text",
        "basic_auth": "realm credentials check_credentials",
        "broadcast": "connections message * text raise_exceptions",
        "serve": (
            "handler port * host backlog listeners ssl origins extensions "
            "subprotocols select_subprotocol compression process_request "
            "process_response server_header open_timeout ping_interval ping_timeout "
            "close_timeout max_size max_queue logger create_connection task_status"
        ),
    },
    "sync.client": {
        "ClientConnection": (
            "sock protocol * ping_interval ping_timeout close_timeout max_queue"
        ),
        "connect": (
            "uri * sock ssl server_hostname origin extensions subprotocols compression "
            "additional_headers user_agent_header proxy proxy_ssl "
            "proxy_server_hostname open_timeout ping_interval ping_timeout "
            "close_timeout max_size max_queue logger create_connection legacy **kwargs"
        ),
        "reconnect": (
            "uri * sock ssl server_hostname origin extensions subprotocols compression "
            "additional_headers user_agent_header proxy proxy_ssl "
            "proxy_server_hostname process_exception open_timeout ping_interval "
            "ping_timeout close_timeout reconnect_delays max_size max_queue logger "
            "create_connection **kwargs"
        ),
        "unix_connect": "path uri * legacy **kwargs",
        "unix_reconnect": "path uri **kwargs",
    },
    "sync.connection": {
        "Connection": (
            "sock protocol * ping_interval ping_timeout close_timeout max_queue"
        ),
        "Connection.close": "code reason",
        "Connection.ping": "data * ack_on_close",
        "Connection.pong": "data",
        "Connection.recv": "timeout decode",
        "Connection.recv_streaming": "decode",
        "Connection.send": "message * text",
        "Connection.wait_closed": "timeout",
    },
    "sync.router": {
        "Router": "url_map server_name url_scheme",
        "Router.get_server_name": "connection request",
        "Router.handler": "connection",
        "Router.not_found": "connection",
        "Router.redirect": "connection url",
        "Router.route_request": "connection request",
        "route": "url_map *args server_name ssl create_router **kwargs",
        "unix_route": "url_map path **kwargs",
    },
    "sync.server": {
        "Server": "sock handler logger",
        "Server.shutdown": "close_connections code reason",
        "ServerConnection": (
            "sock protocol server * ping_interval ping_timeout close_timeout max_queue"
        ),
        "ServerConnection.respond": "status text",
        "basic_auth": "realm credentials check_credentials",
        "broadcast": "connections message * text raise_exceptions",
        "serve": (
            "handler host port * sock ssl origins extensions subprotocols "
            "select_subprotocol compression process_request process_response "
            "server_header open_timeout ping_interval ping_timeout close_timeout "
            "max_size max_queue logger create_connection **kwargs"
        ),
        "unix_serve": "handler path **kwargs",
    },
    "asyncio.client": {
        "ClientConnection": (
            "protocol * ping_interval ping_timeout close_timeout max_queue write_limit"
        ),
        "connect": (
            "uri * origin extensions subprotocols compression additional_headers "
            "user_agent_header proxy process_exception open_timeout ping_interval "
            "ping_timeout close_timeout reconnect_delays max_size max_queue "
            "write_limit logger create_connection **kwargs"
        ),
        "unix_connect": "path uri **kwargs",
    },
    "asyncio.connection": {
        "Connection": (
            "protocol * ping_interval ping_timeout close_timeout max_queue write_limit"
        ),
        "Connection.close": "code reason",
        "Connection.ping": "data",
        "Connection.pong": "data",
        "Connection.recv": "decode",
        "Connection.recv_streaming": "decode",
        "Connection.send": "message * text",
    },
    "asyncio.router": {
        "Router": "url_map server_name url_scheme",
        "Router.get_server_name": "connection request",
        "Router.handler": "connection",
        "Router.not_found": "connection",
        "Router.redirect": "connection url",
        "Router.route_request": "connection request",
        "route": "url_map *args server_name ssl create_router **kwargs",
        "unix_route": "url_map path **kwargs",
    },
    "asyncio.server": {
        "Server": "create_server handler logger",
        "ServerConnection": (
            "protocol server * ping_interval ping_timeout close_timeout max_queue "
            "write_limit"
        ),
        "ServerConnection.respond": "status text",
        "basic_auth": "realm credentials check_credentials",
        "broadcast": "connections message * text raise_exceptions",
        "serve": (
            "handler host port * origins extensions subprotocols select_subprotocol "
            "compression process_request process_response server_header "
            "open_timeout ping_interval ping_timeout close_timeout max_size "
            "max_queue write_limit logger create_connection **kwargs"
        ),
        "unix_serve": "handler path **kwargs",
    },
    "auth": {
        "BasicAuthWebSocketServerProtocol.check_credentials": "username password",
        "basic_auth_protocol_factory": (
            "realm credentials check_credentials create_protocol"
        ),
    },
    "cli": {
        "main": "argv",
    },
    "client": {
        "ClientProtocol": "uri * origin extensions subprotocols state max_size logger",
        "ClientProtocol.fail": "code reason",
        "ClientProtocol.receive_data": "data",
        "ClientProtocol.send_binary": "data fin",
        "ClientProtocol.send_close": "code reason",
        "ClientProtocol.send_continuation": "data fin",
        "ClientProtocol.send_ping": "data",
        "ClientProtocol.send_pong": "data",
        "ClientProtocol.send_request": "request",
        "ClientProtocol.send_text": "data fin",
        "ClientConnection": (
            "wsuri origin extensions subprotocols state max_size logger"
        ),
    },
    "connection": {
        "Connection": "side state max_size logger",
    },
    "datastructures": {
        "Headers": "*args **kwargs",
        "Headers.get_all": "key",
        "Headers.set_insecure": "key value",
        "Headers.update": "*args **kwargs",
    },
    "exceptions": {
        "ConnectionClosed": "rcvd sent rcvd_then_sent",
        "InvalidStatusCode": "status_code headers",
        "AbortHandshake": "status headers body",
        "RedirectHandshake": "uri",
    },
    "extensions": {
        "ClientExtensionFactory.process_response_params": "params accepted_extensions",
        "Extension.decode": "frame * max_size",
        "Extension.encode": "frame",
        "ServerExtensionFactory.process_request_params": "params accepted_extensions",
    },
    "extensions.base": {
        "ClientExtensionFactory.process_response_params": "params accepted_extensions",
        "Extension.decode": "frame * max_size",
        "Extension.encode": "frame",
        "ServerExtensionFactory.process_request_params": "params accepted_extensions",
    },
    "extensions.permessage_deflate": {
        "ClientPerMessageDeflateFactory": (
            "server_no_context_takeover client_no_context_takeover "
            "server_max_window_bits client_max_window_bits compress_settings"
        ),
        "ClientPerMessageDeflateFactory.process_response_params": (
            "params accepted_extensions"
        ),
        "PerMessageDeflate": (
            "remote_no_context_takeover local_no_context_takeover "
            "remote_max_window_bits local_max_window_bits compress_settings"
        ),
        "PerMessageDeflate.decode": "frame * max_size",
        "PerMessageDeflate.encode": "frame",
        "ServerPerMessageDeflateFactory": (
            "server_no_context_takeover client_no_context_takeover "
            "server_max_window_bits client_max_window_bits compress_settings "
            "require_client_max_window_bits"
        ),
        "ServerPerMessageDeflateFactory.process_request_params": (
            "params accepted_extensions"
        ),
        "enable_client_permessage_deflate": "extensions",
        "enable_server_permessage_deflate": "extensions",
    },
    "frames": {
        "Close": "code reason",
        "Frame": "opcode data fin rsv1 rsv2 rsv3",
        "Frame.serialize": "* mask extensions",
    },
    "headers": {
        "build_authorization_basic": "username password",
        "build_extension": "extensions",
        "build_host": "host port secure * always_include_port",
        "build_subprotocol": "subprotocols",
        "build_www_authenticate_basic": "realm",
        "parse_authorization_basic": "header",
        "parse_connection": "header",
        "parse_extension": "header",
        "parse_subprotocol": "header",
        "parse_upgrade": "header",
        "validate_subprotocols": "subprotocols",
    },
    "http11": {
        "Request": "path headers method protocol",
        "Response": "status_code reason_phrase headers body",
    },
    "imports": {
        "lazy_import": "namespace aliases deprecated_aliases",
    },
    "legacy.auth": {
        "BasicAuthWebSocketServerProtocol.check_credentials": "username password",
        "basic_auth_protocol_factory": (
            "realm credentials check_credentials create_protocol"
        ),
    },
    "legacy.client": {
        "WebSocketClientProtocol": (
            "* logger origin extensions subprotocols extra_headers "
            "user_agent_header **kwargs"
        ),
        "WebSocketClientProtocol.write_http_request": "path headers",
        "connect": (
            "uri * create_protocol logger compression origin extensions "
            "subprotocols extra_headers user_agent_header open_timeout "
            "ping_interval ping_timeout close_timeout max_size max_queue read_limit "
            "write_limit **kwargs"
        ),
        "connect.handle_redirect": "uri",
        "unix_connect": "path uri **kwargs",
    },
    "legacy.framing": {
        "Close": "code reason",
        "Frame": "fin opcode data rsv1 rsv2 rsv3",
        "encode_data": "data",
        "parse_close": "data",
        "prepare_ctrl": "data",
        "prepare_data": "data",
        "serialize_close": "code reason",
    },
    "legacy.handshake": {
        "build_request": "headers",
        "build_response": "headers key",
        "check_request": "headers",
        "check_response": "headers key",
    },
    "legacy.http": {
        "read_request": "stream",
        "read_response": "stream",
    },
    "legacy.protocol": {
        "WebSocketCommonProtocol": (
            "* logger ping_interval ping_timeout close_timeout max_size max_queue "
            "read_limit write_limit host port secure legacy_recv loop timeout"
        ),
        "WebSocketCommonProtocol.close": "code reason",
        "WebSocketCommonProtocol.fail_connection": "code reason",
        "WebSocketCommonProtocol.ping": "data",
        "WebSocketCommonProtocol.pong": "data",
        "WebSocketCommonProtocol.read_data_frame": "max_size",
        "WebSocketCommonProtocol.read_frame": "max_size",
        "WebSocketCommonProtocol.send": "message",
        "WebSocketCommonProtocol.write_close_frame": "close data",
        "WebSocketCommonProtocol.write_frame": "fin opcode data * _state",
        "WebSocketCommonProtocol.write_frame_sync": "fin opcode data",
    },
    "legacy.server": {
        "WebSocketServer": "logger",
        "WebSocketServer.register": "protocol",
        "WebSocketServer.unregister": "protocol",
        "WebSocketServer.wrap": "server",
        "WebSocketServerProtocol": (
            "ws_handler ws_server * logger origins extensions subprotocols "
            "extra_headers server_header process_request select_subprotocol "
            "open_timeout **kwargs"
        ),
        "WebSocketServerProtocol.select_subprotocol": (
            "client_subprotocols server_subprotocols"
        ),
        "WebSocketServerProtocol.write_http_response": "status headers body",
        "broadcast": "websockets message raise_exceptions",
        "serve": (
            "ws_handler host port * create_protocol logger compression origins "
            "extensions subprotocols extra_headers server_header process_request "
            "select_subprotocol open_timeout ping_interval ping_timeout "
            "close_timeout max_size max_queue read_limit write_limit **kwargs"
        ),
        "unix_serve": (
            "ws_handler path * create_protocol logger compression origins extensions "
            "subprotocols extra_headers server_header process_request "
            "select_subprotocol ping_interval ping_timeout close_timeout max_size "
            "max_queue read_limit write_limit **kwargs"
        ),
    },
    "protocol": {
        "Protocol": "side * state max_size logger",
        "Protocol.fail": "code reason",
        "Protocol.receive_data": "data",
        "Protocol.send_binary": "data fin",
        "Protocol.send_close": "code reason",
        "Protocol.send_continuation": "data fin",
        "Protocol.send_ping": "data",
        "Protocol.send_pong": "data",
        "Protocol.send_text": "data fin",
    },
    "proxy": {
        "Proxy": "scheme host port username password",
        "get_proxy": "uri",
        "parse_proxy": "proxy",
    },
    "server": {
        "ServerProtocol": (
            "* origins extensions subprotocols select_subprotocol state max_size logger"
        ),
        "ServerProtocol.accept": "request",
        "ServerProtocol.fail": "code reason",
        "ServerProtocol.receive_data": "data",
        "ServerProtocol.reject": "status text",
        "ServerProtocol.select_subprotocol": "subprotocols",
        "ServerProtocol.send_binary": "data fin",
        "ServerProtocol.send_close": "code reason",
        "ServerProtocol.send_continuation": "data fin",
        "ServerProtocol.send_ping": "data",
        "ServerProtocol.send_pong": "data",
        "ServerProtocol.send_response": "response",
        "ServerProtocol.send_text": "data fin",
        "ServerConnection": "origins extensions subprotocols state max_size logger",
    },
    "uri": {
        "WebSocketURI": "secure host port path query username password",
        "parse_uri": "uri",
    },
    "utils": {
        "accept_key": "key",
        "apply_mask": "data mask",
    },
}


def documented() -> dict[str, list[str]]:
    """Every name, module by module; what a class has is written after a dot."""
    return {
        module: [
            *names.split(),
            *(
                f"{owner}.{part}"
                for owner, parts in MEMBERS.get(module, {}).items()
                for part in parts.split()
            ),
        ]
        for module, names in NAMES.items()
    }
