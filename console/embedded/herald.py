"""Says when ShareAI can be used and how, then watches: `python -m console.embedded.herald`, one of the processes.

It ends when an engine ends, or whoever started the run, upon which honcho ends everything. Should the supervisor
itself be killed, it ends what is left of the run.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from console.embedded.engine import end_leftovers, is_alive
from console.embedded.keep import read_env
from console.embedded.leftovers import MARK, end_processes
from console.embedded.probe import get, not_ready
from console.embedded.upstreams import CHAT
from console.embedded.wishes import HOST

ASK_EVERY_S = 0.05
COMPLAIN_EVERY_S = 30
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Watch:
    """What the herald is told on its command line: whom to ask, and whose ends to notice."""

    port: int
    supervisor_pid: int
    parent_pid: int  # of the supervisor; 0 does not matter
    started_at: float  # seconds since the epoch
    engines: list[tuple[str, int, str]]  # name, pid, log


def main(watch: Watch) -> int:
    data_dir = Path(os.environ[MARK])
    ends = _Ends(watch, data_dir)
    complain_at = time.monotonic() + COMPLAIN_EVERY_S
    while (trouble := not_ready(watch.port)) is not None:
        if ends.noticed():
            return 1
        if time.monotonic() > complain_at:
            complain_at += COMPLAIN_EVERY_S
            print(f"Still not ready: {trouble}", flush=True)
        time.sleep(ASK_EVERY_S)
    demo = read_env(data_dir / "demo.env")
    print(welcome(watch.port, data_dir, demo, time.time() - watch.started_at), flush=True)
    while not ends.noticed():
        time.sleep(LOOK_EVERY_S)
    return 1


class _Ends:
    """Looks whether the processes that everything depends on still live."""

    def __init__(self, watch: Watch, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._supervisor = psutil.Process(watch.supervisor_pid)
        self._parent_pid = watch.parent_pid
        self._engines = [(name, psutil.Process(pid), log) for name, pid, log in watch.engines]

    def noticed(self) -> bool:
        if not is_alive(self._supervisor):
            self._clean_up()
            return True
        if self._parent_pid and self._supervisor.ppid() != self._parent_pid:
            print("Whatever started this has ended, so everything stops.", flush=True)
            return True
        for name, process, log in self._engines:
            if not is_alive(process):
                print(f"{name} stopped by itself: see {log}.", flush=True)
                return True
        return False

    def _clean_up(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_processes(self._data_dir)
        end_leftovers("redis", self._data_dir / "redis", signal.SIGTERM)
        end_leftovers("postgres", self._data_dir / "postgres" / "data", signal.SIGINT)


def welcome(port: int, data_dir: Path, demo: dict[str, str], took_s: float) -> str:
    address = f"http://{HOST}:{port}"
    lines = ["", f"ShareAI is ready at {address} ({took_s:.1f} s). Stop it with Ctrl-C."]
    if demo:
        key = demo.get("OPENAI_API_KEY", "")
        password = demo.get("SHAREAI_PASSWORD") or "(the password you chose)"
        lines += [
            "",
            f"  Sign in    {demo.get('SHAREAI_EMAIL')}   {password}",
            f"  SDK        set -a; . {shlex.quote(str(data_dir / 'demo.env'))}; set +a",
            "  Try        " + curl(address, key, first_model(port, key)),
        ]
    return "\n".join([*lines, ""])


def curl(address: str, key: str, model: str) -> str:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
    words = ["curl", "-N", f"{address}/v1/chat/completions", "-H", f"Authorization: Bearer {key}"]
    return shlex.join([*words, "-H", "Content-Type: application/json", "-d", json.dumps(body)])


def first_model(port: int, key: str) -> str:
    """A chat model of the demo as this gateway names it."""
    try:
        _, body = get(port, "/v1/models", {"Authorization": f"Bearer {key}"})
        ids = [str(model["id"]) for model in json.loads(body)["data"]]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return CHAT
    return next((name for name in ids if name.endswith(CHAT)), ids[0] if ids else CHAT)


if __name__ == "__main__":
    sys.exit(main(Watch(**json.loads(sys.argv[1]))))
