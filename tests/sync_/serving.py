"""Servers of longwire.sync in a thread of their own."""

from __future__ import annotations

import contextlib
import threading


def echo(ws):
    for message in ws:
        ws.send(message)


@contextlib.contextmanager
def running(server):
    """Run ``server`` in a thread; yield it."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with server:
            yield server
    finally:
        thread.join(20)
        assert not thread.is_alive()
