"""Which library is asked for what: nothing that it is known not to do."""

from __future__ import annotations

import pytest

from tests.interop.agents import AGENTS


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Deselect what the library of a test cannot do; see ``Agent.cannot``."""
    beyond = [item for item in items if _is_beyond(item)]
    if beyond:
        config.hook.pytest_deselected(items=beyond)
        items[:] = [item for item in items if item not in beyond]


def _is_beyond(item: pytest.Item) -> bool:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    if "agent_type" not in params:
        return False
    asked = {mark.args[0] for mark in item.iter_markers("asks")}
    if params.get("wire") == "tls":
        asked.add("tls")
    return bool(asked & AGENTS[params["agent_type"]].cannot)
