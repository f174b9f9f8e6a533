"""What the owner said by `pause`, `resume` and `drain`; the first two outlive a restart."""

from __future__ import annotations

from pathlib import Path

from shareai_node.errors import AgentError
from shareai_node.files import read_object, write_json
from shareai_node.idle import Switches


def load(path: Path) -> Switches:
    """A damaged file counts as `pause`: whoever wrote it wanted something, and serving is the bolder guess."""
    try:
        saved = read_object(path)
    except AgentError:
        return Switches(paused=True)
    paused = None if saved is None else saved.get("paused")
    return Switches(paused=paused if isinstance(paused, bool) else None)


def save(path: Path, switches: Switches) -> None:
    write_json(path, {"paused": switches.paused})
