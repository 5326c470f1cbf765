"""A client's plan without sockets: answers to give it, and a note of its steps."""

from __future__ import annotations

from longwire.opening.client_plan import connect_plan
from longwire.opening.client_settings import client_settings
from longwire.opening.steps import LimitReads, Read, Write
from longwire.options import Keepalive, Limits, Timeouts

# The key is that of sixteen zero bytes, the token what section 4.2.2 makes of it.
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n"
)
OPEN = SWITCH + b"\r\n"
TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"


def redirect(location: str, status: int = 302) -> bytes:
    return (
        f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def plan(uri="ws://example.com/", **keywords):
    keywords.setdefault("proxy", None)
    settings = client_settings(
        uri,
        limits=keywords.pop("limits", Limits()),
        timeouts=Timeouts(),
        keepalive=Keepalive(),
        **keywords,
    )
    return connect_plan(settings, random_bytes=bytes)


class Player:
    """Carries out a plan's steps: notes them, and answers each Read in turn."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.steps = []

    def play(self, plan):
        try:
            step = plan.send(None)
            while True:
                self.steps.append(step)
                answer = None
                if isinstance(step, Read):
                    answer = self.answers.pop(0)
                if isinstance(answer, Exception):
                    step = plan.throw(answer)
                else:
                    step = plan.send(answer)
        except StopIteration as stop:
            return stop.value

    @property
    def opened(self):
        """The steps that are not reading or writing."""
        talk = (LimitReads, Read, Write)
        return [step for step in self.steps if not isinstance(step, talk)]

    @property
    def requests(self):
        return [step.data for step in self.steps if isinstance(step, Write)]
