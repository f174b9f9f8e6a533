"""The agent is another building: it needs none of the gateway's libraries, and works from a zipapp."""

from __future__ import annotations

import subprocess
import sys
import zipapp
from importlib.metadata import requires
from pathlib import Path

from shareai_node import __version__
from tests.agent.conftest import Home, clean_environment
from tests.architecture.modules import ROOT

AGENT = ROOT / "agent"
_EVERY_MODULE = """
import importlib, pkgutil, sys
import shareai_node
for module in pkgutil.walk_packages(shareai_node.__path__, "shareai_node."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_no_module_needs_the_gateway(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", _EVERY_MODULE], capture_output=True, text=True, cwd=tmp_path, env=clean_environment()
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    unwanted = {"django", "rest_framework", "celery", "redis", "aiohttp", "orjson", "msgspec", "uvicorn", "common"}
    assert loaded & unwanted == set()
    assert {"shareai_node", "httpx", "websockets", "cryptography"} <= loaded


def test_without_the_optional_libraries(tmp_path: Path):
    blocked = "import sys; sys.modules['psutil'] = sys.modules['pynvml'] = None\n"
    check = "from shareai_node.vitals import VitalsReader; print(VitalsReader().read().ram_total_bytes)"
    done = subprocess.run(
        [sys.executable, "-c", blocked + check], capture_output=True, text=True, cwd=tmp_path, env=clean_environment()
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_its_distribution_names_what_it_needs():
    import tomllib

    told = tomllib.loads((AGENT / "pyproject.toml").read_text())["project"]
    assert told["version"] == __version__
    names = {line.split(">")[0].split(";")[0].strip() for line in told["dependencies"]}
    assert {"cryptography", "httpx", "platformdirs", "truststore", "websockets"} <= names
    assert requires("httpx")


async def test_it_runs_from_a_zipapp(home: Home, tmp_path: Path):
    archive = tmp_path / "shareai-node.pyz"
    zipapp.create_archive(AGENT, archive, main="shareai_node.cli:main", filter=lambda path: path.suffix == ".py")
    script = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--version']; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    for command in ([sys.executable, str(archive), "--version"], [sys.executable, "-c", script, str(archive)]):
        environment = {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.stdout.strip() == __version__, done.stderr
