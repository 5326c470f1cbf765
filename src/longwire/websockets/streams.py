"""A stream of bytes for parsers that are generators: they yield when they need more."""

from __future__ import annotations

from collections.abc import Generator

from ..errors import LimitExceeded

__all__ = ["StreamReader"]


class StreamReader:
    """Holds what was fed until a parser has read it.

    ``read_…`` and ``at_eof`` are generators, to be used with ``yield from``: they yield
    while there is too little, and are to be resumed after ``feed_data`` or
    ``feed_eof``. Their time is linear however the bytes come.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._scanned = 0  # there is no line feed before this
        self._ended = False

    def read_line(
        self, m: int, too_long_exc_type: type[Exception] = RuntimeError
    ) -> Generator[None, None, bytearray]:
        """Return the next line with its line feed.

        Raises EOFError when the stream ends before it, ``too_long_exc_type`` when it
        is longer than ``m`` bytes.
        """
        while True:
            end = self._data.find(b"\n", self._scanned) + 1
            if (end or len(self._data)) > m:
                self._fail_too_long(end or len(self._data), m, too_long_exc_type)
            if end:
                return self._take(end)
            self._scanned = len(self._data)
            if self._ended:
                raise EOFError(
                    f"stream ends after {len(self._data)} bytes, before a line end"
                )
            yield

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """Return the next ``n`` bytes; raise EOFError when the stream ends earlier."""
        while len(self._data) < n:
            if self._ended:
                raise EOFError(
                    f"stream ends after {len(self._data)} bytes; {n} are expected"
                )
            yield
        return self._take(n)

    def read_to_eof(
        self, m: int, too_long_exc_type: type[Exception] = RuntimeError
    ) -> Generator[None, None, bytearray]:
        """Return everything up to the end of the stream.

        Raises ``too_long_exc_type`` when that is more than ``m`` bytes.
        """
        while True:
            if len(self._data) > m:
                self._fail_too_long(len(self._data), m, too_long_exc_type)
            if self._ended:
                return self._take(len(self._data))
            yield

    def at_eof(self) -> Generator[None, None, bool]:
        """Return whether the stream has ended, with nothing left to read."""
        while not self._data and not self._ended:
            yield
        return not self._data

    def feed_data(self, data: bytes | bytearray) -> None:
        """Add data; raise EOFError after ``feed_eof``."""
        if self._ended:
            raise EOFError("stream has ended")
        self._data += data

    def feed_eof(self) -> None:
        """Note the end of the stream; raise EOFError the second time."""
        if self._ended:
            raise EOFError("stream has ended")
        self._ended = True

    def discard(self) -> None:
        """Forget what was fed and not read."""
        self._data.clear()
        self._scanned = 0

    def _take(self, size: int) -> bytearray:
        taken = self._data[:size]
        del self._data[:size]
        self._scanned = 0
        return taken

    @staticmethod
    def _fail_too_long(size: int, most: int, exc_type: type[Exception]) -> None:
        if issubclass(exc_type, LimitExceeded):
            raise exc_type(most)
        raise exc_type(f"{size} bytes; {most} are allowed")
