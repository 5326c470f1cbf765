"""How a reader is fed: at once, byte by byte, in two parts, with data behind."""

from collections.abc import Callable, Iterator

import pytest

BEHIND = b"\x81\x05Hello"

Feed = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def bytewise(data: bytes) -> Iterator[bytes]:
    for byte in data:
        yield bytes([byte])


def halves(data: bytes) -> Iterator[bytes]:
    middle = len(data) // 2
    yield data[:middle]
    yield data[middle:]


every_way = pytest.mark.parametrize("feed", [whole, bytewise, halves])


def fed(reader, data: bytes, feed: Feed):
    """Return what the reader has after all of ``data``, however it is fed."""
    result = None
    for part in feed(data):
        result = reader.feed(part)
    return result


def faults(reader, data: bytes, feed: Feed) -> Exception:
    """Return the exception that ``data`` leads to."""
    with pytest.raises(Exception) as caught:
        fed(reader, data, feed)
    return caught.value
