"""What is written for people names things that are there: links, paths, modules and what is in them."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

from tests.architecture.modules import ROOMS, ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "bench/README.md", ROOT / "agent/README.md"]
TOP = "|".join([*ROOMS, "agent", "bench", "demo", "docs", "static", "templates", "tests"])
LINK = re.compile(r"\]\((?!\w+:|/)([^)#\s]*)(#[^)\s]+)?\)")
PATH = re.compile(rf"`((?:{TOP})/[\w/.-]*)`")
NAME = re.compile(rf"`((?:{'|'.join(ROOMS)})(?:\.\w+)+)`")
COMMAND = re.compile(r"manage\.py ([a-z_]+)")
TARGET = re.compile(r"(?:`make |^make (?=[a-z]+ +#))([a-z]+)", re.M)
MADE_FOR_TRIALS = {"bench_machines", "bench_seed", "seed_demo"}
OF_DJANGO = {"collectstatic", "compilemessages", "makemessages", "migrate"}
NOT_IN_THE_TREE = {"bench/.envs/"}
"""What a command makes."""


def found(pattern: re.Pattern[str]) -> list[tuple[Path, str]]:
    return [(page, match[1]) for page in PAGES for match in pattern.finditer(page.read_text())]


def test_links_lead_to_files():
    links = found(LINK)
    assert links
    assert [(page.name, to) for page, to in links if not (page.parent / to).exists()] == []


def test_links_within_a_page_lead_to_its_headings():
    for page in PAGES:
        text = page.read_text()
        anchors = {
            re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)", text, re.M)
        }
        assert {to[1:] for file, to in LINK.findall(text) if not file and to} <= anchors, page.name


def test_paths_are_there():
    paths = found(PATH)
    assert paths
    assert [
        (page.name, path) for page, path in paths if path not in NOT_IN_THE_TREE and not (ROOT / path).exists()
    ] == []


def test_modules_have_what_is_said_of_them():
    for page, name in found(NAME):
        if not (ROOT / name).is_file():  # such as `demo.env`
            try:
                reduce(_part, name.split(".")[1:], importlib.import_module(name.partition(".")[0]))
            except ImportError as error:
                pytest.fail(f"{page.name} speaks of {name}: {error}")


def _part(of: object, name: str) -> object:
    """An attribute, or else the module of that name."""
    if hasattr(of, name):
        return getattr(of, name)
    return importlib.import_module(f"{of.__name__}.{name}")  # type: ignore[attr-defined]


def test_the_architecture_names_every_room():
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/architecture.md").read_text(), re.M))
    assert told == {*ROOMS} - {"shareai_node"}


def test_decisions_have_numbers_of_their_own_and_are_listed_under_their_titles():
    titles = {page.name: page.read_text().partition("\n")[0] for page in (ROOT / "docs/adr").glob("0*.md")}
    assert {name for name, title in titles.items() if not title.startswith(f"# {int(name[:4])}. ")} == set()
    assert len({name[:4] for name in titles}) == len(titles)
    listed = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", (ROOT / "docs/adr/README.md").read_text(), re.M)
    assert listed
    assert [(number, title) for number, title, name in listed if titles[name] != f"# {number}. {title}"] == []


def test_every_command_is_told_and_none_that_is_not_there():
    ours = {path.stem for path in (ROOT / "console/management/commands").glob("*.py")} - {"__init__"}
    table = (ROOT / "docs/operations.md").read_text().partition("## Commands")[2].partition("##")[0]
    told = set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| (`.+?) \|", table, re.M))))
    assert told == ours - MADE_FOR_TRIALS
    assert {name for _, name in found(COMMAND)} <= ours | OF_DJANGO


def test_targets_of_make_are_there():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {name for _, name in found(TARGET)}
    assert named
    assert named <= targets
