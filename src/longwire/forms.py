"""Forms: one message, encoded for many connections, as seldom as possible.

Broadcasts of all front ends use it. Connections that agreed on the same thing share
the same bytes; the others get their own. Knows nothing of how bytes are sent.
"""

from __future__ import annotations

from collections.abc import Callable

from .core import frames
from .core.deflate import Codec
from .session import Session

__all__ = ["Forms"]

RSV1 = 4
"""The mark of a compressed message (RFC 7692 section 6), as ``frames`` has it."""


class Forms:
    """One whole message in every form that is asked for.

    ``random_bytes`` is a source of unpredictable masking keys.
    """

    def __init__(
        self, opcode: int, payload: bytes, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._opcode = opcode
        self._payload = payload
        self._random_bytes = random_bytes
        self._frames: dict[tuple[int, ...], bytes] = {}

    def frame_for(self, session: Session) -> bytes | None:
        """Return the frame for ``session.send_encoded()``, to be sent at once.

        None where nothing can be encoded beforehand: use ``session.send()``.
        """
        protocol = session.protocol
        if protocol.extensions:
            return None  # extensions that we do not know may keep state
        codec = protocol.codec
        if codec is not None and not codec.should_compress(len(self._payload)):
            codec = None
        if session.client:
            # RFC 6455 section 5.3: every frame of a client has a mask of its own.
            return self._encode(codec, self._random_bytes(4))
        if codec is None:
            form: tuple[int, ...] = ()
        elif codec.keeps_ours:
            # What it comes to depends on the messages before it.
            return self._encode(codec, None)
        else:
            form = (codec.our_bits, codec.level, codec.mem_level)
        frame = self._frames.get(form)
        if frame is None:
            frame = self._frames[form] = self._encode(codec, None)
        return frame

    def _encode(self, codec: Codec | None, mask: bytes | None) -> bytes:
        if codec is None:
            return frames.encode(self._opcode, self._payload, True, 0, mask)
        data = codec.compress(self._payload, True)
        return frames.encode(self._opcode, data, True, RSV1, mask)
