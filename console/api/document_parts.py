"""The parts of the OpenAPI document that no view can tell: what it is about, and the endpoints below `/v1`.

They are written by hand in `gateway/*.yaml`. `/v1` is not DRF's to describe, for its views take bytes and give bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_REFUSED = {"$ref": "#/components/responses/Refused"}
_FOLDER = Path(__file__).with_name("gateway")


def complete(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """drf-spectacular's hook after the views. The gateway's addresses come first."""
    parts = [yaml.safe_load(path.read_text()) for path in sorted(_FOLDER.glob("*.yaml"))]
    for part in parts:
        _merge(result, part)
    _without_marks(result["components"])
    for operations in result["paths"].values():
        _without_marks(operations)
        for operation in operations.values():
            operation["responses"].setdefault("default", _REFUSED)
    result["paths"] = dict(sorted(result["paths"].items(), key=lambda entry: not entry[0].startswith("/v1")))
    return result


def _merge(into: dict[str, Any], part: dict[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _without_marks(part: Any) -> None:
    """drf-spectacular marks enumerations for a hook of its own that names them, which nothing here needs."""
    if isinstance(part, dict):
        part.pop("x-spec-enum-id", None)
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _without_marks(inner)
