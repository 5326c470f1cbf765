"""The documents as a site: titles, links, the tables of codes and options, search."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import longwire
from longwire import errors, sync
from longwire.messages import CLOSE_CODE_NAMES
from longwire.opening import retry
from tests.docs.programs import ROOT

pytestmark = pytest.mark.once

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s]+)\)")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


def prose(page: Path) -> str:
    """A page without its code."""
    return FENCE.sub("", page.read_text("utf-8"))


def slug(heading: str) -> str:
    """The anchor of a heading, as MyST and GitHub make it."""
    text = re.sub(r"\{\w+\}`([^`]*)`", r"\1", heading)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(title) for _, title in HEADING.findall(prose(page))}


def titles() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for page in PAGES:
        first = HEADING.search(prose(page))
        if first is not None:
            found.setdefault(first[2].lower(), []).append(str(page.relative_to(DOCS)))
    return found


def test_no_two_pages_are_called_the_same() -> None:
    assert {t: pages for t, pages in titles().items() if len(pages) > 1} == {}


def test_every_page_is_in_the_contents() -> None:
    listed = set()
    for page in PAGES:
        for block in re.findall(
            r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            for line in block.splitlines():
                if line and not line.startswith(":"):
                    listed.add((page.parent / f"{line}.md").resolve())
    assert set(PAGES) - listed == {DOCS / "index.md"}


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        known = anchors(target) if target.suffix == ".md" and target.exists() else ()
        if not target.exists() or (anchor and known and anchor not in known):
            broken.append(link)
    assert broken == []


def test_the_first_page_has_a_way_for_each_reader() -> None:
    text = (DOCS / "index.md").read_text()
    for way in ("new to it", "coming from `websockets`", "running it", "went wrong"):
        assert way in text
    for page in ("tutorial.md", "migration.md", "howto/deployment.md"):
        assert f"({page})" in text


# --- codes -----------------------------------------------------------------------

CODES = (DOCS / "reference" / "codes.md").read_text("utf-8")
INDEXED = set(re.findall(r"^```\{index\} single: (\d+)\n```", CODES, re.MULTILINE))


def test_every_close_code_has_its_row_and_can_be_searched_for() -> None:
    for code, name in CLOSE_CODE_NAMES.items():
        assert f"| {code} | {name.removesuffix(' [internal]')} |" in CODES
        assert str(code) in INDEXED


def test_every_status_that_we_answer_has_its_row_and_can_be_searched_for() -> None:
    ours = {
        int(kind.status)
        for kind in vars(errors).values()
        if isinstance(kind, type) and isinstance(getattr(kind, "status", None), int)
    }
    ours |= {101, 200, 401, 404, 408, 500, 503} | set(retry.TRANSIENT)
    ours.discard(505)  # sent to what is no client of today: HTTP/1.0, HTTP/2
    numbers = re.findall(r"^\| ([\d, ]+) \|", CODES, re.MULTILINE)
    rows = {int(number) for row in numbers for number in row.split(",")}
    assert ours - rows == set()
    assert {str(code) for code in ours if code not in (200, 504)} - INDEXED == set()


def test_the_texts_of_ours_on_that_page_are_in_the_source() -> None:
    source = "\n".join(
        " ".join(
            node.value
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        for file in (ROOT / "src" / "longwire").rglob("*.py")
    )
    texts = re.findall(r"^`([^`]+)`\n: ", CODES, re.MULTILINE)
    # Of Python and uvicorn.
    others = ("[SSL", "[Errno", "object NoneType", "No supported")
    for text in texts:
        if not text.startswith(others):
            for part in re.split(r" \.\.\. |coroutine", text):
                assert part.strip() in source, text


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_sphinx_puts_the_numbers_where_search_looks(tmp_path: Path) -> None:
    """Its search drops a query of digits, but for titles and entries of the index."""
    application = pytest.importorskip("sphinx.application")
    pytest.importorskip("myst_parser")
    (tmp_path / "index.md").write_text(CODES.replace("{exc}", "").replace("{func}", ""))
    app = application.Sphinx(
        tmp_path,
        None,
        tmp_path / "out",
        tmp_path / "trees",
        "html",
        confoverrides={
            "extensions": ["myst_parser"],
            "myst_enable_extensions": ["deflist"],
            "suppress_warnings": ["myst.xref_missing"],
        },
        status=None,
        warning=None,
    )
    app.build()
    found = (tmp_path / "out" / "searchindex.js").read_text()
    entries = re.search(r'"indexentries":\{(.*?)\}', found)
    assert entries is not None
    for number in ("1006", "1009", "403", "503"):
        assert f'"{number}":' in entries[1]


# --- options ---------------------------------------------------------------------

ROW = re.compile(r"^\| `(\w+)` \| (serve|connect|both) \| (.+?) \|", re.MULTILINE)
OPTIONS = {
    name: (of, default)
    for name, of, default in ROW.findall(
        (DOCS / "reference" / "options.md").read_text("utf-8")
    )
}
NOT_OPTIONS = {
    *("handler", "host", "port", "uri", "kwargs", "path", "sock"),
    *("proxy_ssl", "server_hostname", "proxy_server_hostname"),
}


@pytest.mark.parametrize(
    ("function", "of"),
    [
        (longwire.serve, "serve"),
        (longwire.connect, "connect"),
        (sync.serve, "serve"),
        (sync.reconnect, "connect"),
    ],
)
def test_every_option_is_in_the_table_with_its_default(
    function: object, of: str
) -> None:
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    for name, parameter in parameters.items():
        if name in NOT_OPTIONS or parameter.kind is parameter.VAR_KEYWORD:
            continue
        where, default = OPTIONS[name]
        assert where in (of, "both"), name
        if default.startswith("`"):
            found = parameter.default
            shown = found.__name__ if callable(found) else repr(found)
            assert default.strip("`") == shown, name


def test_no_option_of_the_table_is_made_up() -> None:
    known = set()
    for function in (longwire.serve, longwire.connect):
        known |= inspect.signature(function).parameters.keys()
    assert OPTIONS.keys() - known == {"ssl"}


# --- names -----------------------------------------------------------------------


def test_extras_are_named_as_they_install() -> None:
    """Nothing of that name is on an index: what is printed has to work."""
    files = [*PAGES, ROOT / "README.md", *(ROOT / "src").rglob("*.py")]
    extras = set(
        re.findall(r"^(\S+) = \[", _section("[project.optional-"), re.MULTILINE)
    )
    for file in files:
        text = file.read_text("utf-8")
        assert "longwire[" not in text, file
        assert set(re.findall(r"'\.\[([\w-]+)\]'", text)) <= extras, file


def _section(begins: str) -> str:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    return text[text.index(begins) :].partition("\n\n")[0]
