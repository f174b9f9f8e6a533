"""Where the agent keeps its files: the user's own folders, or the machine's when it is installed for all."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

APP = "shareai-node"
SYSTEM_HOME = Path(
    "/Library/Application Support/shareai-node" if sys.platform == "darwin" else "/var/lib/shareai-node"
)


@dataclass(frozen=True, slots=True)
class Places:
    config_dir: Path
    state_dir: Path
    log_dir: Path

    @property
    def config(self) -> Path:
        return self.config_dir / "config.json"

    @property
    def key(self) -> Path:
        return self.config_dir / "identity.key"

    def pending_key(self, token: str) -> Path:
        """The key of an enrolment whose answer has not arrived: the next try with this token sends the same one."""
        return self.config_dir / f"identity.{hashlib.sha256(token.encode()).hexdigest()[:16]}.pending"

    @property
    def control(self) -> Path:
        """Where a running agent says how to speak to it."""
        return self.state_dir / "control.json"

    @property
    def switch(self) -> Path:
        """What `pause` and `resume` left behind."""
        return self.state_dir / "switch.json"

    @property
    def probes(self) -> Path:
        """What was found out about each model, so that a restart need not ask them all again."""
        return self.state_dir / "probes.json"

    @property
    def log(self) -> Path:
        return self.log_dir / "agent.log"

    @property
    def former(self) -> Path:
        """What an upgrade replaced, until the new version is seen to work."""
        return self.state_dir / "former"


def places(environment: Mapping[str, str] = os.environ) -> Places:
    """SHAREAI_NODE_HOME, where set, holds everything; root's is the machine's folder; a user has folders of their own."""
    if home := environment.get("SHAREAI_NODE_HOME"):
        return _all_in(Path(home).expanduser().absolute())
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return _all_in(SYSTEM_HOME)
    return Places(
        platformdirs.user_config_path(APP, appauthor=False),
        platformdirs.user_state_path(APP, appauthor=False),
        platformdirs.user_log_path(APP, appauthor=False),
    )


def _all_in(home: Path) -> Places:
    return Places(home, home, home / "logs")
