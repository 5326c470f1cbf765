"""The documented API for trio, over :mod:`longwire.trio`.

Its modules need trio; the package and what imports it do not.
"""

from __future__ import annotations

from ..imports import lazy_modules

lazy_modules(globals(), "client", "connection", "router", "server")
