"""permessage-deflate as an extension that can be used frame by frame.

What a factory agrees on is also longwire's own ``Deflate``, so that a front end which
is given these factories takes its fast path.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ...core.deflate import Codec, Deflating
from ...http import permessage_deflate as own
from ...http.extension_base import (
    Agreed,
    ClientExtensionFactory,
    Extension,
    ServerExtensionFactory,
)
from ...messages import Deflate, Frame
from ...options import PROFILES
from ..aliases import give_aliases
from ..typing import ExtensionParameter

__all__ = [
    "ClientPerMessageDeflateFactory",
    "PerMessageDeflate",
    "ServerPerMessageDeflateFactory",
    "enable_client_permessage_deflate",
    "enable_server_permessage_deflate",
]

_Factory = TypeVar("_Factory", ClientExtensionFactory, ServerExtensionFactory)

# What compression="deflate" stands for, in the words of these factories.
_PROFILE = PROFILES["deflate"]
_SETTINGS = {"memLevel": _PROFILE.mem_level}


class PerMessageDeflate(Deflate, Extension):
    """What two sides agreed on for permessage-deflate; compresses and decompresses.

    ``remote_…`` is what the peer compresses with, ``local_…`` what we do;
    ``compress_settings`` are further arguments of ``zlib.compressobj``.
    """

    name = own.NAME
    remote_no_context_takeover: bool
    local_no_context_takeover: bool
    remote_max_window_bits: int
    local_max_window_bits: int
    compress_settings: dict[str, Any]
    _frames: Deflating

    def __init__(
        self,
        remote_no_context_takeover: bool,
        local_no_context_takeover: bool,
        remote_max_window_bits: int,
        local_max_window_bits: int,
        compress_settings: Mapping[str, Any] | None = None,
    ) -> None:
        # As a client, for whom "local" is what the wire calls "client".
        factory = own.ClientPerMessageDeflateFactory(
            compress_settings=_take_own(compress_settings)
        )
        agreed = dataclasses.replace(
            factory.process_response_params([], []),
            server_no_context_takeover=remote_no_context_takeover,
            client_no_context_takeover=local_no_context_takeover,
            server_max_window_bits=remote_max_window_bits,
            client_max_window_bits=local_max_window_bits,
        )
        self._set(agreed, True, compress_settings)

    @classmethod
    def of(
        cls,
        agreed: Deflate,
        *,
        client: bool,
        compress_settings: Mapping[str, Any] | None = None,
    ) -> PerMessageDeflate:
        """Return an extension that does what was agreed, on the side we are."""
        if isinstance(agreed, PerMessageDeflate):
            return agreed
        extension = cls.__new__(cls)
        extension._set(agreed, client, compress_settings)
        return extension

    def _set(
        self, agreed: Deflate, client: bool, settings: Mapping[str, Any] | None
    ) -> None:
        fields = {f.name: getattr(agreed, f.name) for f in dataclasses.fields(Deflate)}
        Deflate.__init__(self, **fields)
        remote, local = ("server", "client") if client else ("client", "server")
        for side, name in (("remote", remote), ("local", local)):
            for what in ("no_context_takeover", "max_window_bits"):
                self._put(f"{side}_{what}", fields[f"{name}_{what}"])
        self._put("compress_settings", dict(settings or {}))
        compressobj = _compressobj(settings)
        codec = Codec(self, client, compressobj=compressobj)
        self._put("_frames", Deflating(codec))

    def _put(self, name: str, value: object) -> None:
        """Set an attribute: what was agreed is frozen, what is done with it is not."""
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        names = ("no_context_takeover", "max_window_bits")
        fields = [
            f"{side}_{name}={getattr(self, f'{side}_{name}')}"
            for name in names
            for side in ("remote", "local")
        ]
        return f"PerMessageDeflate({', '.join(fields)})"

    def encode(self, frame: Frame) -> Frame:
        """Return the frame with its payload compressed; control frames as they are."""
        return self._frames.encode(frame)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Return the frame with its payload decompressed; control frames as they are.

        Raises PayloadTooBig as soon as it has more than ``max_size`` bytes, and
        ProtocolError when the data is corrupt.
        """
        return self._frames.decode(frame, max_size=max_size)


class ClientPerMessageDeflateFactory(own.ClientPerMessageDeflateFactory):
    """Offers permessage-deflate as a client; agrees on a :class:`PerMessageDeflate`.

    ``compress_settings`` are further arguments of ``zlib.compressobj``.
    """

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | bool | None = True,
        compress_settings: Mapping[str, Any] | None = None,
        **further: Any,
    ) -> None:
        super().__init__(
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            _take_own(compress_settings),
            **further,
        )
        self.compress_settings = compress_settings

    def process_response_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Agreed],
    ) -> PerMessageDeflate:
        """Return what the server's answer agrees on; raise NegotiationError."""
        agreed = super().process_response_params(params, accepted_extensions)
        settings = self.compress_settings
        return PerMessageDeflate.of(agreed, client=True, compress_settings=settings)


class ServerPerMessageDeflateFactory(own.ServerPerMessageDeflateFactory):
    """Answers offers as a server; agrees on a :class:`PerMessageDeflate`.

    ``compress_settings`` are further arguments of ``zlib.compressobj``.
    """

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | None = None,
        compress_settings: Mapping[str, Any] | None = None,
        require_client_max_window_bits: bool = False,
        **further: Any,
    ) -> None:
        super().__init__(
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            _take_own(compress_settings),
            require_client_max_window_bits,
            **further,
        )
        self.compress_settings = compress_settings

    def process_request_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Agreed],
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        """Return the answer to an offer and what it agrees on."""
        answer, agreed = super().process_request_params(params, accepted_extensions)
        settings = self.compress_settings
        return answer, PerMessageDeflate.of(
            agreed, client=False, compress_settings=settings
        )


def enable_client_permessage_deflate(
    extensions: Sequence[ClientExtensionFactory] | None,
) -> Sequence[ClientExtensionFactory]:
    """Return ``extensions`` with permessage-deflate, added last unless it is there."""
    default = ClientPerMessageDeflateFactory(compress_settings=_SETTINGS)
    return _with(extensions, default)


def enable_server_permessage_deflate(
    extensions: Sequence[ServerExtensionFactory] | None,
) -> Sequence[ServerExtensionFactory]:
    """Return ``extensions`` with permessage-deflate, added last unless it is there."""
    default = ServerPerMessageDeflateFactory(
        server_max_window_bits=_PROFILE.window_bits,
        client_max_window_bits=_PROFILE.peer_window_bits,
        compress_settings=_SETTINGS,
    )
    return _with(extensions, default)


def _with(extensions: Sequence[_Factory] | None, default: _Factory) -> list[_Factory]:
    factories = list(extensions or ())
    if all(factory.name != own.NAME for factory in factories):
        factories.append(default)
    return factories


def _take_own(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return those settings that longwire's own factories check and know."""
    if settings and "wbits" in settings:
        raise ValueError("compress_settings has wbits; set the max_window_bits instead")
    return {k: v for k, v in (settings or {}).items() if k in ("level", "memLevel")}


def _compressobj(settings: Mapping[str, Any] | None) -> Callable[..., Any]:
    """Return ``zlib.compressobj`` with the settings that a codec knows nothing of."""
    more = {k: v for k, v in (settings or {}).items() if k not in ("level", "memLevel")}
    if not more:
        return zlib.compressobj

    def compressobj(*args: Any) -> Any:
        return zlib.compressobj(*args, **more)

    return compressobj


give_aliases(globals())
