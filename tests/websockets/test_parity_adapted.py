"""Every name that the adapted modules should have is there, or said to be missing."""

from __future__ import annotations

import importlib
import inspect

import pytest

from longwire.websockets.legacy.protocol import NOT_PROVIDED
from tests.websockets.parity_adapted import ADAPTED

pytestmark = pytest.mark.once

NAMED = [(module, name) for module, names in ADAPTED.items() for name in names.split()]


def find(module: str, name: str) -> object:
    """What ``name`` in ``module`` is; AttributeError if missing.

    None for an attribute that objects have and their class has not.
    """
    found: object = importlib.import_module(f"longwire.websockets.{module}".rstrip("."))
    for part in name.split("."):
        if inspect.isclass(found) and any(
            part in inspect.get_annotations(base) for base in found.__mro__
        ):
            return None
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_a_documented_name_is_there_or_said_to_be_missing(module, name):
    owner, _, attribute = name.partition(".")
    if module.startswith(("legacy", "auth")) and attribute in NOT_PROVIDED:
        assert not hasattr(find(module, owner), attribute)
        return

    find(module, name)
