"""A hub in a FastAPI application: calls over HTTP, and what happens by the hub."""

import contextlib
import os
from collections.abc import AsyncIterator

from fastapi import FastAPI
from pydantic import BaseModel

from longwire.hub import Hub, asgi

# In memory for one process; "redis://…" or "nats://…" with `uvicorn --workers 4`.
hub = Hub(os.environ.get("BROKER"))
hub.topic("chat:{room}", subscribe="anyone", publish="anyone", history=200)


class Line(BaseModel):
    text: str


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with hub:
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/hub", asgi(hub))  # clients connect to /hub/


@app.post("/rooms/{room}")
async def say(room: str, line: Line) -> dict[str, int]:
    found = await hub.publish(f"chat:{room}", {"text": line.text})
    return {"offset": found.offset}


@app.get("/rooms/{room}")
async def said(room: str) -> list[str]:
    return [line.data["text"] for line in await hub.history(f"chat:{room}")]
