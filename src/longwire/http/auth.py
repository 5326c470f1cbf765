"""Credentials: compared so that the time taken does not tell how close a guess was."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

__all__ = ["CredentialsChecker"]


class CredentialsChecker:
    """Says whether a user name and password are among those given at the start.

    ``credentials`` is a (user name, password) pair or an iterable of pairs. Raises
    TypeError for anything else.
    """

    def __init__(
        self, credentials: tuple[str, str] | Iterable[tuple[str, str]]
    ) -> None:
        pairs = _listed([credentials] if _is_pair(credentials) else credentials)
        self._pairs = [(_encode(name), _encode(password)) for name, password in pairs]

    def __call__(self, username: str, password: str) -> bool:
        """Return whether the two belong together; all pairs are always compared."""
        name, secret = _encode(username), _encode(password)
        valid = False
        for known_name, known_secret in self._pairs:
            # & and |: "and" would skip the password of a wrong name.
            valid |= hmac.compare_digest(known_name, name) & hmac.compare_digest(
                known_secret, secret
            )
        return valid


def _encode(text: str) -> bytes:
    # compare_digest() takes ASCII only as str; RFC 7617 section 2.1 says UTF-8.
    return text.encode(errors="surrogateescape")


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(item, str) for item in value)
    )


def _listed(credentials: object) -> list[tuple[str, str]]:
    if isinstance(credentials, (str, bytes)) or not isinstance(credentials, Iterable):
        kind = type(credentials).__name__
        raise TypeError(f"credentials must be a pair or pairs of str, not {kind}")
    pairs = list(credentials)
    if not all(_is_pair(pair) for pair in pairs):
        raise TypeError("credentials must be a pair or pairs of str")
    return pairs
