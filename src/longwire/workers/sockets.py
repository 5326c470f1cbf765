"""Sockets: one listening socket for each slot and address, kept by the supervisor.

With SO_REUSEPORT each slot has a queue of its own and the system deals connections out
evenly. The supervisor keeps the sockets open, so that what waits in a queue is there
for the next worker of the slot when one has died.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Sequence

from ..admission import BACKLOG

__all__ = ["bind_slot", "bind_unix", "remove_unix"]


def bind_slot(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Return a listening socket for each address, to be shared with nobody.

    Raises OSError.
    """
    with contextlib.ExitStack() as undo:
        sockets = []
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            undo.callback(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                # The same port of IPv4 has a socket of its own.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
            sock.listen(BACKLOG)
            sock.setblocking(False)
            sockets.append(sock)
        undo.pop_all()
    return sockets


def bind_unix(path: str) -> socket.socket:
    """Return a listening socket at ``path``; what nobody listens at is replaced.

    Raises OSError, FileExistsError where something else is.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(f"{path} exists and is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)  # left by a process that is gone
            else:
                raise FileExistsError(f"another program listens at {path}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def remove_unix(path: str) -> None:
    """Remove the name of a socket that was ours."""
    with contextlib.suppress(OSError):
        os.unlink(path)
