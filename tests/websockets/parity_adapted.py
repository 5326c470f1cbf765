"""What the documents name in the modules that adapt longwire: for test_parity_adapted.

Modules are relative to ``longwire.websockets``, itself the first; a name with a dot is
one of a class.
"""

ADAPTED: dict[str, str] = {
    "": """
        ClientConnection ClientProtocol Close CloseCode ConcurrencyError
        ConnectionClosed ConnectionClosedError ConnectionClosedOK Data
        DuplicateParameter ExtensionName ExtensionParameter Frame
        HeaderLineTooLong Headers HeadersLike InvalidHandshake InvalidHeader
        InvalidHeaderFormat InvalidHeaderValue InvalidMessage InvalidMethod
        InvalidOrigin InvalidParameterName InvalidParameterValue InvalidProtocol
        InvalidProxy InvalidProxyMessage InvalidProxyStatus InvalidState
        InvalidStatus InvalidURI InvalidUpgrade LoggerLike MultipleValuesError
        NegotiationError Opcode Origin PayloadTooBig Protocol ProtocolError
        ProxyError Request RequestLineTooLong Response Router SecurityError
        Server ServerConnection ServerProtocol Side State StatusLike
        StatusLineTooLong Subprotocol TooManyFragments TooManyHeaders
        WebSocketException basic_auth broadcast connect route serve unix_connect
        unix_route unix_serve BasicAuthWebSocketServerProtocol
        WebSocketClientProtocol WebSocketCommonProtocol WebSocketProtocolError
        WebSocketServer WebSocketServerProtocol WebSocketURI
        basic_auth_protocol_factory parse_uri InvalidStatusCode AbortHandshake
        RedirectHandshake
    """,
    "asyncio.client": """
        ClientConnection ClientConnection.__aenter__ ClientConnection.__aiter__
        ClientConnection.close ClientConnection.close_code
        ClientConnection.close_reason ClientConnection.local_address
        ClientConnection.ping ClientConnection.pong ClientConnection.recv
        ClientConnection.recv_streaming ClientConnection.remote_address
        ClientConnection.send ClientConnection.state
        ClientConnection.subprotocol ClientConnection.wait_closed connect
        connect.__aenter__ connect.__aiter__ connect.__await__ connect.connect
        unix_connect process_exception
    """,
    "asyncio.server": """
        Server Server.__aenter__ Server.__await__ Server.close
        Server.connections Server.get_loop Server.is_serving
        Server.serve_forever Server.sockets Server.start_serving
        Server.wait_closed ServerConnection ServerConnection.__aenter__
        ServerConnection.__aiter__ ServerConnection.close
        ServerConnection.close_code ServerConnection.close_reason
        ServerConnection.local_address ServerConnection.ping
        ServerConnection.pong ServerConnection.recv
        ServerConnection.recv_streaming ServerConnection.remote_address
        ServerConnection.respond ServerConnection.send ServerConnection.state
        ServerConnection.subprotocol ServerConnection.wait_closed basic_auth
        broadcast serve unix_serve
    """,
    "asyncio.connection": """
        Connection Connection.__aenter__ Connection.__aiter__ Connection.close
        Connection.close_code Connection.close_reason Connection.local_address
        Connection.ping Connection.pong Connection.recv
        Connection.recv_streaming Connection.remote_address Connection.send
        Connection.state Connection.subprotocol Connection.wait_closed
    """,
    "asyncio.router": """
        Router Router.get_server_name Router.handler Router.not_found
        Router.redirect Router.route_request route unix_route
    """,
    "auth": """
        BasicAuthWebSocketServerProtocol
        BasicAuthWebSocketServerProtocol.__aiter__
        BasicAuthWebSocketServerProtocol.abort_pings
        BasicAuthWebSocketServerProtocol.check_credentials
        BasicAuthWebSocketServerProtocol.close
        BasicAuthWebSocketServerProtocol.close_code
        BasicAuthWebSocketServerProtocol.close_connection
        BasicAuthWebSocketServerProtocol.close_reason
        BasicAuthWebSocketServerProtocol.close_transport
        BasicAuthWebSocketServerProtocol.closed
        BasicAuthWebSocketServerProtocol.connection_closed_exc
        BasicAuthWebSocketServerProtocol.connection_open
        BasicAuthWebSocketServerProtocol.ensure_open
        BasicAuthWebSocketServerProtocol.fail_connection
        BasicAuthWebSocketServerProtocol.handler
        BasicAuthWebSocketServerProtocol.host
        BasicAuthWebSocketServerProtocol.is_client
        BasicAuthWebSocketServerProtocol.keepalive_ping
        BasicAuthWebSocketServerProtocol.local_address
        BasicAuthWebSocketServerProtocol.open
        BasicAuthWebSocketServerProtocol.ping
        BasicAuthWebSocketServerProtocol.pong
        BasicAuthWebSocketServerProtocol.port
        BasicAuthWebSocketServerProtocol.read_data_frame
        BasicAuthWebSocketServerProtocol.read_frame
        BasicAuthWebSocketServerProtocol.read_http_request
        BasicAuthWebSocketServerProtocol.read_message
        BasicAuthWebSocketServerProtocol.realm
        BasicAuthWebSocketServerProtocol.recv
        BasicAuthWebSocketServerProtocol.remote_address
        BasicAuthWebSocketServerProtocol.secure
        BasicAuthWebSocketServerProtocol.select_subprotocol
        BasicAuthWebSocketServerProtocol.send
        BasicAuthWebSocketServerProtocol.side
        BasicAuthWebSocketServerProtocol.transfer_data
        BasicAuthWebSocketServerProtocol.username
        BasicAuthWebSocketServerProtocol.wait_closed
        BasicAuthWebSocketServerProtocol.wait_for_connection_lost
        BasicAuthWebSocketServerProtocol.write_close_frame
        BasicAuthWebSocketServerProtocol.write_frame
        BasicAuthWebSocketServerProtocol.write_frame_sync
        BasicAuthWebSocketServerProtocol.write_http_response
        basic_auth_protocol_factory
    """,
    "cli": """
        main
    """,
    "legacy.client": """
        WebSocketClientProtocol WebSocketClientProtocol.__aiter__
        WebSocketClientProtocol.abort_pings WebSocketClientProtocol.close
        WebSocketClientProtocol.close_code
        WebSocketClientProtocol.close_connection
        WebSocketClientProtocol.close_reason
        WebSocketClientProtocol.close_transport WebSocketClientProtocol.closed
        WebSocketClientProtocol.connection_closed_exc
        WebSocketClientProtocol.connection_open
        WebSocketClientProtocol.ensure_open
        WebSocketClientProtocol.fail_connection WebSocketClientProtocol.host
        WebSocketClientProtocol.is_client WebSocketClientProtocol.keepalive_ping
        WebSocketClientProtocol.local_address WebSocketClientProtocol.open
        WebSocketClientProtocol.ping WebSocketClientProtocol.pong
        WebSocketClientProtocol.port WebSocketClientProtocol.read_data_frame
        WebSocketClientProtocol.read_frame
        WebSocketClientProtocol.read_http_response
        WebSocketClientProtocol.read_message WebSocketClientProtocol.recv
        WebSocketClientProtocol.remote_address WebSocketClientProtocol.secure
        WebSocketClientProtocol.send WebSocketClientProtocol.side
        WebSocketClientProtocol.transfer_data
        WebSocketClientProtocol.wait_closed
        WebSocketClientProtocol.wait_for_connection_lost
        WebSocketClientProtocol.write_close_frame
        WebSocketClientProtocol.write_frame
        WebSocketClientProtocol.write_frame_sync
        WebSocketClientProtocol.write_http_request connect
        connect.BACKOFF_FACTOR connect.BACKOFF_INITIAL connect.BACKOFF_MAX
        connect.BACKOFF_MIN connect.MAX_REDIRECTS_ALLOWED connect.__aenter__
        connect.__aiter__ connect.__await__ connect.handle_redirect unix_connect
        WebSocketClientProtocol.worker
        WebSocketClientProtocol.raw_request_headers
        WebSocketClientProtocol.raw_response_headers
        WebSocketClientProtocol.request_headers
        WebSocketClientProtocol.response_headers WebSocketClientProtocol.path
        WebSocketClientProtocol.id WebSocketClientProtocol.logger
        WebSocketClientProtocol.latency WebSocketClientProtocol.subprotocol
        WebSocketClientProtocol.extensions
    """,
    "legacy.server": """
        WebSocketServer WebSocketServer.__aenter__ WebSocketServer.close
        WebSocketServer.get_loop WebSocketServer.is_serving
        WebSocketServer.register WebSocketServer.serve_forever
        WebSocketServer.sockets WebSocketServer.start_serving
        WebSocketServer.unregister WebSocketServer.wait_closed
        WebSocketServer.wrap WebSocketServerProtocol
        WebSocketServerProtocol.__aiter__ WebSocketServerProtocol.abort_pings
        WebSocketServerProtocol.close WebSocketServerProtocol.close_code
        WebSocketServerProtocol.close_connection
        WebSocketServerProtocol.close_reason
        WebSocketServerProtocol.close_transport WebSocketServerProtocol.closed
        WebSocketServerProtocol.connection_closed_exc
        WebSocketServerProtocol.connection_open
        WebSocketServerProtocol.ensure_open
        WebSocketServerProtocol.fail_connection WebSocketServerProtocol.handler
        WebSocketServerProtocol.host WebSocketServerProtocol.is_client
        WebSocketServerProtocol.keepalive_ping
        WebSocketServerProtocol.local_address WebSocketServerProtocol.open
        WebSocketServerProtocol.ping WebSocketServerProtocol.pong
        WebSocketServerProtocol.port WebSocketServerProtocol.read_data_frame
        WebSocketServerProtocol.read_frame
        WebSocketServerProtocol.read_http_request
        WebSocketServerProtocol.read_message WebSocketServerProtocol.recv
        WebSocketServerProtocol.remote_address WebSocketServerProtocol.secure
        WebSocketServerProtocol.select_subprotocol WebSocketServerProtocol.send
        WebSocketServerProtocol.side WebSocketServerProtocol.transfer_data
        WebSocketServerProtocol.wait_closed
        WebSocketServerProtocol.wait_for_connection_lost
        WebSocketServerProtocol.write_close_frame
        WebSocketServerProtocol.write_frame
        WebSocketServerProtocol.write_frame_sync
        WebSocketServerProtocol.write_http_response broadcast serve
        serve.__aenter__ serve.__await__ unix_serve
        WebSocketServerProtocol.worker
        WebSocketServerProtocol.raw_request_headers
        WebSocketServerProtocol.raw_response_headers
        WebSocketServerProtocol.request_headers
        WebSocketServerProtocol.response_headers WebSocketServerProtocol.path
        WebSocketServerProtocol.id WebSocketServerProtocol.logger
        WebSocketServerProtocol.latency WebSocketServerProtocol.subprotocol
        WebSocketServerProtocol.extensions WebSocketServerProtocol.handshake
        WebSocketServerProtocol.process_request WebSocketServer.websockets
    """,
    "legacy.protocol": """
        WebSocketCommonProtocol WebSocketCommonProtocol.__aiter__
        WebSocketCommonProtocol.abort_pings WebSocketCommonProtocol.close
        WebSocketCommonProtocol.close_code
        WebSocketCommonProtocol.close_connection
        WebSocketCommonProtocol.close_reason
        WebSocketCommonProtocol.close_transport WebSocketCommonProtocol.closed
        WebSocketCommonProtocol.connection_closed_exc
        WebSocketCommonProtocol.connection_open
        WebSocketCommonProtocol.ensure_open
        WebSocketCommonProtocol.fail_connection WebSocketCommonProtocol.host
        WebSocketCommonProtocol.keepalive_ping
        WebSocketCommonProtocol.local_address WebSocketCommonProtocol.open
        WebSocketCommonProtocol.ping WebSocketCommonProtocol.pong
        WebSocketCommonProtocol.port WebSocketCommonProtocol.read_data_frame
        WebSocketCommonProtocol.read_frame WebSocketCommonProtocol.read_message
        WebSocketCommonProtocol.recv WebSocketCommonProtocol.remote_address
        WebSocketCommonProtocol.secure WebSocketCommonProtocol.send
        WebSocketCommonProtocol.side WebSocketCommonProtocol.transfer_data
        WebSocketCommonProtocol.wait_closed
        WebSocketCommonProtocol.wait_for_connection_lost
        WebSocketCommonProtocol.write_close_frame
        WebSocketCommonProtocol.write_frame
        WebSocketCommonProtocol.write_frame_sync
    """,
    "legacy.auth": """
        BasicAuthWebSocketServerProtocol
        BasicAuthWebSocketServerProtocol.__aiter__
        BasicAuthWebSocketServerProtocol.abort_pings
        BasicAuthWebSocketServerProtocol.check_credentials
        BasicAuthWebSocketServerProtocol.close
        BasicAuthWebSocketServerProtocol.close_code
        BasicAuthWebSocketServerProtocol.close_connection
        BasicAuthWebSocketServerProtocol.close_reason
        BasicAuthWebSocketServerProtocol.close_transport
        BasicAuthWebSocketServerProtocol.closed
        BasicAuthWebSocketServerProtocol.connection_closed_exc
        BasicAuthWebSocketServerProtocol.connection_open
        BasicAuthWebSocketServerProtocol.ensure_open
        BasicAuthWebSocketServerProtocol.fail_connection
        BasicAuthWebSocketServerProtocol.handler
        BasicAuthWebSocketServerProtocol.host
        BasicAuthWebSocketServerProtocol.is_client
        BasicAuthWebSocketServerProtocol.keepalive_ping
        BasicAuthWebSocketServerProtocol.local_address
        BasicAuthWebSocketServerProtocol.open
        BasicAuthWebSocketServerProtocol.ping
        BasicAuthWebSocketServerProtocol.pong
        BasicAuthWebSocketServerProtocol.port
        BasicAuthWebSocketServerProtocol.read_data_frame
        BasicAuthWebSocketServerProtocol.read_frame
        BasicAuthWebSocketServerProtocol.read_http_request
        BasicAuthWebSocketServerProtocol.read_message
        BasicAuthWebSocketServerProtocol.realm
        BasicAuthWebSocketServerProtocol.recv
        BasicAuthWebSocketServerProtocol.remote_address
        BasicAuthWebSocketServerProtocol.secure
        BasicAuthWebSocketServerProtocol.select_subprotocol
        BasicAuthWebSocketServerProtocol.send
        BasicAuthWebSocketServerProtocol.side
        BasicAuthWebSocketServerProtocol.transfer_data
        BasicAuthWebSocketServerProtocol.username
        BasicAuthWebSocketServerProtocol.wait_closed
        BasicAuthWebSocketServerProtocol.wait_for_connection_lost
        BasicAuthWebSocketServerProtocol.write_close_frame
        BasicAuthWebSocketServerProtocol.write_frame
        BasicAuthWebSocketServerProtocol.write_frame_sync
        BasicAuthWebSocketServerProtocol.write_http_response
        basic_auth_protocol_factory
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
    "framing": """
        Frame read_frame write_frame parse_close serialize_close OP_CONT OP_TEXT
        OP_BINARY OP_CLOSE OP_PING OP_PONG CLOSE_CODES
    """,
    "handshake": """
        build_request check_request build_response check_response
    """,
    "http": """
        read_request read_response USER_AGENT
    """,
}
