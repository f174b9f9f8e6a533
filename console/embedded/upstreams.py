"""The demo's upstreams: two simulated providers that serve the same model, and one tiny real model."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from console.embedded.wishes import HOST

CHAT, EMBEDDING, LLAMA = "demo-chat", "demo-embedding", "demo-llama"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server of the demo: how it is started, and what the seed writes down about it."""

    name: str
    module: str
    options: tuple[str, ...]
    models: tuple[str, ...]

    def command(self, port: int, key: str, data_dir: Path) -> list[str]:
        given = ["--port", str(port), "--key", key, *self.options]
        if self.module == "demo.llama":
            given += ["--data-dir", str(data_dir / "llama")]
        else:
            given += ["--name", self.name.capitalize()]
        return [sys.executable, "-m", self.module, *given, *(w for m in self.models for w in ("--model", m))]


UPSTREAMS = (
    Upstream("aurora", "demo.simulated", ("--first-token-ms", "60", "--tokens-per-second", "120"), (CHAT, EMBEDDING)),
    Upstream(
        "borealis", "demo.simulated", ("--first-token-ms", "180", "--tokens-per-second", "40"), (CHAT, EMBEDDING)
    ),
    Upstream("llama", "demo.llama", (), (LLAMA,)),
)


def key_of(upstream: str, secret: str) -> str:
    """The same at each start, another on each machine: what one demo answers to, no other does."""
    return f"sk-{upstream}-{hashlib.sha256(f'{upstream}:{secret}'.encode()).hexdigest()[:32]}"


def commands(ports: Mapping[str, int], secret: str, data_dir: Path) -> dict[str, list[str]]:
    return {u.name: u.command(ports[u.name], key_of(u.name, secret), data_dir) for u in UPSTREAMS}


def environment(ports: Mapping[str, int], secret: str, egress_allow: str) -> dict[str, str]:
    """DEMO_UPSTREAMS for the seed, and EGRESS_ALLOW so that the gateway may dial these ports of this machine."""
    described = {
        u.name: {
            "base_url": f"http://{HOST}:{ports[u.name]}/v1",
            "api_key": key_of(u.name, secret),
            "models": list(u.models),
            "simulated": u.module == "demo.simulated",
        }
        for u in UPSTREAMS
    }
    allowed = [egress_allow, *(f"{HOST}:{port}" for port in ports.values())]
    return {
        "SHAREAI_DEMO": "true",
        "DEMO_UPSTREAMS": json.dumps(described),
        "EGRESS_ALLOW": ", ".join(filter(None, allowed)),
    }
