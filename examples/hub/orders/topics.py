"""The topics, which the site and the WebSocket server have in common."""

import os

from longwire.hub import Hub, Tokens

# Of both processes, from the environment.
BROKER = os.environ.get("BROKER", "redis://localhost")
tokens = Tokens(os.environ.get("HUB_SECRET", "a secret of this example, 32 bytes"))


def make_hub() -> Hub:
    hub = Hub(BROKER, tokens=tokens)
    hub.topic("orders:{user}", subscribe="token", history=500, ttl=86400)
    return hub
