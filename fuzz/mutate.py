"""Mutation without guidance: the same inputs in each run with the same seed.

For `make test`, which has seconds, and where libFuzzer is not to be had. A mutant is a
seed with a few changes: bits, bytes, numbers at the edges of their types, pieces moved,
doubled or taken from another seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

MOST = 4096  # bytes of an input
NUMBERS = (0, 1, 125, 126, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31)
NUMBERS += (2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)


def mutants(seeds: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Return mutants of ``seeds`` without end, determined by ``seed``."""
    dice = random.Random(seed)
    while True:
        data = bytearray(dice.choice(seeds))
        for _ in range(1 << dice.randrange(4)):
            dice.choice(CHANGES)(data, dice, seeds)
        yield bytes(data[:MOST])


def _place(data: bytearray, dice: random.Random) -> tuple[int, int]:
    """Return where a piece begins and ends; short ones are more likely."""
    start = dice.randrange(len(data) + 1)
    return start, min(len(data), start + (1 << dice.randrange(7)))


def flip(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def put(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    if data:
        data[dice.randrange(len(data))] = dice.randrange(256)


def insert(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    start = dice.randrange(len(data) + 1)
    data[start:start] = dice.randbytes(1 + dice.randrange(4))


def remove(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    start, end = _place(data, dice)
    del data[start:end]


def repeat(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    start, end = _place(data, dice)
    data[end:end] = data[start:end] * (1 + dice.randrange(3))


def move(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    start, end = _place(data, dice)
    piece = data[start:end]
    del data[start:end]
    to = dice.randrange(len(data) + 1)
    data[to:to] = piece


def number(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    width = dice.choice((1, 2, 4, 8))
    start = dice.randrange(len(data) + 1)
    value = dice.choice(NUMBERS) % (1 << 8 * width)
    data[start : start + width] = value.to_bytes(width, "big")


def cross(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    other = dice.choice(seeds)
    data[dice.randrange(len(data) + 1) :] = other[dice.randrange(len(other) + 1) :]


def cut(data: bytearray, dice: random.Random, seeds: Sequence[bytes]) -> None:
    del data[dice.randrange(len(data) + 1) :]


CHANGES = (flip, flip, put, put, insert, remove, repeat, move, number, cross, cut)
