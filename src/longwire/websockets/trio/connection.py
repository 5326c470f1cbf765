"""What sends and receives messages on trio: names only, see ``absent``."""

from __future__ import annotations

from ..absent import AbsentClass, absent
from ..aliases import give_aliases

__all__ = ["Connection"]

broadcast = absent(__name__, "broadcast")


class Connection(
    AbsentClass,
    methods="__aenter__ __aexit__ __aiter__ recv recv_streaming send aclose "
    "wait_closed ping pong",
):
    """Not there yet: making one raises RuntimeError."""


give_aliases(globals())
