"""JWT: what is taken, and everything near it that is not."""

import base64
import hashlib
import hmac
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.needs import needs

needs("msgspec")

from longwire.hub.errors import TokenExpired
from longwire.hub.tokens import Tokens
from longwire.rpc import NotAuthorised

SECRET = b"0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000.0
GOOD = {"sub": "ann", "topics": ["chat:1"], "exp": NOW + 60}
TOKENS = Tokens(SECRET)


def part(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(claims, header=None, secret=SECRET):
    head = {"alg": "HS256", "typ": "JWT"} if header is None else header
    text = f"{part(head)}.{part(claims)}"
    mac = hmac.digest(secret, text.encode(), hashlib.sha256)
    return f"{text}.{part(mac)}"


# --- what is taken ---------------------------------------------------------------


def test_a_token_as_the_standard_prints_it_is_read():
    # RFC 7515 appendix A.1, with its key; it has no topics, so it stops there.
    key = base64.urlsafe_b64decode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"
        "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
    )
    token = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )

    with pytest.raises(NotAuthorised, match="topics is not a list"):
        Tokens(key).check(token, 1300819379.0)


def test_what_is_made_is_taken():
    token = TOKENS.make("ann", ["chat:1", "log:{}"], now=NOW, may=["sub", "pub"])

    claims = TOKENS.check(token, NOW)

    assert claims.user == "ann"
    assert claims.topics == {"chat:1", "log:{}"}
    assert claims.may == {"sub", "pub"}
    assert claims.expires == NOW + 3600


def test_a_second_secret_checks_and_the_first_signs():
    old, new = Tokens(SECRET), Tokens([b"n" * 32, SECRET])

    assert new.check(old.make("ann", "a", now=NOW), NOW).user == "ann"
    with pytest.raises(NotAuthorised, match="signature"):
        old.check(new.make("ann", "a", now=NOW), NOW)


@pytest.mark.parametrize(
    ("topic", "named"),
    [
        ("chat:1", True),
        ("chat:2", False),
        ("chat", False),
        ("log:x", True),
        ("log:x:y", False),
        ("log", False),
        ("{}", False),
    ],
)
def test_a_last_segment_of_braces_stands_for_any_one(topic, named):
    claims = TOKENS.check(signed({**GOOD, "topics": ["chat:1", "log:{}"]}), NOW)

    assert claims.names(topic) is named


def test_times_are_compared_with_some_leeway():
    TOKENS.check(signed({**GOOD, "exp": NOW - 4}), NOW)
    TOKENS.check(signed({**GOOD, "nbf": NOW + 4}), NOW)
    with pytest.raises(TokenExpired):
        Tokens(SECRET, leeway=0).check(signed({**GOOD, "exp": NOW}), NOW)


# --- what is not -----------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        *(None, 7, b"a.b.c", "", ".", "..", "a.b.c", "a" * 9000, "é.é.é", "\ud800"),
        signed(GOOD, header={"alg": "none"}),
        signed(GOOD, header={"alg": "none"}).rpartition(".")[0] + ".",
        signed(GOOD, header={"alg": "None"}),
        signed(GOOD, header={"alg": "hs256"}),
        signed(GOOD, header={"alg": "HS512"}),
        signed(GOOD, header={"alg": "EdDSA"}),
        signed(GOOD, header={"alg": ["HS256"]}),
        signed(GOOD, header={}),
        signed(GOOD, header=[]),
        signed(GOOD, header={"alg": "HS256", "crit": ["b64"], "b64": False}),
        signed(GOOD, header=b'{"alg":"none","alg":"HS256"}'),
        signed(GOOD, secret=b"x" * 32),
        signed(GOOD, secret=b""),
        signed(GOOD) + "=",
        signed(GOOD) + "A",
        signed(GOOD)[:-1],
        signed(GOOD) + ".x",
        " " + signed(GOOD),
        signed(GOOD) + "\n",
        signed(GOOD).replace(".", ".\n", 1),
        signed(b"null"),
        signed(b"[" * 100_000),
        signed(b'{"exp":1e999}'),
        signed(b"\xff"),
        signed(b'{"sub":"ann","sub":"bob","topics":["a"],"exp":9999999999}'),
        signed({**GOOD, "topics": []}),
        signed({**GOOD, "topics": ["a"] * 65}),
        signed({**GOOD, "topics": [1]}),
        signed({**GOOD, "topics": {"a": 1}}),
        signed({**GOOD, "topics": ["{}:a"]}),
        signed({**GOOD, "topics": ["{}"]}),
        signed({**GOOD, "topics": ["a:{x}"]}),
        signed({**GOOD, "topics": ["a:{}:b"]}),
        signed({**GOOD, "may": ["admin"]}),
        signed({**GOOD, "may": None}),
        signed({**GOOD, "sub": 7}),
        signed({**GOOD, "sub": ""}),
        signed({**GOOD, "exp": None}),
        signed({**GOOD, "exp": True}),
        signed({**GOOD, "exp": "9999999999"}),
        signed({**GOOD, "exp": 10**400}),
        signed(b'{"topics":["a"],"exp":NaN}'),
        signed({"topics": ["a"]}),
        signed({**GOOD, "nbf": NOW + 60}),
        signed({**GOOD, "nbf": "x"}),
    ],
)
def test_what_is_no_token_of_ours_is_not_authorised(token):
    with pytest.raises(NotAuthorised) as caught:
        TOKENS.check(token, NOW)

    assert caught.value.message.isprintable()


