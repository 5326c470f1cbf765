"""Names that a module of the documented package has because it uses them itself.

Programs import them from there: ``from websockets.legacy.protocol import
ConnectionClosedError``. They are those of edition 9.1 or any later one. What a module
has of the standard library, and functions that work on inner state, are not here.
"""

from __future__ import annotations

from .imports import lazy_import

__all__ = ["give_aliases"]

_ROOT = __name__.rpartition(".")[0]

# Module by module, the names that are taken from it.
_HOMES = {
    "asyncio.compatibility": "asyncio_timeout asyncio_timeout_at",
    "asyncio.server": "Server serve",
    "connection": "Connection",
    "datastructures": "Headers HeadersLike MultipleValuesError",
    "exceptions": """
        ConcurrencyError ConnectionClosed ConnectionClosedError ConnectionClosedOK
        DuplicateParameter HeaderLineTooLong InvalidHandshake InvalidHeader
        InvalidHeaderFormat InvalidHeaderValue InvalidMessage InvalidMethod
        InvalidOrigin InvalidParameterName InvalidParameterValue InvalidProtocol
        InvalidProxy InvalidProxyMessage InvalidProxyStatus InvalidState InvalidStatus
        InvalidURI InvalidUpgrade NegotiationError PayloadTooBig ProtocolError
        ProxyError RequestLineTooLong SecurityError StatusLineTooLong TooManyFragments
        TooManyHeaders""",
    "extensions.base": "ClientExtensionFactory Extension ServerExtensionFactory",
    "extensions.permessage_deflate": """
        enable_client_permessage_deflate enable_server_permessage_deflate""",
    "frames": """
        BINARY CLOSE_CODES CONT CTRL_OPCODES Close CloseCode DATA_OPCODES Frame
        OK_CLOSE_CODES OP_BINARY OP_CLOSE OP_CONT OP_PING OP_PONG OP_TEXT Opcode PONG
        TEXT""",
    "headers": """
        build_authorization_basic build_extension build_host build_subprotocol
        build_www_authenticate_basic parse_authorization_basic parse_connection
        parse_extension parse_subprotocol parse_upgrade validate_subprotocols""",
    "http11": "MAX_LINE_LENGTH MAX_NUM_HEADERS Request Response USER_AGENT",
    "imports": "lazy_import",
    "legacy.auth": "is_credentials",
    "legacy.compatibility": "loop_if_py_lt_38",
    "legacy.exceptions": "AbortHandshake InvalidStatusCode",
    "legacy.framing": "parse_close prepare_ctrl prepare_data serialize_close",
    "legacy.handshake": "build_request build_response check_request check_response",
    "legacy.http": "MAX_HEADERS MAX_LINE d read_request read_response",
    "legacy.protocol": "WebSocketCommonProtocol",
    "legacy.server": "HeadersLikeOrCallable",
    "protocol": "CLOSED CLOSING CONNECTING Event OPEN Protocol State",
    "proxy": "Proxy get_proxy parse_proxy prepare_connect_request",
    "server": "ServerProtocol",
    "streams": "StreamReader",
    "typing": """
        BytesLike ConnectionOption Data DataLike ExtensionHeader ExtensionName
        ExtensionParameter LoggerLike Origin PathLike StatusLike Subprotocol
        UpgradeProtocol""",
    "uri": "parse_uri",
    "utils": "accept_key apply_mask get_socket_name",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

_OPCODES = "OP_CONT OP_TEXT OP_BINARY OP_CLOSE OP_PING OP_PONG"

_CONNECTION = """
    BytesLike CloseCode ConcurrencyError ConnectionClosed ConnectionClosedOK Data
    DataLike Event Frame LoggerLike Protocol ProtocolError Request Response State
    Subprotocol"""
_CLIENT = """
    ClientExtensionFactory ClientProtocol Event HeadersLike LoggerLike Origin Response
    Subprotocol USER_AGENT"""
_SERVER = """
    Event InvalidHeader LoggerLike Origin Request Response ServerExtensionFactory
    ServerProtocol StatusLike Subprotocol"""

# Module by module, the names it has besides its own.
_NAMES = {
    "asyncio.client": """
        CONNECTING ClientExtensionFactory ClientProtocol Event InvalidMessage
        InvalidProxyMessage InvalidProxyStatus LoggerLike Origin PathLike Proxy
        ProxyError Response StreamReader Subprotocol asyncio_timeout
        build_authorization_basic build_host enable_client_permessage_deflate get_proxy
        parse_proxy parse_uri prepare_connect_request validate_subprotocols""",
    "asyncio.connection": """
        BytesLike CLOSED CloseCode ConcurrencyError ConnectionClosed
        ConnectionClosedOK DATA_OPCODES Data DataLike Event Frame LoggerLike OPEN
        Opcode PONG Protocol ProtocolError Request Response State Subprotocol
        TooManyFragments asyncio_timeout asyncio_timeout_at""",
    "asyncio.router": """
        PathLike Request Response Server ServerConnection serve""",
    "asyncio.server": """
        CONNECTING CloseCode Event InvalidHeader LoggerLike OPEN Origin PathLike Request
        Response ServerExtensionFactory ServerProtocol StatusLike Subprotocol
        asyncio_timeout build_www_authenticate_basic enable_server_permessage_deflate
        get_socket_name is_credentials parse_authorization_basic
        validate_subprotocols""",
    "cli": "ClientConnection Close ConnectionClosed StreamReader",
    "client": """
        CLIENT Connection ConnectionOption Extension ExtensionHeader HeadersLike
        InvalidHeader InvalidHeaderValue InvalidMessage InvalidStatus InvalidStatusCode
        InvalidUpgrade MultipleValuesError NegotiationError OPEN StatusLineTooLong
        USER_AGENT UpgradeProtocol accept_key build_authorization_basic build_extension
        build_host build_subprotocol parse_connection parse_extension parse_subprotocol
        parse_upgrade parse_uri""",
    "connection": f"""
        CLIENT CLOSED CLOSING CONNECTING Close ConnectionClosed ConnectionClosedError
        ConnectionClosedOK Event Extension Frame InvalidState OK_CLOSE_CODES Origin
        PayloadTooBig ProtocolError Request Response SERVER StreamReader Subprotocol
        parse_close serialize_close {_OPCODES}""",
    "exceptions": "CLOSE_CODES lazy_import",
    "extensions.base": "ExtensionName ExtensionParameter Frame",
    "extensions.permessage_deflate": """
        BytesLike CONT CTRL_OPCODES DuplicateParameter ExtensionName
        InvalidParameterName InvalidParameterValue NegotiationError OP_CONT""",
    "frames": "Data apply_mask prepare_ctrl prepare_data",
    "headers": """
        ConnectionOption ExtensionName InvalidHeaderFormat InvalidHeaderValue
        Subprotocol UpgradeProtocol""",
    "http": "MultipleValuesError build_host d lazy_import",
    "http11": """
        HeaderLineTooLong MAX_HEADERS MAX_LINE RequestLineTooLong SecurityError
        StatusLineTooLong TooManyHeaders d""",
    "legacy.client": """
        Extension ExtensionHeader Headers InvalidHandshake InvalidHeaderValue
        InvalidMessage NegotiationError Origin Subprotocol WebSocketCommonProtocol
        asyncio_timeout build_authorization_basic build_extension build_host
        build_request build_subprotocol check_response enable_client_permessage_deflate
        parse_extension parse_subprotocol parse_uri read_response
        validate_subprotocols""",
    "legacy.framing": "Data",
    "legacy.handshake": """
        ConnectionOption InvalidHeader InvalidHeaderValue InvalidUpgrade
        MultipleValuesError UpgradeProtocol parse_connection parse_upgrade""",
    "legacy.http": "MAX_LINE_LENGTH MAX_NUM_HEADERS SecurityError",
    "legacy.protocol": f"""
        BytesLike Close CloseCode ConnectionClosed ConnectionClosedError
        ConnectionClosedOK DataLike Extension Headers LoggerLike OK_CLOSE_CODES Opcode
        PayloadTooBig ProtocolError State Subprotocol TooManyFragments asyncio_timeout
        loop_if_py_lt_38 parse_close prepare_ctrl prepare_data serialize_close
        {_OPCODES}""",
    "legacy.server": """
        AbortHandshake Extension ExtensionHeader HeadersLike InvalidHandshake
        InvalidHeader InvalidMessage InvalidOrigin InvalidUpgrade MultipleValuesError
        NegotiationError Origin State StatusLike Subprotocol USER_AGENT asyncio_timeout
        build_extension build_response check_request enable_server_permessage_deflate
        loop_if_py_lt_38 parse_extension parse_subprotocol read_request
        validate_subprotocols""",
    "protocol": f"PayloadTooBig StreamReader {_OPCODES}",
    "proxy": "Headers InvalidProxy build_authorization_basic build_host",
    "server": """
        Connection ConnectionOption Extension ExtensionHeader HeaderLineTooLong
        HeadersLike HeadersLikeOrCallable InvalidHeader InvalidHeaderValue
        InvalidMessage InvalidMethod InvalidOrigin InvalidProtocol InvalidStatus
        InvalidUpgrade MultipleValuesError NegotiationError OPEN RequestLineTooLong
        SERVER TooManyHeaders USER_AGENT UpgradeProtocol accept_key build_extension
        parse_connection parse_extension parse_subprotocol parse_upgrade""",
    "sync.client": _CLIENT,
    "sync.connection": _CONNECTION,
    "sync.router": "Request Response",
    "sync.server": _SERVER,
    "trio.client": _CLIENT,
    "trio.connection": _CONNECTION,
    "trio.router": "Request Response",
    "trio.server": _SERVER,
    "uri": "InvalidProxy InvalidURI Proxy get_proxy parse_proxy",
}

# What one of these modules means by a name that others use for something else.
_OWN_HOMES = {
    "asyncio.client": {"ClientProtocol": "client"},
    "asyncio.router": {"ServerConnection": "asyncio.server"},
    "cli": {"ClientConnection": "asyncio.client"},
    "client": {"CLIENT": "protocol"},
    "sync.client": {"ClientProtocol": "client"},
    "trio.client": {"ClientProtocol": "client"},
    "connection": {"CLIENT": "protocol", "SERVER": "protocol"},
    "legacy.protocol": {"Frame": "legacy.framing"},
    "server": {"SERVER": "protocol"},
}


def aliases_of(module: str) -> dict[str, str]:
    """Return the names that ``module``, as in ``"legacy.http"``, has of others."""
    own = _OWN_HOMES.get(module, {})
    names = (*_NAMES.get(module, "").split(), *own)
    return {name: own.get(name) or _HOME_OF[name] for name in names}


def give_aliases(namespace: dict[str, object], **homes: str) -> None:
    """Make a module give its aliases, and names of ``homes``, at their first use.

    ``namespace`` is the module's ``globals()``. A name that is there already stays.
    """
    module = str(namespace["__name__"]).removeprefix(f"{_ROOT}.")
    aliases = {**aliases_of(module), **homes}
    lazy_import(
        namespace,
        {
            name: f"{_ROOT}.{home}"
            for name, home in aliases.items()
            if name not in namespace
        },
    )
