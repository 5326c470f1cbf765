"""What the documents name, module by module: plain facts, for test_parity.

Modules are relative to ``longwire.websockets``; a name with a dot is one of a class.
"""

NAMES: dict[str, str] = {
    "client": """
        ClientProtocol ClientProtocol.close_code ClientProtocol.close_expected
        ClientProtocol.close_reason ClientProtocol.connect ClientProtocol.data_to_send
        ClientProtocol.events_received ClientProtocol.fail ClientProtocol.receive_data
        ClientProtocol.receive_eof ClientProtocol.send_binary
        ClientProtocol.send_close ClientProtocol.send_continuation
        ClientProtocol.send_ping ClientProtocol.send_pong ClientProtocol.send_request
        ClientProtocol.send_text ClientProtocol.state ClientConnection
        ClientConnection.connect ClientConnection.send_request
        ClientConnection.receive_data ClientConnection.receive_eof
        ClientConnection.send_continuation ClientConnection.send_text
        ClientConnection.send_binary ClientConnection.send_close
        ClientConnection.send_ping ClientConnection.send_pong ClientConnection.fail
        ClientConnection.events_received ClientConnection.data_to_send
        ClientConnection.close_expected ClientConnection.id ClientConnection.logger
        ClientConnection.state ClientConnection.handshake_exc
        ClientConnection.close_code ClientConnection.close_reason
        ClientConnection.close_exc ClientProtocol.id ClientProtocol.logger
        ClientProtocol.handshake_exc ClientProtocol.close_exc process_exception
        WebSocketClientProtocol connect unix_connect
    """,
    "server": """
        ServerProtocol ServerProtocol.accept ServerProtocol.close_code
        ServerProtocol.close_expected ServerProtocol.close_reason
        ServerProtocol.data_to_send ServerProtocol.events_received ServerProtocol.fail
        ServerProtocol.receive_data ServerProtocol.receive_eof ServerProtocol.reject
        ServerProtocol.select_subprotocol ServerProtocol.send_binary
        ServerProtocol.send_close ServerProtocol.send_continuation
        ServerProtocol.send_ping ServerProtocol.send_pong ServerProtocol.send_response
        ServerProtocol.send_text ServerProtocol.state ServerConnection
        ServerConnection.accept ServerConnection.reject ServerConnection.send_response
        ServerConnection.receive_data ServerConnection.receive_eof
        ServerConnection.send_continuation ServerConnection.send_text
        ServerConnection.send_binary ServerConnection.send_close
        ServerConnection.send_ping ServerConnection.send_pong ServerConnection.fail
        ServerConnection.events_received ServerConnection.data_to_send
        ServerConnection.close_expected ServerConnection.id ServerConnection.logger
        ServerConnection.state ServerConnection.handshake_exc
        ServerConnection.close_code ServerConnection.close_reason
        ServerConnection.close_exc ServerProtocol.id ServerProtocol.logger
        ServerProtocol.handshake_exc ServerProtocol.close_exc WebSocketServer
        WebSocketServerProtocol broadcast serve unix_serve
    """,
    "protocol": """
        Protocol Protocol.close_code Protocol.close_expected Protocol.close_reason
        Protocol.data_to_send Protocol.events_received Protocol.fail
        Protocol.receive_data Protocol.receive_eof Protocol.send_binary
        Protocol.send_close Protocol.send_continuation Protocol.send_ping
        Protocol.send_pong Protocol.send_text Protocol.state SEND_EOF Side State
        WebSocketCommonProtocol Protocol.id Protocol.logger Protocol.handshake_exc
        Protocol.close_exc
    """,
    "frames": """
        Close Close.check Close.serialize CloseCode Frame Frame.DEFAULT_IS_TEXT
        Frame.MAX_LOG_SIZE Frame.check Frame.fin Frame.rsv1 Frame.rsv2 Frame.rsv3
        Frame.serialize Opcode Close.parse Frame.parse
    """,
    "http11": """
        Request Request.exception Request.method Request.protocol Request.serialize
        Response Response.body Response.exception Response.serialize SERVER USER_AGENT
    """,
    "datastructures": """
        Headers Headers.__iter__ Headers.clear Headers.copy Headers.get_all
        Headers.raw_items Headers.serialize Headers.set_insecure Headers.update
        HeadersLike MultipleValuesError
    """,
    "uri": """
        WebSocketURI WebSocketURI.password WebSocketURI.resource_name
        WebSocketURI.user_info WebSocketURI.username parse_uri
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
        ClientExtensionFactory ClientExtensionFactory.get_request_params
        ClientExtensionFactory.process_response_params Extension Extension.decode
        Extension.encode ServerExtensionFactory
        ServerExtensionFactory.process_request_params
    """,
    "extensions.base": """
        ClientExtensionFactory ClientExtensionFactory.get_request_params
        ClientExtensionFactory.process_response_params Extension Extension.decode
        Extension.encode ServerExtensionFactory
        ServerExtensionFactory.process_request_params
    """,
    "extensions.permessage_deflate": """
        ClientPerMessageDeflateFactory
        ClientPerMessageDeflateFactory.get_request_params
        ClientPerMessageDeflateFactory.name
        ClientPerMessageDeflateFactory.process_response_params PerMessageDeflate
        PerMessageDeflate.decode PerMessageDeflate.encode PerMessageDeflate.name
        ServerPerMessageDeflateFactory ServerPerMessageDeflateFactory.name
        ServerPerMessageDeflateFactory.process_request_params
        enable_client_permessage_deflate enable_server_permessage_deflate
    """,
    "typing": """
        Data ExtensionName ExtensionParameter LoggerLike Origin StatusLike Subprotocol
    """,
    "proxy": """
        Proxy Proxy.password Proxy.user_info Proxy.username get_proxy parse_proxy
    """,
    "headers": """
        build_authorization_basic build_extension build_host build_subprotocol
        build_www_authenticate_basic parse_authorization_basic parse_connection
        parse_extension parse_subprotocol parse_upgrade validate_subprotocols
    """,
    "version": """
        commit tag version
    """,
    "connection": """
        Connection SEND_EOF Side State Connection.receive_data Connection.receive_eof
        Connection.send_continuation Connection.send_text Connection.send_binary
        Connection.send_close Connection.send_ping Connection.send_pong
        Connection.fail Connection.events_received Connection.data_to_send
        Connection.close_expected Connection.id Connection.logger Connection.state
        Connection.handshake_exc Connection.close_code Connection.close_reason
        Connection.close_exc
    """,
    "streams": """
        StreamReader StreamReader.read_line StreamReader.read_exact
        StreamReader.read_to_eof StreamReader.at_eof StreamReader.feed_data
        StreamReader.feed_eof StreamReader.discard
    """,
    "utils": """
        accept_key apply_mask get_socket_name generate_key
    """,
    "imports": """
        lazy_import
    """,
}

