"""WebSocket server and client for Python, RFC 6455 and RFC 7692."""

import os as _os

from . import build as _build

# Before anything of the core is imported: an imported module cannot be replaced.
if _os.environ.get("LONGWIRE_PURE", "0") not in ("", "0"):
    _build.use_pure()

__version__ = "0.1.0"
