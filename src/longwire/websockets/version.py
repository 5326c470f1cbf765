"""Which edition of the documented API this package offers.

Programs compare these with the releases that the documents name. The version of
longwire itself is ``longwire.__version__``.
"""

from __future__ import annotations

__all__ = ["commit", "tag", "version"]

released = True
tag = version = commit = "17.4"
