"""LiteLLM proxy: no database, one worker, one model with three deployments that all point at the mock."""

from __future__ import annotations

import json

from bench.gateways.base import PEER_CASES, Endpoint, Gateway, answers_get
from bench.processes import free_port

_KEY = "sk-bench-1234"
_DEPLOYMENTS = 3
"""As many as ours has candidates."""


class LiteLLM(Gateway):
    name = "litellm"
    is_python = True
    share = 0.05
    pins = ("litellm[proxy]==1.106.2",)

    def install(self) -> None:
        self.install_python(*self.pins)

    def start(self, upstream_url: str) -> Endpoint:
        port = free_port()
        config = self.folder / "config.yaml"
        parameters = {"model": "openai/bench", "api_base": f"{upstream_url}/v1", "api_key": "unused"}
        # JSON is YAML too.
        config.write_text(
            json.dumps(
                {
                    "model_list": [{"model_name": "bench", "litellm_params": parameters}] * _DEPLOYMENTS,
                    "general_settings": {"master_key": _KEY},
                    "litellm_settings": {"telemetry": False},
                }
            )
        )
        child = self.spawn(
            [
                *(self.folder / "bin/litellm", "--config", config),
                *("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
            ],
            # The price list that it ships, instead of one fetched at each start.
            env={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        )
        child.wait_until(lambda: answers_get(port, "/health/liveliness"), self.name)
        return Endpoint(port, dict.fromkeys(PEER_CASES, "bench"), {"Authorization": f"Bearer {_KEY}"})
