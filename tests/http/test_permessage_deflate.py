"""Negotiation of permessage-deflate: RFC 7692 section 7.1, both sides."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire import errors
from longwire.http import extensions
from longwire.http.extensions import (
    ClientPerMessageDeflateFactory as Client,
)
from longwire.http.extensions import (
    ServerPerMessageDeflateFactory as Server,
)
from longwire.messages import Deflate
from longwire.options import PROFILES, Compression

pytestmark = pytest.mark.once

SNCT = "server_no_context_takeover"
CNCT = "client_no_context_takeover"
SMWB = "server_max_window_bits"
CMWB = "client_max_window_bits"

# What compressor a factory has that was told nothing of it: zlib's own default.
ZLIB = {"level": 6, "mem_level": 8}


def deflate(**agreed) -> Deflate:
    return Deflate(**{**ZLIB, **agreed})


BITS = list(range(9, 16))
WRONG_BITS = ["16", "08", "09", "0", "-9", "9.0", "nine", "٩", "115", "+9", ""]


# --- what a client offers --------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "header"),
    [
        (Client(), "permessage-deflate; client_max_window_bits"),
        (Client(client_max_window_bits=None), "permessage-deflate"),
        (Client(client_max_window_bits=False), "permessage-deflate"),
        (
            Client(True, True, 9, 10),
            "permessage-deflate; server_no_context_takeover; "
            "client_no_context_takeover; server_max_window_bits=9; "
            "client_max_window_bits=10",
        ),
        (
            Client(server_max_window_bits=10, fallback=True),
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits, "
            "permessage-deflate; client_max_window_bits",
        ),
        (Client(fallback=True), "permessage-deflate; client_max_window_bits"),
    ],
)
def test_a_client_offers_what_it_was_told(factory, header):
    assert extensions.offer([factory]) == header


# --- what a server answers -------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "offer", "answer", "agreed"),
    [
        # Neither side asks for anything.
        ({}, "", "", {}),
        # Context takeover: either side's word is enough.
        ({}, SNCT, SNCT, {SNCT: True}),
        ({}, CNCT, CNCT, {CNCT: True}),
        ({SNCT: True}, "", SNCT, {SNCT: True}),
        ({CNCT: True}, "", CNCT, {CNCT: True}),
        ({SNCT: True, CNCT: True}, SNCT, f"{SNCT}; {CNCT}", {SNCT: True, CNCT: True}),
        # Our window: the smaller of both, announced even when not asked for.
        ({}, f"{SMWB}=8", f"{SMWB}=8", {SMWB: 8}),
        ({}, f"{SMWB}=10", f"{SMWB}=10", {SMWB: 10}),
        ({}, f'{SMWB}="10"', f"{SMWB}=10", {SMWB: 10}),
        ({SMWB: 12}, "", f"{SMWB}=12", {SMWB: 12}),
        ({SMWB: 12}, f"{SMWB}=10", f"{SMWB}=10", {SMWB: 10}),
        ({SMWB: 12}, f"{SMWB}=15", f"{SMWB}=12", {SMWB: 12}),
        # The client's window: never spoken of unless offered.
        ({}, CMWB, "", {}),
        ({CMWB: 12}, "", "", {}),
        ({CMWB: 12}, CMWB, f"{CMWB}=12", {CMWB: 12}),
        ({CMWB: 12}, f"{CMWB}=10", f"{CMWB}=10", {CMWB: 10}),
        ({CMWB: 12}, f"{CMWB}=15", f"{CMWB}=12", {CMWB: 12}),
        ({}, f"{CMWB}=8", f"{CMWB}=8", {CMWB: 8}),
        ({CMWB: 8}, CMWB, f"{CMWB}=8", {CMWB: 8}),
        ({}, f"{CMWB}=10", f"{CMWB}=10", {CMWB: 10}),
        (
            {CMWB: 12, "require_client_max_window_bits": True},
            CMWB,
            f"{CMWB}=12",
            {CMWB: 12},
        ),
    ],
)
def test_a_server_answers_an_offer(settings, offer, answer, agreed):
    offered = f"permessage-deflate; {offer}".rstrip("; ")

    header, result = extensions.grant([offered], [Server(**settings)])

    assert header == f"permessage-deflate; {answer}".rstrip("; ")
    assert result == [deflate(**agreed)]


@pytest.mark.parametrize(
    "offer",
    [
        "unknown",
        "Server_No_Context_Takeover",
        f"{SNCT}=true",
        f"{CNCT}=1",
        SMWB,
        f"{SNCT}; {SNCT}",
        f"{CMWB}; {CMWB}",
        f"{CMWB}=10; {CMWB}=10",
        f"{SMWB}=10; {SMWB}=11",
        *(f"{SMWB}={bits}" for bits in ("7", "16", "08", "09", "0", "x")),
        *(f"{CMWB}={bits}" for bits in ("7", "16", "08", "09", "0", "x")),
    ],
)
def test_a_server_declines_what_rfc_7692_does_not_know(offer):
    offered = f"permessage-deflate; {offer}"

    assert extensions.grant([offered], [Server()]) == (None, [])


def test_a_server_declines_one_offer_and_takes_the_next():
    header, agreed = extensions.grant(
        ["permessage-deflate; server_max_window_bits=7, permessage-deflate"], [Server()]
    )

    assert header == "permessage-deflate"
    assert agreed == [deflate()]


def test_a_server_may_require_to_choose_the_clients_window():
    server = Server(client_max_window_bits=12, require_client_max_window_bits=True)

    assert extensions.grant(["permessage-deflate"], [server]) == (None, [])


def test_a_server_grants_compression_once():
    header, agreed = extensions.grant(
        ["permessage-deflate, permessage-deflate; client_max_window_bits"],
        [Server(), Server()],
    )

    assert header == "permessage-deflate"
    assert len(agreed) == 1
    with pytest.raises(errors.NegotiationError, match="duplicate"):
        Server().process_request_params([], agreed)
    with pytest.raises(errors.NegotiationError, match="duplicate"):
        Client().process_response_params([], agreed)


# --- what a client takes for an answer -------------------------------------------


@pytest.mark.parametrize(
    ("settings", "answer", "agreed"),
    [
        ({}, "", {}),
        ({}, SNCT, {SNCT: True}),
        ({}, CNCT, {CNCT: True}),
        ({SNCT: True}, SNCT, {SNCT: True}),
        ({CNCT: True}, "", {CNCT: True}),
        ({CNCT: True}, CNCT, {CNCT: True}),
        ({}, f"{SMWB}=8", {SMWB: 8}),
        ({SMWB: 8}, f"{SMWB}=8", {SMWB: 8}),
        ({CMWB: 8}, f"{CMWB}=8", {CMWB: 8}),
        ({}, f"{CMWB}=8", {CMWB: 8}),
        ({}, f"{SMWB}=9", {SMWB: 9}),
        ({SMWB: 12}, f"{SMWB}=12", {SMWB: 12}),
        ({SMWB: 12}, f"{SMWB}=9", {SMWB: 9}),
        ({}, f"{CMWB}=9", {CMWB: 9}),
        ({CMWB: 12}, f"{CMWB}=12", {CMWB: 12}),
        ({CMWB: 12}, f"{CMWB}=9", {CMWB: 9}),
        ({CMWB: 12}, "", {CMWB: 12}),
        ({CMWB: None}, "", {}),
        # Our own bound holds whatever is agreed.
        ({"window_bits": 11}, "", {CMWB: 11}),
        ({"window_bits": 11}, f"{CMWB}=14", {CMWB: 11}),
        ({"window_bits": 11}, f"{CMWB}=9", {CMWB: 9}),
        # With a fallback, what was asked for was a wish.
        ({SNCT: True, SMWB: 9, "fallback": True}, "", {}),
        ({SNCT: True, "fallback": True}, SNCT, {SNCT: True}),
        ({SMWB: 9, "fallback": True}, f"{SMWB}=12", {SMWB: 12}),
    ],
)
def test_a_client_takes_an_answer_that_its_offer_allows(settings, answer, agreed):
    answered = f"permessage-deflate; {answer}".rstrip("; ")

    assert extensions.confirm([answered], [Client(**settings)]) == [deflate(**agreed)]


@pytest.mark.parametrize(
    ("settings", "answer", "error"),
    [
        ({}, "unknown", errors.InvalidParameterName),
        ({}, f"{SNCT}; {SNCT}", errors.DuplicateParameter),
        ({}, f"{SNCT}=1", errors.InvalidParameterValue),
        ({}, SMWB, errors.InvalidParameterValue),
        ({}, CMWB, errors.InvalidParameterValue),
        ({}, f"{SMWB}=7", errors.InvalidParameterValue),
        ({}, f"{SMWB}=16", errors.InvalidParameterValue),
        ({}, f"{CMWB}=7", errors.InvalidParameterValue),
        ({}, f"{CMWB}=09", errors.InvalidParameterValue),
        ({SNCT: True}, "", errors.NegotiationError),
        ({SMWB: 12}, "", errors.NegotiationError),
        ({SMWB: 12}, f"{SMWB}=13", errors.NegotiationError),
        ({CMWB: None}, f"{CMWB}=12", errors.NegotiationError),
        ({CMWB: 12}, f"{CMWB}=13", errors.NegotiationError),
        ({CMWB: None, "fallback": True}, f"{CMWB}=12", errors.NegotiationError),
        ({CMWB: 12, "fallback": True}, f"{CMWB}=13", errors.NegotiationError),
    ],
)
def test_a_client_refuses_an_answer_that_its_offer_does_not_allow(
    settings, answer, error
):
    answered = f"permessage-deflate; {answer}".rstrip("; ")

    with pytest.raises(error):
        extensions.confirm([answered], [Client(**settings)])


@pytest.mark.parametrize("bits", WRONG_BITS)
def test_window_bits_are_8_to_15_written_one_way(bits):
    with pytest.raises(errors.InvalidParameterValue):
        Server().process_request_params([(SMWB, bits)], [])
    with pytest.raises(errors.InvalidParameterValue):
        Client().process_response_params([(CMWB, bits)], [])


# --- both sides ------------------------------------------------------------------

WINDOWS = [None, *BITS]


@given(
    st.tuples(
        st.booleans(),
        st.booleans(),
        st.sampled_from(WINDOWS),
        st.sampled_from([*WINDOWS, True]),
    ),
    st.tuples(
        st.booleans(), st.booleans(), st.sampled_from(WINDOWS), st.sampled_from(WINDOWS)
    ),
)
def test_both_sides_agree_on_the_same_whatever_they_want(client, server):
    factory = Client(*client)

    header, granted = extensions.grant([extensions.offer([factory])], [Server(*server)])
    confirmed = extensions.confirm([header], [factory])

    (ours,), (theirs,) = granted, confirmed
    assert ours.server_max_window_bits == theirs.server_max_window_bits
    assert ours.server_no_context_takeover == theirs.server_no_context_takeover
    assert ours.client_no_context_takeover == theirs.client_no_context_takeover
    # A client may use a smaller window than the server has to be ready for.
    assert theirs.client_max_window_bits <= ours.client_max_window_bits


@pytest.mark.parametrize(
    ("client", "server"), list(itertools.product(PROFILES.values(), repeat=2))
)
def test_all_profiles_agree_with_each_other(client, server):
    factory = Client.of(client)

    header, granted = extensions.grant(
        [extensions.offer([factory])], [Server.of(server)]
    )
    (ours,), (theirs,) = granted, extensions.confirm([header], [factory])

    assert ours.level == server.level
    assert theirs.level == client.level
    assert theirs.client_max_window_bits <= client.window_bits
    assert ours.server_max_window_bits <= server.window_bits


def test_preferences_become_a_clients_offer():
    compression = Compression(
        level=3,
        mem_level=4,
        window_bits=11,
        peer_window_bits=10,
        takeover=False,
        peer_takeover=False,
        min_size=100,
    )
    factory = Client.of(compression)

    assert extensions.offer([factory]) == (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
        "server_max_window_bits=10; client_max_window_bits, "
        "permessage-deflate; client_no_context_takeover; client_max_window_bits"
    )
    assert extensions.confirm(["permessage-deflate"], [factory]) == [
        Deflate(
            client_no_context_takeover=True,
            client_max_window_bits=11,
            level=3,
            mem_level=4,
            min_size=100,
        )
    ]


def test_preferences_become_a_servers_answer():
    compression = Compression(
        level=3, mem_level=4, window_bits=11, peer_window_bits=10, min_size=100
    )

    header, agreed = extensions.grant(
        ["permessage-deflate; client_max_window_bits"], [Server.of(compression)]
    )

    assert header == (
        "permessage-deflate; server_max_window_bits=11; client_max_window_bits=10"
    )
    assert agreed == [
        Deflate(
            server_max_window_bits=11,
            client_max_window_bits=10,
            level=3,
            mem_level=4,
            min_size=100,
        )
    ]


# --- quirks ----------------------------------------------------------------------


def test_the_usual_window_is_not_asked_of_servers_that_cannot_be_asked():
    # Amazon's API Gateway agrees to server_max_window_bits=12 and falls silent;
    # others answer as if it had not been there.
    factory = Client.of(Compression())

    assert extensions.offer([factory]) == "permessage-deflate; client_max_window_bits"
    assert extensions.confirm(["permessage-deflate"], [factory])


def test_a_server_that_ignores_our_wishes_is_put_up_with():
    factory = Client.of(PROFILES["lean"])

    (agreed,) = extensions.confirm(["permessage-deflate"], [factory])

    assert not agreed.server_no_context_takeover
    assert agreed.client_no_context_takeover


# --- settings --------------------------------------------------------------------


@pytest.mark.parametrize("bits", [7, 16, 0, -15])
@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (Client, SMWB),
        (Client, CMWB),
        (Client, "window_bits"),
        (Server, SMWB),
        (Server, CMWB),
    ],
)
def test_windows_of_other_sizes_cannot_be_asked_for(factory, name, bits):
    with pytest.raises(ValueError, match="8 to 15 are allowed"):
        factory(**{name: bits})


@pytest.mark.parametrize("bits", ["12", 12.0, True])
def test_a_window_is_a_number(bits):
    with pytest.raises(TypeError, match="must be an int"):
        Server(server_max_window_bits=bits)


def test_a_window_that_is_required_must_be_given():
    with pytest.raises(ValueError, match="give client_max_window_bits"):
        Server(require_client_max_window_bits=True)


@pytest.mark.parametrize(
    ("settings", "agreed"),
    [
        (None, {}),
        ({}, {}),
        ({"level": -1}, {"level": 6}),
        ({"level": 0, "memLevel": 1}, {"level": 0, "mem_level": 1}),
        ({"level": 9, "memLevel": 9}, {"level": 9, "mem_level": 9}),
    ],
)
def test_settings_of_the_compressor_are_kept(settings, agreed):
    _, from_server = Server(compress_settings=settings).process_request_params([], [])
    from_client = Client(compress_settings=settings).process_response_params([], [])

    assert from_server == from_client == deflate(**agreed)


@pytest.mark.parametrize(
    "settings",
    [{"level": 10}, {"level": -2}, {"memLevel": 0}, {"memLevel": 10}, {"wbits": 9}],
)
def test_settings_that_zlib_does_not_know_are_refused(settings):
    with pytest.raises(ValueError, match="allowed"):
        Client(compress_settings=settings)
