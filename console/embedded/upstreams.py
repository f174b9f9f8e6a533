"""The demo's upstreams: two simulated providers that serve the same model, and one tiny real model."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from console.embedded.wishes import HOST

CHAT, EMBEDDING, TINY = "demo-chat", "demo-embed", "tiny-llama"
OTHERS = ("demo-moderation", "demo-rerank", "demo-image")


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server of the demo: how it is started, and what the seed writes down about it."""

    name: str
    models: tuple[str, ...]
    first_token_ms: int = 0
    tokens_per_second: int = 0
    simulated: bool = True

    def command(self, port: int, key: str, data_dir: Path) -> list[str]:
        served = ["--port", str(port), "--key", key]
        if not self.simulated:
            options = ["--data-dir", str(data_dir), "--model-id", *self.models]
            return [sys.executable, "-m", "demo.llama", *served, *options]
        pace = ["--first-token-ms", str(self.first_token_ms), "--tokens-per-second", str(self.tokens_per_second)]
        models = [word for model in self.models for word in ("--model", model)]
        return [sys.executable, "-m", "demo.simulated", "--name", self.name.capitalize(), *served, *pace, *models]


UPSTREAMS = (
    Upstream("aurora", (CHAT, EMBEDDING, *OTHERS), first_token_ms=60, tokens_per_second=120),
    Upstream("borealis", (CHAT, EMBEDDING, *OTHERS), first_token_ms=180, tokens_per_second=40),
    Upstream("llama", (TINY,), simulated=False),
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
            "simulated": u.simulated,
        }
        for u in UPSTREAMS
    }
    allowed = [egress_allow, *(f"{HOST}:{port}" for port in ports.values())]
    return {
        "SHAREAI_DEMO": "true",
        "DEMO_UPSTREAMS": json.dumps(described),
        "EGRESS_ALLOW": ", ".join(filter(None, allowed)),
    }
