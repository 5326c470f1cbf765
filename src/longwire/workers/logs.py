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


def configure(level: int, own: str, who: str = "") -> None:
    """Log to stderr from ``level`` on, and what the logger ``own`` says from INFO on.

    Each line says ``who``, the name of the process.
    """
    handler = logging.StreamHandler()
    form = f"%(asctime)s %(levelname)s {who}{': ' * bool(who)}%(message)s"
    handler.setFormatter(EscapingFormatter(form))
    logging.basicConfig(handlers=[handler], level=level)
    logging.getLogger(own).setLevel(min(level, logging.INFO))
