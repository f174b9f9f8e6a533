"""Ours with everything on: a key, a plan over three targets, prices, usage and the journal; one worker."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bench.engines import engines
from bench.gateways.base import PEER_CASES, Endpoint, Gateway, answers_get
from bench.processes import GatewayError, free_port
from console.embedded.keep import kept_secrets

_ROOT = Path(__file__).resolve().parent.parent.parent


class ShareAI(Gateway):
    name = "shareai"
    is_python = True
    pins = tuple((_ROOT / "requirements.txt").read_text().splitlines())

    def __init__(self) -> None:
        super().__init__()
        self._open = contextlib.ExitStack()

    def install(self) -> None:
        self.install_python("-r", str(_ROOT / "requirements.txt"))

    def start(self, upstream_url: str) -> Endpoint:
        port = free_port()
        env = self._environment(upstream_url, port)
        self._manage(env, "migrate", "--verbosity", "0")
        seed = self._seed(env, upstream_url)
        child = self.spawn(served(port, self.folder / "bin/python"), env=env, cwd=_ROOT)
        child.wait_until(lambda: answers_get(port, "/health/ready"), self.name)
        keys = seed.get("api_keys")
        own = {case: _bearer(key) for case, key in keys.items()} if isinstance(keys, dict) else {}
        return Endpoint(port, _models(seed), _bearer(seed["api_key"]), case_headers=own)

    def stop(self) -> None:
        super().stop()
        self._open.close()

    def _environment(self, upstream_url: str, port: int) -> dict[str, str]:
        """A data folder, engines and secrets that are gone after the run."""
        data_dir = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="bench-shareai-")))
        data_dir.chmod(0o711)  # PostgreSQL's own user passes through when root runs the bench
        running = self._open.enter_context(engines(data_dir))
        return {
            **kept_secrets(data_dir),
            "DATABASE_URL": running.database_url,
            "REDIS_URL": running.redis_url,
            "DATA_DIR": str(data_dir),
            "PORT": str(port),
            "EGRESS_ALLOW": urlsplit(upstream_url).netloc,
        }

    def _seed(self, env: Mapping[str, str], upstream_url: str) -> Mapping[str, object]:
        """`manage.py bench_seed` makes an organisation, a key and a model with three targets.

        Its last line is {"api_key": ..., "model": ...}; "models" may add case → model for the cases that
        need a model of their own (cache_hit, tunnel), and "api_keys" case → key likewise (governed).
        """
        output = self._manage(env, "bench_seed", "--upstream", upstream_url)
        try:
            seed = json.loads(output.strip().splitlines()[-1])
        except (IndexError, ValueError) as error:
            raise GatewayError(f"bench_seed printed no JSON: {output[-400:]!r}") from error
        if not isinstance(seed, dict) or not {"api_key", "model"} <= seed.keys():
            raise GatewayError("bench_seed did not print api_key and model")
        return seed

    def _manage(self, env: Mapping[str, str], *words: str) -> str:
        return self.run_step([self.folder / "bin/python", "manage.py", *words], cwd=_ROOT, env=env)


def served(port: int, python: Path | str = sys.executable) -> list[str]:
    """How one process of ours is started."""
    return [
        *(str(python), "-m", "uvicorn", "console.asgi:application"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--loop", "uvloop"),
        *("--http", "console.wire:PatientProtocol", "--ws", "console.websocket:TakeoverProtocol"),
        *("--log-level", "warning", "--no-access-log", "--no-server-header"),
    ]


def _bearer(key: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _models(seed: Mapping[str, object]) -> dict[str, str]:
    extra = seed.get("models")
    own = extra if isinstance(extra, dict) else {}
    return dict.fromkeys(PEER_CASES, str(seed["model"])) | {str(case): str(model) for case, model in own.items()}
