"""What agent/pyproject.toml says of the distribution."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from building.tree import BuildError

AGENT = Path(__file__).resolve().parents[1]
PACKAGE = "shareai_node"


@dataclass(frozen=True, slots=True)
class Project:
    name: str
    version: str
    summary: str
    license: str
    requires_python: str
    readme: str
    dependencies: Sequence[str]
    extras: Mapping[str, Sequence[str]]
    scripts: Mapping[str, str]

    @property
    def stem(self) -> str:
        """The start of a wheel's name and of its metadata folder."""
        return f"{self.name.replace('-', '_')}-{self.version}"


def read_project(folder: Path = AGENT) -> Project:
    """Raises: BuildError where the package itself tells another version."""
    told = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    source = (folder / PACKAGE / "__init__.py").read_text("utf-8")
    versions = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    if versions != [told["version"]]:
        raise BuildError(f"pyproject.toml is at {told['version']}, {PACKAGE}.__version__ at {versions}.")
    return Project(
        name=told["name"],
        version=told["version"],
        summary=told["description"],
        license=told["license"],
        requires_python=told["requires-python"],
        readme=(folder / told["readme"]).read_text("utf-8"),
        dependencies=told["dependencies"],
        extras=told.get("optional-dependencies", {}),
        scripts=told["scripts"],
    )
