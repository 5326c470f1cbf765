"""Mistakes with the hub and metrics: a program, and what it prints."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from longwire import broadcast, rpc
from longwire.hub import Hub, HubClient, HubLimits, MemoryBroker, Tokens
from longwire.metrics import Metrics, Tracing

pytest.importorskip("prometheus_client")
pytest.importorskip("opentelemetry")
pytestmark = pytest.mark.once

Program = Callable[[], Any]


def any_hub() -> Any:
    return Hub()


def client() -> Any:
    return HubClient(rpc.Client("ws://localhost:1"))


def topic(pattern: str = "chat:{room}", **options: Any) -> Program:
    return lambda: any_hub().topic(pattern, **options)


async def iterate_over_one_that_was_not_entered() -> None:
    async for _ in client().subscribe("chat:tea", last=1):
        pass


async def take_one_that_was_not_entered() -> None:
    await anext(client().subscribe("chat:tea"))


async def await_one() -> None:
    await client().subscribe("chat:tea")


def enter_plainly(made: Any) -> None:
    with made:
        pass


def iterate_plainly() -> None:
    for _ in client().subscribe("chat:tea"):
        pass


def mean(given: str, meant: str) -> str:
    return f"unexpected keyword argument {given!r}; did you mean {meant!r}?"


MISTAKES: dict[str, tuple[Program, type[Exception], str]] = {
    "async for without async with": (
        iterate_over_one_that_was_not_entered,
        TypeError,
        "write 'async with hub.subscribe(...) as messages'",
    ),
    "anext without async with": (
        take_one_that_was_not_entered,
        TypeError,
        "write 'async with hub.subscribe(...) as messages'",
    ),
    "await subscribe": (
        await_one,
        TypeError,
        "write 'async with hub.subscribe(...) as messages'",
    ),
    "with subscribe": (
        lambda: enter_plainly(client().subscribe("chat:tea")),
        TypeError,
        "write 'async with hub.subscribe(...) as messages'",
    ),
    "for subscribe": (
        iterate_plainly,
        TypeError,
        "write 'async for message in messages'",
    ),
    "with hub": (lambda: enter_plainly(Hub()), TypeError, "write 'async with hub'"),
    "topic(histories=)": (
        topic(subscribe="anyone", histories=1),
        TypeError,
        f"Hub.topic() got an {mean('histories', 'history')}",
    ),
    "subscribe(lst=)": (
        lambda: client().subscribe("chat:tea", lst=1),
        TypeError,
        mean("lst", "last"),
    ),
    "Hub(identity=)": (
        lambda: Hub(identity=print),  # type: ignore[call-arg]
        TypeError,
        f"Hub() got an {mean('identity', 'identify')}",
    ),
    "HubLimits(subscription=)": (
        lambda: HubLimits(subscription=1),  # type: ignore[call-arg]
        TypeError,
        mean("subscription", "subscriptions"),
    ),
    "HubClient(prefx=)": (
        lambda: HubClient(client().client, prefx="x"),  # type: ignore[call-arg]
        TypeError,
        mean("prefx", "prefix"),
    ),
    "Tokens(leewy=)": (
        lambda: Tokens("x" * 32, leewy=1.0),  # type: ignore[call-arg]
        TypeError,
        mean("leewy", "leeway"),
    ),
    "MemoryBroker(topic_byte=)": (
        lambda: MemoryBroker(topic_byte=1),  # type: ignore[call-arg]
        TypeError,
        mean("topic_byte", "topic_bytes"),
    ),
    "respond(pth=)": (
        lambda: Metrics().respond(pth="/metrics"),  # type: ignore[call-arg]
        TypeError,
        mean("pth", "path"),
    ),
    "Metrics(regis=)": (
        lambda: Metrics(regis=None),  # type: ignore[call-arg]
        TypeError,
        mean("regis", "registry"),
    ),
    "another keyword": (
        topic(subscribe="anyone", zzz=1),
        TypeError,
        "Hub.topic() got an unexpected keyword argument 'zzz'",
    ),
    "no subscribe=": (
        topic(),
        TypeError,
        "needs subscribe=: one of 'nobody', 'user', 'anyone', 'own', 'token', or a",
    ),
    "a host without a scheme": (
        lambda: Hub("localhost:6379"),
        ValueError,
        "begins with redis://, rediss://, nats:// or tls://, such as "
        "redis://localhost:6379;",
    ),
    "a host of NATS": (
        lambda: Hub("localhost:4222"),
        ValueError,
        "such as nats://localhost:4222;",
    ),
    "another scheme, with a password": (
        lambda: Hub("amqp://ann:secret@localhost"),
        ValueError,
        "no broker for 'amqp://…@localhost': a URL begins with redis://",
    ),
    "half a brace": (
        topic("x:{a", subscribe="anyone"),
        ValueError,
        "a parameter is a whole segment in braces, such as {room}",
    ),
    "a part of a segment": (
        topic("x:a{b}", subscribe="anyone"),
        ValueError,
        "a parameter is a whole segment in braces, such as {room}",
    ),
    "a path without a slash": (
        lambda: Metrics().respond("metrics"),
        ValueError,
        "path is 'metrics'; a path such as '/metrics' is allowed",
    ),
    "a path with a query": (
        lambda: Metrics().respond("/metrics?a"),
        ValueError,
        "a path such as '/metrics' is allowed",
    ),
    "a path that is none": (
        lambda: Metrics().respond(None),  # type: ignore[arg-type]
        TypeError,
        "path must be a path such as '/metrics', not NoneType",
    ),
    "the latest of what": (
        lambda: broadcast([], "1.07", slow="latest_only"),
        ValueError,
        "slow='latest_only' needs key=",
    ),
}


@pytest.mark.parametrize(
    ("program", "kind", "text"), MISTAKES.values(), ids=MISTAKES.keys()
)
async def test_a_mistake_is_answered_with_what_to_write(
    program: Program, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        result = program()
        if inspect.iscoroutine(result):
            await result
    assert text in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_signature_is_still_that_of_the_function() -> None:
    parameters = inspect.signature(Hub.topic).parameters

    assert list(parameters)[:3] == ["self", "pattern", "subscribe"]
    assert "history" in inspect.signature(Hub().topic).parameters


# --- what is not installed -------------------------------------------------------


@pytest.mark.parametrize(
    ("absent", "program", "text"),
    [
        (
            ["prometheus_client", "opentelemetry"],
            Metrics,
            "Metrics() needs prometheus_client or opentelemetry; in a checkout: "
            "pip install '.[metrics]'",
        ),
        (
            ["opentelemetry"],
            Tracing,
            "Tracing() needs opentelemetry; in a checkout: pip install '.[tracing]'",
        ),
        (["prometheus_client"], lambda: Metrics().respond(), "pip install '.[metrics]"),
        (["prometheus_client"], lambda: Metrics().text(), "pip install '.[metrics]'"),
        (["prometheus_client"], lambda: Metrics(registry=1), "'.[metrics]'"),
        (["opentelemetry"], lambda: Metrics().export_to(), "'.[tracing]'"),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, absent: list[str], program: Program, text: str
) -> None:
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ModuleNotFoundError) as caught:
        program()

    assert text in str(caught.value)
    assert caught.value.name == absent[0]


# --- what is only said -----------------------------------------------------------


@pytest.mark.parametrize("verb", ["publish", "publish_many", "publish_nowait"])
async def test_publishing_by_a_hub_that_was_not_entered_is_warned_of_once(
    verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub()
    hub.topic("chat:{room}", subscribe="anyone")
    for _ in range(2):
        given: Any = ["chat:1"] if verb == "publish_many" else "chat:1"
        result = getattr(hub, verb)(given, "hello")
        if inspect.isawaitable(result):
            await result
    await hub.close()

    (told,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert told.startswith(f"{verb}() has started the hub: write 'async with hub'")


async def test_publishing_by_a_hub_that_was_entered_is_not_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = Hub()
    hub.topic("chat:{room}", subscribe="anyone")
    async with hub:
        await hub.publish("chat:1", "hello")

    assert not [r for r in caplog.records if r.levelno == logging.WARNING]
