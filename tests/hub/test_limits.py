import dataclasses

import pytest

from tests.support.needs import needs

needs("msgspec")

from longwire.hub.limits import HubLimits

FIELDS = dataclasses.fields(HubLimits)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
@pytest.mark.parametrize("value", [0, -1, True, "1", float("inf"), float("nan")])
def test_a_limit_is_a_number_above_zero(field, value):
    with pytest.raises((TypeError, ValueError), match=field.name):
        HubLimits(**{field.name: value})


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_none_is_no_limit_where_there_may_be_none(field):
    if "None" in str(field.type):
        HubLimits(**{field.name: None})
    else:
        with pytest.raises(TypeError, match=f"{field.name} must be an? "):
            HubLimits(**{field.name: None})


def test_limits_on_counts_are_whole():
    with pytest.raises(TypeError, match="page must be an int, not float"):
        HubLimits(page=1.5)
    HubLimits(calls_per_second=0.5, linger=0.1)
