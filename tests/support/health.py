"""Health checks, as every front end answers them."""

from __future__ import annotations


def broken() -> None:
    raise RuntimeError("secret")


DRAINING = 503, "Server is shutting down.\n"
CHECKS = [
    # what is asked, what is answered, what while the server drains
    (None, (200, "OK\n"), (200, "OK\n")),
    (lambda: None, (200, "OK\n"), DRAINING),
    (lambda: "no database", (503, "no database.\n"), DRAINING),
    (broken, (503, "The check failed.\n"), DRAINING),
]
