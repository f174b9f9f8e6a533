"""Replacing this agent by the console's version, and putting it back if the new one does not come up.

fetch and verify ──▶ swap ──▶ restart ──▶ connected, in the new version? ──▶ done
                                                 │ no
                                                 └──▶ swap back, restart, say why
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from shareai_node import __version__, control
from shareai_node.config import Config
from shareai_node.errors import AgentError, UpgradeFailed
from shareai_node.installation import Installation, own
from shareai_node.places import Places
from shareai_node.releases import latest
from shareai_node.replacements import Replacement, replacement
from shareai_node.service import Service, State, here

COMES_UP_WITHIN_S = 60.0
_ASKS_EVERY_S = 0.5


def check(config: Config) -> str:
    """Raises: AgentError."""
    release = latest(config)
    if release.is_newer:
        return f"Version {release.version} is offered; this is {__version__}. Install it with: shareai-node upgrade"
    return f"This is version {__version__}; the console offers none that is newer."


def upgrade(
    where: Places,
    config: Config,
    *,
    installation: Installation | None = None,
    service: Service | None = None,
    within_s: float = COMES_UP_WITHIN_S,
) -> Iterator[str]:
    """Says what it does, line by line.

    Args:
        within_s: for the new version to be connected.
    Raises: UpgradeFailed: nothing was changed, or the former version is back; other AgentErrors: nothing was changed.
    """
    release = latest(config)
    if not release.is_newer:
        yield f"This is version {__version__}, and the console offers {release.version}: nothing to do."
        return
    change = replacement(installation or own(), release, where.former)
    yield f"Fetching version {release.version}."
    try:
        change.fetch()
        yield from _changed(where, change, service or _found_service(), within_s)
    finally:
        change.forget()


def _changed(where: Places, change: Replacement, service: Service | None, within_s: float) -> Iterator[str]:
    runs_as_service = service is not None and service.state() is State.RUNNING
    try:
        change.swap()
        if service is not None and runs_as_service:
            service.restart()
            _await_connection(where, change.release.version, within_s)
    except AgentError as error:
        change.restore()
        if service is not None and runs_as_service:
            service.restart()
        raise UpgradeFailed(f"Version {__version__} is back. {error}") from error
    yield f"Version {change.release.version} is installed" + (" and connected." if runs_as_service else ".")
    if not runs_as_service and control.find_running(where.control) is not None:
        yield "The running agent is still the former one: restart it."


def _await_connection(where: Places, version: str, within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        running = control.find_running(where.control)
        if running is not None and running.get("version") == version and running.get("connected"):
            return
        time.sleep(_ASKS_EVERY_S)
    raise UpgradeFailed(f"Version {version} did not connect within {within_s:.0f} s. Its log tells more.")


def _found_service() -> Service | None:
    try:
        return here()
    except AgentError:
        return None
