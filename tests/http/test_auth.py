"""Comparing credentials."""

import hmac

import pytest

from longwire.http.auth import CredentialsChecker

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "credentials",
    [
        ("user", "pässword"),
        ["user", "pässword"],
        [("other", "x"), ("user", "pässword")],
        {("user", "pässword"), ("user", "second")},
        iter([("user", "pässword")]),
    ],
)
def test_who_has_credentials_comes_in(credentials):
    check = CredentialsChecker(credentials)

    assert check("user", "pässword")
    assert check("user", "pässword")  # iterables are read once


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("user", "wrong"),
        ("wrong", "password"),
        ("user", ""),
        ("", "password"),
        ("", ""),
        ("User", "password"),
        ("user", "password "),
        ("user", "second"),
        ("user", "\udcff"),
    ],
)
def test_nobody_else_comes_in(username, password):
    check = CredentialsChecker([("user", "password"), ("other", "second")])

    assert not check(username, password)


def test_without_credentials_nobody_comes_in():
    assert not CredentialsChecker([])("", "")


def test_every_name_and_password_is_compared_whatever_the_guess(monkeypatch):
    compared = []

    def compare_digest(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    check = CredentialsChecker([("a", "b"), ("c", "d")])

    assert check("a", "b")
    assert not check("x", "y")

    assert len(compared) == 8


@pytest.mark.parametrize(
    "credentials",
    [
        "user:password",
        b"user",
        5,
        None,
        ("user", b"x"),
        [("user",)],
        ["user"],
        [5],
        ("a", "b", "c"),
        {"user": "password"},
    ],
)
def test_anything_else_is_a_type_error(credentials):
    with pytest.raises(TypeError, match="credentials must be"):
        CredentialsChecker(credentials)
