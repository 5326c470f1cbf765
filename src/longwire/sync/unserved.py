"""The warning for a server that listened and never served.

``serve()`` listens at once, so a program without ``serve_forever()`` ends without a
word, and as long as it runs its clients connect to the kernel and get no answer.
"""

from __future__ import annotations

import sys
import warnings
import weakref

__all__ = ["Unserved"]

_PACKAGE = __name__.partition(".")[0]


class Unserved:
    """Whether ``server`` is to be warned of once it has gone.

    It is not when ``is_known``: it has served, was closed on purpose before, or may
    serve in a child process. Looked at when the server is collected, and at the latest
    when the interpreter ends, and not at the end of a ``with`` block: a thread that was
    started there may be about to call ``serve_forever()``. It has the server then, so
    that is not collected.
    """

    def __init__(self, server: object, where: str) -> None:
        self.is_known = False
        self._where = where
        self._file, self._line = _caller()
        weakref.finalize(server, self._warn)

    def _warn(self) -> None:
        if not self.is_known:
            warnings.warn_explicit(
                f"the server on {self._where} has accepted no connection: "
                "serve_forever() was never called; write 'with serve(...) as server: "
                "server.serve_forever()'",
                RuntimeWarning,
                self._file,
                self._line,
            )


def _caller() -> tuple[str, int]:
    """Return file and line of the program's call that has led here."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] != _PACKAGE:
            break
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
