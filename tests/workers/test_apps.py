"""What `longwire serve` takes for an application, and what it says of anything else."""

from __future__ import annotations

import json
import logging
import sys
import textwrap
from types import SimpleNamespace

import pytest

from longwire.workers import App, worker
from longwire.workers.apps import AppError, find, hub_metrics, make, options_for
from longwire.workers.channel import MAX_LINE
from longwire.workers.settings import Settings, stages_of

pytestmark = [pytest.mark.once, pytest.mark.stock_loop]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes a module and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def write(text):
        name = f"served{len(made)}_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


MISTAKES = [
    # what the module has, attribute, more settings, what is said of it
    ("", "app", {}, "has no attribute 'app'"),
    ("def handle_chat(ws): pass", "handle_chats", {}, "did you mean handle_chat?"),
    ("import json", "json", {}, "is a module; it must be a handler"),
    ("app = 7", "app", {}, "is a int; it must be a handler"),
    ("class App: pass", "App", {}, "is a class; it must be a handler"),
    ("def app(): pass", "app", {}, "add --factory"),
    (
        "async def app(scope, receive, send): pass",
        "app",
        {},
        "uvicorn MODULE:app --ws longwire.asgi:Protocol",
    ),
    ("app = 7", "app", {"factory": True}, "with --factory it must be a function"),
    ("def app(): 1 / 0", "app", {"factory": True}, "failed: ZeroDivisionError"),
    ("def app(): return 7", "app", {"factory": True}, "is a int"),
    ("1 / 0", "app", {}, "importing MODULE failed: ZeroDivisionError: division by"),
    ("import not_there_at_all", "app", {}, "No module named 'not_there_at_all'"),
    ("raise SystemExit(0)", "app", {}, "importing MODULE failed: SystemExit"),
    ("def f(:", "app", {}, "importing MODULE failed: SyntaxError"),
]


@pytest.mark.parametrize(("text", "attribute", "options", "said"), MISTAKES)
async def test_what_cannot_be_served_says_what_to_write(
    module, caplog, text, attribute, options, said
):
    name = module(text)

    with pytest.raises(AppError) as caught:
        await make(Settings(app=f"{name}:{attribute}", **options))

    assert said.replace("MODULE", name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("x = 1\ndef app(:", {}),
        ("x = 1\n1 / 0", {}),
        ("def app():\n    1 / 0", {"factory": True}),
        ("x = 1\nfrom json import not_there_at_all", {}),
    ],
)
async def test_the_log_shows_the_mistake_and_not_how_the_module_was_found(
    module, caplog, text, options
):
    name = module(text)

    with pytest.raises(AppError) as caught:
        await make(Settings(app=f"{name}:app", **options))

    assert str(caught.value).endswith(f"{name}.py:2)")
    assert "frozen" not in str(caught.value)
    form = logging.Formatter("%(message)s")
    (log,) = [form.format(record) for record in caplog.records]
    assert f'{name}.py", line 2' in log
    assert "importlib" not in log
    assert "apps.py" not in log
    assert len(log.splitlines()) < 8


@pytest.mark.parametrize("name", ["no_such_module", "no_such_package.part"])
def test_a_module_that_is_not_there_is_named_with_the_place_that_was_looked_in(name):
    with pytest.raises(AppError, match=f"no module '{name.partition('.')[0]}' in .*"):
        find(f"{name}:app")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("async def app(ws): pass", {}),
        ("class A:\n  async def __call__(self, ws): pass\napp = A()", {}),
        ("class A:\n  async def f(self, ws): pass\nclass N: app = A().f", {}),
        ("async def h(ws): pass\ndef app(): return h", {"factory": True}),
        ("async def h(ws): pass\nasync def app(): return h", {"factory": True}),
        (
            "from longwire.workers import App\nasync def h(ws): pass\napp = App(h)",
            {},
        ),
    ],
)
async def test_handlers_apps_and_factories_are_served(module, text, options):
    attribute = "N.app" if "class N" in text else "app"

    app = await make(Settings(app=f"{module(text)}:{attribute}", **options))

    assert callable(app.handler)


