"""What sends and receives messages in threads: names only, see ``absent``."""

from __future__ import annotations

from ..absent import AbsentClass, absent
from ..aliases import give_aliases

__all__ = ["Connection"]

broadcast = absent(__name__, "broadcast")


class Connection(
    AbsentClass,
    methods="__enter__ __exit__ __iter__ recv recv_streaming send close wait_closed "
    "ping pong",
):
    """Not there yet: making one raises RuntimeError."""


give_aliases(globals())
