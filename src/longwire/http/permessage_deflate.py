"""permessage-deflate: its negotiation, RFC 7692 section 7.1, for both sides.

The result is a ``messages.Deflate``. Windows of 8 bits are neither offered nor agreed
to: zlib cannot make them (it uses 9), so we could not keep such a promise.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..errors import (
    DuplicateParameter,
    InvalidParameterName,
    InvalidParameterValue,
    NegotiationError,
)
from ..messages import Deflate
from .extension_base import Agreed, ClientExtensionFactory, ServerExtensionFactory
from .fields import ExtensionParameter

__all__ = ["ClientPerMessageDeflateFactory", "ServerPerMessageDeflateFactory"]

NAME = "permessage-deflate"

# Sections 7.1.2.1 and 7.1.2.2: "a decimal integer value without leading zeroes between
# 8 to 15, inclusive".
_BITS = re.compile("[89]|1[0-5]")


class Preferences(Protocol):
    """What ``of`` reads: the fields of :class:`longwire.Compression`."""

    @property
    def level(self) -> int: ...
    @property
    def mem_level(self) -> int: ...
    @property
    def window_bits(self) -> int: ...
    @property
    def peer_window_bits(self) -> int: ...
    @property
    def takeover(self) -> bool: ...
    @property
    def peer_takeover(self) -> bool: ...
    @property
    def min_size(self) -> int: ...
    @property
    def backend(self) -> str: ...


# --- parameters ------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class _Params:
    """The four parameters, as they stand in one offer or answer."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | bool | None = None
    """True: there, without a value."""

    def build(self) -> list[ExtensionParameter]:
        params: list[ExtensionParameter] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is True:
                params.append((field.name, None))
            elif value:
                params.append((field.name, str(value)))
        return params


_NAMES = frozenset(field.name for field in dataclasses.fields(_Params))


def _parse(params: Sequence[ExtensionParameter], *, answer: bool) -> _Params:
    """Return what an offer or a server's answer says; raise NegotiationError."""
    parsed = _Params()
    seen: set[str] = set()
    for name, value in params:
        if name not in _NAMES:
            raise InvalidParameterName(name)
        if name in seen:
            raise DuplicateParameter(name)
        seen.add(name)
        setattr(parsed, name, _parse_value(name, value, answer))
    return parsed


def _parse_value(name: str, value: str | None, answer: bool) -> int | bool:
    if name.endswith("no_context_takeover"):
        if value is not None:
            raise InvalidParameterValue(name, value)
        return True
    if value is None and name == "client_max_window_bits" and not answer:
        return True  # section 7.1.2.2: only says that the server may ask for it
    if value is None or _BITS.fullmatch(value) is None:
        raise InvalidParameterValue(name, value)
    return int(value)


def _check_bits(name: str, bits: object) -> None:
    if bits is None:
        return
    if isinstance(bits, bool) or not isinstance(bits, int):
        raise TypeError(f"{name} must be an int, not {type(bits).__name__}")
    if not 8 <= bits <= 15:
        raise ValueError(f"{name} is {bits}; 8 to 15 are allowed")


def _compressor(settings: Mapping[str, Any] | None) -> dict[str, int]:
    """Return level and mem_level out of arguments for ``zlib.compressobj``."""
    given = dict(settings or {})
    level, mem_level = given.pop("level", -1), given.pop("memLevel", 8)
    if given:
        names = ", ".join(sorted(given))
        raise ValueError(f"compress_settings has {names}; level, memLevel are allowed")
    if level not in range(-1, 10):
        raise ValueError(f"level is {level}; -1 to 9 are allowed")
    if mem_level not in range(1, 10):
        raise ValueError(f"memLevel is {mem_level}; 1 to 9 are allowed")
    return {"level": 6 if level == -1 else level, "mem_level": mem_level}


def _check_alone(accepted_extensions: Sequence[Agreed]) -> None:
    if any(getattr(each, "name", None) == NAME for each in accepted_extensions):
        raise NegotiationError(f"received duplicate {NAME}")


def _settings(preferences: Preferences) -> dict[str, int]:
    return {"level": preferences.level, "memLevel": preferences.mem_level}


