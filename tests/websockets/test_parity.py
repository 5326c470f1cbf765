"""Every name that the documents have is here, under the same module."""

from __future__ import annotations

import importlib
import inspect
import warnings

import pytest

from longwire.websockets.protocol import Side
from longwire.websockets.uri import parse_uri
from tests.websockets.parity import PARAMETERS, documented

pytestmark = pytest.mark.once

NAMED = [(module, name) for module, names in documented().items() for name in names]
SIGNED = [(module, name) for module, names in PARAMETERS.items() for name in names]

# How to make what has attributes that its class has not.
ARGUMENTS = {
    "client": (parse_uri("ws://localhost/"),),
    "connection": (Side.SERVER,),
    "protocol": (Side.SERVER,),
    "server": (),
}


def find(module: str, name: str) -> object:
    """What the documents call ``name`` in ``module``; AttributeError if missing."""
    found: object = importlib.import_module(f"longwire.websockets.{module}".rstrip("."))
    for part in name.split("."):
        if inspect.isclass(found) and not hasattr(found, part) and module in ARGUMENTS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                found = found(*ARGUMENTS[module])
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_a_documented_name_is_there(module, name):
    find(module, name)


@pytest.mark.parametrize(
    ("module", "name"),
    [("protocol", "Protocol.send_nothing"), ("legacy.server", "serve.nothing")],
)
def test_a_missing_name_would_be_noticed(module, name):
    with pytest.raises(AttributeError):
        find(module, name)


@pytest.mark.parametrize(("module", "name"), SIGNED)
def test_documented_parameters_are_accepted_in_their_order(module, name):
    documented = PARAMETERS[module][name].split()
    star = next((i for i, n in enumerate(documented) if n[0] == "*"), len(documented))
    keywords = {name for name in documented[star:] if not name.startswith("*")}
    signature = inspect.signature(find(module, name))

    ours = [name for name in signature.parameters if name != "self"]

    assert ours[:star] == documented[:star]
    assert keywords <= set(ours)
