"""Compares traces. intended.toml lists the differences that are meant, with reasons."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Difference", "Rule", "compare", "rules"]

DATA = Path(__file__).resolve().parent / "intended.toml"

Trace = list[dict[str, Any]]


@dataclass(frozen=True)
class Rule:
    """A difference that is meant. A field that is left out fits everything."""

    reason: str
    field: str = ".*"  # of a step in a trace
    after: str = ".*"  # the step that was done, as JSON
    theirs: str = ".*"  # what the field says there, as JSON
    ours: str = ".*"  # and what it says here
    # The bytes of a handshake, the method that is overridden, or options.
    asked: str = ".*"
    editions: tuple[str, ...] = ()
    apis: tuple[str, ...] = ()
    # Where both go on alike, the rest of the trace is compared as well.
    goes_on: bool = False
    open: bool = False  # not meant: known, and to be mended

    def fits(self, difference: Difference) -> bool:
        return (
            (not self.editions or difference.edition in self.editions)
            and (not self.apis or difference.api in self.apis)
            and bool(re.fullmatch(self.field, difference.field))
            and bool(re.fullmatch(self.after, json.dumps(difference.step)))
            and bool(re.fullmatch(self.asked, difference.asked, re.DOTALL))
            and bool(re.fullmatch(self.theirs, shown(difference.theirs)))
            and bool(re.fullmatch(self.ours, shown(difference.ours)))
        )


@dataclass(frozen=True, eq=False)
class Difference:
    """What is not alike after one step."""

    api: str
    edition: str
    step: Any
    number: int  # of the step: 0 is the opening
    field: str
    theirs: Any
    ours: Any
    asked: str = ""

    def __str__(self) -> str:
        return (
            f"{self.api} of {self.edition}, step {self.number} "
            f"{json.dumps(self.step)}: {self.field}\n  theirs {shown(self.theirs)}\n"
            f"  ours   {shown(self.ours)}"
        )


def shown(value: Any) -> str:
    """Return a value of a trace as JSON, without the bases of errors."""
    return re.sub(r'"is also": \[[^]]*\](, )?', "", json.dumps(value)).replace(
        ", }", "}"
    )


# Codes whose close frame has words of the library's own about a fault of the peer.
FAULTS = r"1002|1007|1009"
SAID = re.compile(
    rf"((?:sent|received) (?:{FAULTS}) \([^)]*\)).*?(?=; then |; no close frame |$)"
)
FAULT_FRAME = re.compile(r"(b['\"]\\x03\\x(?:ea|ef|f1)).*")
# Errors whose text the documents print; of others the class is what a program knows.
WITH_TEXT = re.compile(r"ConnectionClosed|InvalidStatus|InvalidURI|InvalidHeader")


def promised(value: Any) -> Any:
    """Return what a trace says without words that no document promises."""
    if isinstance(value, dict):
        kept = {key: promised(each) for key, each in value.items()}
        if "error" in kept:
            text = kept.pop("text")
            if WITH_TEXT.match(kept["error"]):
                kept["text"] = SAID.sub(r"\1 ...", text)
        return kept
    if isinstance(value, list):
        if value[:1] == ["close"] and re.fullmatch(FAULTS, str(value[1])):
            return [*value[:2], "..."]
        if "CLOSE" in value[:2]:
            return [
                FAULT_FRAME.sub(r"\1 ...", each) if isinstance(each, str) else each
                for each in value
            ]
        return [promised(each) for each in value]
    return value


def alike(theirs: Any, ours: Any) -> bool:
    """Say whether our value has all that theirs has; errors may say more."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if "error" in theirs:
            # What catches theirs catches ours, which says what theirs says, or more.
            names = [ours.get("error"), *ours.get("is also", [])]
            said = {k: v for k, v in theirs.items() if k not in ("error", "is also")}
            return theirs["error"] in names and all(
                alike(each, ours.get(key)) for key, each in said.items()
            )
        same = theirs.keys() == ours.keys()
        return same and all(alike(theirs[key], ours[key]) for key in theirs)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(alike, theirs, ours))
    return bool(theirs == ours)


@cache
def rules() -> tuple[Rule, ...]:
    with DATA.open("rb") as file:
        listed = tomllib.load(file).get("intended", [])
    lists = ("editions", "apis")
    return tuple(
        Rule(**{k: tuple(v) if k in lists else v for k, v in each.items()})
        for each in listed
    )


def compare(
    program: dict[str, Any], edition: str, theirs: Trace, ours: Trace, newest: Trace
) -> tuple[list[Difference], list[Rule]]:
    """Return what differs first without being meant, and the rules that were used.

    Where editions differ from each other ours may be as ``newest``, the trace of the
    last edition. After a difference that is meant the connections may be in unlike
    states: the comparison ends there, unless its rule says that both go on alike.
    """
    used: list[Rule] = []
    asked = program.get("data", json.dumps(program.get("options")))
    for number in range(max(len(theirs), len(ours))):
        there, here, last = (
            promised(trace[number]) if number < len(trace) else {"did": "nothing more"}
            for trace in (theirs, ours, newest)
        )
        step = [None, *program["steps"]][number] if "steps" in program else there["did"]
        found = [
            Difference(
                *(program["api"], edition, step, number, field),
                *(value, here.get(field), asked),
            )
            for field, value in there.items()
            if not alike(value, here.get(field))
        ]
        if found and all(
            alike(value, here.get(field)) for field, value in last.items()
        ):
            return [], [*used, FOLLOWS]
        fitting = {each: rule_for(each) for each in found}
        left = [each for each, rule in fitting.items() if rule is None]
        met = [rule for rule in fitting.values() if rule is not None]
        used += met
        if any(not rule.goes_on for rule in met):
            return [], used
        if left:
            return left, used
    return [], used


FOLLOWS = Rule("editions differ from each other; longwire follows the last one")


def rule_for(difference: Difference) -> Rule | None:
    return next((rule for rule in rules() if rule.fits(difference)), None)
