"""The sans-I/O classes under the names, and with the rules, of edition 10.4."""

import warnings

import pytest

from longwire.websockets.client import ClientConnection, ClientProtocol
from longwire.websockets.connection import Connection
from longwire.websockets.exceptions import ProtocolError
from longwire.websockets.protocol import Protocol, Side, State
from longwire.websockets.server import ServerConnection, ServerProtocol
from longwire.websockets.uri import parse_uri

URI = parse_uri("ws://localhost/")


@pytest.mark.parametrize(
    ("make", "new"),
    [
        (lambda: Connection(Side.SERVER), "Protocol"),
        (lambda: ServerConnection(), "ServerProtocol"),
        (lambda: ClientConnection(URI), "ClientProtocol"),
    ],
)
def test_a_former_name_warns_with_the_new_one(make, new):
    with pytest.warns(DeprecationWarning, match=f"renamed to {new}$") as caught:
        make()

    assert [warning.filename for warning in caught] == [__file__]


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.mark.usefixtures("quiet")
def test_former_classes_are_the_new_ones():
    assert isinstance(Connection(Side.CLIENT), Protocol)
    assert isinstance(ServerConnection(), ServerProtocol)
    assert isinstance(ClientConnection(URI), ClientProtocol)


@pytest.mark.usefixtures("quiet")
def test_former_classes_take_their_arguments_by_position():
    server = ServerConnection([None], None, ["chat"], State.OPEN, 1000)
    client = ClientConnection(URI, "https://a", None, ["chat"], State.OPEN, 1000)
    either = Connection(Side.CLIENT, State.CLOSING, 1000)

    assert (server.origins, server.available_subprotocols) == ([None], ["chat"])
    assert (client.origin, client.available_subprotocols) == ("https://a", ["chat"])
    assert [x.max_message_size for x in (server, client, either)] == [1000] * 3
    assert [x.state.name for x in (server, client, either)] == [
        "OPEN",
        "OPEN",
        "CLOSING",
    ]


@pytest.mark.usefixtures("quiet")
def test_a_former_client_calls_its_address_wsuri():
    assert ClientConnection(wsuri=URI).wsuri is URI
    assert ClientConnection(uri=URI).wsuri is URI
    with pytest.raises(TypeError, match="wsuri"):
        ClientConnection()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "make",
    [
        lambda: Connection(Side.SERVER),
        lambda: ServerConnection(state=State.OPEN),
        lambda: ClientConnection(URI, state=State.OPEN),
    ],
)
def test_a_former_connection_is_not_closed_within_a_message(make):
    connection = make()
    connection.send_text(b"", fin=False)

    with pytest.raises(ProtocolError):
        connection.send_close()

    connection.send_continuation(b"", fin=True)
    connection.send_close()
    assert connection.state is State.CLOSING


def test_today_a_connection_may_be_closed_within_a_message():
    protocol = Protocol(Side.SERVER)
    protocol.send_text(b"", fin=False)

    protocol.send_close()

    assert protocol.data_to_send() == [b"\x01\x00", b"\x88\x00"]
