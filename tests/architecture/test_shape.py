"""The shape of the source: sizes, names, and nothing of the machine that it was written on."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.modules import ROOT

MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
MEDIAN_LINES_OF_A_FUNCTION = 10
NAMELESS = re.compile(r"util|helper|manager|misc", re.IGNORECASE)
NAMED_BY_OTHERS = {"UserManager", "_Manager", "as_manager", "manage"}
"""Django's word for a model's door to its table, honcho's for its supervisor."""

LEFT_UNDONE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
PLACES_OF_A_MACHINE = re.compile(r"(?<![\w./])/(home|Users|mnt|srv)/\w+")
REGISTRY = "registry.npmjs.org"


@cache
def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.splitlines() if (path := ROOT / name).is_file()]


@cache
def texts() -> dict[str, str]:
    """Of every file that is text, by its path in the tree."""
    found = {}
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            found[str(path.relative_to(ROOT))] = data.decode("utf-8", "replace")
    return found


@cache
def sources() -> dict[str, ast.Module]:
    """Our Python, without migrations, which Django writes."""
    return {
        name: ast.parse(text) for name, text in texts().items() if name.endswith(".py") and "/migrations/" not in name
    }


def functions() -> list[tuple[str, int]]:
    return [
        (f"{name}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


def test_no_module_is_long():
    assert {name: n for name in sources() if (n := texts()[name].count("\n")) > MOST_LINES} == {}


def test_functions_are_short():
    lengths = sorted(lines for _, lines in functions())
    assert [name for name, lines in functions() if lines > MOST_LINES_OF_A_FUNCTION] == []
    assert lengths[len(lengths) // 2] < MEDIAN_LINES_OF_A_FUNCTION


def test_names_say_what_a_thing_is():
    modules = [
        name for name in sources() if NAMELESS.search(Path(name).stem) and Path(name).stem not in NAMED_BY_OTHERS
    ]
    classes = [
        f"{name} {node.name}"
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and NAMELESS.search(node.name) and node.name not in NAMED_BY_OTHERS
    ]
    assert modules + classes == []


@pytest.mark.parametrize(
    "unwanted",
    [LEFT_UNDONE, PLACES_OF_A_MACHINE, re.compile(re.escape(str(ROOT)))],
    ids=["unfinished", "somebody's folder", "this folder"],
)
def test_nothing_unfinished_and_nothing_of_one_machine(unwanted):
    here = str(Path(__file__).relative_to(ROOT))
    assert [name for name, text in texts().items() if name != here and unwanted.search(text)] == []


def test_dependencies_come_from_the_public_registries_alone():
    for name, text in texts().items():
        if Path(name).name.startswith("requirements"):
            assert not re.search(r"^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b|://", text, re.M), (
                name
            )
        if name.endswith("package-lock.json"):
            packages = json.loads(text)["packages"].values()
            hosts = {package.get("resolved", f"https://{REGISTRY}/").split("/")[2] for package in packages}
            assert hosts == {REGISTRY}, name
