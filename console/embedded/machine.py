"""The demo's own machine: the real agent and tunnel, in front of this computer's Ollama or of the tiny model.

    python -m console.embedded.machine PORT

It enrols once, by a token that the seed left in the data folder, and is the same machine at each later start.
Should its owner remove it in the console, the rest of the demo goes on.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from console.embedded.keep import write_private
from console.embedded.leftovers import MARK
from console.embedded.probe import get, not_ready
from console.embedded.wishes import HOST

NAME = "Demo machine"
MODEL = "home-llama"  # of no provider: a machine does not offer by itself what those offer
FOLDER = "demo-machine"
ENROLMENT = "enrolment.token"  # the file
OLLAMA_PORT = 11434
ASK_EVERY_S = 0.2
_STOPPING = (signal.SIGTERM, signal.SIGINT)


def main(port: int, data_dir: Path) -> int:
    home = home_of(data_dir)
    while not_ready(port) is not None:
        time.sleep(ASK_EVERY_S)
    console = os.environ.get("PUBLIC_URL", f"http://{HOST}:{port}").rstrip("/")
    follow(home, console)
    with ExitStack() as stack:
        agent = subprocess.Popen(command(home, console, served(stack, data_dir)), stdin=subprocess.DEVNULL)
        ended = ended_as_told(agent)
    if ended:
        print("The demo's machine serves no more; the reason is above. Everything else goes on.", flush=True)
        signal.pause()
    return 0


def ended_as_told(agent: subprocess.Popen[bytes]) -> int:
    """Its exit status, 0 after a signal to this process: it takes leave of the console first."""
    former = {number: signal.signal(number, lambda *_: agent.terminate()) for number in _STOPPING}
    try:
        return max(agent.wait(), 0)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def home_of(data_dir: Path) -> Path:
    return data_dir / FOLDER


def command(home: Path, console: str, server: str) -> list[str]:
    words = [sys.executable, "-m", "shareai_node", "--home", str(home), "run", "--console", console, "--allow-http"]
    return [*words, "--name", NAME, "--token-file", str(home / ENROLMENT), "--no-discover", "--server", server]


def served(stack: ExitStack, data_dir: Path) -> str:
    """The base URL of what it offers: an Ollama that has a model, else a llama.cpp server of its own."""
    if ollama_models():
        return f"http://{HOST}:{ollama_port()}"
    words = [sys.executable, "-m", "demo.llama", "--data-dir", str(data_dir), "--model-id", MODEL]
    llama = stack.enter_context(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True))
    stack.callback(llama.terminate)
    assert llama.stdout is not None
    _, base_url, _ = llama.stdout.readline().split()
    return base_url


def ollama_models() -> list[str]:
    """What an Ollama on this computer has, [] where there is none."""
    try:
        status, body = get(ollama_port(), "/api/tags")
        found = json.loads(body)["models"] if status == http.client.OK else []
        return [str(model["name"]) for model in found]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return []


def ollama_port() -> int:
    """Where it listens by its own variable, which is its server's as well as its client's."""
    said = os.environ.get("OLLAMA_HOST", "")
    try:
        return urlsplit(said if "//" in said else f"//{said}").port or OLLAMA_PORT
    except ValueError:
        return OLLAMA_PORT


def follow(home: Path, console: str) -> None:
    """The console may listen at another port than at the last start; the machine stays the same."""
    path = home / "config.json"
    saved = enrolled(home)
    if saved is not None and saved.get("console") != console:
        scheme, _, host = console.partition("://")
        url = f"{'wss' if scheme == 'https' else 'ws'}://{host}/nodes/v1/connect"
        write_private(path, json.dumps(saved | {"console": console, "connect_url": url}, indent=2) + "\n")


def enrolled(home: Path) -> dict[str, str] | None:
    """What the agent keeps about itself, None before it is enrolled."""
    path = home / "config.json"
    saved: dict[str, str] | None = json.loads(path.read_text()) if path.exists() else None
    return saved


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(os.environ[MARK])))