@pytest.mark.parametrize("place", range(0, len(signed(GOOD)), 3))
def test_no_character_of_a_token_can_be_another(place):
    token = signed(GOOD)
    for other in ("A", "B", "-", ".", "é"):
        if token[place] == other:
            continue
        with pytest.raises((NotAuthorised, TokenExpired)):
            TOKENS.check(token[:place] + other + token[place + 1 :], NOW)


def test_the_last_character_of_a_signature_has_one_way_to_be_written():
    token = signed(GOOD)
    taken = 0
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        try:
            TOKENS.check(token[:-1] + other, NOW)
            taken += 1
        except NotAuthorised:
            pass

    assert taken == 1


def test_an_expired_token_is_told_apart():
    with pytest.raises(TokenExpired):
        TOKENS.check(signed({**GOOD, "exp": NOW - 10}), NOW)


@given(st.text() | st.binary().map(lambda data: f"{part(data)}.{part(data)}.AA"))
def test_any_text_is_refused(text):
    with pytest.raises(NotAuthorised):
        TOKENS.check(text, NOW)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_claims_are_read_or_refused(claims):
    try:
        TOKENS.check(signed(claims), NOW)
    except (NotAuthorised, TokenExpired):
        pass


def test_audience_and_issuer_are_compared_where_they_are_wanted():
    tokens = Tokens(SECRET, audience="hub", issuer="site")
    good = {**GOOD, "aud": "hub", "iss": "site"}

    assert tokens.check(signed(good), NOW).user == "ann"
    assert tokens.check(signed({**good, "aud": ["x", "hub"]}), NOW).user == "ann"
    assert tokens.check(tokens.make("bob", "a", now=NOW), NOW).user == "bob"
    for other in ({"aud": "x"}, {"aud": None}, {"iss": "x"}, {"iss": ["site"]}):
        with pytest.raises(NotAuthorised):
            tokens.check(signed({**good, **other}), NOW)


# --- making them -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({}, TypeError, "secret= for HS256"),
        ({"secret": "short"}, ValueError, "5 bytes; at least 32"),
        ({"secret": 7}, TypeError, "'int'|must be str or bytes"),
        ({"secret": []}, ValueError, "empty list"),
        ({"secret": [7]}, TypeError, "must be str or bytes, not int"),
        (
            {"secret": "-----BEGIN PUBLIC KEY-----" + "x" * 32},
            ValueError,
            "public_key=",
        ),
        ({"secret": SECRET, "audience": 7}, TypeError, "audience must be str"),
        ({"secret": SECRET, "leeway": "5"}, TypeError, "leeway must be a number"),
        ({"secret": SECRET, "leeway": -1}, ValueError, "0 to 3600"),
    ],
)
def test_keys_and_options_are_checked_at_once(arguments, error, text):
    with pytest.raises(error, match=text):
        Tokens(**arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"topics": []}, "1 to 64 topics"),
        ({"topics": ["{}"]}, "last segment"),
        ({"topics": "a", "may": ["all"]}, "may: sub, pub, presence"),
        ({"topics": "a", "expires": float("1e300")}, "exp is not a time"),
    ],
)
def test_what_would_not_be_taken_is_not_made(arguments, text):
    with pytest.raises((NotAuthorised, OverflowError), match=text):
        TOKENS.make("ann", now=NOW, **arguments)


# --- EdDSA -----------------------------------------------------------------------


def ed25519():
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    return ed25519.Ed25519PrivateKey.generate()


def eddsa(key, claims):
    text = f"{part({'alg': 'EdDSA'})}.{part(claims)}"
    return f"{text}.{part(key.sign(text.encode()))}"


def test_a_token_with_eddsa_is_checked_by_its_public_key():
    from cryptography.hazmat.primitives import serialization

    key = ed25519()
    raw = key.public_key().public_bytes_raw()
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    for public in (
        raw,
        pem,
        pem.decode(),
        [ed25519().public_key().public_bytes_raw(), raw],
    ):
        tokens = Tokens(public_key=public)
        assert tokens.check(eddsa(key, GOOD), NOW).user == "ann"
        with pytest.raises(NotAuthorised):
            tokens.check(eddsa(ed25519(), GOOD), NOW)
        with pytest.raises(TypeError, match="needs secret="):
            tokens.make("ann", "a", now=NOW)


def test_a_public_key_is_no_secret():
    key = ed25519()
    raw = key.public_key().public_bytes_raw()
    tokens = Tokens(SECRET, public_key=raw)

    for secret in (raw, b""):
        with pytest.raises(NotAuthorised):
            tokens.check(signed(GOOD, secret=secret), NOW)
        with pytest.raises(NotAuthorised):
            tokens.check(signed(GOOD, header={"alg": "EdDSA"}, secret=secret), NOW)


def test_keys_of_other_kinds_are_refused():
    pytest.importorskip("cryptography")

    with pytest.raises(ValueError, match="not a public key"):
        Tokens(public_key=b"x" * 40)
    with pytest.raises(TypeError, match="must be str or bytes"):
        Tokens(public_key=[7])


def test_without_cryptography_eddsa_says_what_to_install(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "cryptography":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)

    with pytest.raises(ImportError, match=r"install '\.\[eddsa\]'"):
        Tokens(public_key=b"x" * 32)
