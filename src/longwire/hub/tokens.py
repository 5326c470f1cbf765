"""Tokens: who may do what on which topics, signed, so that no database is asked.

JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, with HS256, or EdDSA where
``cryptography`` is installed. What a token is good for is in its claims::

    sub     the user
    topics  up to 64 names; a last segment {} stands for any
    may     "sub", "pub", "presence": what on these; "sub" alone if left out
    exp     seconds since 1970

``nbf`` is heeded where it is. The time is an argument.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..hints import checks_keywords
from ..rpc.errors import NotAuthorised
from .errors import TokenExpired

__all__ = ["MAX_TOKEN", "MAX_TOPICS", "Claims", "Tokens"]

MAX_TOKEN = 8192
"""Most characters of a token."""
MAX_TOPICS = 64
"""Most topics in a token."""
MIN_SECRET = 32
"""Least bytes of a secret: RFC 7518 section 3.2 wants as many as the hash has."""

RIGHTS = ("sub", "pub", "presence")

Verify = Callable[[bytes, bytes], bool]


class Claims(NamedTuple):
    """What a token says, after its signature and its times were checked."""

    user: str | None
    topics: frozenset[str]
    may: frozenset[str]
    expires: float
    """Seconds since 1970."""
    info: Any = None
    """The claim ``info``, if there is one: for presence."""

    def names(self, topic: str) -> bool:
        """Whether it is about ``topic``."""
        head, colon, _ = topic.rpartition(":")
        return topic in self.topics or bool(colon and f"{head}:{{}}" in self.topics)


class Tokens:
    """The keys that tokens are checked with, and a way to make some.

    ``secret`` is that of HS256, at least 32 bytes, or several of them: tokens are
    signed with the first and may be signed with any, so that keys can be changed.
    ``public_key`` is one of Ed25519, or several: 32 bytes each, or PEM; tokens are then
    EdDSA and made elsewhere. ``audience`` and ``issuer``, if given, must be what a
    token's ``aud`` and ``iss`` say. ``leeway`` is how much clocks may differ, in
    seconds.
    """

    @checks_keywords()
    def __init__(
        self,
        secret: str | bytes | Sequence[str | bytes] | None = None,
        *,
        public_key: str | bytes | Sequence[str | bytes] | None = None,
        audience: str | None = None,
        issuer: str | None = None,
        leeway: float = 5.0,
    ) -> None:
        if secret is None and public_key is None:
            raise TypeError("give secret= for HS256, public_key= for EdDSA, or both")
        self._secrets = [_secret(each) for each in _several(secret)]
        # Which keys a token is checked with follows from its algorithm, and each key is
        # for one algorithm only: a public key must never be taken for a secret.
        self._keys: dict[str, list[Verify]] = {}
        if self._secrets:
            self._keys["HS256"] = [_hs256(each) for each in self._secrets]
        if public_key is not None:
            self._keys["EdDSA"] = [_ed25519(each) for each in _several(public_key)]
        for name, value in (("audience", audience), ("issuer", issuer)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be str, not {type(value).__name__}")
        if isinstance(leeway, bool) or not isinstance(leeway, (int, float)):
            raise TypeError(f"leeway must be a number, not {type(leeway).__name__}")
        if not 0 <= leeway <= 3600:
            raise ValueError(f"leeway is {leeway}; 0 to 3600 seconds are allowed")
        self._audience = audience
        self._issuer = issuer
        self._leeway = leeway

    def make(
        self,
        user: str | None,
        topics: str | Iterable[str],
        *,
        now: float,
        may: Iterable[str] = ("sub",),
        expires: float = 3600.0,
        info: Any = None,
    ) -> str:
        """Return a token with HS256 that ends in ``expires`` seconds after ``now``."""
        if not self._secrets:
            raise TypeError("making tokens needs secret=")
        _check_wanted(user, now, expires, may)
        claims: dict[str, Any] = {
            "topics": [topics] if isinstance(topics, str) else list(topics),
            "may": list(may),
            "iat": int(now),
            "exp": math.ceil(now + expires),
        }
        for name, value in (
            ("sub", user),
            ("info", info),
            ("aud", self._audience),
            ("iss", self._issuer),
        ):
            if value is not None:
                claims[name] = value
        _claims_of(claims)  # what we would not take we do not make
        head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = _encode(json.dumps(claims, separators=(",", ":")).encode())
        signed = f"{head}.{body}"
        mac = hmac.digest(self._secrets[0], signed.encode(), hashlib.sha256)
        token = f"{signed}.{_encode(mac)}"
        if len(token) > MAX_TOKEN:
            raise ValueError(
                f"a token of {len(token)} characters; {MAX_TOKEN} are allowed"
            )
        return token

    def check(self, token: object, now: float) -> Claims:
        """Return what a token says.

        Raises NotAuthorised for one that is none of ours, TokenExpired for one that was
        valid before ``now``.
        """
        if not isinstance(token, str) or len(token) > MAX_TOKEN or not token.isascii():
            raise NotAuthorised("not a token")
        signed, _, signature = token.rpartition(".")
        head, _, body = signed.partition(".")
        header = _object(head)
        algorithm = header.get("alg")
        # RFC 7515 section 4.1.11: what must be understood and is not makes it invalid.
        if "crit" in header or not isinstance(algorithm, str):
            raise NotAuthorised("a token of a kind that is not taken here")
        keys = self._keys.get(algorithm, ())
        mac = _decode(signature)
        if not any(verify(signed.encode(), mac) for verify in keys):
            raise NotAuthorised("the token's signature is not valid")
        return self._checked(_object(body), now)

    def _checked(self, claims: Mapping[str, Any], now: float) -> Claims:
        found = _claims_of(claims)
        if self._audience is not None and self._audience not in _texts(claims, "aud"):
            raise NotAuthorised("the token is for another audience")
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise NotAuthorised("the token is of another issuer")
        begins = claims.get("nbf")
        if begins is not None and not _time(begins, "nbf") <= now + self._leeway:
            raise NotAuthorised("the token is not valid yet")
        if not now < found.expires + self._leeway:
            raise TokenExpired("the token has expired")
        return found


# --- keys ------------------------------------------------------------------------


def _check_wanted(user: object, now: object, expires: object, may: object) -> None:
    """Raise TypeError for a token that cannot be made."""
    if user is not None and not isinstance(user, str):
        kind = type(user).__name__
        raise TypeError(f"user must be a str or None, not {kind}: write str(user)")
    for name, value in (("now", now), ("expires", expires)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            kind = type(value).__name__
            hint = ": write time.time()" if name == "now" else ""
            raise TypeError(f"{name} must be a number of seconds, not {kind}{hint}")
    if isinstance(may, str):
        raise TypeError(f"may must be a list of str: write [{may!r}]")


def _several(keys: Any) -> list[str | bytes]:
    if keys is None:
        return []
    if not isinstance(keys, (str, bytes, Iterable)):
        kind = type(keys).__name__
        raise TypeError(f"a key must be str or bytes, or a list of these, not {kind}")
    found = [keys] if isinstance(keys, (str, bytes)) else list(keys)
    if not found:
        raise ValueError("an empty list of keys")
    return found


def _secret(secret: object) -> bytes:
    if isinstance(secret, str):
        secret = secret.encode()
    if not isinstance(secret, bytes):
        raise TypeError(f"a secret must be str or bytes, not {type(secret).__name__}")
    if len(secret) < MIN_SECRET:
        raise ValueError(
            f"a secret of {len(secret)} bytes; at least {MIN_SECRET} are needed: "
            "secrets.token_urlsafe(32) makes one"
        )
    if secret.lstrip().startswith(b"-----BEGIN"):
        raise ValueError("that is a key in PEM: give it as public_key=")
    return secret


def _hs256(secret: bytes) -> Verify:
    def verify(signed: bytes, mac: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret, signed, hashlib.sha256), mac)

    return verify


def _ed25519(key: object) -> Verify:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as exc:
        raise ImportError(
            "tokens with EdDSA need cryptography; in a checkout: pip install '.[eddsa]'"
        ) from exc
    data = key.encode() if isinstance(key, str) else key
    if not isinstance(data, bytes):
        raise TypeError(f"a public key must be str or bytes, not {type(key).__name__}")
    try:
        if len(data) == 32:
            public: Any = Ed25519PublicKey.from_public_bytes(data)
        else:
            public = load_pem_public_key(data)
    except ValueError as exc:
        raise ValueError(f"not a public key: {exc}") from None
    if not isinstance(public, Ed25519PublicKey):
        kind = type(public).__name__
        raise ValueError(f"a public key must be one of Ed25519, not {kind}")

    def verify(signed: bytes, signature: bytes) -> bool:
        try:
            public.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verify


# --- claims ----------------------------------------------------------------------


def _claims_of(claims: Mapping[str, Any]) -> Claims:
    user = claims.get("sub")
    if user is not None and not (isinstance(user, str) and user):
        raise NotAuthorised("the token's sub is not a text")
    topics = _texts(claims, "topics")
    if not 1 <= len(topics) <= MAX_TOPICS:
        raise NotAuthorised(f"a token has 1 to {MAX_TOPICS} topics")
    for topic in topics:
        if "{" in topic.removesuffix(":{}") or "}" in topic.removesuffix(":{}"):
            raise NotAuthorised("only a token's last segment may be {}")
    may = _texts(claims, "may") if "may" in claims else ["sub"]
    if not set(may) <= set(RIGHTS):
        raise NotAuthorised(f"a token may: {', '.join(RIGHTS)}")
    expires = _time(claims.get("exp"), "exp")
    info = claims.get("info")
    return Claims(user, frozenset(topics), frozenset(may), expires, info)


def _texts(claims: Mapping[str, Any], name: str) -> list[str]:
    found = claims.get(name)
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise NotAuthorised(f"the token's {name} is not a list of texts")
    return texts


def _time(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NotAuthorised(f"the token's {name} is not a time")
    # An integer of many digits is no float, and not a time either.
    if not -(2**53) < value < 2**53:
        raise NotAuthorised(f"the token's {name} is not a time")
    return float(value)


# --- base64url and JSON ----------------------------------------------------------


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_ALPHABET = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)


def _decode(text: str) -> bytes:
    # RFC 7515 section 2: without padding, line breaks or other characters.
    if not _ALPHABET.issuperset(text):
        raise NotAuthorised("not a token")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise NotAuthorised("not a token") from None
    # One text for each signature, so that a token cannot be written another way.
    if _encode(data) != text:
        raise NotAuthorised("not a token")
    return data


def _object(text: str) -> dict[str, Any]:
    data = _decode(text)
    try:
        found = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise NotAuthorised("not a token") from None
    if not isinstance(found, dict):
        raise NotAuthorised("not a token")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 7519 section 4: a claim that comes twice may be rejected; taking either is a
    # way to have one reader check what another does not use.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
