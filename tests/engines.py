"""Gives the tests a real PostgreSQL and a real Redis, before Django reads its settings.

Loaded by `-p tests.engines` (pyproject.toml). DATABASE_URL and REDIS_URL, where set, are used instead. With
pytest-xdist the controller alone starts engines; its workers inherit the environment, and each has a database
(pytest-django), a Redis database and a DATA_DIR (here) of its own. While they collect, it has a database migrated
that they copy.
"""

from __future__ import annotations

import atexit
import base64
import fcntl
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from console.embedded.postgres import postgres
from console.embedded.redis import redis

PROJECT = Path(__file__).resolve().parents[1]
ENGINES = {"DATABASE_URL": postgres, "REDIS_URL": redis}
DEFAULTS = {
    "WELCOME_CREDIT_USD": "0",
    "SECRET_KEY": "for-tests-only-for-tests-only-for-tests-only-for-tests",
    "SHAREAI_KEYRING": "1:" + base64.b64encode(bytes(range(32))).decode(),
}
MIGRATING = "SHAREAI_TESTS_MIGRATING"
"""Names the file that is locked until the database to copy is there; what its making said is in the file."""
GC_YOUNG_OBJECTS = 50_000
_running = ExitStack()
atexit.register(_running.close)  # pytest_unconfigure is not called when the settings turn out to be wrong


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Wraps, because pytest-django reads the settings inside this very hook."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        os.environ["REDIS_URL"] = redis_of_worker(os.environ["REDIS_URL"], worker)
        os.environ["DATA_DIR"] = str(Path(os.environ["DATA_DIR"]) / worker)
        Path(os.environ["DATA_DIR"]).mkdir(exist_ok=True)
    else:
        start_engines()
        if getattr(early_config.known_args_namespace, "numprocesses", None):
            migrate_meanwhile()
    gc.set_threshold(GC_YOUNG_OBJECTS, 10, 10)
    return (yield)


def pytest_collection_finish() -> None:
    """What was imported and collected lives to the end and need not be looked at again and again."""
    gc.collect()
    gc.freeze()


def start_engines() -> None:
    folder = Path(tempfile.mkdtemp(prefix="shareai-tests-"))
    folder.chmod(0o711)  # PostgreSQL's own user passes through when root runs the tests
    _running.callback(shutil.rmtree, folder, ignore_errors=True)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("DATA_DIR", str(folder / "data"))
    Path(os.environ["DATA_DIR"]).mkdir(parents=True, exist_ok=True)
    for name, engine in ENGINES.items():
        if not os.environ.get(name):
            running = engine(folder / name.removesuffix("_URL").lower(), durable=False)
            os.environ[name] = _running.enter_context(running).url


def migrate_meanwhile() -> None:
    said = Path(os.environ["DATA_DIR"]) / "migrating.log"
    with said.open("w") as log:
        fcntl.flock(log, fcntl.LOCK_EX)  # the process inherits it, and its end lets go
        command = [sys.executable, "-m", "tests.migrated"]
        process = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
    os.environ[MIGRATING] = str(said)
    _running.callback(process.wait)
    _running.callback(process.terminate)


def redis_of_worker(url: str, worker: str) -> str:
    """The same server, the database numbered as the worker (`gw0` has 1); 0 stays the controller's."""
    found = re.fullmatch(r"gw(\d+)", worker)
    number = int(found[1]) + 1 if found else 0
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}"))
