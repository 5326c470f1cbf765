"""Which connections a server takes, and what a network address is counted as."""

from __future__ import annotations

import pytest

from longwire import Limits
from longwire.admission import Admission, counted_as
from tests.support.scripts import run_script


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::2%lo", "fe80::/64"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_an_address_is_counted_as_what_one_subscriber_has(
    address: str, source: str
) -> None:
    assert counted_as(address) == source


def admission(connections: int | None, of_one: int | None) -> Admission:
    return Admission(Limits(connections=connections, connections_per_address=of_one))


def fill(table: Admission, *addresses: str) -> None:
    for address in addresses:
        assert table.reached(address) is None
        table.enter(address)


def test_a_server_takes_as_many_as_it_may() -> None:
    table = admission(3, None)
    fill(table, "192.0.2.1", "192.0.2.1", "")

    assert table.reached("192.0.2.2") == "connections"
    assert table.reached("") == "connections"

    table.leave("192.0.2.1")
    assert table.reached("192.0.2.2") is None


def test_and_from_one_address_as_many_as_one_may() -> None:
    table = admission(None, 2)
    fill(table, "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1")
    fill(table, "::ffff:192.0.2.1", "", "", "")  # of Unix sockets there is no address

    assert table.reached("2001:db8::3") == "connections_per_address"
    assert table.reached("192.0.2.1") == "connections_per_address"
    assert table.reached("2001:db8:0:1::2") is None

    table.leave("192.0.2.1")
    assert table.reached("::ffff:c000:0201") is None


def test_nothing_is_kept_of_who_has_gone() -> None:
    table = admission(10, 5)
    addresses = ["192.0.2.1", "::1", "", "2001:db8::1"]
    fill(table, *addresses)
    assert table.addresses == 3
    for address in addresses:
        table.leave(address)

    assert table.addresses == 0
    assert table.reached("::1") is None


def test_some_over_the_limit_are_told_and_do_not_count() -> None:
    table = admission(1, None)
    fill(table, "192.0.2.1")

    told = [table.enter_crowded() for _ in range(Admission.MAX_CROWDED + 1)]
    assert told == [True] * Admission.MAX_CROWDED + [False]
    table.leave_crowded()
    assert table.enter_crowded()
    table.leave("192.0.2.1")
    assert table.reached("192.0.2.1") is None


def test_a_limit_that_is_reached_is_said_once_for_each_time() -> None:
    table = admission(4, None)
    fill(table, *["192.0.2.1"] * 4)
    said = [table.news_of("connections", "192.0.2.1") for _ in range(3)]
    table.leave("192.0.2.1")
    said.append(table.news_of("connections", "192.0.2.9"))
    table.leave("192.0.2.1")
    said.append(table.news_of("connections", "192.0.2.9"))

    text = "connections=4 is reached: more are answered with 503"
    assert said == [text, None, None, None, text]


def test_so_is_the_limit_of_an_address_with_the_way_out() -> None:
    table = admission(None, 1)
    fill(table, "2001:db8::1", "192.0.2.1")
    limit = "connections_per_address"
    said = [table.news_of(limit, a) for a in ("2001:db8::2", "2001:db8::3")]
    said.append(table.news_of(limit, "192.0.2.1"))
    table.leave("2001:db8::1")
    said.append(table.news_of(limit, "2001:db8::2"))

    rest = "more from there are answered with 503 (for a reverse proxy, set the limit "
    network = f"{limit}=1 is reached by 2001:db8::/64: {rest}to None)"
    assert said == [
        network,
        None,
        f"{limit}=1 is reached by 192.0.2.1: {rest}to None)",
        network,
    ]


# --- the defaults ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("soft", "connections", "of_one"),
    [(1024, 960, 240), (256, 192, 48), (128, 64, 16), (100, 36, 16)],
)
def test_the_default_leaves_descriptors_to_answer_with(
    soft: int, connections: int, of_one: int
) -> None:
    pytest.importorskip("resource")
    said = run_script(
        f"""
        import resource
        from longwire import Limits, serve
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        before = Limits().connections
        resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, hard))
        now = Limits()
        server = serve(lambda ws: None)
        limits = server._settings.limits
        assert (limits.connections, limits.connections_per_address) == (
            now.connections, now.connections_per_address)
        server.close()
        print(now.connections, now.connections_per_address)
        """
    )

    assert said.split() == [str(connections), str(of_one)]


@pytest.mark.parametrize(
    ("given", "of_one"),
    [
        ({"connections": 4000}, 1000),
        ({"connections": 2}, 16),
        ({"connections": 4000, "connections_per_address": 7}, 7),
        ({"connections": 4000, "connections_per_address": None}, None),
        ({"connections": None}, Limits().connections_per_address),
    ],
)
def test_one_address_may_have_a_quarter(given: dict[str, int], of_one: int) -> None:
    assert Limits(**given).connections_per_address == of_one


@pytest.mark.parametrize("value", [0, -2])
def test_a_limit_is_still_at_least_one(value: int) -> None:
    with pytest.raises(ValueError, match="the least allowed is 1"):
        Limits(connections_per_address=value)
