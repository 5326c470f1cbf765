import re

import pytest

from tests.support.needs import needs

needs("msgspec")

from longwire.hub.errors import TooLarge, UnknownTopic
from longwire.hub.topics import MAX_NAME, Declarations, check_name, declare


def declared(*patterns, **options):
    options.setdefault("subscribe", "anyone")
    declarations = Declarations(10_000)
    for pattern in patterns:
        declarations.add(declare(pattern, **options))
    return declarations


# --- names -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a", "chat:42", "κόσμος:1", "a" * MAX_NAME, "a:b:c-d_e.f/g"]
)
def test_a_name_is_printable_segments(name):
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(chr(code) for code in range(0x21)),
        *(f"chat:{chr(code)}" for code in range(0x21)),
        *(f"chat:{chr(code)}" for code in range(0x7F, 0xA1)),
        *("", ":", "a:", ":a", "a::b"),
        *("$control", "$", "$probe:x"),
        *("chat:{}", "chat:{room}", "chat:}"),
        *("a\u202eb", "a\u200bb", "a\ufeff", "\ud800", "a\u2028b", "a b"),
    ],
)
def test_a_name_that_could_be_mistaken_is_refused_and_escaped(name):
    with pytest.raises(UnknownTopic) as caught:
        check_name(name)

    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["a" * (MAX_NAME + 1), "é" * 65, "a" * 1_000_000])
def test_a_name_has_at_most_128_bytes(name):
    with pytest.raises(TooLarge, match="128 bytes"):
        check_name(name)


@pytest.mark.parametrize("name", [None, 1, b"chat:1", ["chat:1"]])
def test_a_name_is_a_str(name):
    with pytest.raises(TypeError, match="must be str, not"):
        check_name(name)


# --- the choice of a declaration -------------------------------------------------


def test_the_first_segment_and_their_number_choose_the_declaration():
    declarations = declared("chat:{room}", "chat:{room}:{thread}", "news", "price:{s}")

    assert declarations.find("chat:42")[0].pattern == "chat:{room}"
    assert declarations.find("chat:42:7")[0].pattern == "chat:{room}:{thread}"
    assert declarations.find("chat:42:7")[1] == {"room": "42", "thread": "7"}
    assert declarations.find("news")[1] == {}


@pytest.mark.parametrize("name", ["chatt:42", "chat", "chat:1:2:3", "News", "x:y:z"])
def test_an_undeclared_name_is_unknown(name):
    with pytest.raises(UnknownTopic, match=re.escape(f"{name!r} is declared")):
        declared("chat:{room}", "news", "x:y:{w}:{v}").find(name)


def test_later_segments_may_be_literal_and_must_match():
    declarations = declared("chat:{room}:typing")

    assert declarations.find("chat:1:typing")[1] == {"room": "1"}
    with pytest.raises(UnknownTopic):
        declarations.find("chat:1:votes")


def test_two_declarations_that_could_not_be_told_apart_are_refused():
    with pytest.raises(ValueError, match="another first segment"):
        declared("chat:{room}", "chat:{other}")


def test_history_has_a_limit():
    with pytest.raises(ValueError, match=r"at most 10000 .*HubLimits.history"):
        declared("a", history=10_001)


# --- declarations ----------------------------------------------------------------


def test_subscribe_has_no_default():
    with pytest.raises(TypeError, match="subscribe"):
        declare("a")


@pytest.mark.parametrize(
    ("options", "slow", "history"),
    [
        ({}, "catch_up", 100),
        ({"history": 0}, "drop", 0),
        ({"latest": True}, "latest", 1),
        ({"latest": True, "history": 20}, "latest", 20),
        ({"slow": "drop"}, "drop", 100),
        ({"slow": "disconnect", "history": 0}, "disconnect", 0),
    ],
)
def test_the_policy_for_the_slow_follows_from_what_is_stored(options, slow, history):
    found = declare("a", subscribe="anyone", **options)

    assert (found.slow, found.history) == (slow, history)


def test_a_topic_is_remembered_for_a_day_at_least():
    assert declare("a", subscribe="user", ttl=10).storage.meta_ttl == 86400
    assert declare("a", subscribe="user", ttl=86400).storage.meta_ttl == 864000


@pytest.mark.parametrize(
    ("pattern", "options", "error", "text"),
    [
        ("", {}, ValueError, "empty"),
        ("{room}", {}, ValueError, "first segment"),
        ("{a}:b", {}, ValueError, "first segment"),
        ("chat:{room", {}, ValueError, "braces"),
        ("chat:{2x}", {}, ValueError, "name in braces"),
        ("chat:{}", {}, ValueError, "name in braces"),
        ("chat:{a}:{a}", {}, ValueError, "twice"),
        ("$chat", {}, ValueError, "hub's own"),
        ("a b", {}, ValueError, "white space"),
        (7, {}, TypeError, "must be str, not int"),
        ("a", {"subscribe": "everybody"}, ValueError, "one of nobody, user, anyone"),
        ("a", {"subscribe": None}, TypeError, "function or one of its texts"),
        ("a", {"subscribe": "own"}, ValueError, r"needs a parameter \{user\}"),
        ("a", {"publish": lambda: True}, TypeError, "function of one argument"),
        ("a", {"history": -1}, ValueError, "history is -1; an int of 0 or more"),
        ("a", {"history": True}, ValueError, "history is True"),
        ("a", {"history": 1.5}, ValueError, "history is 1.5"),
        ("a", {"ttl": 0}, ValueError, "ttl is 0; a finite number > 0"),
        ("a", {"ttl": None}, TypeError, "ttl must be a number"),
        ("a", {"ttl": float("nan")}, ValueError, "ttl is nan"),
        ("a", {"ttl": float("inf")}, ValueError, "ttl is inf"),
        ("a", {"idempotency": "5"}, TypeError, "idempotency must be a number"),
        ("a", {"slow": "wait"}, ValueError, "one of catch_up, latest, drop"),
        ("a", {"slow": "latest"}, ValueError, "go together"),
        ("a", {"slow": "drop", "latest": True}, ValueError, "go together"),
        ("a", {"slow": "catch_up", "history": 0}, ValueError, "needs history=1"),
        ("a", {"latest": True, "history": 0}, ValueError, "needs history=1"),
        ("a", {"presence": 1}, TypeError, "presence must be a bool, not int"),
        ("a", {"snapshot": 1}, TypeError, "snapshot must be an async function"),
        ("a", {"durability": "all"}, ValueError, "'replica' or None"),
        ("a", {"read_history": "anyone"}, ValueError, "'subscribers' or 'nobody'"),
        ("a", {"read_presence": False}, ValueError, "read_presence is False"),
    ],
)
def test_a_declaration_says_what_it_does_not_take(pattern, options, error, text):
    with pytest.raises(error, match=text):
        declare(pattern, **{"subscribe": "anyone", **options})
