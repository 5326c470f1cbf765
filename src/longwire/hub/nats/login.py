"""Logins by key: an NKey's seed, or a file of credentials, which has a JWT as well.

The server sends a nonce and gets its signature, so the seed never leaves the process.
https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["Login"]

SEED = 18 << 3
"""What the first byte of a seed begins with, so that its text begins with S."""
USER = 20 << 3
"""What a user's public key begins with, so that its text begins with U."""

_PART = re.compile(
    r"-{3,}BEGIN (NATS USER JWT|USER NKEY SEED)-{3,}\s+(\S+)\s+-{3,}END \1-{3,}"
)


class Login:
    """What proves who we are. ``credentials`` is read anew for each connection."""

    def __init__(
        self, nkey_seed: str | None, credentials: str | os.PathLike[str] | None
    ) -> None:
        self._seed = nkey_seed
        self._path = None if credentials is None else Path(credentials)
        self.answer("")  # what cannot be used is refused now

    def __repr__(self) -> str:
        return f"<Login by {'a key' if self._path is None else self._path}>"

    def answer(self, nonce: str) -> dict[str, str]:
        """Return what CONNECT has to say to a server that sent ``nonce``.

        Raises ValueError for a seed or a file that cannot be used, OSError where the
        file cannot be read.
        """
        if self._path is None:
            assert self._seed is not None
            public, sign = _keys(self._seed)
            who = {"nkey": public}
        else:
            parts = dict(_PART.findall(self._path.read_text()))
            if len(parts) < 2:
                raise ValueError(f"{self._path} has no JWT and seed of a NATS user")
            _, sign = _keys(parts["USER NKEY SEED"])
            who = {"jwt": parts["NATS USER JWT"]}
        signature = base64.urlsafe_b64encode(sign(nonce.encode())).decode()
        return {**who, "sig": signature.rstrip("=")}


def _keys(seed: str) -> tuple[str, Callable[[bytes], bytes]]:
    """Return the public key of a user's seed, and what signs by it."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise ImportError(
            "logins by key need cryptography; in a checkout: pip install '.[eddsa]'"
        ) from None
    key = Ed25519PrivateKey.from_private_bytes(_secret_of(seed))
    public = bytes([USER]) + key.public_key().public_bytes_raw()
    return _with_sum(public), key.sign


def _secret_of(seed: str) -> bytes:
    """Return the 32 bytes that a user's seed has; never says what it is."""
    try:
        data = base64.b32decode(seed.strip() + "=" * (-len(seed.strip()) % 8))
    except (binascii.Error, ValueError):
        data = b""
    # Two bytes say what it is: 5 bits of "seed", 8 bits of whose, 3 bits of nothing.
    head = bytes([SEED | USER >> 5, (USER & 31) << 3])
    if len(data) != 36 or _sum(data[:-2]) != data[-2:] or data[:2] != head:
        raise ValueError("nkey_seed is not the seed of a NATS user, which begins SU")
    return data[2:-2]


def _with_sum(data: bytes) -> str:
    return base64.b32encode(data + _sum(data)).decode().rstrip("=")


def _sum(data: bytes) -> bytes:
    return binascii.crc_hqx(data, 0).to_bytes(2, "little")
