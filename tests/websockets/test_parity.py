"""Every name that the documents have is here, under the same module."""

import importlib
import inspect

import pytest

from tests.websockets.parity import NAMES, PARAMETERS

pytestmark = pytest.mark.once

NAMED = [(module, name) for module, names in NAMES.items() for name in names.split()]
SIGNED = [(module, name) for module, names in PARAMETERS.items() for name in names]


def find(module: str, name: str) -> object:
    """What the documents call ``name`` in ``module``; AttributeError if missing.

    None for an attribute that objects have and their class has not.
    """
    found: object = importlib.import_module(f"longwire.websockets.{module}")
    for part in name.split("."):
        if inspect.isclass(found) and part in attributes_of_instances(found):
            return None
        found = getattr(found, part)
    return found


def attributes_of_instances(cls: type) -> set[str]:
    return {name for base in cls.__mro__ for name in inspect.get_annotations(base)}


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_a_documented_name_is_there(module, name):
    find(module, name)


def test_a_missing_name_would_be_noticed():
    with pytest.raises(AttributeError):
        find("protocol", "Protocol.send_nothing")


@pytest.mark.parametrize(("module", "name"), SIGNED)
def test_documented_parameters_are_accepted_in_their_order(module, name):
    documented = PARAMETERS[module][name].split()
    star = documented.index("*") if "*" in documented else len(documented)
    positional = [name for name in documented[:star] if not name.startswith("*")]
    keywords = {name for name in documented[star + 1 :] if not name.startswith("*")}

    ours = [
        name
        for name in inspect.signature(find(module, name)).parameters
        if name != "self"
    ]

    assert ours[: len(positional)] == positional
    assert keywords <= set(ours)
