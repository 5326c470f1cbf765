"""The documented API for threads, over :mod:`longwire.sync`."""

from __future__ import annotations

from ..imports import lazy_modules

lazy_modules(globals(), "client", "connection", "router", "server")
