"""sglang-router, a load balancer in Rust: no keys, no metering."""

from __future__ import annotations

from bench.gateways.base import PEER_CASES, Endpoint, Gateway, answers_get
from bench.processes import free_port


class SglangRouter(Gateway):
    name = "sglang-router"
    is_python = True
    pins = ("sglang-router==0.3.2",)

    def install(self) -> None:
        self.install_python(*self.pins)

    def start(self, upstream_url: str) -> Endpoint:
        port, metrics_port = free_port(), free_port()
        child = self.spawn(
            [
                *(self.folder / "bin/python", "-m", "sglang_router.launch_router"),
                *("--worker-urls", upstream_url),
                *("--host", "127.0.0.1", "--port", str(port)),
                *("--prometheus-port", str(metrics_port)),
                *("--policy", "round_robin", "--log-level", "warn"),
            ]
        )
        child.wait_until(lambda: answers_get(port, "/readiness"), self.name)
        return Endpoint(port, dict.fromkeys(PEER_CASES, "bench"))