# Parameters in their order; those after a star are keywords alone.
PARAMETERS: dict[str, dict[str, str]] = {
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
    "frames": {
        "Close": "code reason",
        "Frame": "opcode data fin rsv1 rsv2 rsv3",
        "Frame.serialize": "* mask extensions",
    },
    "http11": {
        "Request": "path headers method protocol",
        "Response": "status_code reason_phrase headers body",
    },
    "datastructures": {
        "Headers": "*args **kwargs",
        "Headers.get_all": "key",
        "Headers.set_insecure": "key value",
        "Headers.update": "*args **kwargs",
    },
    "uri": {
        "WebSocketURI": "secure host port path query username password",
        "parse_uri": "uri",
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
    "proxy": {
        "Proxy": "scheme host port username password",
        "get_proxy": "uri",
        "parse_proxy": "proxy",
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
    "connection": {
        "Connection": "side state max_size logger",
    },
    "exceptions": {
        "ConnectionClosed": "rcvd sent rcvd_then_sent",
        "InvalidStatusCode": "status_code headers",
        "AbortHandshake": "status headers body",
        "RedirectHandshake": "uri",
    },
    "utils": {
        "accept_key": "key",
        "apply_mask": "data mask",
    },
    "imports": {
        "lazy_import": "namespace aliases deprecated_aliases",
    },
}
