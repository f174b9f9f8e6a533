"""docs/settings.md has a heading for each variable of the environment that is read, and tells the right default."""

from __future__ import annotations

import ast
import re
import runpy
from typing import Any

import pytest

from console import env
from tests.architecture.modules import ROOT, files, is_within, tree_of

KINDS = {"integer": "whole number", "seconds": "seconds", "number": "number", "boolean": "true or false"}
WHERE_THE_ENVIRONMENT_IS_READ = re.compile(r"(os\.)?environ(ment|\(\))?")
NOT_OURS = {"DJANGO_SETTINGS_MODULE", "OLLAMA_HOST"}


@pytest.fixture(scope="module")
def documented() -> dict[str, str]:
    """The line below each heading: kind and default."""
    text = (ROOT / "docs/settings.md").read_text()
    return dict(re.findall(r"^### `(\w+)`\n(.+)\n\n\S", text, re.M))


@pytest.fixture
def read_by_settings(monkeypatch) -> dict[str, tuple[str, Any]]:
    """What the settings ask for when they are loaded: the kind and the default of each variable."""
    asked: dict[str, tuple[str, Any]] = {}
    for kind in ("text", "integer", "number", "seconds", "boolean", "words", "database", "mail"):
        monkeypatch.setattr(env, kind, _listening(kind, getattr(env, kind), asked))
    for name in ("OIDC_SERVER_URL", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"):
        monkeypatch.setenv(name, "https://id.example")  # asked for more once it is there
    runpy.run_path(str(ROOT / "console" / "settings.py"))
    return asked


def _listening(kind: str, read: Any, asked: dict[str, tuple[str, Any]]) -> Any:
    def listening(name: str = "DATABASE_URL", *default: Any, **bounds: Any) -> Any:
        asked.setdefault(name, (kind, *default))
        return read(name, *default, **bounds)

    return listening


def read_elsewhere() -> set[str]:
    """Names of variables that other modules of the console read from the environment by themselves."""
    modules = [module for module in files() if is_within(module, "console") and module != "console.env"]
    found = {name for module in modules for node in ast.walk(tree_of(module)) for name in _names_in(node)}
    constants = {"MARK": "SHAREAI_RUN"}
    return {constants.get(name, name) for name in found} - NOT_OURS


def _names_in(node: ast.AST) -> list[str]:
    """Of `environ.get("X", …)`, `environ["X"]`, `_number(environment, "X", …)`."""
    if isinstance(node, ast.Subscript) and _is_environment(node.value):
        return [_said(node.slice)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_environment(node.func.value):
        return [_said(node.args[0])] if node.args and _said(node.args[0]).isupper() else []
    if isinstance(node, ast.Call) and len(node.args) > 1 and _is_environment(node.args[0]):
        return [_said(node.args[1])] if _said(node.args[1]).isupper() else []
    return []


def _is_environment(node: ast.AST) -> bool:
    return WHERE_THE_ENVIRONMENT_IS_READ.fullmatch(ast.unparse(node)) is not None


def _said(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)


def test_every_variable_has_its_heading_and_every_heading_its_variable(documented, read_by_settings):
    assert documented.keys() == read_by_settings.keys() | read_elsewhere()


def test_kind_and_default_are_as_they_are(documented, read_by_settings):
    for name, (kind, *default) in read_by_settings.items():
        if kind in KINDS:
            value = str(default[0]).lower() if kind == "boolean" else f"{default[0]:g}"
            assert documented[name] == f"{KINDS[kind]} · default `{value}`", name