# --- client ----------------------------------------------------------------------


class ClientPerMessageDeflateFactory(ClientExtensionFactory):
    """Offers permessage-deflate as a client.

    The first four are what is offered: ``server_…`` asks the server to keep no
    context or a window of 8 to 15 bits, and an answer without that is refused;
    ``client_no_context_takeover`` is our own promise; ``client_max_window_bits`` is
    one too with a number, with True it lets the server ask for any, with None for
    none. ``compress_settings`` are ``level`` and ``memLevel`` of zlib.

    With ``fallback``, what is asked of the server is a wish: a second offer without
    it is made, and an answer to that is taken. ``window_bits`` bounds our own window
    whatever is agreed; messages shorter than ``min_size`` go uncompressed, and
    ``backend`` is as in :class:`longwire.Compression`.
    """

    name = NAME

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | bool | None = True,
        compress_settings: Mapping[str, Any] | None = None,
        *,
        fallback: bool = False,
        window_bits: int = 15,
        min_size: int = 0,
        backend: str = "auto",
    ) -> None:
        _check_bits("server_max_window_bits", server_max_window_bits)
        if client_max_window_bits is False:
            client_max_window_bits = None
        if client_max_window_bits is not True:
            _check_bits("client_max_window_bits", client_max_window_bits)
        _check_bits("window_bits", window_bits)
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.compress_settings = compress_settings
        self.fallback = fallback
        self.window_bits = window_bits
        self.min_size = min_size
        self.backend = backend
        self._compressor = _compressor(compress_settings)

    @classmethod
    def of(cls, compression: Preferences) -> ClientPerMessageDeflateFactory:
        """Return a factory that offers what ``compression`` prefers.

        Whatever a server makes of it, the connection opens. Two quirks shape the
        offer. A window of the usual 12 bits is not asked of the server, only a
        smaller one: Amazon's API Gateway agrees to ``server_max_window_bits=12`` and
        is never heard again, others answer as if it were not there. And our own
        window is kept small without a word, which is always allowed.
        """
        bits = compression.peer_window_bits
        return cls(
            server_no_context_takeover=not compression.peer_takeover,
            client_no_context_takeover=not compression.takeover,
            server_max_window_bits=bits if bits < 12 else None,
            client_max_window_bits=True,
            compress_settings=_settings(compression),
            fallback=True,
            window_bits=compression.window_bits,
            min_size=compression.min_size,
            backend=compression.backend,
        )

    def get_request_params(self) -> list[ExtensionParameter]:
        """Return the parameters of the preferred offer."""
        return _Params(
            self.server_no_context_takeover,
            self.client_no_context_takeover,
            self.server_max_window_bits,
            self.client_max_window_bits,
        ).build()

    def get_offers(self) -> list[list[ExtensionParameter]]:
        """Return the offers, the preferred one first."""
        preferred = self.get_request_params()
        plain = [param for param in preferred if not param[0].startswith("server_")]
        if not self.fallback or plain == preferred:
            return [preferred]
        return [preferred, plain]

    def process_response_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Agreed],
    ) -> Deflate:
        """Return what the server's answer agrees on; raise NegotiationError."""
        _check_alone(accepted_extensions)
        answer = _parse(params, answer=True)
        if not self.fallback:
            self._check_wishes(answer)
        # Section 7.1.2.2: not allowed unless offered, nor above what was offered.
        offered = self.client_max_window_bits
        most = 15 if offered is None or offered is True else offered
        ours = answer.client_max_window_bits
        if ours is not None:
            if offered is None:
                raise NegotiationError("unexpected client_max_window_bits")
            if ours > most:
                raise NegotiationError(
                    f"client_max_window_bits is {ours}; at most {most} was offered"
                )
        return Deflate(
            server_no_context_takeover=answer.server_no_context_takeover,
            client_no_context_takeover=(
                self.client_no_context_takeover or answer.client_no_context_takeover
            ),
            server_max_window_bits=answer.server_max_window_bits or 15,
            client_max_window_bits=min(
                most if ours is None else ours, self.window_bits
            ),
            min_size=self.min_size,
            backend=self.backend,
            **self._compressor,
        )

    def _check_wishes(self, answer: _Params) -> None:
        """Raise NegotiationError unless the answer grants what we asked for."""
        if self.server_no_context_takeover and not answer.server_no_context_takeover:
            raise NegotiationError("expected server_no_context_takeover")
        most, found = self.server_max_window_bits, answer.server_max_window_bits
        if most is None:
            return
        if found is None:
            raise NegotiationError("expected server_max_window_bits")
        if found > most:
            raise NegotiationError(
                f"server_max_window_bits is {found}; at most {most} was offered"
            )


