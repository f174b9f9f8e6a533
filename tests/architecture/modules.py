"""The project's modules and what they import when they are loaded, read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = (
    "common",
    "accounts",
    "ledger",
    "metering",
    "providers",
    "nodes",
    "routing",
    "billing",
    "console",
    "shareai_node",
)


@cache
def files() -> dict[str, Path]:
    """Every module of the rooms by its dotted name, migrations excepted."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" not in parts:
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(files()[module].read_text())


@cache
def imports_of(module: str) -> frozenset[str]:
    """What a module imports, wherever it stands in the file: modules, and `module.name` for a name from one."""
    return frozenset(_names(ast.walk(tree_of(module))))


@cache
def imports_at_load(module: str) -> frozenset[str]:
    """As `imports_of`, without what only a function imports when it is called, or only a type checker sees."""
    return frozenset(_names(_loaded(tree_of(module).body)))


def reached_from(module: str, boundaries: Iterable[str]) -> dict[str, str]:
    """All modules that loading `module` loads, except by way of `boundaries`; each with the one that imports it."""
    found, waiting, closed = {}, [module], set(boundaries)
    while waiting:
        current = waiting.pop()
        for name in imports_at_load(current):
            if name in found:
                continue
            found[name] = current
            known = name if name in files() else name.rpartition(".")[0]
            if known in files() and known not in closed and known != current:
                waiting.append(known)
    return found


def way_to(name: str, reached: dict[str, str], start: str) -> str:
    """How it is reached, for the message of a failing test."""
    way = [name]
    while (name := reached.get(_module_of(name), reached.get(name, start))) != start and len(way) < 20:
        way.append(name)
    return " <- ".join([*way, start])


def _module_of(name: str) -> str:
    return name if name in files() else name.rpartition(".")[0]


def _loaded(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_for_types(statement):
            continue
        yield statement
        for field in ("body", "orelse", "finalbody"):
            yield from _loaded(getattr(statement, field, []))
        for handler in getattr(statement, "handlers", []):
            yield from _loaded(handler.body)


def _is_for_types(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")
