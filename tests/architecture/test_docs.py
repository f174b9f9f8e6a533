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


@pytest.mark.parametrize("name", sorted({name for _, name in found(NAME) if not (ROOT / name).is_file()}))
def test_modules_have_what_is_said_of_them(name: str):
    reduce(_part, name.split(".")[1:], importlib.import_module(name.partition(".")[0]))


def _part(of: object, name: str) -> object:
    """An attribute, or else the module of that name."""
    if hasattr(of, name):
        return getattr(of, name)
    return importlib.import_module(f"{of.__name__}.{name}")  # type: ignore[attr-defined]


def test_the_architecture_names_every_room():
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/architecture.md").read_text(), re.M))
    assert told == {*ROOMS} - {"shareai_node"}


def test_every_decision_is_in_the_list_under_its_number():
    listed = (ROOT / "docs/adr/README.md").read_text()
    for page in sorted((ROOT / "docs/adr").glob("0*.md")):
        number = int(page.name[:4])
        title = page.read_text().partition("\n")[0].removeprefix(f"# {number}. ")
        assert f"| {number} | [{title}]({page.name}) |" in listed