# --- server ----------------------------------------------------------------------


class ServerPerMessageDeflateFactory(ServerExtensionFactory):
    """Answers offers of permessage-deflate as a server.

    The first four are what we want: ``server_…`` to keep no context ourselves or a
    window of at most so many bits, ``client_…`` that the client does so. A client
    that does not offer ``client_max_window_bits`` cannot be asked for it, and is
    declined if ``require_client_max_window_bits`` says so. ``compress_settings`` are
    ``level`` and ``memLevel`` of zlib; messages shorter than ``min_size`` go
    uncompressed, and ``backend`` is as in :class:`longwire.Compression`.
    """

    name = NAME

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | None = None,
        compress_settings: Mapping[str, Any] | None = None,
        require_client_max_window_bits: bool = False,
        *,
        min_size: int = 0,
        backend: str = "auto",
    ) -> None:
        _check_bits("server_max_window_bits", server_max_window_bits)
        _check_bits("client_max_window_bits", client_max_window_bits)
        if require_client_max_window_bits and client_max_window_bits is None:
            raise ValueError(
                "require_client_max_window_bits is set; give client_max_window_bits"
            )
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.compress_settings = compress_settings
        self.require_client_max_window_bits = require_client_max_window_bits
        self.min_size = min_size
        self.backend = backend
        self._compressor = _compressor(compress_settings)

    @classmethod
    def of(cls, compression: Preferences) -> ServerPerMessageDeflateFactory:
        """Return a factory that grants what ``compression`` prefers."""

        def below_15(bits: int) -> int | None:
            return bits if bits < 15 else None

        return cls(
            server_no_context_takeover=not compression.takeover,
            client_no_context_takeover=not compression.peer_takeover,
            server_max_window_bits=below_15(compression.window_bits),
            client_max_window_bits=below_15(compression.peer_window_bits),
            compress_settings=_settings(compression),
            min_size=compression.min_size,
            backend=compression.backend,
        )

    def process_request_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Agreed],
    ) -> tuple[list[ExtensionParameter], Deflate]:
        """Return the answer to an offer and what it agrees on.

        Raises NegotiationError to decline it.
        """
        _check_alone(accepted_extensions)
        offered = _parse(params, answer=False)
        answer = _Params(
            self.server_no_context_takeover or offered.server_no_context_takeover,
            self.client_no_context_takeover or offered.client_no_context_takeover,
            self._server_bits(offered),
            self._client_bits(offered),
        )
        deflate = Deflate(
            server_no_context_takeover=answer.server_no_context_takeover,
            client_no_context_takeover=answer.client_no_context_takeover,
            server_max_window_bits=answer.server_max_window_bits or 15,
            client_max_window_bits=answer.client_max_window_bits or 15,
            min_size=self.min_size,
            backend=self.backend,
            **self._compressor,
        )
        return answer.build(), deflate

    def _server_bits(self, offered: _Params) -> int | None:
        """Return our window to announce; section 7.1.2.1 lets us do so unasked."""
        ours, asked = self.server_max_window_bits, offered.server_max_window_bits
        if ours is None or asked is None:
            return asked if ours is None else ours
        return min(ours, asked)

    def _client_bits(self, offered: _Params) -> int | None:
        """Return the window to ask of the client, which only an offer allows."""
        wanted, offer = self.client_max_window_bits, offered.client_max_window_bits
        if offer is None:
            if self.require_client_max_window_bits:
                raise NegotiationError("required client_max_window_bits")
            return None
        if offer is True:
            return wanted
        return offer if wanted is None else min(wanted, offer)
