"""The documented API for threads: its names, for programs that import them.

longwire has no front end for threads yet; calling a name says so.
"""

from __future__ import annotations

from ..imports import lazy_modules

lazy_modules(globals(), "client", "connection", "router", "server")
