"""ASGI: longwire's connections under applications that another server runs.

``uvicorn app:app --ws longwire.asgi:Protocol`` has Starlette, FastAPI, Django Channels
and every other ASGI application speak WebSocket by longwire. Nothing of uvicorn is
imported here.
"""

from __future__ import annotations

from .events import ClientDisconnected
from .uvicorn import Protocol, protocol

__all__ = ["ClientDisconnected", "Protocol", "protocol"]
