"""Names that programs import from where they are used, and modules without a front end.

The names are those of editions 9.1 to 17.4.
"""

import asyncio
import importlib
import subprocess
import sys

import pytest

from longwire import websockets
from longwire.websockets import aliases, exceptions, frames, typing
from tests.websockets.parity import documented

ROOT = "longwire.websockets"
ALIASES = [
    pytest.param(module, name, id=f"{module}.{name}")
    for module in aliases._NAMES
    for name in aliases.aliases_of(module)
]


def module_of(name):
    return importlib.import_module(f"{ROOT}.{name}" if name else ROOT)


@pytest.mark.parametrize(("module", "name"), ALIASES)
def test_an_alias_is_the_object_of_its_home(module, name):
    home = aliases.aliases_of(module)[name]

    there = getattr(module_of(home), name)

    assert getattr(module_of(module), name) is there


@pytest.mark.parametrize("module", sorted({*aliases._NAMES, "legacy", "asyncio"}))
def test_a_name_that_is_nowhere_is_not_made_up(module):
    for name in ("ConnectionClosedErr", "nothing", "__wrapped__"):
        assert not hasattr(module_of(module), name)
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from {ROOT}.{module} import nothing", {})


# What the programs of the report import.
IMPORTED = {
    "frames": "OP_CONT OP_TEXT OP_BINARY OP_CLOSE OP_PING OP_PONG CLOSE_CODES",
    "connection": "CLIENT SERVER CONNECTING OPEN CLOSING CLOSED Event SEND_EOF",
    "asyncio.connection": "State ConnectionClosed ConnectionClosedOK Protocol",
    "asyncio.client": "ClientProtocol CONNECTING",
    "asyncio.server": "ServerProtocol Request Response",
    "asyncio.compatibility": "asyncio_timeout asyncio_timeout_at aiter anext",
    "asyncio.async_timeout": "timeout timeout_at Timeout",
    "legacy.async_timeout": "timeout timeout_at Timeout",
    "legacy.compatibility": "asyncio_timeout loop_if_py_lt_38",
    "legacy.protocol": "ConnectionClosedError ConnectionClosedOK State OP_TEXT Frame",
    "legacy.client": "Connect connect InvalidHandshake",
    "legacy.server": "Serve serve HeadersLikeOrCallable remove_path_argument",
    "legacy.http": "read_headers read_line d read_request read_response",
    "legacy.auth": "is_credentials Credentials",
    "legacy.handshake": "accept build_request check_request",
    "legacy.framing": "NewFrame Frame Close",
    "uri": "Proxy get_proxy parse_proxy WebSocketURI",
    "utils": "GUID accept_key apply_mask",
    "headers": "build_extension_list parse_extension_list parse_subprotocol_list",
    "http": "Headers MultipleValuesError USER_AGENT",
    "": "ExtensionHeader",
}


@pytest.mark.parametrize("module", IMPORTED)
def test_what_programs_import_is_there(module):
    for name in IMPORTED[module].split():
        assert getattr(module_of(module), name) is not None


def test_names_of_two_meanings_have_the_one_of_their_module():
    from longwire.websockets import client, connection, http11, server
    from longwire.websockets.asyncio import router
    from longwire.websockets.asyncio import server as today
    from longwire.websockets.legacy import framing, protocol

    assert connection.SERVER is server.SERVER is websockets.Side.SERVER
    assert connection.CLIENT is client.CLIENT is websockets.Side.CLIENT
    assert isinstance(http11.SERVER, str)
    assert protocol.Frame is framing.Frame is not websockets.Frame
    assert framing.NewFrame is websockets.Frame
    assert router.ServerConnection is today.ServerConnection


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("client", "ClientProtocol WebSocketClientProtocol connect unix_connect"),
        ("server", "ServerProtocol WebSocketServer WebSocketServerProtocol serve"),
        ("frames", "OP_CONT DATA_OPCODES Close Frame parse_close prepare_data"),
        ("legacy.framing", "Frame NewFrame Opcode parse_close"),
        ("typing", "Data ExtensionHeader Subprotocol"),
        ("legacy.protocol", "WebSocketCommonProtocol broadcast"),
        ("exceptions", "ConnectionClosed InvalidStatusCode WebSocketException"),
        ("", "connect serve ConnectionClosed WebSocketServerProtocol ExtensionHeader"),
        ("sync.client", "connect unix_connect ClientConnection"),
        ("trio.server", "serve ServerConnection Server basic_auth"),
    ],
)
def test_star_imports_give_what_they_gave(module, names):
    namespace = {}

    exec(f"from {ROOT}{module and '.'}{module} import *", namespace)

    assert set(names.split()) <= namespace.keys()


def test_close_codes_have_their_meanings():
    assert frames.CLOSE_CODES[1000] == "OK"
    assert exceptions.CLOSE_CODES is frames.CLOSE_CODES
    assert frames.OP_TEXT == 1
    assert frames.CTRL_OPCODES == (frames.OP_CLOSE, frames.OP_PING, frames.OP_PONG)
    assert typing.ExtensionHeader is websockets.ExtensionHeader


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(("a", "b"), True), (["a", "b"], True), ("ab", True), ((1, 2), False), (1, False)],
)
def test_what_credentials_are(value, is_one):
    from longwire.websockets.legacy.auth import is_credentials

    assert is_credentials(value) is is_one


async def test_names_for_older_pythons_are_todays_asyncio():
    from longwire.websockets.asyncio import compatibility
    from longwire.websockets.legacy import compatibility as old

    with pytest.raises(TimeoutError):
        async with compatibility.asyncio_timeout(0):
            await asyncio.sleep(1)
    assert old.loop_if_py_lt_38(asyncio.get_running_loop()) == {}


# --- front ends ------------------------------------------------------------------


def test_front_ends_are_attributes_of_the_package():
    program = (
        "from longwire import websockets\n"
        "websockets.sync.client.connect, websockets.trio\n"
        "import sys\n"
        "assert 'trio' not in sys.modules\n"
        "websockets.trio.server.serve\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_documented_name_is_an_alias_only():
    # The table is for what modules have besides their own.
    own = {(module, name) for module, names in documented().items() for name in names}
    listed = {(m, n) for m in aliases._NAMES for n in aliases.aliases_of(m)}

    assert own & listed <= {("client", "ClientConnection")}
