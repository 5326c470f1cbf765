"""RPC beside the pages of a FastAPI application."""

from fastapi import FastAPI
from pydantic import BaseModel

from longwire import rpc


class Order(BaseModel):
    item: str
    count: int = 1


async def total(order: Order) -> str:
    return f"{order.count} x {order.item}"


calls = rpc.asgi({"total": total})
app = FastAPI()
app.mount("/rpc", calls)  # clients connect to /rpc/


@app.post("/orders")
async def place(order: Order):
    calls.notify("ordered", order.item)
    return {"told": len(calls.peers)}
