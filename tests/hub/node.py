"""One node in a process of its own: ``python -m tests.hub.node REDIS_URL PORT NAME``.

Says READY when its broker feeds it. Clients are who their path says.
"""

from __future__ import annotations

import asyncio
import sys

from longwire import rpc
from longwire.hub import Hub
from longwire.hub import presence as presence_module
from tests.hub.serving import user_of_path


async def main(url: str, port: int, name: str) -> None:
    # Presence in fifths of its seconds; the lease of a node stays as it is.
    for constant in ("LEASE", "RENEW_EVERY", "GRACE", "SWEEP_EVERY"):
        value = getattr(presence_module, constant)
        setattr(presence_module, constant, value / 5)
    hub = Hub(url, node=name, identify=user_of_path)
    hub.topic(
        "t:{x}", subscribe="anyone", publish="anyone", history=5000, presence=True
    )
    server = rpc.Server()
    hub.install(server)
    async with hub, server.serve("127.0.0.1", port) as listening:
        await hub.ready(20)
        print("READY", flush=True)
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
