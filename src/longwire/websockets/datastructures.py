"""HTTP headers as a mapping: the same class as ``longwire.Headers``."""

from __future__ import annotations

from ..http.headers import Headers, HeadersLike, MultipleValuesError

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]
