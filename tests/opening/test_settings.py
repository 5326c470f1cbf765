"""The keywords of serve and connect, turned into options."""

from __future__ import annotations

import dataclasses

import pytest

from longwire import options
from longwire.opening import settings


def test_without_keywords_the_limits_are_the_defaults():
    assert settings.limits_from() == options.Limits()


def test_defaults_look_like_the_numbers_they_stand_for():
    shown = (settings.MAX_SIZE, settings.MAX_QUEUE, settings.WRITE_LIMIT)

    assert list(map(repr, shown)) == ["1048576", "16", "32768"]


def test_given_limits_stay_as_they_are():
    limits = options.Limits(message=5, queued_messages=3, output_bytes=7)

    assert settings.limits_from(limits) is limits


def test_a_keyword_wins_over_limits_even_with_its_default_value():
    limits = options.Limits(message=5, fragments=9)

    result = settings.limits_from(limits, max_size=1 << 20)

    assert (result.message, result.fragments) == (1 << 20, 9)


def test_max_size_may_be_message_and_fragment():
    result = settings.limits_from(max_size=(None, 100))

    assert (result.message, result.fragment) == (None, 100)


def test_max_queue_and_write_limit_may_be_high_and_low():
    result = settings.limits_from(max_queue=(8, 2), write_limit=(1000, None))

    assert (result.queued_messages, result.queued_messages_low) == (8, 2)
    assert (result.output_bytes, result.output_bytes_low) == (1000, None)


def test_no_queue_limit_means_no_limit_on_bytes_either():
    assert settings.limits_from(max_queue=None).queued_bytes is None


def test_no_queue_limit_keeps_the_bytes_of_given_limits():
    limits = options.Limits(queued_bytes=99)

    assert settings.limits_from(limits, max_queue=None).queued_bytes == 99


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"max_size": 0}, ValueError, "max_size is 0; the least allowed is 1"),
        (
            {"max_size": "1"},
            TypeError,
            "max_size must be an int or None or a pair of these, not str",
        ),
        ({"max_size": ("1", 1)}, TypeError, "max_size must be an int or None"),
        (
            {"max_size": (1, "1")},
            TypeError,
            r"max_size\[1\] must be an int or None, not",
        ),
        ({"max_queue": "1"}, TypeError, "max_queue must be .* or a pair of these"),
        ({"max_size": (1, 2, 3)}, ValueError, "max_size has 3 values"),
        (
            {"max_queue": (2, 5)},
            ValueError,
            r"max_queue\[1\] is 5; at most max_queue=2 is allowed",
        ),
        (
            {"write_limit": None},
            TypeError,
            "write_limit must be an int or a pair of these, not None",
        ),
        ({"limits": 5}, TypeError, "limits must be a longwire.Limits or None"),
    ],
)
def test_a_bad_value_is_named_by_its_keyword(keywords, error, text):
    with pytest.raises(error, match=text):
        settings.limits_from(**keywords)


def test_compression_by_name_by_value_and_none():
    own = options.Compression(level=1)

    assert settings.compression_from("lean") is options.PROFILES["lean"]
    assert settings.compression_from(own) is own
    assert settings.compression_from(None) is None


def test_unknown_compression_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="unsupported compression: 'gzip'; 'deflate'"):
        settings.compression_from("gzip")
    with pytest.raises(TypeError, match="not bool"):
        settings.compression_from(True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("extra_headers", "additional_headers"),
        ("additional_header", "additional_headers"),
        ("pingtimeout", "ping_timeout"),
    ],
)
def test_unknown_keyword_is_refused_with_the_one_that_was_meant(name, meant):
    known = ["additional_headers", "ping_timeout", "ssl"]

    with pytest.raises(TypeError, match=f"'{name}'; did you mean '{meant}'"):
        settings.check_keywords("connect", [name], known)


def test_a_header_keyword_leads_servers_to_where_they_set_headers():
    known = ["process_response", "server_header"]

    with pytest.raises(TypeError, match="did you mean 'process_response'"):
        settings.check_keywords("serve", ["extra_headers"], known)


def test_a_bad_timeout_is_named_by_its_keyword():
    with pytest.raises(TypeError, match="open_timeout must be a number of seconds"):
        options.Timeouts(open="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="close_timeout is -1"):
        options.Timeouts(close=-1)


def test_unknown_keyword_without_a_near_one_is_refused_plainly():
    with pytest.raises(TypeError, match=r"argument 'zzzz'$"):
        settings.check_keywords("connect", ["ssl", "zzzz"], ["ssl"])


# --- timeouts -------------------------------------------------------------------


def test_a_keyword_wins_over_timeouts():
    given = options.Timeouts(open=1, close=2, write=3, fault_grace=4)

    assert settings.timeouts_from(given) == given
    assert settings.timeouts_from(given, close_timeout=None) == dataclasses.replace(
        given, close=None
    )
    assert settings.timeouts_from(open_timeout=5) == options.Timeouts(open=5)


def test_timeouts_must_be_timeouts():
    with pytest.raises(TypeError, match=r"timeouts must be .* not int"):
        settings.timeouts_from(10)
