"""A short run of every fuzz target: seeds, past finds, the same mutants each time.

`make fuzz` goes on for minutes, guided by coverage and watched by sanitizers.
"""

from itertools import islice

import pytest

from fuzz import builds, mutate, seeds, targets
from longwire.errors import ProtocolError
from tests.support.needs import needs
from tests.support.twins import twins

pytestmark = pytest.mark.once

# About a second each, here.
MUTANTS = {
    "kernels": 8000,
    "frames": 15_000,
    "protocol": 12_000,
    "deflate": 12_000,
    "session": 6000,
    "twins": 6000,
    "requests": 6000,
    "responses": 12_000,
    "fields": 15_000,
    "negotiation": 10_000,
    "rpc": 300,
    "hub_core": 60,
    "hub_stored": 15_000,
}


def compiled() -> builds.Build:
    for name in builds.MODULES.values():
        twins(name)  # leaves the test out where they are not built
    return builds.compiled()


@pytest.mark.parametrize("target", targets.NAMES)
def test_seeds_and_past_finds_keep_the_contract(target):
    if target == "rpc":
        needs("msgspec")  # which is not there on every Python
    check = targets.checker(target, compiled())
    known = seeds.of(target)

    for data in known.values():
        check(data)

    assert known


@pytest.mark.parametrize("target", targets.CORE)
def test_seeds_and_past_finds_keep_the_contract_interpreted(target):
    check = targets.checker(target, builds.interpreted())

    for data in seeds.of(target).values():
        check(data)


@pytest.mark.parametrize("target", targets.NAMES)
def test_mutants_keep_the_contract(target):
    if target == "rpc":
        needs("msgspec")
    check = targets.checker(target, compiled())
    known = list(seeds.of(target).values())

    for data in islice(mutate.mutants(known, 1), MUTANTS[target]):
        try:
            check(data)
        except Exception as exc:
            exc.add_note(f"input: {data.hex()}")
            raise


def test_mutants_are_the_same_in_each_run():
    known = list(seeds.of("frames").values())

    first, second = (list(islice(mutate.mutants(known, 5), 99)) for _ in range(2))

    assert first == second
    assert len(set(first)) > 90
    assert max(map(len, islice(mutate.mutants(known, 5), 2000))) <= mutate.MOST


# --- a target that cannot fail says nothing ---


def _never(*args, **options):
    return False


def _lax(self, opcode, rsv, first, second):
    if opcode == 3:
        raise ProtocolError("reserved")


def _doubled(self, cause, detail, now):
    self.ended = object()


def _forgetful(method):
    def forget(self, *args):
        method(self, *args)
        self.flags = 0

    return forget


FAULTS = [
    ("kernels", "held", "decode_part", lambda data: (data.decode(), b"")),
    ("kernels", "masking", "apply_mask", lambda data, key, offset=0: data),
    ("kernels", "masking", "build_header", lambda first, size, keys, at: b"\x82\x7e"),
    ("frames", "frames", "FrameReader._check_first_bytes", _lax),
    ("frames", "frames", "FrameReader._keep_key", _never),
    ("frames", "frames", "encode", lambda *parts: b""),
    ("protocol", "protocol", "Protocol._count_piece", None),
    ("protocol", "protocol", "parse_close", lambda payload: (1000, "")),
    ("deflate", "deflate", "Codec._end_message", _never),
    ("deflate", "deflate", "TAIL", b""),
    ("session", "session", "Session._report", _doubled),
    ("session", "intake", "Intake.must_wait", _never),
    ("session", "intake", "Intake.stop", _never),
    ("session", "session", "Session._hang_up", _never),
    ("session", "closing", "cut_reason", str),
    ("session", "session", "Session.reach_end", _never),
    ("session", "session", "Session.close", "forgetful"),
]


@pytest.mark.parametrize(("target", "module", "place", "fault"), FAULTS)
def test_a_fault_put_in_is_found(target, module, place, fault, monkeypatch):
    build = builds.interpreted()
    owner = getattr(build, module)
    *classes, name = place.split(".")
    for part in classes:
        owner = getattr(owner, part)
    if fault == "forgetful":
        fault = _forgetful(getattr(owner, name))
    monkeypatch.setattr(owner, name, fault)
    check = targets.checker(target, build)
    known = list(seeds.of(target).values())

    with pytest.raises(Exception) as found:  # any is a find
        for data in [*known, *islice(mutate.mutants(known, 2), 2000)]:
            check(data)

    # The fault itself was called as what it stands for.
    assert "positional argument" not in str(found.value)
