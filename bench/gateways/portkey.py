"""Portkey's gateway on Node, with the direct dependencies that its own lock file names.

Newer ones fit its ranges, but with them it is not the program its authors released: the newest
@hono/node-server, for one, breaks its streams.
"""

from __future__ import annotations

import json

from bench.gateways.base import PEER_CASES, Endpoint, Gateway, answers_get
from bench.processes import free_port

_VERSION = "1.15.2"
_LOCKED = {
    "@aws-crypto/sha256-js": "5.2.0",
    "@cfworker/json-schema": "4.0.3",
    "@hono/node-server": "1.13.5",
    "@hono/node-ws": "1.2.0",
    "@portkey-ai/mustache": "2.1.3",
    "@smithy/signature-v4": "2.1.1",
    "@types/mustache": "4.2.5",
    "async-retry": "1.3.3",
    "avsc": "5.7.7",
    "hono": "4.9.7",
    "ioredis": "5.8.0",
    "jose": "6.0.11",
    "patch-package": "8.0.1",
    "ws": "8.18.3",
    "zod": "3.25.76",
}
_MANIFEST = json.dumps(
    {"private": True, "dependencies": {"@portkey-ai/gateway": _VERSION}, "overrides": _LOCKED}, indent=1
)


class Portkey(Gateway):
    name = "portkey"
    share = 0.4
    pins = (_MANIFEST,)

    def install(self) -> None:
        (self.folder / "package.json").write_text(_MANIFEST)
        self.run_step(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=self.folder)

    def start(self, upstream_url: str) -> Endpoint:
        port = free_port()
        server = self.folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
        child = self.spawn(["node", server, f"--port={port}", "--headless"], env={"NODE_ENV": "production"})
        child.wait_until(lambda: answers_get(port, "/"), self.name)
        headers = {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"{upstream_url}/v1",
            "Authorization": "Bearer unused",
        }
        return Endpoint(port, dict.fromkeys(PEER_CASES, "bench"), headers)
