"""The fuzz target of RPC: faults that are put in are found."""

from __future__ import annotations

import gc
from itertools import islice
from typing import Any

import pytest

from fuzz import mutate, seeds
from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from fuzz.targets import rpc as target

from longwire.rpc import calls, envelope, errors, incoming, performing, sending

pytestmark = pytest.mark.once


def _nothing(*args: Any, **options: Any) -> None:
    return None


def _always(*args: Any) -> bool:
    return True


def _raises(*args: Any) -> None:
    raise RuntimeError


def _only_more(self: Any, size: int) -> None:
    self.memory += max(0, size)


def _forgetting_the_cancelled(self: Any, record: Any) -> None:
    task = record.job.task
    if task is None or not task.cancelling():
        self._finish(record)


FAULTS: list[tuple[Any, str, Any]] = [
    (calls.Holding, "give_back", _nothing),
    (calls.Holding, "hold", _only_more),
    (calls.CallTable, "feed", _nothing),
    (calls.CallTable, "answer", _always),
    (calls.CallTable, "settle", _nothing),
    (incoming.Incoming, "_ended", _forgetting_the_cancelled),
    (incoming.Incoming, "make_room", _nothing),
    (incoming.Incoming, "expire", _raises),
    (incoming.Incoming, "_begin", _nothing),
    (sending.Outbox, "_pumped", _nothing),
    (errors.Registry, "revive", _raises),
    (performing.Performer, "failure", _raises),
    (envelope, "UNREADABLE", ()),
]


@pytest.mark.parametrize(
    ("owner", "name", "fault"), FAULTS, ids=[name for _, name, _ in FAULTS]
)
def test_a_fault_put_in_is_found(owner, name, fault, monkeypatch):
    monkeypatch.setattr(owner, name, fault)
    known = list(seeds.rpc().values())

    with pytest.raises(Exception) as found:  # any is a find
        for data in [*known, *islice(mutate.mutants(known, 2), 300)]:
            target.check(data)

    # The fault itself was called as what it stands for.
    assert "positional argument" not in str(found.value)
    # Coroutines that are left would complain here that their loop is closed.
    del found
    gc.collect()
