"""Logs: lines that name the process they come from, and obey nothing in them."""

from __future__ import annotations

import logging

from ..escaping import escape

__all__ = ["EscapingFormatter", "configure"]


class EscapingFormatter(logging.Formatter):
    """Lets nothing reach the terminal that it would obey, tracebacks included.

    Our own texts are escaped where they are made; others' in a traceback are not.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text, each line of it escaped."""
        return "\n".join(map(escape, super().format(record).split("\n")))


def configure(who: str, level: str) -> None:
    """Log to stderr; each line says ``who``."""
    handler = logging.StreamHandler()
    form = f"%(asctime)s %(levelname)s {who}: %(message)s"
    handler.setFormatter(EscapingFormatter(form))
    logging.basicConfig(handlers=[handler], level=level)
    # Who started and ended is always of interest.
    own = logging.getLogger("longwire.workers")
    own.setLevel(min(logging.getLevelName(level), logging.INFO))
