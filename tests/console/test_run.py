"""The contract of `make run`, with real processes: ready, kept over restarts, and all ended with it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import pytest
from redis import Redis

from console.embedded.keep import read_env
from console.embedded.leftovers import MARK
from console.embedded.wishes import PROJECT, free_port

WITHIN_S = 120  # a busy machine may take long; nothing is measured here
GIVEN_BY_THE_TESTS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "SHAREAI_KEYRING", "EGRESS_ALLOW")
REDIS_OF_THE_RUN = 15
"""The last of a server's databases; workers of a test run have the first ones."""
DEMO_ENV = {
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "SHAREAI_URL",
    "SHAREAI_MANAGE_KEY",
    "SHAREAI_EMAIL",
    "SHAREAI_PASSWORD",
}


class Run:
    """One `python -m console.embedded`, its output read as it comes."""

    def __init__(
        self,
        data_dir: Path,
        port: int,
        before: Sequence[str] = (),
        after: Sequence[str] = (),
        engines: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir, self.port = data_dir, port
        self.output = data_dir.with_name(f"output-{time.monotonic_ns()}")
        environment = {name: value for name, value in os.environ.items() if name not in GIVEN_BY_THE_TESTS}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "console.embedded", *after],
                cwd=PROJECT,
                env={**environment, **(engines or {}), "PORT": str(port), "DATA_DIR": str(data_dir)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Whoever runs the tests may ignore SIGHUP (nohup does), and children inherit that.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def curl(self) -> str:
        """What the cURL line that it printed answers, sent by other means: not every machine has cURL."""
        found = re.search(r"Try +curl -N (.+)", self.said())
        assert found is not None
        url, *words = shlex.split(found[1])
        given = list(zip(words[::2], words[1::2], strict=True))
        headers = dict(text.split(": ", 1) for option, text in given if option == "-H")
        data = next(text for option, text in given if option == "-d")
        with urllib.request.urlopen(urllib.request.Request(url, data.encode(), headers), timeout=30) as answer:
            return str(answer.read().decode())

    def wait_until_ready(self) -> None:
        wait_for(lambda: "ShareAI is ready" in self.said() or self.process.poll() is not None, self.said)
        assert self.process.poll() is None, self.said()

    def wait_until_ended(self) -> int:
        wait_for(lambda: self.process.poll() is not None, self.said)
        wait_for(lambda: not left_running(self.data_dir), lambda: f"{left_running(self.data_dir)}\n{self.said()}")
        return self.process.wait()

    def pid_of(self, name: str) -> int:
        found = re.search(rf"{name} started \(pid=(\d+)\)", self.said())
        assert found is not None
        return int(found[1])


@contextmanager
def running(
    data_dir: Path,
    port: int,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    engines: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """
    Args:
        before: a command that starts it.
        after: its arguments.
        engines: DATABASE_URL and REDIS_URL, where it is not to start its own.
    """
    run = Run(data_dir, port, before, after, engines)
    try:
        run.wait_until_ready()
        yield run
    finally:
        if run.process.poll() is None:
            run.process.terminate()
        run.wait_until_ended()


def wait_for(condition: Callable[[], bool], explain: Callable[[], str]) -> None:
    give_up_at = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up_at, explain()
        time.sleep(0.05)


def left_running(data_dir: Path) -> list[str]:
    """Whatever still belongs to a run on this folder: its processes, and its engines by where they work."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MARK) == str(data_dir)
            if marked or process.cwd().startswith(str(data_dir)):
                found.append(f"{process.pid} {shlex.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


def answers_from_the_machine(run: Run, demo: dict[str, str]) -> bool:
    """Whether the agent of this computer serves some model under the machine's own name."""
    headers = {"Authorization": f"Bearer {demo['OPENAI_API_KEY']}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{run.port}/v1"
    with urllib.request.urlopen(urllib.request.Request(f"{url}/models", headers=headers), timeout=30) as answer:
        names = [model["id"] for model in json.load(answer)["data"]]
    for name in names:
        body = {
            "model": f"node/demo-machine/{name}",
            "max_tokens": 2,
            "messages": [{"role": "user", "content": "Hi"}],
        }
        asked = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.headers["x-shareai-target"] == f"node/demo-machine/{name}"
    return False


@pytest.fixture(scope="module")
def lived_in() -> Iterator[Path]:
    """Of all that start it whole: whoever comes first makes the database, as on any machine."""
    with tempfile.TemporaryDirectory(prefix="shareai-") as path:
        Path(path).chmod(0o711)
        yield Path(path)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_serves_until_stopped_and_keeps_everything_for_the_next_start(lived_in: Path) -> None:
    data_dir, port = lived_in / "var", free_port()
    with running(data_dir, port) as first:
        assert first.get("/health/ready") == 200
        assert first.get("/health/live") == 200
        demo = read_env(data_dir / "demo.env")
        assert demo.keys() >= DEMO_ENV
        assert mode_of(data_dir / "demo.env") == mode_of(data_dir / "secrets.env") == 0o600
        assert demo["SHAREAI_EMAIL"] in first.said()
        answer = first.curl()
        assert '"object":"chat.completion.chunk"' in answer
        assert answer.endswith("data: [DONE]\n\n")
        wait_for(lambda: answers_from_the_machine(first, demo), first.said)
        secrets, ports = (data_dir / "secrets.env").read_text(), (data_dir / "demo-ports.json").read_text()

        broker = Redis.from_url(psutil.Process(first.pid_of("web")).environ()["REDIS_URL"])
        wait_for(lambda: bool(broker.exists("_kombu.binding.celery.pidbox")), first.said)  # a worker listens
        wait_for(lambda: any(data_dir.glob("beat-schedule*")), first.said)

        other = subprocess.run(
            [sys.executable, "-m", "console.embedded"],
            cwd=PROJECT,
            env={**os.environ, "PORT": str(free_port()), "DATA_DIR": str(data_dir)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert other.returncode == 1
        assert other.stderr == f"Process {first.process.pid} is already running ShareAI on {data_dir}.\n"

        first.process.terminate()
        assert first.wait_until_ended() == 0
    with running(data_dir, port) as second:
        assert "Bringing the database up to date" not in second.said()
        assert read_env(data_dir / "demo.env") == demo
        assert (data_dir / "secrets.env").read_text() == secrets
        assert (data_dir / "demo-ports.json").read_text() == ports
        assert second.get("/health/ready") == 200
        wait_for(lambda: answers_from_the_machine(second, demo), second.said)
        second.process.send_signal(signal.SIGHUP)
        assert second.wait_until_ended() == 0


def test_nothing_outlives_what_it_depends_on_and_the_next_start_works(lived_in: Path) -> None:
    data_dir, port = lived_in / "var", free_port()
    with running(data_dir, port) as run:
        os.kill(run.process.pid, signal.SIGKILL)
        assert run.wait_until_ended() == -signal.SIGKILL

    with running(data_dir, port) as run:
        os.killpg(run.pid_of("worker"), signal.SIGKILL)
        assert run.wait_until_ended() != 0
        assert "worker stopped" in run.said()

    with running(data_dir, port) as run:
        postmaster = int((data_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        assert run.wait_until_ended() != 0
        assert "PostgreSQL stopped by itself" in run.said()

    with running(data_dir, port, ["sh", "-c", '"$@"; exit 0', "sh"], ["--with-parent"]) as run:
        run.process.kill()
        run.wait_until_ended()
        assert "Whatever started this has ended" in run.said()


@pytest.fixture
def elsewhere() -> Iterator[dict[str, str]]:
    """An empty database and an empty Redis of servers that the run did not start."""
    server, name = os.environ["DATABASE_URL"], f"run_elsewhere_{os.getpid()}"
    redis_url = urlunsplit(urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{REDIS_OF_THE_RUN}"))
    with psycopg.connect(server, autocommit=True) as connection, Redis.from_url(redis_url) as redis:
        redis.flushdb()
        connection.execute(f"CREATE DATABASE {name}")
        yield {"DATABASE_URL": urlunsplit(urlsplit(server)._replace(path=f"/{name}")), "REDIS_URL": redis_url}
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        redis.flushdb()


def test_engines_of_ones_own_take_the_place_of_those_it_brings(folder: Path, elsewhere: dict[str, str]) -> None:
    data_dir = folder / "var"
    with running(data_dir, free_port(), engines=elsewhere) as run:
        assert "Starting PostgreSQL" not in run.said()
        assert "Starting Redis" not in run.said()
        assert run.curl().endswith("data: [DONE]\n\n")
        assert not {"postgres", "redis"} & {path.name for path in data_dir.iterdir()}
        email = read_env(data_dir / "demo.env")["SHAREAI_EMAIL"]
        with psycopg.connect(elsewhere["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT email FROM accounts_user WHERE email = %s", [email]).fetchone()
        with Redis.from_url(elsewhere["REDIS_URL"]) as redis:
            assert redis.dbsize() > 0


@pytest.mark.parametrize("step", ["Starting PostgreSQL", "Starting Redis", "Bringing the database"])
def test_a_stop_while_it_starts_leaves_nothing(folder: Path, step: str) -> None:
    run = Run(folder / "var", free_port())
    wait_for(lambda: step in run.said(), run.said)
    run.process.terminate()
    assert run.wait_until_ended() == 128 + signal.SIGTERM


def refusal(environment: dict[str, str]) -> str:
    """What it says, in one line, instead of starting."""
    done = subprocess.run(
        [sys.executable, "-m", "console.embedded"],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_taken_port_is_refused_in_one_sentence(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal({"PORT": str(port), "DATA_DIR": str(folder)})
    assert said.startswith(f"Port {port} of 127.0.0.1 is taken: ")


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused_in_one_sentence(port: str) -> None:
    assert refusal({"PORT": port}) == f"PORT={port!r} is not valid: use a number from 1 to 65535.\n"


def test_an_unknown_argument_is_refused() -> None:
    command = [sys.executable, "-m", "console.embedded", "--port"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Unknown: --port.")


def test_a_data_folder_that_cannot_be_is_refused_in_one_sentence(folder: Path) -> None:
    (folder / "file").touch()
    said = refusal({"PORT": str(free_port()), "DATA_DIR": str(folder / "file" / "var")})
    assert said == f"DATA_DIR={folder / 'file' / 'var'} cannot be used: Not a directory.\n"


def test_the_demo_may_dial_its_own_upstreams_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from console.embedded.procfile import Begin, write_procfile
    from console.embedded.wishes import read_wishes

    monkeypatch.setenv("EGRESS_ALLOW", "10.0.0.1:80")
    environment = write_procfile(read_wishes({"DATA_DIR": str(folder)}), [], Begin(0, 0)).environment
    described = json.loads(environment["DEMO_UPSTREAMS"])
    ports = json.loads((folder / "demo-ports.json").read_text())
    assert environment["STRIPE_BASE_URL"] == f"http://127.0.0.1:{ports.pop('payments')}"
    assert described.keys() == ports.keys() == {"aurora", "borealis", "llama"}
    assert environment["EGRESS_ALLOW"].split(", ") == ["10.0.0.1:80", *(f"127.0.0.1:{p}" for p in ports.values())]
    assert described["aurora"]["base_url"] == f"http://127.0.0.1:{ports['aurora']}/v1"
