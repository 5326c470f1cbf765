"""Which pages may connect: ``origins``, checked before the first client comes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from ..hints import a

__all__ = ["Origins", "check_origins", "check_pages"]

Origins = Sequence[str | re.Pattern[str] | None] | Literal["same"]

_EVERY_ORIGIN = "to let the pages of every site in, write origins=None"


def check_origins(origins: Any) -> Origins | None:
    if origins is None or origins == "same":
        return origins  # type: ignore[no-any-return]
    if origins == "*":
        raise ValueError(f"origins is '*'; {_EVERY_ORIGIN}")
    if isinstance(origins, str):
        raise TypeError(
            f'origins must be a list of values or "same"; write [{origins!r}]'
        )
    if not isinstance(origins, Iterable):
        kind = type(origins).__name__
        raise TypeError(f'origins must be a list of values or "same", not {kind}')
    values = tuple(origins)
    for value in values:
        if value is not None and not isinstance(value, (str, re.Pattern)):
            kind = type(value).__name__
            raise TypeError(f"origins has {a(kind)}; str, re.Pattern, None are allowed")
    return values


def check_pages(origins: Origins | None) -> None:
    """Raise ValueError for a text in ``origins`` that no browser sends as Origin.

    It would refuse every client in silence. RFC 6454 section 6.2: scheme, "://", host,
    and a port unless it is the scheme's own.
    """
    if origins is None or isinstance(origins, str):
        return
    for value in origins:
        if isinstance(value, str) and value not in ("same", "null"):
            instead = _instead_of_an_origin(value)
            if instead:
                raise ValueError(f"origins has {value!r}; {instead}")


def _instead_of_an_origin(value: str) -> str:
    """Return what to write for ``value``, "" where it may be an origin."""
    if value == "*":
        return _EVERY_ORIGIN
    if "*" in value:
        return "a text has no wildcards: write re.compile(r'https://[a-z]+\\.example')"
    scheme, separator, rest = value.partition("://")
    if not separator:
        host = value.strip("/")
        known = "http" if host.startswith(("localhost", "127.", "[::1]")) else "https"
        return f"an origin begins with its scheme: write '{known}://{host}'"
    host, slash, _ = rest.partition("/")
    if slash:
        return f"an origin has no path: write '{scheme}://{host}'"
    return ""
