"""Base classes of extensions: the same as longwire's own."""

from __future__ import annotations

from ...http.extension_base import (
    ClientExtensionFactory,
    Extension,
    ServerExtensionFactory,
)
from ..aliases import give_aliases

__all__ = ["ClientExtensionFactory", "Extension", "ServerExtensionFactory"]


give_aliases(globals())