async def test_a_hub_in_memory_is_not_for_several_workers(module):
    pytest.importorskip("msgspec")
    target = f"{module('from longwire.hub import Hub; app = Hub()')}:app"

    with pytest.raises(AppError, match=r'write Hub\("redis://localhost"\)'):
        await make(Settings(app=target, workers=2))

    app = await make(Settings(app=target))
    assert app.ready() == "the hub has no broker"
    async with app.lifespan():
        assert app.ready() is True
        assert "hub.subscribe" in app.handler.routes
        assert "longwire_hub_feed_up 1" in hub_metrics(app)


async def handler(ws):
    pass


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"handler": 7}, "handler is a int"),
        ({"handler": handler, "lifespan": 7}, "lifespan must be"),
        ({"handler": handler, "ready": "/readyz"}, "ready must be a function"),
        ({"handler": handler, "port": 80}, "port is for the command line"),
    ],
)
def test_an_app_says_what_is_wrong_with_its_arguments(arguments, said):
    with pytest.raises(TypeError, match=said):
        App(**arguments)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"max_size": 7}),
        ({"max_size": 8}, {"max_size": 8}),
        ({"ping_interval": 0}, {"max_size": 7, "ping_interval": None}),
        ({"ping_timeout": 3.0}, {"max_size": 7, "ping_timeout": 3.0}),
        ({"compression": "none"}, {"max_size": 7, "compression": None}),
        ({"compression": "lean"}, {"max_size": 7, "compression": "lean"}),
        ({"origins": ("any",)}, {"max_size": 7, "origins": None}),
        ({"origins": ("x",)}, {"max_size": 7, "origins": ["same", None, "x"]}),
        ({"open_timeout": 2.0}, {"max_size": 7, "open_timeout": 2.0}),
    ],
)
def test_the_command_line_overrides_the_app(settings, expected):
    app = App(handler, max_size=7)

    assert options_for(app, Settings(app="a:b", **settings)) == expected


def test_a_limit_of_connections_leaves_the_other_limits_alone():
    from longwire import Limits

    app = App(handler, limits=Limits(message=99))

    options = options_for(app, Settings(app="a:b", max_connections=5))

    assert (options["limits"].connections, options["limits"].message) == (5, 99)


@pytest.mark.parametrize(
    ("connections", "timeout", "stages", "batch"),
    [
        (0, 30, 1, 100),
        (5, 30, 1, 100),
        (100, 30, 1, 100),
        (250, 30, 3, 100),
        (10_000, 30, 10, 1000),
        (10_001, 30, 10, 1001),
    ],
)
def test_closing_is_spread_over_60_percent_of_the_time(
    connections, timeout, stages, batch
):
    found, interval = stages_of(connections, timeout)

    assert found == batch
    assert interval * stages == pytest.approx(timeout * 0.6)


def test_metrics_without_their_library_are_said_before_anybody_is_served(monkeypatch):
    monkeypatch.delitem(sys.modules, "longwire.metrics.prometheus", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(AppError, match="--metrics needs prometheus_client; install"):
        worker._metrics()


def test_settings_survive_the_way_to_a_worker():
    settings = Settings(app="a:b", origins=("x", "y"), drain_timeout=1.5)

    line = json.dumps(settings.to_json())

    assert Settings.from_json(json.loads(line)) == settings


# --- metrics ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (lambda: "a 1\n", None),
        (lambda: "x" * (4 << 20), "they take 419"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: "\udce9", None),
    ],
)
def test_a_worker_answers_for_its_metrics_whatever_they_are(text, why, caplog):
    async def handler(ws):
        pass

    said = []
    first = {"settings": Settings(app="a:b").to_json(), "sockets": []}
    made = worker.Worker(None, first, None)
    made._app = App(handler)
    made._metrics = SimpleNamespace(text=text)
    made._writer = SimpleNamespace(write=said.append)

    made._do({"do": "metrics", "id": 7})

    (line,) = said
    message = json.loads(line)
    assert message["id"] == 7
    assert len(line) <= MAX_LINE
    if why is None:
        assert message["metrics"] == text()
    else:
        assert message["metrics"] is None
        assert message["why"].startswith(why)
