"""What a case is."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One thing to send, and what entitles longwire to refuse it."""

    kind: str
    """"request", "response", "to server" or "to client" (frames)."""
    name: str
    data: bytes
    clause: str = ""
    """Where a standard asks for the refusal; "" for what longwire accepts."""
    why: str = ""
    """What it protects, where the clause only allows it, or speaks of senders."""
