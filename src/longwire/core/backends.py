"""Backends of permessage-deflate: the libraries that may deflate and inflate.

``zlib`` is always there; ``zlib-ng`` (the package ``zlib-ng``, our extra of that name)
has the same interface. What either makes, the other reads.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

zlib_ng: Any
try:
    from zlib_ng import zlib_ng
except ImportError:
    zlib_ng = None

__all__ = ["ERRORS", "Maker", "makers"]

Maker = Callable[..., Any]
"""Makes a compressor or a decompressor, called as those of :mod:`zlib` are."""

ERRORS: tuple[type[Exception], ...] = (
    (zlib.error,) if zlib_ng is None else (zlib.error, zlib_ng.error)
)


def makers(backend: str, level: int) -> tuple[Maker, Maker]:
    """Return what makes compressors of ``level`` and decompressors.

    ``backend`` is "zlib", "zlib-ng" or "auto": then, where zlib-ng is installed, it
    inflates, which takes it a quarter less time, and deflates at level 1, which takes
    it a quarter of the time. At other levels it saves some 20 % of the time for five
    times the memory of a kept context (162 KiB beside 33), which "auto" does not
    spend. Raises ValueError for a backend that is not there.
    """
    ng = (zlib_ng.compressobj, zlib_ng.decompressobj) if zlib_ng is not None else None
    if backend == "zlib" or (backend == "auto" and ng is None):
        return zlib.compressobj, zlib.decompressobj
    if backend == "auto" and ng is not None:
        return ng[0] if level == 1 else zlib.compressobj, ng[1]
    if backend == "zlib-ng" and ng is not None:
        return ng
    raise ValueError(f"no backend {backend!r} here")
