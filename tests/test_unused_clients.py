"""Clients in threads and on trio that nobody uses; asyncio's are in asyncio_."""

from __future__ import annotations

import pytest
import trio

import longwire.rpc.sync
import longwire.rpc.trio
import longwire.sync
import longwire.trio
import longwire.websockets.sync.client
import longwire.websockets.trio.client
from tests.support.warned import collected

URI = "ws://localhost:9/"


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: longwire.sync.reconnect(URI), "reconnect"),
        (lambda: longwire.sync.unix_reconnect("/tmp/nobody"), "reconnect"),
        (lambda: longwire.trio.connect(URI), "connect"),
        (lambda: longwire.trio.unix_connect("/tmp/nobody"), "connect"),
    ],
)
def test_one_that_is_never_used_is_warned_of(make, name):
    (text,) = collected(make)
    assert text.startswith(f"{name}() to localhost port ")
    assert text.endswith(" was never entered or iterated")


def enter():
    with pytest.raises(OSError), longwire.sync.reconnect(URI, proxy=None):
        pass


def call():
    with pytest.raises(OSError):
        longwire.sync.connect(URI, proxy=None)


def iterate():
    with pytest.raises(OSError):
        for _ in longwire.sync.reconnect(URI, proxy=None, reconnect_delays=list):
            pass


def enter_on_trio():
    async def main():
        with pytest.raises(OSError):
            async with longwire.trio.connect(URI, proxy=None):
                pass

    trio.run(main)


def iterate_on_trio():
    async def main():
        with pytest.raises(OSError):
            connecting = longwire.trio.connect(URI, proxy=None, reconnect_delays=list)
            async for _ in connecting:
                pass

    trio.run(main)


@pytest.mark.parametrize(
    "use",
    [
        *(enter, call, iterate, enter_on_trio, iterate_on_trio),
        # Nothing is documented of a warning; a client of calls is used by its verbs.
        lambda: longwire.websockets.sync.client.connect(URI, legacy=False),
        lambda: longwire.websockets.trio.client.connect(URI),
        lambda: longwire.rpc.Client(URI),
        lambda: longwire.rpc.sync.Client(URI),
        lambda: longwire.rpc.trio.Client(URI),
    ],
)
def test_others_are_not(use):
    assert collected(use) == []


@pytest.mark.parametrize("make", [longwire.sync.reconnect, longwire.trio.connect])
def test_one_that_was_refused_is_not(make):
    def refused():
        with pytest.raises(TypeError):
            make(URI, nonsense=1)

    assert collected(refused) == []
