"""All cases."""

from __future__ import annotations

from .case import Case
from .frames import FRAMES
from .requests import REQUESTS
from .responses import RESPONSES

__all__ = ["CASES", "Case"]

CASES: list[Case] = [*REQUESTS, *RESPONSES, *FRAMES]
